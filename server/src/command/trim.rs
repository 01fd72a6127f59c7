//! XTRIM, and the options that it shares with XADD.

use alluvium_engine::{RefPolicy, Trim, TrimStrategy};

use super::arg;
use super::{Ctx, Flow, Group, KeySpec, Spec, flag};
use crate::keyspace_events::EventClasses;
use crate::refusal::Refusal;

pub(crate) static SPECS: &[Spec] = &[Spec {
    name: "xtrim",
    arity: -4,
    flags: flag::WRITE,
    keys: KeySpec::FIRST,
    group: Group::Stream,
    since: "5.0.0",
    complexity: "O(N) for N entries that are trimmed",
    summary: "Drops the oldest entries down to a length or up to an ID.",
    syntax: "key <MAXLEN | MINID> [= | ~] threshold [LIMIT count] [KEEPREF | DELREF | ACKED]",
    handler: xtrim,
    ..Spec::BASE
}];

/// KEEPREF, DELREF or ACKED.
pub(super) fn ref_policy(arg: &[u8]) -> Option<RefPolicy> {
    let names = [
        ("KEEPREF", RefPolicy::Keep),
        ("DELREF", RefPolicy::Drop),
        ("ACKED", RefPolicy::Acked),
    ];
    let found = names.into_iter().find(|(name, _)| arg::is(arg, name));
    found.map(|(_, policy)| policy)
}

/// The LIMIT of an approximate trim that names none: this many logical nodes ...
const LIMIT_DEFAULT_NODES: u64 = 100;
/// ... but at most this many entries ...
const LIMIT_DEFAULT_MAX: u64 = 1_000_000;
/// ... and this many if nodes are not bounded.
const LIMIT_DEFAULT_UNBOUNDED: u64 = 10_000;

/// The options that XADD and XTRIM share, as far as they have been read.
#[derive(Debug, Default)]
pub(super) struct TrimOptions {
    strategy: Option<TrimStrategy>,
    is_approximate: bool,
    limit: Option<u64>,
    references: Option<RefPolicy>,
}

impl TrimOptions {
    /// Reads one option at the head of `args`; returns how many arguments it took, 0 if it is
    /// none of these.
    pub(super) fn take(&mut self, args: &[&[u8]]) -> Result<usize, Refusal> {
        let [name, values @ ..] = args else {
            return Ok(0);
        };
        // A second policy is none of these options any more.
        if let Some(policy) = ref_policy(name).filter(|_| self.references.is_none()) {
            self.references = Some(policy);
            return Ok(1);
        }
        if values.is_empty() {
            return Ok(0);
        }
        if arg::is(name, "MAXLEN") {
            let (value, taken) = self.take_threshold(values)?;
            let length = u64::try_from(arg::int(value)?)
                .map_err(|_| Refusal::new("ERR The MAXLEN argument must be >= 0."))?;
            self.strategy = Some(TrimStrategy::MaxLen(length));
            Ok(taken + 1)
        } else if arg::is(name, "MINID") {
            let (value, taken) = self.take_threshold(values)?;
            self.strategy = Some(TrimStrategy::MinId(arg::id(value)?));
            Ok(taken + 1)
        } else if arg::is(name, "LIMIT") {
            let limit = u64::try_from(arg::int(values[0])?)
                .map_err(|_| Refusal::new("ERR The LIMIT argument must be >= 0."))?;
            self.limit = Some(limit);
            Ok(2)
        } else {
            Ok(0)
        }
    }

