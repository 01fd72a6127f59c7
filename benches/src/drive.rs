//! The one thread that drives all connections: epoll, no locks, no allocation on the way.
//!
//! A connection has an [`Actor`], which makes requests and judges replies. In a closed loop the
//! next requests leave when the last replies are in: that measures throughput. Connections that are
//! paced send at fixed times whatever the server does, and a latency counts from the time at which
//! the request was due, not from when it could be sent: a server that stalls is charged for all who
//! would have waited (no coordinated omission). What was due in the measured time counts however
//! late it comes, also after the end.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};

use crate::meter::Meter;
use crate::usage::{self, Usage};
use crate::wire::Scanner;

/// What an actor does next.
pub(crate) enum Step {
    /// It appended requests that get this many replies.
    Send(usize),
    /// It has nothing more to do.
    Done,
}

/// When a request was sent (or due) and when its reply came, in nanoseconds of the driver's clock.
#[derive(Clone, Copy)]
pub(crate) struct Moment {
    pub(crate) sent: u64,
    pub(crate) now: u64,
}

impl Moment {
    pub(crate) fn latency(self) -> u64 {
        self.now.saturating_sub(self.sent)
    }
}

/// What one connection does.
pub(crate) trait Actor {
    /// Appends the next requests; `now` is when they are due.
    fn next(&mut self, out: &mut Vec<u8>, now: u64) -> Step;

    /// Judges one reply and counts it.
    fn reply(&mut self, reply: &[u8], moment: Moment, meter: &mut Meter) -> Result<(), String>;

    /// Whether a reply may never come because the request waits for entries.
    fn blocks(&self) -> bool {
        false
    }
}

/// Fixed-rate sending.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// Requests a second in all.
    pub(crate) rate: u64,
    /// The first connections, this many, take turns.
    pub(crate) connections: usize,
    /// How many units of work each request must become: the readers that it is delivered to.
    pub(crate) readers: u64,
}

/// How long to run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    pub(crate) warmup: Duration,
    pub(crate) measure: Duration,
}

/// What was measured.
pub(crate) struct Run {
    pub(crate) meter: Meter,
    pub(crate) elapsed_ns: u64,
    /// The server's counters over the measured time; memory as of its end.
    pub(crate) usage: Usage,
    /// The driver's own processor time.
    pub(crate) client_cpu_ns: u64,
    /// Units of work in all, before and after the measured time too.
    pub(crate) total_units: u64,
    /// Whether all work was done before the time was over.
    pub(crate) is_exhausted: bool,
}

const BUFFER_BYTES: usize = 16 * 1024;
/// How long replies that are due may take after the end.
const DRAIN_NS: u64 = 60_000_000_000;

struct Connection {
    stream: TcpStream,
    actor: Box<dyn Actor>,
    out: Vec<u8>,
    sent: usize,
    wants_writable: bool,
    input: Vec<u8>,
    start: usize,
    end: usize,
    scanner: Scanner,
    pending: VecDeque<u64>,
    is_paced: bool,
    is_done: bool,
}

impl Connection {
    /// Sends what is there; whether all of it went out.
    fn flush(&mut self) -> Result<bool, String> {
        while self.sent < self.out.len() {
            match self.stream.write(&self.out[self.sent..]) {
                Ok(count) => self.sent += count,
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(e) => return Err(format!("sending: {e}")),
            }
        }
        self.out.clear();
        self.sent = 0;
        Ok(true)
    }

    /// Reads once.
    fn fill(&mut self) -> Result<(), String> {
        if self.end == self.input.len() {
            self.input.resize(self.input.len() * 2, 0);
        }
        match self.stream.read(&mut self.input[self.end..]) {
            Ok(0) => Err("the server closed a connection".to_owned()),
            Ok(count) => {
                self.end += count;
                Ok(())
            }
            Err(e) if e.kind() == ErrorKind::WouldBlock => Ok(()),
            Err(e) => Err(format!("receiving: {e}")),
        }
    }

