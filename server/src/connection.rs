//! A connection: read all that is there, run all of it, write once.
//!
//! ```text
//!   read -> decode -> Turn (both locks) -> yield -> submit -> wait until settled -> render ->
//!   write
//! ```
//!
//! Between running and submitting the task yields once, so that other connections whose requests
//! are there already join the same write of the log. Replies leave in order, after all that they
//! depend on is settled. While a reply cannot be written because the client does not take it,
//! requests are still read (not run), so that a client that first sends a long pipeline and then
//! reads never deadlocks with the broker. A connection without work holds no buffers.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use alluvium_engine::{ColdBlocks, Lsn};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::Sleep;

use crate::Server;
use crate::buffers;
use crate::client::Slot;
use crate::command::Outside;
use crate::execute::{Stop, Turn};
use crate::loads::{load, outside, render};
use crate::refusal::Refusal;
use crate::reply::{Rendered, Reply};
use crate::resp::decode::{Decoder, Limits, ProtocolError};
use crate::signal::Signal;
use crate::traffic::Traffic;

/// Entries are rendered and written in pieces of about this many bytes.
const PIECE_LEN: usize = 64 << 10;
/// Replies of this many bytes are written before more requests run.
const REPLY_LEN_MAX: usize = 1 << 20;
/// Requests that are decoded ahead.
const REQUESTS_AHEAD: usize = 4096;
/// At least so much room is offered to a read.
const READ_LEN_MIN: usize = 4 << 10;
/// And at most so much beyond what a request is known to need.
const READ_LEN_MAX: usize = 1 << 20;

/// What a connection that has nothing to run waits for, besides input.
enum Waiting {
    No,
    /// A blocking command.
    Blocked,
    /// CLIENT PAUSE.
    HeldBack,
}

/// What happened.
enum Event {
    Input,
    Closed,
    Signal,
    Deadline,
}

/// Whether the connection goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Go,
    End,
}

/// See the module's description.
pub(crate) struct Connection {
    server: Arc<Server>,
    stream: TcpStream,
    slot: Slot,
    signal: Arc<Signal>,
    input: Vec<u8>,
    decoder: Decoder,
    reply: Reply,
    waiting: Waiting,
    deadline: Option<Pin<Box<Sleep>>>,
    /// A signal was seen while writing and is yet to be attended to.
    is_signalled: bool,
    is_authenticated: bool,
    query_len_max: usize,
    bulk_len_max: usize,
    traffic: Traffic,
    /// What was loaded for the next request.
    cold: Option<Box<ColdBlocks>>,
}

impl Connection {
    /// Serves a client, known to the hub under `slot`, until one side ends.
    pub(crate) async fn serve(server: Arc<Server>, stream: TcpStream, slot: Slot) {
        let mut connection = {
            let mut hub = server.hub.lock();
            let client = hub.clients.at_mut(slot);
            let (signal, is_authenticated) = (client.signal.clone(), client.is_authenticated);
            Self {
                server: server.clone(),
                stream,
                slot,
                signal,
                input: Vec::new(),
                decoder: Decoder::default(),
                reply: Reply::default(),
                waiting: Waiting::No,
                deadline: None,
                is_signalled: false,
                is_authenticated,
                query_len_max: to_len(hub.config.client_query_buffer_limit),
                bulk_len_max: to_len(hub.config.proto_max_bulk_len),
                traffic: Traffic::default(),
                cold: None,
            }
        };
        // Errors are those of a client that went away.
        let _ = connection.run().await;
    }

    async fn run(&mut self) -> io::Result<()> {
        loop {
            if matches!(self.waiting, Waiting::No) && self.run_input().await? == Next::End {
                return Ok(());
            }
            let next = match self.event().await? {
                Event::Input => self.check_query_len(),
                Event::Closed => Next::End,
                Event::Signal => self.attend().await?,
                Event::Deadline => self.deadline_passed().await?,
            };
            if next == Next::End {
                return Ok(());
            }
        }
    }

