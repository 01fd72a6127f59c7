//! Starting: check, bind, open the engine, say what was found; and a broker inside another program.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use alluvium_engine::{Engine, EntryId, Options, SyncPolicy};
use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::oneshot;

use crate::broker::{RunError, run};
use crate::log;
use crate::parameters::Config;

/// Files that are open besides connections: segments, checkpoints, listeners.
const FILES_BESIDE_CLIENTS: u64 = 128;

/// Why a broker did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// It would be open to everyone.
    #[error(
        "{address} can be reached from other machines, and there is no password: set requirepass, \
         or protected-mode no if the network is trusted"
    )]
    Unprotected {
        /// The address that was to be listened on.
        address: String,
    },
    /// An address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Bind {
        /// The address.
        address: String,
        /// The cause.
        source: io::Error,
    },
    /// The data directory cannot be used.
    #[error("cannot open the data directory {dir}: {source}")]
    Open {
        /// The directory.
        dir: PathBuf,
        /// The cause.
        source: alluvium_engine::Error,
    },
    /// The log file or the process number cannot be written.
    #[error("cannot write {path}: {source}")]
    Write {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// Threads or the network cannot be had.
    #[error("the operating system: {0}")]
    System(#[from] io::Error),
}

/// A broker that is about to serve.
pub struct Prepared {
    listeners: Vec<TcpListener>,
    engine: Engine,
    config: Config,
}

impl Prepared {
    /// Binds first and opens the engine then, so that a second broker on the same port leaves the
    /// data alone.
    ///
    /// # Errors
    ///
    /// See [`StartError`].
    pub fn new(mut config: Config) -> Result<Self, StartError> {
        let (level, logfile) = (config.loglevel, config.logfile.clone());
        log::set_up(level, &logfile).map_err(|source| StartError::Write {
            path: logfile,
            source,
        })?;
        allow_files(config.maxclients);
        let listeners = listen(&config)?;
        if let Ok(dir) = std::path::absolute(&config.dir) {
            config.dir = dir;
        }
        let engine = open(&config)?;
        write_pidfile(&config)?;
        let prepared = Self {
            listeners,
            engine,
            config,
        };
        prepared.announce();
        Ok(prepared)
    }

    /// Where the broker listens.
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.listeners
            .iter()
            .filter_map(|listener| listener.local_addr().ok())
            .collect()
    }

    /// Serves until `shutdown` completes or the command SHUTDOWN comes.
    ///
    /// # Errors
    ///
    /// See [`RunError`].
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> Result<(), RunError> {
        let pidfile = self.config.pidfile.clone();
        let result = run(self.listeners, self.engine, self.config, shutdown).await;
        if !pidfile.as_os_str().is_empty() {
            // The file says that a process runs; one that is left behind does no harm.
            let _ = std::fs::remove_file(pidfile);
        }
        match &result {
            Ok(()) => log::notice(format_args!("all is synced; good bye")),
            Err(error) => log::warning(format_args!("ended: {error}")),
        }
        result
    }

    fn announce(&self) {
        let report = self.engine.recovery();
        let took = report.duration;
        let dir = self.config.dir.display();
        log::notice(format_args!("{}, data in {dir}", crate::config::version()));
        log::notice(format_args!(
            "recovered {} streams with {} entries in {took:.1?}: {}, then {} frames ({}) of the log",
            report.streams,
            report.entries,
            report
                .checkpoint
                .map_or("no checkpoint".to_owned(), |at| format!("checkpoint {at}")),
            report.frames,
            Bytes(report.bytes),
        ));
        if report.torn_bytes > 0 {
            log::notice(format_args!(
                "cut a torn tail of {} that had never been acknowledged as durable",
                Bytes(report.torn_bytes)
            ));
        }
        for path in &report.unknown_files {
            log::warning(format_args!(
                "left alone: {}, which is not ours",
                path.display()
            ));
        }
        for path in &report.damaged_checkpoints {
            log::warning(format_args!(
                "a damaged checkpoint was not used: {}",
                path.display()
            ));
        }
        for loss in &report.losses {
            log::warning(format_args!(
                "lost: {} of {} at offset {}: {}",
                Bytes(loss.len),
                loss.path.display(),
                loss.offset,
                loss.what
            ));
        }
        for lost in &report.lost_entries {
            let shown =
                |id: Option<EntryId>, none: &str| id.map_or(none.into(), |id| id.to_string());
            log::warning(format_args!(
                "lost: {} entries of stream \"{}\" in database {}, between {} and {}",
                lost.count,
                lost.key.escape_ascii(),
                lost.db,
                shown(lost.after, "its beginning"),
                shown(lost.before, "its end")
            ));
        }
        for mended in &report.mended {
            log::warning(format_args!(
                "stream \"{}\": {} ({} times)",
                mended.key.escape_ascii(),
                mended.what,
                mended.count
            ));
        }
        log::notice(format_args!(
            "durability: {}",
            durability(self.config.appendfsync)
        ));
        for address in self.addresses() {
            log::notice(format_args!("listening on {address}"));
        }
    }
}

