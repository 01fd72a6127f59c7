//! The rounds: load, fault, restart, read back, check.
//!
//! Streams belong to a generation of a few rounds; older ones are no longer written, but their
//! figures are looked at in each round, one is read in full, and the last round reads all of them.
//! So a run of a thousand rounds does not read everything a thousand times, and yet nothing is
//! forgotten.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::check::{Evidence, Model};
use super::content::Recipe;
use super::finding::{Kind, Tally};
use super::history::{Names, Op, StreamNo, StreamState, Ticks, What};
use super::options::{Fault, Options};
use super::process::{Launch, Process, StartError};
use super::readback::ReadBack;
use super::report::{Deeds, Report, RoundReport};
use super::rng::Rng;
use super::workload::{Abilities, Crew, GroupAt, Message, Notes, Stage};
use crate::tools::client::{Client, Reply};

/// Rounds that write to the same streams.
const GENERATION_ROUNDS: usize = 8;
/// Groups of each stream, beside the late ones.
const GROUPS_PER_STREAM: usize = 2;
/// How long a client waits for a reply.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a server may take to end on SIGTERM.
const STOP_PATIENCE: Duration = Duration::from_secs(30);
/// One kill in so many is repeated while the server recovers.
const KILLED_AGAIN_ONE_IN: usize = 5;

/// Why a run ended before its last round.
pub(super) enum Halt {
    /// The server never answered.
    NoStart(StartError),
    /// Found and tallied; there is no server to go on with.
    ServerGone,
    Interrupted,
}

/// One run.
pub(super) struct Run<'a> {
    options: &'a Options,
    launch: &'a Launch,
    interrupted: &'a AtomicBool,
    rng: Rng,
    recipe: Recipe,
    process: Option<Process>,
    model: Model,
    names: Names,
    /// Streams that are written to.
    current: Vec<StreamNo>,
    next_conn: u32,
    abilities: Abilities,
    began: Instant,
    report: Report,
}

/// The end of a round's load.
struct Load {
    notes: Notes,
    ticks: Ticks,
    elapsed: Duration,
    acknowledged: u64,
    has_ended: bool,
}

impl<'a> Run<'a> {
    pub(super) fn new(
        options: &'a Options,
        launch: &'a Launch,
        seed: u64,
        interrupted: &'a AtomicBool,
    ) -> Self {
        Self {
            options,
            launch,
            interrupted,
            rng: Rng::new(seed, u64::MAX),
            recipe: Recipe {
                seed,
                payload_max: options.payload_max,
            },
            process: None,
            model: Model::default(),
            names: Names::default(),
            current: Vec::new(),
            next_conn: 0,
            abilities: Abilities::default(),
            began: Instant::now(),
            report: Report::new(seed, quoted(&launch.template)),
        }
    }

    /// Runs all rounds; `progress` is told of each.
    pub(super) fn rounds(&mut self, progress: &dyn Fn(&RoundReport, &Tally)) -> Result<(), Halt> {
        let (process, ready) = self.start().map_err(Halt::NoStart)?;
        self.process = Some(process);
        self.report.first_start = ready;
        self.report.server = identify(self.launch.port).unwrap_or_default();
        for number in 1..=self.options.rounds {
            self.report.tally.round = number;
            let halt = self.round(number).err();
            if let Some(round) = self
                .report
                .rounds
                .last()
                .filter(|round| round.number == number)
            {
                progress(round, &self.report.tally);
            }
            if let Some(halt) = halt {
                return Err(halt);
            }
        }
        Ok(())
    }

    /// Ends the server; what is left is the report.
    pub(super) fn finish(self) -> Report {
        self.report
    }

    fn start(&self) -> Result<(Process, Duration), StartError> {
        let mut process = self.launch.spawn()?;
        let is_interrupted = || self.interrupted.load(Ordering::Relaxed);
        let ready = process.wait_ready(self.launch, &is_interrupted)?;
        Ok((process, ready))
    }

