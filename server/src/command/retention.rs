//! How much of a stream is kept: the options of XCFGSET that are our own, and what XINFO STREAM
//! shows of them.

use alluvium_engine::{Batch, Retention};

use super::arg;
use crate::refusal::Refusal;
use crate::reply::Reply;

const AGE: &str = "RETENTION-AGE";
const BYTES: &str = "RETENTION-BYTES";
const LENGTH: &str = "RETENTION-LENGTH";
const ACKED: &str = "RETENTION-ACKED";
const ACKED_AGE: &str = "RETENTION-ACKED-MAX-AGE";
const NAMES: [&str; 5] = [AGE, BYTES, LENGTH, ACKED, ACKED_AGE];
/// The value that leaves a setting to the configuration.
const DEFAULT: &str = "DEFAULT";

/// The options of XCFGSET, as far as they have been read.
#[derive(Debug)]
pub(super) struct Options {
    /// What is set then.
    pub(super) retention: Retention,
    /// Options that were there; each may be once.
    seen: Vec<&'static str>,
}

impl Options {
    /// No option changes what is set at present.
    pub(super) fn new(present: Retention) -> Self {
        Self {
            retention: present,
            seen: Vec::new(),
        }
    }

    /// Whether there was none.
    pub(super) fn is_empty(&self) -> bool {
        self.seen.is_empty()
    }

    /// Takes an option; false if it is none of these.
    pub(super) fn take(&mut self, name: &[u8], value: &[u8]) -> Result<bool, Refusal> {
        let Some(known) = NAMES.into_iter().find(|known| arg::is(name, known)) else {
            return Ok(false);
        };
        let retention = &mut self.retention;
        match known {
            AGE => retention.age_ms = number(known, value)?,
            BYTES => retention.bytes = number(known, value)?,
            LENGTH => retention.length = number(known, value)?,
            ACKED => retention.acked = flag(value)?,
            _ => retention.acked_age_ms = number(known, value)?,
        }
        if self.seen.contains(&known) {
            return Err(Refusal::format(format_args!(
                "ERR {known} specified multiple times"
            )));
        }
        self.seen.push(known);
        Ok(true)
    }
}

/// A number, or that there is none of the stream's own.
fn number(name: &str, value: &[u8]) -> Result<Option<u64>, Refusal> {
    if arg::is(value, DEFAULT) {
        return Ok(None);
    }
    let number = arg::int(value).ok().and_then(|it| u64::try_from(it).ok());
    number.map(Some).ok_or_else(|| {
        let text = "must be a number from 0 (no bound) on, or DEFAULT";
        Refusal::format(format_args!("ERR {name} {text}"))
    })
}

fn flag(value: &[u8]) -> Result<Option<bool>, Refusal> {
    let flags = [("YES", Some(true)), ("NO", Some(false)), (DEFAULT, None)];
    let found = flags.into_iter().find(|(name, _)| arg::is(value, name));
    let refusal = Refusal::new("ERR RETENTION-ACKED must be yes, no or DEFAULT");
    found.map(|(_, flag)| flag).ok_or(refusal)
}

/// What XINFO STREAM shows behind a name.
pub(super) enum Shown {
    Number(u64),
    Flag(bool),
}

/// The settings that were made for a stream, as XINFO STREAM shows them, and the bytes that it
/// takes where they are bounded.
pub(super) fn shown(batch: &mut Batch<'_>, db: u8, key: &[u8]) -> Vec<(&'static str, Shown)> {
    let retention = batch.retention(db, key).unwrap_or_default();
    let used = retention.bytes.and_then(|_| batch.disk_bytes(db, key));
    let number = |value: Option<u64>| value.map(Shown::Number);
    let settings = [
        ("retention-age", number(retention.age_ms)),
        ("retention-bytes", number(retention.bytes)),
        ("retention-bytes-used", number(used)),
        ("retention-length", number(retention.length)),
        ("retention-acked", retention.acked.map(Shown::Flag)),
        ("retention-acked-max-age", number(retention.acked_age_ms)),
    ];
    let made = settings.into_iter();
    made.filter_map(|(name, value)| Some((name, value?)))
        .collect()
}

/// Shows them.
pub(super) fn show(reply: &mut Reply, shown: &[(&'static str, Shown)]) {
    for (name, value) in shown {
        reply.bulk(name.as_bytes());
        match *value {
            Shown::Number(number) => reply.count(number),
            Shown::Flag(flag) => reply.bulk(if flag { b"yes" } else { b"no" }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(words: &str, present: Retention) -> Result<Retention, String> {
        let words: Vec<&[u8]> = words.split(' ').map(str::as_bytes).collect();
        let mut options = Options::new(present);
        for pair in words.chunks_exact(2) {
            let taken = options.take(pair[0], pair[1]);
            let text = |refusal: Refusal| String::from_utf8_lossy(refusal.text()).into_owned();
            assert!(taken.map_err(text)?, "{pair:?}");
        }
        assert!(!options.is_empty());
        Ok(options.retention)
    }

    #[test]
    fn what_is_not_named_stays_and_default_unsets() {
        let mut present = Retention::default();
        (present.age_ms, present.length) = (Some(5), Some(7));
        let mut expected = Retention::default();
        (expected.length, expected.acked) = (Some(7), Some(true));
        let found = read("retention-age default Retention-Acked YES", present);
        assert_eq!(found, Ok(expected));
        (expected.length, expected.acked_age_ms) = (Some(0), Some(9));
        let found = read("RETENTION-LENGTH 0 RETENTION-ACKED-MAX-AGE 9", expected);
        assert_eq!(found, Ok(expected));
        assert!(!Options::new(present).take(b"RETENTION", b"1").unwrap());
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_name() {
        for (words, refusal) in [
            (
                "RETENTION-BYTES 1mb",
                "ERR RETENTION-BYTES must be a number",
            ),
            ("RETENTION-AGE -1", "ERR RETENTION-AGE must be a number"),
            (
                "retention-length x",
                "ERR RETENTION-LENGTH must be a number",
            ),
            ("RETENTION-ACKED 1", "ERR RETENTION-ACKED must be yes, no"),
            (
                "RETENTION-AGE 1 retention-age 1",
                "ERR RETENTION-AGE specified multiple times",
            ),
        ] {
            let refused = read(words, Retention::default()).unwrap_err();
            assert!(refused.starts_with(refusal), "{words}: {refused}");
        }
    }
}