    /// Runs all requests that are there.
    async fn run_input(&mut self) -> io::Result<Next> {
        loop {
            let wrong = self.decode();
            if !self.decoder.has_request() {
                if let Some(wrong) = wrong {
                    self.protocol_error(wrong).await?;
                    return Ok(Next::End);
                }
                self.release_input();
                return Ok(Next::Go);
            }
            if self.run_requests().await? == Next::End {
                return Ok(Next::End);
            }
            if !matches!(self.waiting, Waiting::No) {
                return Ok(Next::Go);
            }
        }
    }

    fn decode(&mut self) -> Option<ProtocolError> {
        let dropped = self.decoder.compact();
        if dropped > 0 {
            if dropped == self.input.len() {
                self.input.clear();
            } else {
                self.input.drain(..dropped);
            }
        }
        let limits = Limits {
            bulk_len_max: self.bulk_len_max,
            is_authenticated: self.is_authenticated,
        };
        // Before AUTH each request may change the limits of the next one.
        let ahead = if self.is_authenticated {
            REQUESTS_AHEAD
        } else {
            1
        };
        self.decoder.decode(&mut self.input, limits, ahead).err()
    }

    /// Runs decoded requests until they are done or the client has to wait; writes the replies.
    async fn run_requests(&mut self) -> io::Result<Next> {
        if self.reply.is_empty() {
            self.reply = buffers::take_reply();
        }
        let mut depends = Lsn::ZERO;
        let stop = loop {
            let stop = self.turn(&mut depends);
            let goes_on = matches!(stop, Stop::Pause) && self.decoder.has_request();
            if !goes_on || self.reply.len() >= REPLY_LEN_MAX {
                break stop;
            }
        };
        tokio::task::yield_now().await;
        self.server.engine.submit();
        if self.deliver(depends).await? == Next::End {
            return Ok(Next::End);
        }
        match stop {
            Stop::Pause => {}
            Stop::Close => return Ok(Next::End),
            Stop::Blocked(time) => self.wait(Waiting::Blocked, time),
            Stop::HeldBack(time) => self.wait(Waiting::HeldBack, Some(time)),
            Stop::Outside(work) => return self.run_outside(work).await,
            Stop::Cold(cold) => self.cold = Some(load(&self.server, cold).await),
        }
        Ok(Next::Go)
    }

    /// One hop to the engine.
    fn turn(&mut self, depends: &mut Lsn) -> Stop {
        let mut turn = Turn::begin(&self.server);
        if let Some(cold) = self.cold.take() {
            turn.resume(cold);
        }
        self.traffic.account(turn.hub(), self.slot);
        let client = turn.hub().clients.at_mut(self.slot);
        client.query_buffer_len = self.input.len();
        client.query_buffer_capacity = self.input.capacity();
        let stop = turn.run(self.slot, &mut self.decoder, &self.input, &mut self.reply);
        *depends = turn.depends().max(*depends);
        let hub = turn.hub();
        self.is_authenticated = hub.clients.at(self.slot).is_authenticated;
        self.query_len_max = to_len(hub.config.client_query_buffer_limit);
        self.bulk_len_max = to_len(hub.config.proto_max_bulk_len);
        stop
    }

    fn wait(&mut self, waiting: Waiting, time: Option<Duration>) {
        self.waiting = waiting;
        self.deadline = time.map(|time| Box::pin(tokio::time::sleep(time)));
        // Whatever happened since the locks were given back is found out at once.
        self.is_signalled = true;
    }

    /// Runs the part of a command that needs time, and writes its reply.
    async fn run_outside(&mut self, work: Outside) -> io::Result<Next> {
        let server = self.server.clone();
        let (protocol, mode) = {
            let hub = self.server.hub.lock();
            let client = hub.clients.at(self.slot);
            (client.protocol, client.reply_mode)
        };
        let run = move || {
            let mut reply = Reply::default();
            reply.set_protocol(protocol);
            let result = work(&server, &mut reply);
            (reply, result)
        };
        let (mut reply, result) = outside(run).await;
        if let Err(refusal) = result {
            reply.clear();
            reply.error(&refusal);
            self.server.hub.lock().stats.count_error(&refusal);
        }
        if mode != crate::client::ReplyMode::Off {
            self.reply = reply;
        }
        self.deliver(Lsn::ZERO).await
    }