    /// The threshold behind MAXLEN or MINID, and how many arguments it took with its `=` or `~`.
    fn take_threshold<'a>(&mut self, values: &[&'a [u8]]) -> Result<(&'a [u8], usize), Refusal> {
        if self.strategy.is_some() {
            return Err(Refusal::new(
                "ERR syntax error, MAXLEN and MINID options at the same time are not compatible",
            ));
        }
        match *values {
            [b"~", value, ..] => {
                self.is_approximate = true;
                Ok((value, 2))
            }
            [b"=", value, ..] => Ok((value, 2)),
            [value, ..] => Ok((value, 1)),
            [] => Err(Refusal::SYNTAX),
        }
    }

    /// Checks how the options go together; `None` if nothing is to be trimmed.
    pub(super) fn finish(
        self,
        is_required: bool,
        node_entries_max: u32,
    ) -> Result<Option<Trim>, Refusal> {
        if self.strategy.is_none() && self.limit.is_some_and(|limit| limit > 0) {
            return Err(Refusal::new(
                "ERR syntax error, LIMIT cannot be used without specifying a trimming strategy",
            ));
        }
        if self.strategy.is_none() && is_required {
            return Err(Refusal::new(
                "ERR syntax error, XTRIM must be called with a trimming strategy",
            ));
        }
        if self.limit.is_some() && !self.is_approximate {
            return Err(Refusal::new(
                "ERR syntax error, LIMIT cannot be used without the special ~ option",
            ));
        }
        let default = match node_entries_max {
            0 => LIMIT_DEFAULT_UNBOUNDED,
            entries => (LIMIT_DEFAULT_NODES * u64::from(entries)).min(LIMIT_DEFAULT_MAX),
        };
        let limit = self.is_approximate.then(|| self.limit.unwrap_or(default));
        let approximate = self.is_approximate;
        Ok(self.strategy.map(|strategy| Trim {
            strategy,
            approximate,
            limit,
            references: self.references.unwrap_or_default(),
        }))
    }
}

fn xtrim(ctx: &mut Ctx<'_, '_>, args: &[&[u8]]) -> Result<Flow, Refusal> {
    let mut options = TrimOptions::default();
    let mut at = 2;
    while at < args.len() {
        match options.take(&args[at..])? {
            0 => return Err(Refusal::SYNTAX),
            taken => at += taken,
        }
    }
    let trim = options.finish(true, ctx.hub.config.stream_node_max_entries)?;
    let (db, key) = (ctx.db(), args[1]);
    let removed = match trim {
        Some(trim) => ctx.batch.trim(db, key, trim)?,
        None => 0,
    };
    if removed > 0 {
        ctx.notify(EventClasses::STREAM, "xtrim", db, key);
        ctx.touched(db, key);
    }
    ctx.reply.count(removed);
    Ok(Flow::Done)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alluvium_engine::EntryId;

    fn options(words: &str) -> Option<Trim> {
        let args: Vec<&[u8]> = words.split(' ').map(str::as_bytes).collect();
        let (mut options, mut at) = (TrimOptions::default(), 0);
        while at < args.len() {
            at += options.take(&args[at..]).unwrap();
        }
        options.finish(true, 100).unwrap()
    }

    #[test]
    fn an_approximate_trim_is_bounded_unless_told_otherwise() {
        assert_eq!(options("MINID ~ 5").unwrap().limit, Some(10_000));
        assert_eq!(options("MINID ~ 5 LIMIT 0").unwrap().limit, Some(0));
        assert_eq!(options("MINID = 5").unwrap().limit, None);
        let mut options = TrimOptions::default();
        options.take(&[b"MINID", b"~", b"1"]).unwrap();
        let trim = options.finish(true, 65_536).unwrap().unwrap();
        assert_eq!(trim.limit, Some(1_000_000));
        assert_eq!(trim.strategy, TrimStrategy::MinId(EntryId::new(1, 0)));
    }

    #[test]
    fn one_word_says_what_references_mean() {
        assert_eq!(options("MAXLEN 5").unwrap().references, RefPolicy::Keep);
        assert_eq!(
            options("acked MAXLEN 5").unwrap().references,
            RefPolicy::Acked
        );
        assert_eq!(
            options("MAXLEN 5 DELREF").unwrap().references,
            RefPolicy::Drop
        );
        let mut twice = TrimOptions::default();
        assert_eq!(twice.take(&[b"KEEPREF", b"ACKED"]).unwrap(), 1);
        assert_eq!(twice.take(&[b"ACKED"]).unwrap(), 0);
    }
}