    fn round(&mut self, number: usize) -> Result<(), Halt> {
        let fault = self.options.faults[self.rng.below(self.options.faults.len())];
        let ticks = Ticks::default();
        let mut ops = self
            .set_up(number, &ticks)
            .map_err(|error| self.gone(&error))?;
        let began = self.began.elapsed();
        let mut load = self.load(number, fault, ticks)?;
        ops.append(&mut load.notes.ops);
        let mut round = RoundReport {
            number,
            fault,
            began,
            load: load.elapsed,
            acknowledged: load.acknowledged,
            deeds: Deeds::of(&ops),
            ..RoundReport::default()
        };
        self.report.note_refusals(load.notes.refusals);
        if load.has_ended {
            let restarted = self.restart(fault, &mut round);
            if restarted.is_err() {
                self.report.rounds.push(round);
                return restarted;
            }
        }
        let again = self.send_again(&load.notes.messages, &load.ticks);
        let states = again.and_then(|mut again| {
            round.deeds = round.deeds.plus(Deeds::of(&again));
            ops.append(&mut again);
            self.read_back(number)
        });
        let states = match states {
            Ok(states) => states,
            Err(error) => {
                self.report.rounds.push(round);
                return Err(self.gone(&error));
            }
        };
        let evidence = Evidence {
            ops: &ops,
            states: &states,
            has_ended: load.has_ended,
        };
        self.model.check(&evidence, &mut self.report.tally);
        round.entries = self.model.entry_count();
        self.report.rounds.push(round);
        Ok(())
    }

    /// The server does not serve any more though nobody killed it.
    fn gone(&mut self, error: &io::Error) -> Halt {
        let status = self.process.as_mut().and_then(Process::has_ended);
        let status = status.map_or_else(|| "it still runs".to_owned(), |status| status.to_string());
        let words = format!("the server no longer serves: {error} ({status})");
        self.report.tally.add(Kind::Crashed, || words);
        Halt::ServerGone
    }

    /// Streams and groups of this round; what was lost is made again.
    fn set_up(&mut self, number: usize, ticks: &Ticks) -> io::Result<Vec<Op>> {
        if (number - 1).is_multiple_of(GENERATION_ROUNDS) {
            let generation = (number - 1) / GENERATION_ROUNDS;
            let key = |index: u32| format!("crashtest:{generation}:{index}");
            let keys: Vec<String> = (0..self.options.streams).map(key).collect();
            self.current = keys
                .into_iter()
                .map(|key| self.names.add_stream(key))
                .collect();
            for stream in self.current.clone() {
                for index in 0..GROUPS_PER_STREAM {
                    self.names.add_group(stream, format!("g{index}"));
                }
            }
        }
        let mut client = Client::connect(self.launch.port, PATIENCE)?;
        self.abilities = Abilities::of(&mut client)?;
        let mut ops = Vec::new();
        for at in self.groups() {
            let start = ticks.next();
            let args = ["XGROUP", "CREATE", &at.key, &at.name, "0", "MKSTREAM"];
            let reply = client.call(&args.map(str::as_bytes))?;
            if !matches!(reply, Reply::Error(_)) {
                ops.push(Op {
                    conn: u32::MAX,
                    start,
                    end: Some(ticks.next()),
                    tx: None,
                    what: What::CreateGroup { group: at.group },
                });
            }
        }
        for stream in &self.current {
            let key = &self.names.streams[*stream];
            self.abilities.set_up(&mut client, key)?;
        }
        Ok(ops)
    }

    /// What was sent is sent again: nothing may come of it twice.
    fn send_again(&self, messages: &[Message], ticks: &Ticks) -> io::Result<Vec<Op>> {
        let mut client = Client::connect(self.launch.port, PATIENCE)?;
        let again = messages
            .iter()
            .map(|message| message.send_again(&mut client, self.recipe, || ticks.next()));
        again.filter_map(Result::transpose).collect()
    }

