//! The figures of the table: what each is, in which unit, and what it should be at scale 1.

use crate::servers::Kind;

/// What a figure should be.
#[derive(Clone, Copy)]
pub(crate) enum Target {
    /// Nothing is asked of it.
    None,
    AtMost(f64),
    /// At most this share of what the other server has for the same.
    ShareOfOther(f64),
    /// Not below this figure of the other server.
    NotBelowOther(&'static str),
}

/// One line of the table for each size.
pub(crate) struct Figure {
    /// The name in JSON.
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) target: Target,
}

const fn figure(
    name: &'static str,
    about: &'static str,
    unit: &'static str,
    target: Target,
) -> Figure {
    Figure {
        name,
        about,
        unit,
        target,
    }
}

use Target::{AtMost, NotBelowOther, ShareOfOther};

/// All figures in the order of the table.
pub(crate) static FIGURES: &[Figure] = &[
    figure(
        "stream.filled",
        "one stream: added, one connection",
        "entries/s",
        Target::None,
    ),
    figure(
        "stream.memory",
        "one stream: anonymous memory",
        "MB",
        AtMost(100.0),
    ),
    figure(
        "stream.memory_peak",
        "the same, most while adding",
        "MB",
        Target::None,
    ),
    figure(
        "stream.memory_scanned",
        "the same, after scans",
        "MB",
        AtMost(100.0),
    ),
    figure(
        "stream.killed",
        "one stream: ready after kill -9",
        "s",
        AtMost(0.25),
    ),
    figure(
        "stream.stopped",
        "one stream: ready after a clean stop",
        "s",
        AtMost(0.25),
    ),
    figure(
        "stream.cold",
        "the same, files not in the page cache",
        "s",
        Target::None,
    ),
    figure(
        "stream.disk",
        "one stream: disk, settled",
        "MB",
        ShareOfOther(0.6),
    ),
    figure(
        "stream.disk_found",
        "the same before anything is rewritten",
        "MB",
        Target::None,
    ),
    figure(
        "stream.scan_cold",
        "full scan COUNT 1000, cold",
        "entries/s",
        NotBelowOther("stream.scan_warm"),
    ),
    figure(
        "stream.scan_warm",
        "full scan COUNT 1000, warm",
        "entries/s",
        NotBelowOther("stream.scan_warm"),
    ),
    figure(
        "stream.amplification",
        "written: log, sorted and merged segments, checkpoints, by log",
        "x",
        AtMost(2.1),
    ),
    figure(
        "stream.amplification_all",
        "written: all that reached the disk, by log",
        "x",
        Target::None,
    ),
    figure(
        "stream.written_values",
        "written: all that reached the disk, by values",
        "x",
        Target::None,
    ),
    figure(
        "streams.memory",
        "many streams of 3 entries: anonymous memory",
        "MB",
        AtMost(350.0),
    ),
    figure(
        "streams.memory_peak",
        "the same, most while adding",
        "MB",
        Target::None,
    ),
    figure(
        "streams.killed",
        "many streams: ready after kill -9",
        "s",
        AtMost(1.0),
    ),
    figure(
        "streams.memory_started",
        "the same, memory after that",
        "MB",
        AtMost(350.0),
    ),
    figure(
        "pending.memory",
        "pending entries: anonymous memory",
        "MB",
        AtMost(350.0),
    ),
    figure(
        "pending.xpending",
        "XPENDING IDLE of the 10 idlest, p99",
        "ms",
        AtMost(1.0),
    ),
    figure(
        "pending.xautoclaim",
        "XAUTOCLAIM COUNT 10 on the way to the 10 idlest, p99 of a call",
        "ms",
        Target::None,
    ),
    figure(
        "pending.xautoclaim_all",
        "the same, all calls until they are found behind all others",
        "ms",
        AtMost(1.0),
    ),
    figure(
        "pending.killed",
        "pending entries: ready after kill -9",
        "s",
        Target::None,
    ),
    figure(
        "trimmed.disk",
        "MAXLEN ~ 100000: most disk, by segments of 64 MiB",
        "",
        AtMost(10.0),
    ),
    figure("trimmed.disk_last", "the same at the end", "", AtMost(10.0)),
    figure(
        "trimmed.rate",
        "MAXLEN ~ 100000: added, one connection",
        "entries/s",
        Target::None,
    ),
    figure(
        "latency.quiet",
        "XADD p99.9 without background work",
        "ms",
        Target::None,
    ),
    figure(
        "latency.busy",
        "XADD p99.9 beside background work",
        "ms",
        Target::None,
    ),
    figure("latency.ratio", "the one by the other", "x", AtMost(1.5)),
];

/// The figure of a name.
pub(crate) fn named(name: &str) -> Option<&'static Figure> {
    FIGURES.iter().find(|figure| figure.name == name)
}

impl Target {
    /// In words; nothing where nothing is asked.
    pub(crate) fn text(self, unit: &str) -> String {
        match self {
            Self::None => String::new(),
            Self::AtMost(most) => format!("at most {most} {unit}").trim_end().to_owned(),
            Self::ShareOfOther(share) => format!("at most {share} of Valkey's"),
            Self::NotBelowOther(_) => "not below Valkey, warm".to_owned(),
        }
    }

    /// Whether a value is as it should be; `other` knows the figures of the server to compare with.
    pub(crate) fn is_met(
        self,
        own: &Figure,
        value: f64,
        other: impl Fn(&str) -> Option<f64>,
    ) -> Option<bool> {
        match self {
            Self::None => None,
            Self::AtMost(most) => Some(value <= most),
            Self::ShareOfOther(share) => Some(value <= share * other(own.name)?),
            Self::NotBelowOther(name) => Some(value >= other(name)?),
        }
    }
}

/// Whom targets compare with.
pub(crate) const OTHER: Kind = Kind::Valkey;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_name_figures_that_exist_and_judge_both_ways() {
        for figure in FIGURES {
            assert!(
                std::ptr::eq(named(figure.name).unwrap(), figure),
                "{} twice",
                figure.name
            );
            if let NotBelowOther(name) = figure.target {
                assert!(named(name).is_some(), "{name}");
            }
        }
        let disk = named("stream.disk").unwrap();
        let other = |name: &str| (name == "stream.disk").then_some(100.0);
        assert_eq!(disk.target.is_met(disk, 60.0, other), Some(true));
        assert_eq!(disk.target.is_met(disk, 61.0, other), Some(false));
        assert_eq!(disk.target.is_met(disk, 61.0, |_| None), None);
        assert_eq!(AtMost(1.0).is_met(disk, 1.1, |_| None), Some(false));
    }
}
