//! What can be measured: a case is a kind of work and its parameters.
//!
//! A case is written as on the command line: `xadd:pipeline=16:keys=100000`. What is not given has
//! the value that the comparison tables use: 50 connections, no pipeline, one key, values of 100
//! bytes.

use std::fmt::Write;

use crate::servers::{Kind, Mode, Program};

/// A kind of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Work {
    /// XADD; with `rate`, sent at fixed times.
    Xadd,
    /// XREADGROUP of new entries and XACK of each batch until `backlog` entries are consumed.
    Group,
    /// One producer, every other connection blocked in XREAD.
    Fanout,
    /// Producers at a fixed rate, readers blocked in XREAD: the time from due to received.
    Delivery,
    /// XRANGE COUNT from random IDs.
    Range,
    /// XRANGE COUNT through the whole stream, again and again.
    Scan,
    /// Producers, workers of a group and range readers at the same time.
    Mixed,
    /// XAUTOCLAIM of everything by everybody.
    Claim,
    /// `kill -9`, start, first reply.
    Restart,
}

impl Work {
    const ALL: [(&'static str, Self); 9] = [
        ("xadd", Self::Xadd),
        ("group", Self::Group),
        ("fanout", Self::Fanout),
        ("delivery", Self::Delivery),
        ("range", Self::Range),
        ("scan", Self::Scan),
        ("mixed", Self::Mixed),
        ("claim", Self::Claim),
        ("restart", Self::Restart),
    ];

    fn name(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(_, work)| *work == self)
            .map_or("?", |(name, _)| name)
    }

    /// The latencies that are told apart; the first is the one in the tables.
    pub(crate) fn lanes(self) -> &'static [&'static str] {
        match self {
            Self::Xadd => &["xadd"],
            Self::Group => &["xreadgroup", "xack"],
            Self::Fanout | Self::Delivery => &["delivery", "xadd"],
            Self::Range | Self::Scan => &["xrange"],
            Self::Mixed => &["xadd", "xreadgroup", "xack", "xrange"],
            Self::Claim => &["xautoclaim"],
            Self::Restart => &["start"],
        }
    }

    /// What throughput counts.
    pub(crate) fn unit(self) -> &'static str {
        match self {
            Self::Range | Self::Mixed => "commands",
            Self::Fanout | Self::Delivery => "deliveries",
            Self::Xadd | Self::Group | Self::Scan | Self::Claim | Self::Restart => "entries",
        }
    }
}

/// What the servers do besides serving.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Background {
    /// What they do by themselves.
    #[default]
    Usual,
    /// Nothing: no checkpoints and no sorting, no snapshots and no rewriting.
    Off,
    /// As much as they can: asked for twice a second, and small segments so that some are always
    /// to be sorted.
    Asked,
}

impl Background {
    const ALL: [(&'static str, Self); 3] = [
        ("usual", Self::Usual),
        ("off", Self::Off),
        ("asked", Self::Asked),
    ];

    fn name(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(_, it)| *it == self)
            .map_or("?", |(name, _)| name)
    }

    /// Flags for a server.
    fn flags(self, kind: Kind) -> &'static [&'static str] {
        match (self, kind) {
            // Sorting leaves the newest segments alone: it has nothing to do below 190 MB of log.
            // Larger segments would have to be filled with zeros, which is work as well.
            (Self::Off, Kind::Alluvium) => &["--checkpoint-interval", "0"],
            (Self::Off, _) => &["--auto-aof-rewrite-percentage", "0"],
            (Self::Asked, Kind::Alluvium) => {
                &["--segment-size", "4mb", "--checkpoint-interval", "4mb"]
            }
            (Self::Usual | Self::Asked, _) => &[],
        }
    }
}

/// One thing to measure.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Case {
    pub(crate) work: Work,
    pub(crate) clients: usize,
    pub(crate) pipeline: usize,
    pub(crate) size: usize,
    pub(crate) keys: u64,
    /// MAXLEN ~ of XADD; 0 for none.
    pub(crate) maxlen: u64,
    /// COUNT of the reads and claims.
    pub(crate) count: u64,
    /// Entries that are there before the measuring begins.
    pub(crate) backlog: u64,
    /// Requests a second of the paced connections; 0 for a closed loop.
    pub(crate) rate: u64,
    /// Threads that serve connections; 0 leaves that to the server.
    pub(crate) threads: u64,
    /// The mode in which the case runs, whatever the modes of the run; `None`: in all of those.
    pub(crate) mode: Option<Mode>,
    pub(crate) background: Background,
    /// The sweep that the case is a point of, if any: the parameter's name.
    pub(crate) sweep: Option<&'static str>,
}

impl Case {
    /// A case with the values of the comparison tables.
    fn of(work: Work) -> Self {
        let (count, backlog, rate) = match work {
            Work::Xadd | Work::Fanout => (0, 0, 0),
            Work::Delivery => (0, 0, 1000),
            Work::Group | Work::Range => (10, 300_000, 0),
            Work::Mixed => (10, 100_000, 0),
            Work::Scan => (1000, 300_000, 0),
            Work::Claim => (100, 100_000, 0),
            Work::Restart => (0, 1_000_000, 0),
        };
        let keys = 1;
        let (clients, pipeline, size, maxlen, sweep) = (50, 1, 100, 0, None);
        Self {
            work,
            clients,
            pipeline,
            size,
            keys,
            maxlen,
            count,
            backlog,
            rate,
            threads: 0,
            mode: None,
            background: Background::Usual,
            sweep,
        }
    }

