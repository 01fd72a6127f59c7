//! A running broker: accepting connections, what happens by the clock, and the end.
//!
//! The end, whether asked for by a signal, by SHUTDOWN or by [`run`]'s caller, is orderly: no
//! connection is accepted any more, requests that run are answered, connections close, the engine
//! syncs and takes a checkpoint. If the log is poisoned the broker ends too, with an error.

use std::future::Future;
use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use alluvium_engine::{ColdBlocks, Engine, Error};
use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use crate::backups::Backups;
use crate::client::{Client, Slot};
use crate::connection::Connection;
use crate::execute::Turn;
use crate::hub::Hub;
use crate::loads::{Loads, load};
use crate::log;
use crate::parameters::Config;
use crate::progress::Progress;
use crate::saver::Saver;

/// How often what happens by the clock is looked after.
const TICK: Duration = Duration::from_millis(100);
/// Keys removed in one tick because they expired.
const EXPIRED_IN_A_TICK_MAX: usize = 1000;
/// Streams that are asked in a tick what they may forget of their producers.
const FORGETTING_IN_A_TICK_MAX: usize = 1000;
/// Streams that are looked at under one lock for what they may let go ...
const RETAINED_AT_ONCE_MAX: usize = 100;
/// ... and how often in a tick.
const RETAINING_IN_A_TICK_MAX: usize = 100;
/// How often the end looks whether it may go on.
const WAIT_STEP: Duration = Duration::from_millis(2);
/// How long accepting rests when the process is out of file descriptors.
const ACCEPT_REST: Duration = Duration::from_millis(100);

/// What all connections hold.
pub(crate) struct Server {
    pub(crate) engine: Engine,
    pub(crate) hub: Mutex<Hub>,
    pub(crate) progress: Arc<Progress>,
    /// How long it takes to load what is not in memory.
    pub(crate) loads: Loads,
    /// Takes the checkpoints that clients ask for.
    pub(crate) saver: Saver,
    /// Makes the backups that clients ask for.
    pub(crate) backups: Backups,
    /// Wall-clock milliseconds.
    pub(crate) started_ms: u64,
    /// 40 hex digits, new at each start.
    pub(crate) run_id: String,
    /// The port that the broker listens on.
    pub(crate) port: u16,
    is_ending: AtomicBool,
    end: Notify,
}

/// Why a broker could not end in order.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// A write or sync failed on the way.
    #[error("the log is poisoned, a write or sync to the data directory failed: {0}")]
    Poisoned(String),
    /// The engine could not be closed in order.
    #[error("closing the data directory: {0}")]
    Close(alluvium_engine::Error),
}

impl Server {
    /// Begins an orderly end of the broker, as SIGTERM does.
    pub(crate) fn shut_down(&self) {
        self.is_ending.store(true, Ordering::Release);
        self.end.notify_one();
    }

    /// Whether the broker is about to end.
    pub(crate) fn is_ending(&self) -> bool {
        self.is_ending.load(Ordering::Acquire)
    }
}

/// Serves clients on the listeners until `shutdown` completes or SHUTDOWN is called; then ends in
/// order.
pub async fn run(
    listeners: Vec<TcpListener>,
    engine: Engine,
    config: Config,
    shutdown: impl Future<Output = ()>,
) -> Result<(), RunError> {
    let port = listeners
        .first()
        .and_then(|it| it.local_addr().ok())
        .map_or(0, |it| it.port());
    let grace = Duration::from_secs(u64::from(config.shutdown_timeout));
    let server = Arc::new(Server::new(engine, config, port));
    listen_to_progress(&server);
    let mut tasks: Vec<JoinHandle<()>> = Vec::new();
    for listener in listeners {
        tasks.push(tokio::spawn(accept(server.clone(), listener)));
    }
    tasks.push(tokio::spawn(tick(server.clone())));
    let saving = server.clone();
    let saver = tokio::task::spawn_blocking(move || Saver::run(&saving));
    let copying = server.clone();
    let backups = tokio::task::spawn_blocking(move || Backups::run(&copying));
    tokio::select! {
        () = shutdown => server.shut_down(),
        () = server.end.notified() => {}
    }
    for task in tasks {
        task.abort();
        // The task is over, and has let go of the server, when this returns.
        let _ = task.await;
    }
    server.saver.close();
    server.backups.close();
    let _ = saver.await;
    let _ = backups.await;
    end(server, grace).await
}

