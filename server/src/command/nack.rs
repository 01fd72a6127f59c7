//! XNACK: pending entries are given back to their group.

use alluvium_engine::{Error, Fault, GiveBack};

use super::arg::{self, Ids};
use super::{Ctx, Flow, Group, KeySpec, Spec, flag};
use crate::refusal::Refusal;
use crate::waiters::Ready;

pub(crate) static SPECS: &[Spec] = &[Spec {
    name: "xnack",
    arity: -7,
    flags: flag::WRITE | flag::FAST,
    keys: KeySpec::FIRST,
    group: Group::Stream,
    since: "8.8.0",
    complexity: "O(log P) for each ID, P being the pending entries",
    summary: "Gives pending entries back: they are the first that others claim.",
    syntax: "key group <SILENT | FAIL | FATAL> IDS numids id [id ...] [RETRYCOUNT count] [FORCE]",
    handler: xnack,
    ..Spec::BASE
}];

/// What XNACK is asked for behind its mode.
#[derive(Debug, Default, PartialEq, Eq)]
struct Options<'w, 'a> {
    ids: &'w [&'a [u8]],
    delivery_count: Option<u64>,
    force: bool,
}

impl<'w, 'a> Options<'w, 'a> {
    /// IDs and options come in any order. Most of these texts bear `ERR` twice in Redis, too.
    fn parse(mut words: &'w [&'a [u8]]) -> Result<Self, Refusal> {
        let mut options = Self::default();
        while let [word, rest @ ..] = words {
            words = rest;
            match rest {
                [numids, rest @ ..] if arg::is(word, "IDS") => {
                    let refusal = Refusal::new("ERR numids must be a positive integer");
                    let count = arg::int_within(numids, 1..=i64::from(i32::MAX), refusal)?;
                    let listed = usize::try_from(count).ok();
                    let listed = listed.and_then(|count| rest.split_at_checked(count));
                    (options.ids, words) =
                        listed.ok_or(Refusal::new("ERR ERR number of IDs doesn't match numids"))?;
                }
                [value, rest @ ..] if arg::is(word, "RETRYCOUNT") => {
                    let count = u64::try_from(arg::int(value)?);
                    options.delivery_count = Some(count.map_err(|_| {
                        Refusal::new("ERR ERR Invalid RETRYCOUNT value, must be >= 0")
                    })?);
                    words = rest;
                }
                _ if arg::is(word, "FORCE") => options.force = true,
                _ => {
                    let parts: [&[u8]; 3] = [b"ERR ERR Unrecognized XNACK option '", word, b"'"];
                    return Err(Refusal::quoting(&parts));
                }
            }
        }
        if options.ids.is_empty() {
            return Err(Refusal::new("ERR ERR syntax error, expected IDS keyword"));
        }
        Ok(options)
    }
}

fn fault(mode: &[u8]) -> Result<Fault, Refusal> {
    let modes = [
        ("SILENT", Fault::None),
        ("FAIL", Fault::Consumer),
        ("FATAL", Fault::Entry),
    ];
    let named = modes.into_iter().find(|(name, _)| arg::is(mode, name));
    named
        .map(|(_, fault)| fault)
        .ok_or(Refusal::new("ERR ERR mode must be SILENT, FAIL, or FATAL"))
}

fn xnack(ctx: &mut Ctx<'_, '_>, args: &[&[u8]]) -> Result<Flow, Refusal> {
    let (db, key, group) = (ctx.db(), args[1], args[2]);
    if !ctx.batch.group_exists(db, key, group) {
        return Err(super::pending::no_group(key, group));
    }
    let fault = fault(args[3])?;
    let options = Options::parse(&args[4..])?;
    let ids = Ids::parse(options.ids)?;
    let give_back = GiveBack {
        ids: &ids,
        fault,
        delivery_count: options.delivery_count,
        force: options.force,
    };
    let count = ctx
        .batch
        .give_back(db, key, group, &give_back)
        .map_err(|error| match error {
            Error::NoSuchKey | Error::NoSuchGroup => super::pending::no_group(key, group),
            other => other.into(),
        })?;
    if count > 0 {
        ctx.hub.waiters.ready(db, key, Ready::Claimers);
    }
    ctx.reply.count(count);
    Ok(Flow::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(command: &str) -> String {
        let words: Vec<&[u8]> = command.split(' ').map(str::as_bytes).collect();
        let refusal = Options::parse(&words).unwrap_err();
        String::from_utf8_lossy(refusal.text()).into_owned()
    }

    #[test]
    fn ids_and_options_come_in_any_order() {
        let words: [&[u8]; 6] = [b"force", b"ids", b"1", b"1-1", b"RETRYCOUNT", b"7"];
        let options = Options::parse(&words).unwrap();
        assert_eq!(options.ids, [b"1-1"]);
        assert_eq!((options.delivery_count, options.force), (Some(7), true));
        assert_eq!(fault(b"fatal").unwrap(), Fault::Entry);
    }

    #[test]
    fn each_mistake_has_its_words() {
        for (command, refusal) in [
            ("IDS 0 1-1", "ERR numids must be a positive integer"),
            ("IDS x 1-1", "ERR numids must be a positive integer"),
            ("IDS 2 1-1", "ERR ERR number of IDs doesn't match numids"),
            ("IDS 1 1-1 2-1", "ERR ERR Unrecognized XNACK option '2-1'"),
            ("IDS 1 1-1 FOO", "ERR ERR Unrecognized XNACK option 'FOO'"),
            (
                "IDS 1 1-1 RETRYCOUNT -1",
                "ERR ERR Invalid RETRYCOUNT value, must be >= 0",
            ),
            ("FORCE", "ERR ERR syntax error, expected IDS keyword"),
        ] {
            assert_eq!(refused(command), refusal, "{command}");
        }
        let mode = fault(b"SOFT").unwrap_err();
        assert_eq!(mode.text(), b"ERR ERR mode must be SILENT, FAIL, or FATAL");
    }
}