    fn parameters(&self) -> [(&'static str, u64); 9] {
        [
            ("pipeline", self.pipeline as u64),
            ("keys", self.keys),
            ("maxlen", self.maxlen),
            ("count", self.count),
            ("size", self.size as u64),
            ("clients", self.clients as u64),
            ("backlog", self.backlog),
            ("rate", self.rate),
            ("threads", self.threads),
        ]
    }

    fn set(&mut self, name: &str, text: &str) -> Result<(), String> {
        match name {
            "mode" => {
                self.mode = Some(Mode::named(text)?);
                return Ok(());
            }
            "background" => {
                let found = Background::ALL.iter().find(|(known, _)| *known == text);
                self.background = found.ok_or_else(|| format!("unknown background {text}"))?.1;
                return Ok(());
            }
            _ => {}
        }
        let value: u64 = text.parse().map_err(|e| format!("{name}={text}: {e}"))?;
        let small = usize::try_from(value).map_err(|e| format!("{name}: {e}"))?;
        match name {
            "pipeline" => self.pipeline = small,
            "keys" => self.keys = value,
            "maxlen" => self.maxlen = value,
            "count" => self.count = value,
            "size" => self.size = small,
            "clients" => self.clients = small,
            "backlog" => self.backlog = value,
            "rate" => self.rate = value,
            "threads" => self.threads = value,
            _ => return Err(format!("a case has no parameter {name}")),
        }
        Ok(())
    }

    /// Reads a case as it is written on the command line.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut parts = text.split(':');
        let name = parts.next().unwrap_or_default();
        let work = Work::ALL.iter().find(|(known, _)| *known == name);
        let (_, work) = work.ok_or_else(|| format!("unknown work {name}"))?;
        let mut case = Self::of(*work);
        for part in parts {
            let (name, value) = part.split_once('=').ok_or("a parameter is name=value")?;
            case.set(name, value)?;
        }
        if case.clients == 0 || case.pipeline == 0 || case.keys == 0 {
            return Err(format!("{text}: clients, pipeline and keys are at least 1"));
        }
        if (case.work == Work::Delivery || case.work == Work::Fanout) && case.clients < 2 {
            return Err(format!("{text}: needs a producer and a reader"));
        }
        Ok(case)
    }

    /// The case as it is written on the command line, without what is as in the tables.
    pub(crate) fn label(&self) -> String {
        let mut label = self.work.name().to_owned();
        let usual = Self::of(self.work).parameters();
        for ((name, value), (_, usual)) in self.parameters().into_iter().zip(usual) {
            let says_all = name == "count" || name == "rate";
            if value != usual || (says_all && value > 0) {
                let _ = write!(label, ":{name}={value}");
            }
        }
        if let Some(mode) = self.mode {
            let _ = write!(label, ":mode={}", mode.name());
        }
        if self.background != Background::Usual {
            let _ = write!(label, ":background={}", self.background.name());
        }
        label
    }

    /// The modes in which it runs, if `usual` are those of the run.
    pub(crate) fn modes<'a>(&'a self, usual: &'a [Mode]) -> &'a [Mode] {
        self.mode.as_ref().map_or(usual, std::slice::from_ref)
    }

    /// A program with the flags that the case gives it.
    pub(crate) fn program(&self, program: &Program) -> Program {
        let mut program = program.clone();
        let flags = self
            .background
            .flags(program.kind)
            .iter()
            .map(ToString::to_string);
        program.extra.extend(flags);
        if self.threads > 0 {
            program
                .extra
                .extend(["--io-threads".to_owned(), self.threads.to_string()]);
        }
        program
    }

    /// Where the case stands on its sweep's axis.
    pub(crate) fn place(&self) -> Option<u64> {
        let sweep = self.sweep?;
        self.parameters()
            .into_iter()
            .find(|(name, _)| *name == sweep)
            .map(|(_, value)| value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_is_written_as_it_is_read() {
        for text in [
            "xadd",
            "xadd:pipeline=16:keys=100000",
            "xadd:pipeline=16:mode=moonshot",
            "xadd:backlog=1000:rate=20000:background=asked",
            "range:count=10:threads=2",
        ] {
            assert_eq!(Case::parse(text).unwrap().label(), text);
        }
    }

    #[test]
    fn what_a_case_says_of_the_server_becomes_flags() {
        let program = Program {
            kind: Kind::Alluvium,
            path: "x".into(),
            extra: vec!["--y".into()],
        };
        let case = Case::parse("xadd:threads=2:background=off:mode=moonshot").unwrap();
        let flags = "--y --checkpoint-interval 0 --io-threads 2";
        assert_eq!(case.program(&program).extra.join(" "), flags);
        assert_eq!(case.modes(&[Mode::Always]), [Mode::Moonshot]);
    }

    #[test]
    fn nonsense_is_refused() {
        for text in [
            "",
            "xget",
            "xadd:pipeline",
            "xadd:pipeline=x",
            "xadd:depth=1",
            "xadd:keys=0",
            "xadd:mode=x",
            "xadd:background=x",
            "fanout:clients=1",
        ] {
            assert!(Case::parse(text).is_err(), "{text}");
        }
    }
}