/// Connections are open files: allows as many as there may be clients, if the system does.
fn allow_files(clients_max: u32) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let wanted = u64::from(clients_max) + FILES_BESIDE_CLIENTS;
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current.is_none_or(|current| current >= wanted) {
        return;
    }
    let allowed = maximum.map_or(wanted, |maximum| maximum.min(wanted));
    let limit = Rlimit {
        current: Some(allowed),
        maximum,
    };
    if setrlimit(Resource::Nofile, limit).is_err() || allowed < wanted {
        log::warning(format_args!(
            "the system allows fewer open files than maxclients {clients_max} needs; see ulimit -n"
        ));
    }
}

fn durability(policy: SyncPolicy) -> &'static str {
    match policy {
        SyncPolicy::Always => "always: a reply leaves when all that it depends on is on the disk",
        SyncPolicy::EverySecond => {
            "everysec: a reply leaves when it is written; a power cut may take the last second"
        }
        SyncPolicy::Never => {
            "no: a reply leaves when it is written; the kernel decides when it is on the disk"
        }
    }
}

/// A number of bytes for people.
struct Bytes(u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            bytes @ 0..=9_999 => write!(f, "{bytes} bytes"),
            bytes @ ..=9_999_999 => write!(f, "{} KB", bytes / 1000),
            bytes => write!(f, "{} MB", bytes / 1_000_000),
        }
    }
}

fn open(config: &Config) -> Result<Engine, StartError> {
    let mut options = Options::default();
    options.sync_policy = config.appendfsync;
    options.segment_size = config.segment_size;
    options.node_entries_max = config.node_entries_max();
    options.checkpoint_interval = config.checkpoint_interval;
    options.block_cache = config.block_cache;
    options.disk_quota = config.disk_quota;
    options.recovery = config.recovery;
    Engine::open(&config.dir, options).map_err(|source| StartError::Open {
        dir: config.dir.clone(),
        source,
    })
}

fn listen(config: &Config) -> Result<Vec<TcpListener>, StartError> {
    let mut listeners = Vec::new();
    for name in &config.bind {
        let (name, is_optional) = match name.strip_prefix('-') {
            Some(name) => (name, true),
            None => (name.as_str(), false),
        };
        for address in resolve(name, config.port)? {
            let is_public = !address.ip().is_loopback();
            if is_public && config.protected_mode && config.requirepass.is_empty() {
                return Err(StartError::Unprotected {
                    address: address.to_string(),
                });
            }
            match listen_on(address, config.tcp_backlog) {
                Ok(listener) => listeners.push(listener),
                Err(error) if is_optional && error.kind() == io::ErrorKind::AddrNotAvailable => {}
                Err(source) => {
                    return Err(StartError::Bind {
                        address: address.to_string(),
                        source,
                    });
                }
            }
        }
    }
    Ok(listeners)
}

/// Addresses of a name as `bind` takes it; `*` and `::*` are all addresses.
fn resolve(name: &str, port: u16) -> Result<Vec<SocketAddr>, StartError> {
    let ip = match name {
        "*" => Ok(IpAddr::from([0, 0, 0, 0])),
        "::*" => Ok(IpAddr::from([0_u16; 8])),
        name => name.parse(),
    };
    if let Ok(ip) = ip {
        return Ok(vec![SocketAddr::new(ip, port)]);
    }
    let addresses = (name, port)
        .to_socket_addrs()
        .map_err(|source| StartError::Bind {
            address: name.to_owned(),
            source,
        })?;
    Ok(addresses.collect())
}

fn listen_on(address: SocketAddr, backlog: u32) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()
    } else {
        TcpSocket::new_v6()
    }?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(backlog)
}

fn write_pidfile(config: &Config) -> Result<(), StartError> {
    if config.pidfile.as_os_str().is_empty() {
        return Ok(());
    }
    std::fs::write(&config.pidfile, format!("{}\n", std::process::id())).map_err(|source| {
        StartError::Write {
            path: config.pidfile.clone(),
            source,
        }
    })
}