    /// The groups that all consumers share.
    fn groups(&self) -> Vec<GroupAt> {
        let is_shared = |(_, (stream, name)): &(usize, &(StreamNo, String))| {
            self.current.contains(stream) && name.starts_with('g')
        };
        let groups = self.names.groups.iter().enumerate().filter(is_shared);
        let at = |(group, (stream, name)): (usize, &(StreamNo, String))| GroupAt {
            group,
            key: self.names.streams[*stream].clone(),
            name: name.clone(),
        };
        groups.map(at).collect()
    }

    fn stage(&mut self, number: usize, ticks: Ticks) -> Stage {
        let stream = self.current[self.rng.below(self.current.len())];
        let late = format!("late{number}");
        let late_group = GroupAt {
            group: self.names.add_group(stream, late.clone()),
            key: self.names.streams[stream].clone(),
            name: late,
        };
        let moved = format!("moved{number}");
        let moved_group = GroupAt {
            group: self.names.add_group(stream, moved.clone()),
            key: self.names.streams[stream].clone(),
            name: moved,
        };
        self.model.set_names(self.names.clone());
        let of = |stream: &StreamNo| (*stream, self.names.streams[*stream].clone());
        Stage {
            port: self.launch.port,
            seed: self.recipe.seed,
            recipe: self.recipe,
            patience: PATIENCE,
            streams: self.current.iter().map(of).collect(),
            groups: self.groups(),
            late_group,
            moved_group,
            has_history: !self.options.no_history,
            abilities: self.abilities,
            rate: f64::from(self.options.rate) / f64::from(self.options.producers),
            ticks,
            stop: AtomicBool::new(false),
            acknowledged: AtomicU64::new(0),
        }
    }

    fn load(&mut self, number: usize, fault: Fault, ticks: Ticks) -> Result<Load, Halt> {
        let stage = self.stage(number, ticks);
        let crew = Crew {
            producers: self.options.producers,
            consumers: self.options.consumers,
            first_conn: self.next_conn,
        };
        self.next_conn += crew.connections();
        let length =
            Duration::from_secs_f64(self.options.seconds * (0.2 + 0.8 * self.rng.fraction()));
        let meanwhile = length.mul_f64(self.rng.fraction());
        let began = Instant::now();
        let mut elapsed = length;
        let (notes, survived) = thread::scope(|scope| {
            let workers = crew.start(scope, &stage);
            let survived = self.wait(meanwhile).and_then(|()| {
                self.send_meanwhile();
                self.wait(length.saturating_sub(began.elapsed()))
            });
            elapsed = began.elapsed();
            self.inflict(fault);
            stage.stop.store(true, Ordering::Relaxed);
            let mut notes = Notes::default();
            for worker in workers {
                let mut part = worker.join().expect("a worker has no reason to panic");
                notes.ops.append(&mut part.ops);
                notes.messages.append(&mut part.messages);
                for (text, count) in part.refusals {
                    *notes.refusals.entry(text).or_default() += count;
                }
            }
            (notes, survived)
        });
        if self.interrupted.load(Ordering::Relaxed) {
            return Err(Halt::Interrupted);
        }
        if let Some(words) = survived.err() {
            self.report.tally.add(Kind::Crashed, || words);
        }
        Ok(Load {
            notes,
            elapsed,
            ticks: stage.ticks,
            acknowledged: stage.acknowledged.load(Ordering::Relaxed),
            has_ended: self
                .process
                .as_mut()
                .is_none_or(|p| p.has_ended().is_some()),
        })
    }

    /// Waits while the server runs; an error says how it ended by itself.
    fn wait(&mut self, length: Duration) -> Result<(), String> {
        let limit = Instant::now() + length;
        loop {
            if let Some(status) = self.process.as_mut().and_then(Process::has_ended) {
                return Err(format!("the server ended by itself under load: {status}"));
            }
            let rest = limit.saturating_duration_since(Instant::now());
            if rest.is_zero() || self.interrupted.load(Ordering::Relaxed) {
                return Ok(());
            }
            thread::sleep(rest.min(Duration::from_millis(20)));
        }
    }