    /// Hands all complete replies to the actor.
    fn digest(&mut self, now: u64, meter: &mut Meter) -> Result<(), String> {
        while self.start < self.end {
            let input = &self.input[self.start..self.end];
            let Some(len) = self.scanner.scan(input)? else {
                break;
            };
            let sent = self
                .pending
                .pop_front()
                .ok_or("a reply that nobody asked for")?;
            meter.commands += 1;
            self.actor
                .reply(&input[..len], Moment { sent, now }, meter)?;
            self.start += len;
        }
        self.input.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        Ok(())
    }
}

/// Drives connections against one server.
pub(crate) struct Driver {
    epoll: OwnedFd,
    connections: Vec<Connection>,
    base: Instant,
    meter: Meter,
    lanes: usize,
    pace: Option<Pace>,
    /// Paced requests that were sent, and when pacing began.
    paced: (u64, u64),
    is_draining: bool,
    total_units: u64,
}

impl Driver {
    /// Connects one connection for each actor.
    pub(crate) fn connect(
        port: u16,
        actors: Vec<Box<dyn Actor>>,
        lanes: usize,
        pace: Option<Pace>,
    ) -> Result<Self, String> {
        let epoll = epoll::create(CreateFlags::CLOEXEC).map_err(|e| format!("epoll: {e}"))?;
        let mut connections = Vec::with_capacity(actors.len());
        for (index, actor) in actors.into_iter().enumerate() {
            let connect = || -> std::io::Result<TcpStream> {
                let stream = TcpStream::connect(("127.0.0.1", port))?;
                stream.set_nodelay(true)?;
                stream.set_nonblocking(true)?;
                epoll::add(
                    &epoll,
                    &stream,
                    EventData::new_u64(index as u64),
                    EventFlags::IN,
                )?;
                Ok(stream)
            };
            connections.push(Connection {
                stream: connect().map_err(|e| format!("connecting: {e}"))?,
                actor,
                out: Vec::new(),
                sent: 0,
                wants_writable: false,
                input: vec![0; BUFFER_BYTES],
                start: 0,
                end: 0,
                scanner: Scanner::default(),
                pending: VecDeque::new(),
                is_paced: pace.is_some_and(|pace| index < pace.connections),
                is_done: false,
            });
        }
        let base = Instant::now();
        Ok(Self {
            epoll,
            connections,
            base,
            meter: Meter::new(lanes, 0),
            lanes,
            pace,
            paced: (0, 0),
            is_draining: false,
            total_units: 0,
        })
    }

