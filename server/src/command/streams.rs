//! Entries without groups: XADD, XLEN, XRANGE, XREVRANGE, XSETID.

use alluvium_engine::{Added, Counters, EntryId, Error, Message, NewId, Range, Trim};

use super::arg::{self, GivenId};
use super::once::content_id;
use super::trim::TrimOptions;
use super::{Ctx, Flow, Group, KeySpec, Spec, flag};
use crate::keyspace_events::EventClasses;
use crate::refusal::Refusal;

pub(crate) static SPECS: &[Spec] = &[
    Spec {
        name: "xadd",
        arity: -5,
        flags: flag::WRITE | flag::DENYOOM | flag::FAST,
        keys: KeySpec::FIRST,
        group: Group::Stream,
        since: "5.0.0",
        complexity: "O(1), and O(N) for N entries that are trimmed",
        summary: "Appends an entry to a stream, which is made if there is none.",
        syntax: "key [NOMKSTREAM] [KEEPREF | DELREF | ACKED] [IDMPAUTO pid | IDMP pid iid] \
                 [<MAXLEN | MINID> [= | ~] threshold [LIMIT count]] <* | ms-* | id> field value [field value ...]",
        handler: xadd,
        ..Spec::BASE
    },
    Spec {
        name: "xlen",
        arity: 2,
        flags: flag::READONLY | flag::FAST,
        keys: KeySpec::FIRST,
        group: Group::Stream,
        since: "5.0.0",
        summary: "Counts the entries of a stream.",
        syntax: "key",
        handler: xlen,
        ..Spec::BASE
    },
    Spec {
        name: "xrange",
        arity: -4,
        flags: flag::READONLY,
        keys: KeySpec::FIRST,
        group: Group::Stream,
        since: "5.0.0",
        complexity: "O(log N + M) for M entries returned out of N",
        summary: "Reads the entries between two IDs, the oldest first.",
        syntax: "key start end [COUNT count]",
        handler: xrange,
        ..Spec::BASE
    },
    Spec {
        name: "xrevrange",
        arity: -4,
        flags: flag::READONLY,
        keys: KeySpec::FIRST,
        group: Group::Stream,
        since: "5.0.0",
        complexity: "O(log N + M) for M entries returned out of N",
        summary: "Reads the entries between two IDs, the newest first.",
        syntax: "key end start [COUNT count]",
        handler: xrevrange,
        ..Spec::BASE
    },
    Spec {
        name: "xsetid",
        arity: -3,
        flags: flag::WRITE | flag::DENYOOM | flag::FAST,
        keys: KeySpec::FIRST,
        group: Group::Stream,
        since: "5.0.0",
        summary: "Sets the counters of a stream; for those who restore one.",
        syntax: "key last-id [ENTRIESADDED entries-added] [MAXDELETEDID max-deleted-id]",
        handler: xsetid,
        ..Spec::BASE
    },
];