    /// Writes the reply once what it depends on is settled.
    async fn deliver(&mut self, depends: Lsn) -> io::Result<Next> {
        if self.reply.is_empty() {
            buffers::give_reply(std::mem::take(&mut self.reply));
            return Ok(Next::Go);
        }
        if depends > self.server.engine.settled() {
            let settled = self
                .server
                .progress
                .settled(&self.server.engine, depends)
                .await;
            if settled.is_err() {
                self.reply.clear();
                self.reply
                    .error(&Refusal::from(alluvium_engine::Error::Poisoned));
                self.write_reply().await?;
                return Ok(Next::End);
            }
        }
        self.write_reply().await
    }

    async fn write_reply(&mut self) -> io::Result<Next> {
        let mut reply = std::mem::take(&mut self.reply);
        let mut next = Next::Go;
        if reply.has_deferred() {
            next = self.write_rendered(&mut reply).await?;
        } else {
            self.write(reply.bytes()).await?;
        }
        buffers::give_reply(reply);
        Ok(next)
    }

    async fn write_rendered(&mut self, reply: &mut Reply) -> io::Result<Next> {
        let mut out = buffers::take();
        loop {
            let rendered = match render(&self.server, reply, &mut out, PIECE_LEN).await {
                Ok(rendered) => rendered,
                Err(error) => {
                    // Part of the reply has left: only the end of the connection can say that the
                    // rest is missing.
                    crate::log::warning(format_args!("a reply cannot be completed: {error}"));
                    return Ok(Next::End);
                }
            };
            self.write(&out).await?;
            if rendered == Rendered::All {
                break;
            }
            out.clear();
        }
        buffers::give(out);
        Ok(Next::Go)
    }