/// Threads that may block: two write checkpoints and copy backups, the others load from slow disks,
/// dump streams, move them to other servers.
const BLOCKING_THREADS: usize = 24;

/// The runtime on which a broker runs; `io-threads` says how many threads it has.
///
/// All its threads, also those that may block, exist when this returns, and none is made later: a
/// command that needed one more than the operating system gives would wait for ever or fail.
///
/// # Errors
///
/// The operating system gives not enough threads.
pub fn runtime(config: &Config) -> io::Result<tokio::runtime::Runtime> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let threads = match usize::from(config.io_threads) {
        // They share one lock, and the threads that write, sync and prepare need a processor too:
        // on two processors a second one cost 30 to 40 percent more time a command.
        0 => std::thread::available_parallelism().map_or(1, usize::from) / 2,
        threads => threads,
    };
    builder.worker_threads(threads.max(1));
    builder.max_blocking_threads(BLOCKING_THREADS);
    builder.thread_keep_alive(Duration::from_secs(u64::from(u32::MAX)));
    let runtime = builder.thread_name("alluvium-io").enable_all().build()?;
    start_blocking_threads(&runtime)?;
    Ok(runtime)
}

/// Gives each thread that may block something to do at the same time: then all of them are made.
fn start_blocking_threads(runtime: &tokio::runtime::Runtime) -> io::Result<()> {
    const PATIENCE: Duration = Duration::from_secs(30);
    let (arrived, arrivals) = mpsc::channel();
    let gate = Arc::new(Mutex::new(()));
    let closed = gate.lock();
    for _ in 0..BLOCKING_THREADS {
        let (arrived, gate) = (arrived.clone(), Arc::clone(&gate));
        runtime.spawn_blocking(move || {
            let _ = arrived.send(());
            drop(gate.lock());
        });
    }
    for count in 0..BLOCKING_THREADS {
        let too_few = |_| {
            let text = format!("only {count} of {BLOCKING_THREADS} threads could be started");
            io::Error::new(io::ErrorKind::WouldBlock, text)
        };
        arrivals.recv_timeout(PATIENCE).map_err(too_few)?;
    }
    drop(closed);
    Ok(())
}

/// A broker inside this process, on threads of its own.
///
/// # Examples
///
/// ```
/// let dir = tempfile::tempdir()?;
/// let mut config = alluvium::Config::default();
/// config.dir = dir.path().into();
/// config.port = 0;
/// let broker = alluvium::Broker::start(config)?;
/// let client = std::net::TcpStream::connect(broker.address())?;
/// drop(client);
/// broker.stop()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Broker {
    address: SocketAddr,
    running: Option<Running>,
}

struct Running {
    stop: oneshot::Sender<()>,
    thread: JoinHandle<Result<(), RunError>>,
}

impl Broker {
    /// Starts a broker; it accepts connections when this returns.
    ///
    /// # Errors
    ///
    /// See [`StartError`].
    pub fn start(config: Config) -> Result<Self, StartError> {
        let runtime = runtime(&config)?;
        let prepared = {
            let _guard = runtime.enter();
            Prepared::new(config)?
        };
        let no_address = || io::Error::from(io::ErrorKind::AddrNotAvailable);
        let address = prepared
            .addresses()
            .first()
            .copied()
            .ok_or_else(no_address)?;
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name("alluvium".to_owned())
            .spawn(move || {
                runtime.block_on(prepared.run(async {
                    // A sender that was dropped ends the broker too.
                    let _ = stopped.await;
                }))
            })?;
        Ok(Self {
            address,
            running: Some(Running { stop, thread }),
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends the broker in order, and waits for that. Dropping does the same, and ignores errors.
    ///
    /// # Errors
    ///
    /// See [`RunError`].
    pub fn stop(mut self) -> Result<(), RunError> {
        self.end(true)
    }

    /// Waits for the broker to end by itself.
    ///
    /// # Errors
    ///
    /// See [`RunError`].
    pub fn wait(mut self) -> Result<(), RunError> {
        self.end(false)
    }

    fn end(&mut self, is_ordered: bool) -> Result<(), RunError> {
        let Some(Running { stop, thread }) = self.running.take() else {
            return Ok(());
        };
        // Held until the end: a sender that is dropped is an order too.
        let waits = (!is_ordered).then_some(stop);
        let result = thread.join();
        drop(waits);
        match result {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.end(true);
    }
}