    fn now(&self) -> u64 {
        u64::try_from(self.base.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Runs the warm-up, the measured time, and waits for what is still due.
    pub(crate) fn run(mut self, span: Span, pid: u32) -> Result<Run, String> {
        self.paced = (0, self.now());
        for index in 0..self.connections.len() {
            if !self.connections[index].is_paced {
                self.kick(index)?;
            }
        }
        if !span.warmup.is_zero() {
            self.run_until(self.now() + nanos(span.warmup))?;
        }
        let begin = self.now();
        self.total_units = self.meter.units;
        self.meter = Meter::new(self.lanes, begin);
        let before = (Usage::quick(pid)?, usage::cpu_ns("self")?);
        let is_exhausted = self.run_until(begin + nanos(span.measure))?;
        let elapsed_ns = self.now() - begin;
        let client_cpu_ns = usage::cpu_ns("self")? - before.1;
        let quick = Usage::quick(pid)?;
        let (units, commands) = (self.meter.units, self.meter.commands);
        self.meter.tick(self.now());
        let mut meter = if self.pace.is_some() {
            self.drain()?;
            self.total_units += self.meter.units;
            self.meter
        } else {
            let late = Meter::new(self.lanes, self.now());
            let meter = std::mem::replace(&mut self.meter, late);
            self.drain()?;
            self.total_units += units + self.meter.units;
            meter
        };
        (meter.units, meter.commands) = (units, commands);
        let mut usage = Usage::of(pid)?;
        usage.cpu_ns = quick.cpu_ns.saturating_sub(before.0.cpu_ns);
        usage.written_bytes = quick.written_bytes.saturating_sub(before.0.written_bytes);
        Ok(Run {
            meter,
            elapsed_ns,
            usage,
            client_cpu_ns,
            total_units: self.total_units,
            is_exhausted,
        })
    }

    /// Runs until a time, or until no actor has anything more to do: then true.
    fn run_until(&mut self, end: u64) -> Result<bool, String> {
        let mut now = self.now();
        while now < end {
            let wake = self.send_due(now)?.min(end);
            self.wait_and_handle(wake.saturating_sub(self.now()))?;
            now = self.now();
            self.meter.tick(now);
            if self.pace.is_none() && self.connections.iter().all(|c| c.is_done) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn drain(&mut self) -> Result<(), String> {
        self.is_draining = true;
        let end = self.now() + DRAIN_NS;
        let is_due = |c: &Connection| !c.pending.is_empty() && !c.actor.blocks();
        let due_units = self.pace.map_or(0, |pace| self.paced.0 * pace.readers);
        while self.connections.iter().any(is_due) || self.total_units + self.meter.units < due_units
        {
            self.wait_and_handle(10_000_000)?;
            if self.now() > end {
                return Err("replies are missing a minute after the end".to_owned());
            }
        }
        Ok(())
    }

    /// Sends the paced requests that are due; when the next one is.
    fn send_due(&mut self, now: u64) -> Result<u64, String> {
        let Some(pace) = self.pace else {
            return Ok(u64::MAX);
        };
        loop {
            let (count, begin) = self.paced;
            let due = begin
                + u64::try_from(u128::from(count) * 1_000_000_000 / u128::from(pace.rate))
                    .unwrap_or(u64::MAX);
            if due > now {
                return Ok(due);
            }
            let index = usize::try_from(count).unwrap_or(0) % pace.connections;
            let connection = &mut self.connections[index];
            if let Step::Send(replies) = connection.actor.next(&mut connection.out, due) {
                connection.pending.extend(std::iter::repeat_n(due, replies));
            }
            self.flush(index)?;
            self.paced.0 += 1;
        }
    }

    fn wait_and_handle(&mut self, timeout_ns: u64) -> Result<(), String> {
        let mut events = [const {
            Event {
                flags: EventFlags::empty(),
                data: EventData::new_u64(0),
            }
        }; 64];
        let timeout = Timespec {
            tv_sec: (timeout_ns / 1_000_000_000).cast_signed(),
            tv_nsec: (timeout_ns % 1_000_000_000).cast_signed(),
        };
        let count = match epoll::wait(&self.epoll, &mut events, Some(&timeout)) {
            Ok(count) => count,
            Err(rustix::io::Errno::INTR) => 0,
            Err(e) => return Err(format!("epoll: {e}")),
        };
        for event in &events[..count] {
            let data = event.data;
            let index = usize::try_from(data.u64()).unwrap_or(usize::MAX);
            let flags = event.flags;
            if flags.contains(EventFlags::OUT) {
                self.flush(index)?;
            }
            if flags.intersects(EventFlags::IN | EventFlags::HUP | EventFlags::ERR) {
                self.readable(index)?;
            }
        }
        Ok(())
    }

    fn readable(&mut self, index: usize) -> Result<(), String> {
        self.connections[index].fill()?;
        let now = self.now();
        let connection = &mut self.connections[index];
        connection.digest(now, &mut self.meter)?;
        let goes_on = !self.is_draining || connection.actor.blocks();
        if connection.pending.is_empty() && !connection.is_paced && goes_on {
            self.kick(index)?;
        }
        Ok(())
    }

    /// Lets an actor of a closed loop go on.
    fn kick(&mut self, index: usize) -> Result<(), String> {
        let now = self.now();
        let connection = &mut self.connections[index];
        match connection.actor.next(&mut connection.out, now) {
            Step::Send(replies) => {
                connection.pending.extend(std::iter::repeat_n(now, replies));
                self.flush(index)
            }
            Step::Done => {
                connection.is_done = true;
                Ok(())
            }
        }
    }

    fn flush(&mut self, index: usize) -> Result<(), String> {
        let connection = &mut self.connections[index];
        let wants_writable = !connection.flush()?;
        if wants_writable != connection.wants_writable {
            connection.wants_writable = wants_writable;
            let mut flags = EventFlags::IN;
            flags.set(EventFlags::OUT, wants_writable);
            let data = EventData::new_u64(index as u64);
            epoll::modify(&self.epoll, &connection.stream, data, flags)
                .map_err(|e| format!("epoll: {e}"))?;
        }
        Ok(())
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