impl Server {
    fn new(engine: Engine, config: Config, port: u16) -> Self {
        let mut batch = engine.lock();
        let started_ms = batch.now_ms();
        batch.set_producer_defaults(config.producer_settings());
        batch.set_retention_defaults(config.kept());
        drop(batch);
        Self {
            engine,
            hub: Mutex::new(Hub::new(config)),
            progress: Arc::default(),
            loads: Loads::default(),
            saver: Saver::default(),
            backups: Backups::default(),
            started_ms,
            run_id: run_id(),
            port,
            is_ending: AtomicBool::new(false),
            end: Notify::new(),
        }
    }
}

/// 40 hex digits that differ at each start: the standard library's hash keys are random.
fn run_id() -> String {
    let digits = (0..3).map(|part: u8| {
        format!(
            "{:016x}",
            RandomState::new().hash_one((part, std::process::id()))
        )
    });
    digits.collect::<String>()[..40].to_owned()
}

fn listen_to_progress(server: &Arc<Server>) {
    // Weak, because the engine, which holds the listener, is part of the server.
    let (progress, weak) = (server.progress.clone(), Arc::downgrade(server));
    server.engine.on_progress(Arc::new(move || {
        let Some(server) = weak.upgrade() else { return };
        let is_poisoned = server.engine.is_poisoned();
        progress.moved(server.engine.settled(), is_poisoned);
        if is_poisoned {
            server.shut_down();
        }
    }));
}

async fn accept(server: Arc<Server>, listener: TcpListener) {
    loop {
        match listener.accept().await {
            Ok((stream, address)) => {
                if let Some(slot) = admit(&server, &stream, address) {
                    tokio::spawn(Connection::serve(server.clone(), stream, slot));
                }
            }
            Err(error) => {
                log::warning(format_args!("a connection could not be accepted: {error}"));
                tokio::time::sleep(ACCEPT_REST).await;
            }
        }
    }
}

/// Takes a connection in, or tells it why not.
fn admit(server: &Server, stream: &TcpStream, address: SocketAddr) -> Option<Slot> {
    // Without these the connection works all the same.
    let _ = stream.set_nodelay(true);
    let local_address = stream.local_addr().unwrap_or(address);
    let now_ms = server.engine.lock().now_ms();
    let mut hub = server.hub.lock();
    hub.stats.total_connections += 1;
    set_keepalive(stream, hub.config.tcp_keepalive);
    let is_full = hub.clients.len() as u64 >= u64::from(hub.config.maxclients);
    let has_password = !hub.config.requirepass.is_empty();
    let is_denied = hub.config.protected_mode && !has_password && !address.ip().is_loopback();
    let refusal: &[u8] = if is_full {
        b"-ERR max number of clients reached\r\n"
    } else if is_denied {
        b"-DENIED This broker has no password and protected-mode is on: it serves clients on its \
          own machine only. Set requirepass, or protected-mode no.\r\n"
    } else {
        let mut client = Client::new(address, local_address, now_ms);
        client.is_authenticated = !has_password;
        return Some(hub.clients.insert(Box::new(client)));
    };
    hub.stats.rejected_connections += 1;
    let _ = stream.try_write(refusal);
    None
}

fn set_keepalive(stream: &TcpStream, interval_secs: u32) {
    use rustix::net::sockopt;
    if interval_secs == 0 {
        return;
    }
    let interval = Duration::from_secs(u64::from(interval_secs));
    // Probes after a silence of the interval, thrice as often from then on, given up after three.
    let _ = sockopt::set_socket_keepalive(stream, true)
        .and_then(|()| sockopt::set_tcp_keepidle(stream, interval))
        .and_then(|()| sockopt::set_tcp_keepintvl(stream, (interval / 3).max(TICK * 10)))
        .and_then(|()| sockopt::set_tcp_keepcnt(stream, 3));
}

/// Looks after what happens by the clock: expiry, idle clients, clients that do not read.
async fn tick(server: Arc<Server>) {
    let mut interval = tokio::time::interval(TICK);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        let now_ms = expire(&server);
        retain(&server).await;
        server.engine.submit();
        let mut hub = server.hub.lock();
        hub.end_idle_clients(now_ms);
        hub.end_slow_readers(now_ms);
        hub.stats.sample(now_ms);
    }
}