    async fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        self.traffic.bytes_out += bytes.len() as u64;
        while !bytes.is_empty() {
            match self.stream.try_write(bytes) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => bytes = &bytes[written..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.writable(bytes.len()).await?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Waits until the client takes more; reads what it sends meanwhile.
    async fn writable(&mut self, output_len: usize) -> io::Result<()> {
        self.server.hub.lock().clients.at_mut(self.slot).output_len = output_len;
        loop {
            let event = poll_fn(|context| {
                if let Poll::Ready(ready) = self.stream.poll_write_ready(context) {
                    return Poll::Ready(ready.map(|()| None));
                }
                if self.signal.poll(context).is_ready() {
                    return Poll::Ready(Ok(Some(Event::Signal)));
                }
                if self.input.len() < self.query_len_max {
                    return self.poll_read(context).map(|event| event.map(Some));
                }
                Poll::Pending
            })
            .await?;
            match event {
                None => break,
                Some(Event::Input) => {}
                Some(Event::Signal | Event::Deadline) => {
                    self.is_signalled = true;
                    if self.server.hub.lock().clients.at(self.slot).is_killed {
                        return Err(io::ErrorKind::ConnectionAborted.into());
                    }
                }
                Some(Event::Closed) => return Err(io::ErrorKind::ConnectionReset.into()),
            }
        }
        self.server.hub.lock().clients.at_mut(self.slot).output_len = 0;
        Ok(())
    }

    async fn event(&mut self) -> io::Result<Event> {
        if std::mem::take(&mut self.is_signalled) {
            return Ok(Event::Signal);
        }
        poll_fn(|context| {
            if self.signal.poll(context).is_ready() {
                return Poll::Ready(Ok(Event::Signal));
            }
            if let Some(deadline) = &mut self.deadline
                && deadline.as_mut().poll(context).is_ready()
            {
                return Poll::Ready(Ok(Event::Deadline));
            }
            self.poll_read(context)
        })
        .await
    }

    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Event>> {
        if self.input.capacity() == 0 {
            // The buffer is taken only when there is something to read.
            match self.stream.poll_read_ready(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Ready(Ok(())) => self.input = buffers::take(),
            }
        }
        let wanted = self.decoder.wanted(self.input.len());
        let room = self.input.capacity() - self.input.len();
        if room < READ_LEN_MIN.max(wanted.min(READ_LEN_MAX)) {
            self.input.reserve(
                self.input
                    .len()
                    .clamp(READ_LEN_MIN, READ_LEN_MAX)
                    .max(wanted.min(READ_LEN_MAX)),
            );
        }
        let read = pin!(self.stream.read_buf(&mut self.input)).poll(context);
        read.map_ok(|count| {
            self.traffic.bytes_in += count as u64;
            if count == 0 {
                Event::Closed
            } else {
                Event::Input
            }
        })
    }

    fn check_query_len(&mut self) -> Next {
        if self.input.len() <= self.query_len_max {
            return Next::Go;
        }
        self.server.hub.lock().stats.query_buffer_disconnections += 1;
        crate::log::warning(format_args!(
            "a client was disconnected: its request is larger than client-query-buffer-limit"
        ));
        Next::End
    }

    /// Finds out what others did: messages, the end of a wait, of the connection, of the broker.
    async fn attend(&mut self) -> io::Result<Next> {
        let depends = {
            let now_ms = self.server.engine.lock().now_ms();
            let mut hub = self.server.hub.lock();
            let is_paused = hub.pause.is_some();
            let client = hub.clients.at_mut(self.slot);
            if client.is_killed {
                return Ok(Next::End);
            }
            let is_over = match self.waiting {
                Waiting::No => false,
                Waiting::Blocked => client.blocked.is_none(),
                Waiting::HeldBack => !is_paused,
            };
            if is_over {
                self.waiting = Waiting::No;
                self.deadline = None;
            } else if matches!(self.waiting, Waiting::Blocked) {
                let time_left = client.time_left(now_ms);
                self.deadline = time_left.map(|time| Box::pin(tokio::time::sleep(time)));
            }
            self.reply = std::mem::take(&mut client.outbox.reply);
            client.output_over_soft_since_ms = None;
            std::mem::take(&mut client.outbox.depends)
        };
        if self.server.is_ending() {
            self.deliver(depends).await?;
            return Ok(Next::End);
        }
        self.deliver(depends).await
    }

    async fn deadline_passed(&mut self) -> io::Result<Next> {
        self.deadline = None;
        match self.waiting {
            Waiting::No => {}
            Waiting::HeldBack => self.waiting = Waiting::No,
            Waiting::Blocked => {
                let mut cold = Turn::begin(&self.server).time_is_up(self.slot);
                while let Some(wanted) = cold {
                    let loaded = load(&self.server, wanted).await;
                    let mut turn = Turn::begin(&self.server);
                    turn.resume(loaded);
                    cold = turn.time_is_up(self.slot);
                }
                self.server.engine.submit();
                return self.attend().await;
            }
        }
        Ok(Next::Go)
    }

    async fn protocol_error(&mut self, wrong: ProtocolError) -> io::Result<()> {
        let refusal = Refusal::format(format_args!("ERR Protocol error: {wrong}"));
        self.server.hub.lock().stats.count_error(&refusal);
        self.reply.error(&refusal);
        self.write_reply().await.map(|_| ())
    }

    /// Gives the input buffer back unless part of a request is in it.
    fn release_input(&mut self) {
        if self.input.is_empty() && self.input.capacity() > 0 {
            buffers::give(std::mem::take(&mut self.input));
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let mut hub = self.server.hub.lock();
        self.traffic.account(&mut hub, self.slot);
        hub.disconnect(self.slot);
    }
}

fn to_len(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}
