//! What can be measured: a case is a kind of work and its parameters; a suite is a list of cases.
//!
//! A case is written as on the command line: `xadd:pipeline=16:keys=100000`. What is not given has
//! the value that the comparison tables use: 50 connections, no pipeline, one key, values of 100
//! bytes.

use std::fmt::Write;

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
            sweep,
        }
    }

    fn parameters(&self) -> [(&'static str, u64); 8] {
        [
            ("pipeline", self.pipeline as u64),
            ("keys", self.keys),
            ("maxlen", self.maxlen),
            ("count", self.count),
            ("size", self.size as u64),
            ("clients", self.clients as u64),
            ("backlog", self.backlog),
            ("rate", self.rate),
        ]
    }

    fn set(&mut self, name: &str, value: u64) -> Result<(), String> {
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
            case.set(name, value.parse().map_err(|e| format!("{part}: {e}"))?)?;
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
        label
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

/// The rows of the first table of the results: what people do most.
const FIRST: &[&str] = &["xadd", "xadd:pipeline=16", "group:count=10"];

/// The comparison table with targets.
const TABLE: &[&str] = &[
    "xadd",
    "xadd:pipeline=16",
    "xadd:pipeline=16:keys=100000",
    "group:count=10",
    "group:count=1:backlog=100000",
    "range:count=10",
    "scan:count=1000",
];

/// The rest of what was asked for.
const MORE: &[&str] = &[
    "group:count=100",
    "xadd:pipeline=16:maxlen=10000",
    "fanout",
    "mixed",
    "claim",
    "delivery:rate=1000:clients=2",
    "delivery:rate=10000:clients=8",
    "xadd:rate=10000",
    "xadd:rate=20000",
    "restart",
];

/// One parameter varied, the rest fixed.
const SWEEPS: &[(&str, &str, &[u64])] = &[
    ("xadd", "pipeline", &[1, 2, 4, 8, 16, 32, 64]),
    ("xadd", "clients", &[1, 2, 5, 10, 20, 50, 100, 200]),
    ("xadd", "size", &[16, 100, 1024, 10_240, 102_400, 1_048_576]),
    ("group:count=10", "backlog", &[10_000, 100_000, 1_000_000]),
    ("range:count=10", "backlog", &[10_000, 100_000, 1_000_000]),
];

/// The names of the suites, with what they are.
pub(crate) const SUITES: &[(&str, &str)] = &[
    (
        "first",
        "XADD without pipeline and with 16, XREADGROUP COUNT 10 + XACK",
    ),
    ("table", "the comparison table with targets"),
    (
        "more",
        "maxlen, fan-out, mixed, claims, delivery latency, fixed rates, restart",
    ),
    ("sweeps", "pipeline depth, connections, entry size, backlog"),
    ("full", "table, more and sweeps"),
];

/// The cases of a suite.
pub(crate) fn suite(name: &str) -> Result<Vec<Case>, String> {
    let list = |texts: &[&str]| texts.iter().map(|text| Case::parse(text)).collect();
    match name {
        "first" => list(FIRST),
        "table" => list(TABLE),
        "more" => list(MORE),
        "sweeps" => sweeps(),
        "full" => {
            let mut cases: Vec<Case> = list(TABLE)?;
            cases.extend(suite("more")?);
            cases.extend(sweeps()?);
            Ok(cases)
        }
        _ => Err(format!("unknown suite {name}")),
    }
}

fn sweeps() -> Result<Vec<Case>, String> {
    let mut cases = Vec::new();
    for &(base, parameter, values) in SWEEPS {
        for value in values {
            let mut case = Case::parse(&format!("{base}:{parameter}={value}"))?;
            case.sweep = Some(parameter);
            cases.push(case);
        }
    }
    Ok(cases)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_suite_names_cases_that_can_be_written_again() {
        for (name, _) in SUITES {
            for case in suite(name).unwrap() {
                let mut again = Case::parse(&case.label()).unwrap();
                again.sweep = case.sweep;
                assert_eq!(again, case);
            }
        }
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
        ] {
            assert!(Case::parse(text).is_err(), "{text}");
        }
    }
}