/// Removes keys whose time is over, whether or not somebody asks for them.
fn expire(server: &Arc<Server>) -> u64 {
    let mut turn = Turn::begin(server);
    if turn.hub().keeps_expired {
        return turn.batch().now_ms();
    }
    if let Err(error) = turn.batch().expire_due(EXPIRED_IN_A_TICK_MAX) {
        // A full or poisoned log: the keys stay expired, and are removed when there is room.
        log::warning(format_args!("expired keys could not be removed: {error}"));
    }
    if let Err(error) = turn.batch().forget_due(FORGETTING_IN_A_TICK_MAX) {
        log::warning(format_args!("old messages could not be forgotten: {error}"));
    }
    turn.finish_command();
    turn.serve_waiters();
    turn.batch().now_ms()
}

/// Removes what streams need not keep, a few streams at a time so that commands come between, those
/// of other connections of this thread as well.
async fn retain(server: &Arc<Server>) {
    let mut loaded = None;
    for _ in 0..RETAINING_IN_A_TICK_MAX {
        match retain_some(server, loaded.take()) {
            (Some(cold), _) => loaded = Some(load(server, cold).await),
            (None, Ok(true)) => tokio::task::yield_now().await,
            (None, Ok(false)) => return,
            // A full or poisoned log, or damage: the stream is looked at again.
            (None, Err(error)) => {
                log::warning(format_args!("old entries could not be removed: {error}"));
                return;
            }
        }
    }
}

/// What has to be loaded first, or whether there is more to do.
fn retain_some(
    server: &Arc<Server>,
    loaded: Option<Box<ColdBlocks>>,
) -> (Option<Box<ColdBlocks>>, Result<bool, Error>) {
    let mut turn = Turn::begin(server);
    if let Some(loaded) = loaded {
        turn.resume(loaded);
    }
    turn.batch().ask_for_blocks();
    let retained = turn.batch().retain_due(RETAINED_AT_ONCE_MAX);
    let cold = turn.batch().take_cold().filter(|_| retained.is_err());
    turn.finish_command();
    (cold, retained)
}

/// The orderly end: see the module's description.
async fn end(server: Arc<Server>, grace: Duration) -> Result<(), RunError> {
    wake_all(&server, false);
    let is_gone = |server: &Server| server.hub.lock().clients.len() == 0;
    let closed = wait_until(grace, || is_gone(&server)).await;
    if !closed {
        wake_all(&server, true);
        wait_until(grace, || is_gone(&server)).await;
    }
    let server = alone(server).await;
    let poisoned = server.engine.is_poisoned().then(|| {
        let cause = server.engine.poison_cause();
        cause.unwrap_or_else(|| "a thread of the engine ended in a panic".to_owned())
    });
    let closed = tokio::task::spawn_blocking(move || server.engine.close()).await;
    match (closed, poisoned) {
        (Err(panic), _) => std::panic::resume_unwind(panic.into_panic()),
        (_, Some(cause)) => Err(RunError::Poisoned(cause)),
        (Ok(Err(error)), None) => Err(RunError::Close(error)),
        (Ok(Ok(())), None) => Ok(()),
    }
}

/// Waits for those who still hold the server: a checkpoint that a command began, the listener that
/// the engine's commit thread is calling. The last one to let go must not be that thread, because
/// closing the engine waits for it.
async fn alone(mut server: Arc<Server>) -> Server {
    loop {
        match Arc::try_unwrap(server) {
            Ok(server) => return server,
            Err(shared) => server = shared,
        }
        tokio::time::sleep(WAIT_STEP).await;
    }
}

fn wake_all(server: &Server, kills: bool) {
    let mut hub = server.hub.lock();
    for slot in hub.clients.in_order() {
        let client = hub.clients.at_mut(slot);
        if kills {
            client.kill();
        } else {
            client.signal.wake();
        }
    }
}

/// Whether the condition came true in time.
async fn wait_until(time: Duration, is_true: impl Fn() -> bool) -> bool {
    let mut waited = Duration::ZERO;
    while !is_true() {
        if waited >= time {
            return false;
        }
        tokio::time::sleep(WAIT_STEP).await;
        waited += WAIT_STEP;
    }
    true
}