    /// Sends the command of `--meanwhile`; nothing depends on its reply.
    fn send_meanwhile(&self) {
        if let Some(command) = &self.options.meanwhile {
            let words: Vec<&[u8]> = command.split_whitespace().map(str::as_bytes).collect();
            let client = Client::connect(self.launch.port, PATIENCE);
            let _ = client.and_then(|mut client| client.call(&words));
        }
    }

    fn inflict(&mut self, fault: Fault) {
        let Some(process) = &mut self.process else {
            return;
        };
        match fault {
            Fault::Kill => process.kill(),
            Fault::Stop => {
                process.terminate(STOP_PATIENCE);
            }
            Fault::Pause => {
                process.pause();
                thread::sleep(Duration::from_secs_f64(0.05 + 0.5 * self.rng.fraction()));
                process.resume();
                thread::sleep(Duration::from_millis(100));
            }
        }
    }

    fn restart(&mut self, fault: Fault, round: &mut RoundReport) -> Result<(), Halt> {
        self.process = None;
        self.launch.wait_closed();
        if fault == Fault::Kill && self.rng.one_in(KILLED_AGAIN_ONE_IN) {
            round.is_killed_again = true;
            if let Ok(mut process) = self.launch.spawn() {
                thread::sleep(Duration::from_secs_f64(0.03 * self.rng.fraction()));
                process.kill();
            }
            self.launch.wait_closed();
        }
        match self.start() {
            Ok((process, ready)) => {
                self.process = Some(process);
                round.restart = Some(ready);
                Ok(())
            }
            Err(StartError::Interrupted) => Err(Halt::Interrupted),
            Err(error) => {
                let words = format!("{error}; its last words:\n{}", self.launch.last_words());
                self.report.tally.add(Kind::NoRestart, || words);
                Err(Halt::ServerGone)
            }
        }
    }

    fn read_back(&mut self, number: usize) -> io::Result<Vec<StreamState>> {
        let mut client = Client::connect(self.launch.port, PATIENCE)?;
        let mut reader = ReadBack {
            client: &mut client,
            names: &self.names,
            recipe: self.recipe,
        };
        let is_last = number == self.options.rounds;
        let chosen = self.rng.below(self.names.streams.len());
        let mut states = Vec::new();
        for stream in 0..self.names.streams.len() {
            let is_due = is_last || stream == chosen || self.current.contains(&stream);
            if is_due || !self.model.is_unchanged(&reader.glance(stream)?) {
                states.push(reader.read(stream)?);
            }
        }
        Ok(states)
    }
}

/// The command as a shell would read it.
fn quoted(words: &[String]) -> String {
    let quote = |word: &String| {
        let is_plain = !word.is_empty() && !word.contains(|c: char| c.is_whitespace() || c == '"');
        if is_plain {
            word.clone()
        } else {
            format!("{word:?}")
        }
    };
    words.iter().map(quote).collect::<Vec<_>>().join(" ")
}

/// Name and version as INFO tells.
fn identify(port: u16) -> Option<String> {
    let mut client = Client::connect(port, PATIENCE).ok()?;
    let info = client.call(&[b"INFO", b"server"]).ok()?;
    let text = String::from_utf8_lossy(info.bytes()?).into_owned();
    let fields: BTreeMap<&str, &str> = text.lines().filter_map(|l| l.split_once(':')).collect();
    let versions = ["alluvium_version", "valkey_version", "redis_version"];
    let found = versions
        .iter()
        .find_map(|name| Some((*name, *fields.get(name)?)));
    found.map(|(name, version)| format!("{} {version}", name.trim_end_matches("_version")))
}