/// By what name a message goes that is to be added once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Once<'a> {
    /// The one that its producer gave it.
    Named(Message<'a>),
    /// One that is made of its content.
    Unnamed { producer: &'a [u8] },
}

impl<'a> Once<'a> {
    /// Reads IDMP or IDMPAUTO at the head of `args` and says how many arguments it took; `None` if
    /// it is neither.
    fn take(args: &[&'a [u8]]) -> Result<Option<(Self, usize)>, Refusal> {
        let refused = |text| Err(Refusal::new(text));
        match *args {
            [name, producer, ..] if arg::is(name, "IDMPAUTO") => match producer {
                [] => refused("ERR syntax error, IDMPAUTO requires a non-empty producer ID"),
                _ => Ok(Some((Self::Unnamed { producer }, 2))),
            },
            [name, producer, iid, ..] if arg::is(name, "IDMP") => match (producer, iid) {
                ([], _) => refused("ERR syntax error, IDMP requires a non-empty producer ID"),
                (_, []) => refused("ERR syntax error, IDMP requires a non-empty idempotent ID"),
                _ => Ok(Some((Self::Named(Message { producer, iid }), 3))),
            },
            _ => Ok(None),
        }
    }
}

/// What XADD was asked for.
struct Add<'a> {
    id: NewId,
    trim: Option<Trim>,
    once: Option<Once<'a>>,
    no_make: bool,
    /// Index of the first field.
    fields_at: usize,
}

impl<'a> Add<'a> {
    /// Options may stand in any order; the first argument that is none is the ID.
    fn parse(args: &[&'a [u8]], node_entries_max: u32) -> Result<Self, Refusal> {
        let mut options = TrimOptions::default();
        let (mut no_make, mut once) = (false, None);
        let mut id = None;
        let mut at = 2;
        while at < args.len() && id.is_none() {
            let taken = if args[at] == b"*" {
                0
            } else {
                options.take(&args[at..])?
            };
            if taken > 0 {
                at += taken;
                continue;
            }
            if arg::is(args[at], "NOMKSTREAM") {
                no_make = true;
            } else if let Some((found, taken)) = Once::take(&args[at..])? {
                if once.replace(found).is_some() {
                    return Err(Refusal::new(
                        "ERR syntax error, IDMP/IDMPAUTO specified multiple times",
                    ));
                }
                at += taken - 1;
            } else {
                id = Some(arg::given_id(args[at])?);
            }
            at += 1;
        }
        if once.is_some() && id.is_some_and(|id| id != GivenId::Auto) {
            return Err(Refusal::new(
                "ERR syntax error, IDMP/IDMPAUTO can be used only with auto-generated IDs",
            ));
        }
        let trim = options.finish(false, node_entries_max)?;
        let fields = args.len() - at;
        let Some(id) = id.filter(|_| fields >= 2 && fields.is_multiple_of(2)) else {
            return Err(Refusal::wrong_arity("xadd"));
        };
        let id = match id {
            GivenId::Auto => NewId::Auto,
            GivenId::AutoSeq(ms) => NewId::AutoSeq(ms),
            GivenId::Full(EntryId::MIN) => {
                return Err(Refusal::new(
                    "ERR The ID specified in XADD must be greater than 0-0",
                ));
            }
            GivenId::Full(id) => NewId::Given(id),
        };
        Ok(Self {
            id,
            trim,
            once,
            no_make,
            fields_at: at,
        })
    }
}

fn xadd(ctx: &mut Ctx<'_, '_>, args: &[&[u8]]) -> Result<Flow, Refusal> {
    let add = Add::parse(args, ctx.hub.config.stream_node_max_entries)?;
    let (db, key) = (ctx.db(), args[1]);
    if add.no_make && !ctx.batch.exists(db, key) {
        ctx.reply.null();
        return Ok(Flow::Done);
    }
    let is_new = ctx
        .hub
        .config
        .notify_keyspace_events
        .contains(EventClasses::NEW)
        && !ctx.batch.exists(db, key);
    let fields = &args[add.fields_at..];
    if let Some(trim) = add.trim {
        ctx.batch.foresee_trim(db, key, trim)?;
    }
    let added = match add.once {
        None => ctx.batch.add(db, key, add.id, fields).map(Added::New),
        Some(Once::Named(message)) => ctx.batch.add_once(db, key, message, fields),
        Some(Once::Unnamed { producer }) => {
            let iid = &content_id(fields);
            let message = Message { producer, iid };
            ctx.batch.add_once(db, key, message, fields)
        }
    };
    let id = match added {
        Ok(Added::New(id)) => id,
        Ok(Added::Repeated(id)) => {
            ctx.reply.id(id);
            return Ok(Flow::Done);
        }
        Err(Error::TooLarge { what: "entry", .. }) => {
            return Err(Refusal::new("ERR Elements are too large to be stored"));
        }
        Err(other) => return Err(other.into()),
    };
    ctx.reply.id(id);
    if is_new {
        ctx.notify(EventClasses::NEW, "new", db, key);
    }
    ctx.notify(EventClasses::STREAM, "xadd", db, key);
    if let Some(trim) = add.trim
        && ctx.batch.trim(db, key, trim)? > 0
    {
        ctx.notify(EventClasses::STREAM, "xtrim", db, key);
    }
    ctx.ready(db, key);
    Ok(Flow::Done)
}

fn xlen(ctx: &mut Ctx<'_, '_>, args: &[&[u8]]) -> Result<Flow, Refusal> {
    let length = ctx.look(args[1]).map_or(0, |stream| stream.length);
    ctx.reply.count(length);
    Ok(Flow::Done)
}

fn xrange(ctx: &mut Ctx<'_, '_>, args: &[&[u8]]) -> Result<Flow, Refusal> {
    range(ctx, args, false)
}

fn xrevrange(ctx: &mut Ctx<'_, '_>, args: &[&[u8]]) -> Result<Flow, Refusal> {
    range(ctx, args, true)
}

fn range(ctx: &mut Ctx<'_, '_>, args: &[&[u8]], reverse: bool) -> Result<Flow, Refusal> {
    let (start, end) = if reverse {
        (args[3], args[2])
    } else {
        (args[2], args[3])
    };
    let start = arg::interval_start(start)?;
    let end = arg::interval_end(end)?;
    let count = range_count(&args[4..])?;
    let (db, key) = (ctx.db(), args[1]);
    let range = Range {
        start,
        end,
        reverse,
        count,
    };
    let entries = ctx.batch.range(db, key, range)?;
    ctx.looked(db, key, entries.is_some());
    match entries {
        None => ctx.reply.array(0),
        Some(_) if count == Some(0) => ctx.reply.null_array(),
        Some(entries) => ctx.reply.entries(entries),
    }
    Ok(Flow::Done)
}

/// `[COUNT count]`, as often as one likes: the last one counts, and a negative one is 0.
fn range_count(mut options: &[&[u8]]) -> Result<Option<usize>, Refusal> {
    let mut count = None;
    while let [name, rest @ ..] = options {
        let [value, rest @ ..] = rest else {
            return Err(Refusal::SYNTAX);
        };
        if !arg::is(name, "COUNT") {
            return Err(Refusal::SYNTAX);
        }
        count = Some(arg::count(value)?);
        options = rest;
    }
    Ok(count)
}

/// The options of XSETID.
fn parse_counters(args: &[&[u8]]) -> Result<Counters, Refusal> {
    let last_id = arg::id(args[2])?;
    let mut counters = Counters {
        last_id,
        entries_added: None,
        max_deleted_id: None,
    };
    let mut options = &args[3..];
    while let [name, rest @ ..] = options {
        let [value, rest @ ..] = rest else {
            return Err(Refusal::SYNTAX);
        };
        if arg::is(name, "ENTRIESADDED") {
            let added = u64::try_from(arg::int(value)?)
                .map_err(|_| Refusal::new("ERR entries_added must be positive"))?;
            counters.entries_added = Some(added);
        } else if arg::is(name, "MAXDELETEDID") {
            let max_deleted_id = arg::id(value)?;
            if last_id < max_deleted_id {
                return Err(Refusal::new(
                    "ERR The ID specified in XSETID is smaller than the provided \
                     max_deleted_entry_id",
                ));
            }
            // 0-0 stands for "not given".
            counters.max_deleted_id = Some(max_deleted_id).filter(|id| *id != EntryId::MIN);
        } else {
            return Err(Refusal::SYNTAX);
        }
        options = rest;
    }
    Ok(counters)
}

fn xsetid(ctx: &mut Ctx<'_, '_>, args: &[&[u8]]) -> Result<Flow, Refusal> {
    let counters = parse_counters(args)?;
    let (db, key) = (ctx.db(), args[1]);
    let stream = ctx.batch.stream(db, key).ok_or(Refusal::NO_SUCH_KEY)?;
    if counters.last_id < stream.max_deleted_id {
        return Err(Refusal::new(
            "ERR The ID specified in XSETID is smaller than current max_deleted_entry_id",
        ));
    }
    if has_entry_above(ctx, key, counters.last_id)? {
        return Err(Refusal::new(
            "ERR The ID specified in XSETID is smaller than the target stream top item",
        ));
    }
    if stream.length > 0
        && counters
            .entries_added
            .is_some_and(|added| added < stream.length)
    {
        return Err(Refusal::new(
            "ERR The entries_added specified in XSETID is smaller than the target stream length",
        ));
    }
    ctx.batch.set_counters(db, key, counters)?;
    ctx.notify(EventClasses::STREAM, "xsetid", db, key);
    ctx.reply.ok();
    Ok(Flow::Done)
}

fn has_entry_above(ctx: &mut Ctx<'_, '_>, key: &[u8], id: EntryId) -> Result<bool, Refusal> {
    let Some(start) = id.next() else {
        return Ok(false);
    };
    let range = Range {
        start,
        end: EntryId::MAX,
        reverse: false,
        count: Some(1),
    };
    let entries = ctx.batch.range(ctx.db(), key, range)?;
    Ok(entries.is_some_and(|entries| !entries.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::{Add, Message, Once};
    use alluvium_engine::{NewId, RefPolicy, Trim, TrimStrategy};

    fn add(command: &str) -> Result<Add<'_>, String> {
        let args: Vec<&[u8]> = command.split(' ').map(str::as_bytes).collect();
        Add::parse(&args, 100)
            .map_err(|refusal| String::from_utf8_lossy(refusal.text()).into_owned())
    }

    #[test]
    fn xadd_options_come_in_any_order_before_the_id() {
        let parsed = add("XADD k LIMIT 7 nomkstream MAXLEN ~ 5 delref * f v").unwrap();
        assert_eq!(parsed.id, NewId::Auto);
        assert!(parsed.no_make);
        assert_eq!(parsed.fields_at, 10);
        let trim = Trim {
            strategy: TrimStrategy::MaxLen(5),
            approximate: true,
            limit: Some(7),
            references: RefPolicy::Drop,
        };
        assert_eq!(parsed.trim, Some(trim));
        assert_eq!(add("XADD k 5-* f v").unwrap().id, NewId::AutoSeq(5));
    }

    #[test]
    fn a_message_that_is_added_once_has_a_producer_and_an_automatic_id() {
        let named = Once::Named(Message {
            producer: b"p",
            iid: b"7",
        });
        assert_eq!(add("XADD k IDMP p 7 * f v").unwrap().once, Some(named));
        let unnamed = Once::Unnamed { producer: b"p" };
        let parsed = add("XADD k MAXLEN 5 idmpauto p NOMKSTREAM * f v").unwrap();
        assert_eq!(parsed.once, Some(unnamed));
        for (command, refusal) in [
            (
                "IDMP p 7 5-5 f v",
                "can be used only with auto-generated IDs",
            ),
            (
                "IDMPAUTO p 5-* f v",
                "can be used only with auto-generated IDs",
            ),
            ("IDMP p 7 IDMPAUTO p * f v", "specified multiple times"),
            ("IDMP  7 * f v", "IDMP requires a non-empty producer ID"),
            ("IDMP p  * f v", "IDMP requires a non-empty idempotent ID"),
            (
                "IDMPAUTO  * f v",
                "IDMPAUTO requires a non-empty producer ID",
            ),
            ("IDMP p * f v", "Invalid stream ID"),
        ] {
            let refused = add(&format!("XADD k {command}")).err().unwrap();
            assert!(refused.contains(refusal), "{command}: {refused}");
        }
    }

    #[test]
    fn what_is_no_option_is_taken_for_the_id() {
        let invalid = "ERR Invalid stream ID specified as stream command argument";
        for command in [
            "XADD k KEEPREF DELREF * f v",
            "XADD k MAXLEN = 5 f v",
            "XADD k - f v",
        ] {
            assert_eq!(add(command).err().unwrap(), invalid, "{command}");
        }
        let arity = "ERR wrong number of arguments for 'xadd' command";
        for command in [
            "XADD k MAXLEN 5 *",
            "XADD k 1 f v f",
            "XADD k MAXLEN 5 NOMKSTREAM",
        ] {
            assert_eq!(add(command).err().unwrap(), arity, "{command}");
        }
        let zero = "ERR The ID specified in XADD must be greater than 0-0";
        assert_eq!(add("XADD k 0-0 f v").err().unwrap(), zero);
        assert!(add("XADD k 0-* f v").is_ok());
    }
}
