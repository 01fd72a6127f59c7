//! Where a row of the table plays: a server, its directory, and the questions that all rows ask.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::{Finding, Plan, figures};
use crate::client::Client;
use crate::report::{count, figure};
use crate::servers::{Kind, Mode, Program, Server};
use crate::{disk, run, usage};

/// Background work is over once nothing has happened for this long.
const QUIET: Duration = Duration::from_secs(3);
/// And if it does not come to an end.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(600);

/// Where Redis and Valkey save as their defaults are, besides the append-only file: the last flags
/// win.
const SAVE_AS_BY_DEFAULT: [&str; 2] = ["--save", "3600 1 300 100 60 10000"];

/// One row, one server.
pub(super) struct Scene<'a> {
    plan: &'a Plan,
    pub(super) program: Program,
    findings: &'a mut Vec<Finding>,
    tell: &'a mut dyn FnMut(&str),
}

/// An empty directory for a server, which goes with what is in it.
pub(super) struct Home {
    pub(super) dir: PathBuf,
    _temp: TempDir,
}

/// A directory and the server on it, which may be killed and started again.
pub(super) struct Stage {
    pub(super) server: Server,
    pub(super) home: Home,
    program: Program,
}

impl<'a> Scene<'a> {
    pub(super) fn new(
        plan: &'a Plan,
        program: &Program,
        findings: &'a mut Vec<Finding>,
        tell: &'a mut dyn FnMut(&str),
    ) -> Self {
        let mut program = program.clone();
        if program.kind != Kind::Alluvium {
            let flags = SAVE_AS_BY_DEFAULT.map(str::to_owned);
            program.extra.splice(..0, flags);
        }
        Self {
            plan,
            program,
            findings,
            tell,
        }
    }

    /// A number of entries at the scale of this run, at least one.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "numbers of entries are round and far below 2^52"
    )]
    pub(super) fn scaled(&self, full: u64) -> u64 {
        ((full as f64 * self.plan.scale) as u64).max(1)
    }

    /// Writes a figure down.
    pub(super) fn found(&mut self, name: &'static str, at: u64, value: f64) {
        let about = figures::named(name).expect("rows yield figures of the table");
        let kind = self.program.kind;
        let line = format!(
            "{}: {} ({}): {} {}",
            kind.name(),
            about.about,
            count(at),
            figure(value),
            about.unit
        );
        (self.tell)(&line);
        self.findings.push(Finding {
            figure: about.name,
            at,
            kind,
            value,
        });
    }

    /// An empty directory.
    pub(super) fn home(&self) -> Result<Home, String> {
        let (temp, dir) = run::home(&self.plan.dir)?;
        Ok(Home { dir, _temp: temp })
    }

    /// Starts the server on an empty directory.
    pub(super) fn stage(&self) -> Result<Stage, String> {
        let home = self.home()?;
        let program = self.program.clone();
        let server = Server::start(&program, Mode::EverySecond, &home.dir)?;
        Ok(Stage {
            server,
            home,
            program,
        })
    }
}

impl Stage {
    pub(super) fn client(&self) -> Result<Client, String> {
        Client::connect(&self.server)
    }

    /// Anonymous memory in millions of bytes.
    pub(super) fn memory(&self) -> Result<f64, String> {
        Ok(mega(usage::anonymous_bytes(self.server.pid())?))
    }

    /// Space on the disk in millions of bytes.
    pub(super) fn disk(&self) -> f64 {
        mega(disk::used(&self.home.dir))
    }

    /// What INFO tells.
    pub(super) fn info(&self) -> Result<BTreeMap<String, String>, String> {
        let text = self.client()?.call(&[b"INFO", b"everything"], |mut walk| {
            Ok(String::from_utf8_lossy(walk.bulk()?).into_owned())
        })?;
        let fields = text.lines().filter_map(|line| line.split_once(':'));
        Ok(fields
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect())
    }

    /// Waits until background work is over.
    pub(super) fn settle(&self) -> Result<(), String> {
        const BUSY: [&str; 3] = [
            "rdb_bgsave_in_progress",
            "aof_rewrite_in_progress",
            "checkpoint_in_progress",
        ];
        const STEADY: [&str; 6] = [
            "sorted_bytes_written",
            "merged_bytes_written",
            "sort_bytes_waiting",
            "dead_bytes",
            "checkpoints_taken",
            "lazyfree_pending_objects",
        ];
        let begun = Instant::now();
        let (mut last, mut since) = (Vec::new(), Instant::now());
        while since.elapsed() < QUIET {
            if begun.elapsed() > SETTLE_TIMEOUT {
                return Err("background work does not come to an end".to_owned());
            }
            std::thread::sleep(Duration::from_millis(200));
            let info = self.info()?;
            let is_busy = BUSY
                .iter()
                .any(|name| info.get(*name).is_some_and(|value| value == "1"));
            let now: Vec<_> = STEADY.iter().map(|name| info.get(*name).cloned()).collect();
            if is_busy || now != last {
                (last, since) = (now, Instant::now());
            }
        }
        Ok(())
    }

    /// Starts the server again and waits for the right answer; how long that took in seconds.
    pub(super) fn start(&mut self, question: &[u8], answer: u64) -> Result<f64, String> {
        let begin = Instant::now();
        self.server = Server::spawn(&self.program, Mode::EverySecond, &self.home.dir)?;
        let expected = format!(":{answer}\r\n");
        self.server
            .wait_for(question, |reply| reply == expected.as_bytes())?;
        Ok(begin.elapsed().as_secs_f64())
    }
}

/// Millions of bytes.
#[expect(
    clippy::cast_precision_loss,
    reason = "sizes are shown with a few digits"
)]
pub(super) fn mega(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

/// The largest value that was seen, asked for at most a few times a second.
pub(super) struct Peak {
    pub(super) highest: f64,
    last: Instant,
}

impl Peak {
    pub(super) fn new() -> Self {
        Self {
            highest: 0.0,
            last: Instant::now(),
        }
    }

    /// Looks if it is time to.
    pub(super) fn look(
        &mut self,
        value: impl FnOnce() -> Result<f64, String>,
    ) -> Result<(), String> {
        if self.last.elapsed() >= Duration::from_millis(250) {
            self.take(value()?);
            self.last = Instant::now();
        }
        Ok(())
    }

    /// Takes a value, whatever the time.
    pub(super) fn take(&mut self, value: f64) {
        self.highest = self.highest.max(value);
    }
}
