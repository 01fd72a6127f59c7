//! Consumer groups: XGROUP with its subcommands, and XACK.

use alluvium_engine::{Cursor, EntryId, Error, Member, StreamInfo};

use super::arg::{self, Ids};
use super::help::help;
use super::{Ctx, Flow, Group, KeySpec, Spec, flag};
use crate::keyspace_events::EventClasses;
use crate::refusal::Refusal;
use crate::waiters::Ready;

pub(crate) static SPECS: &[Spec] = &[
    Spec {
        name: "xgroup",
        arity: -2,
        group: Group::Stream,
        since: "5.0.0",
        complexity: "Depends on the subcommand",
        summary: "Makes, changes and removes consumer groups.",
        subcommands: XGROUP,
        ..Spec::BASE
    },
    Spec {
        name: "xack",
        arity: -4,
        flags: flag::WRITE | flag::FAST,
        keys: KeySpec::FIRST,
        group: Group::Stream,
        since: "5.0.0",
        complexity: "O(log P) for each ID, P being the pending entries",
        summary: "Acknowledges entries: they are no longer pending in the group.",
        syntax: "key group id [id ...]",
        handler: xack,
        ..Spec::BASE
    },
];

/// What the subcommands of XGROUP that name a group have in common.
const ON_GROUP: Spec = Spec {
    flags: flag::WRITE,
    keys: KeySpec::at(2),
    group: Group::Stream,
    since: "5.0.0",
    ..Spec::BASE
};

const XGROUP: &[Spec] = &[
    Spec {
        name: "create",
        arity: -5,
        flags: flag::WRITE | flag::DENYOOM,
        summary: "Makes a group that begins behind an ID, and the stream too if told so.",
        syntax: "key group <id | $> [MKSTREAM] [ENTRIESREAD entries-read]",
        handler: create,
        ..ON_GROUP
    },
    Spec {
        name: "createconsumer",
        arity: 5,
        flags: flag::WRITE | flag::DENYOOM,
        since: "6.2.0",
        summary: "Makes a consumer; reading as a consumer does so too.",
        syntax: "key group consumer",
        handler: create_consumer,
        ..ON_GROUP
    },
    Spec {
        name: "delconsumer",
        arity: 5,
        complexity: "O(P) for the consumer's pending entries",
        summary: "Removes a consumer and drops what is pending for it.",
        syntax: "key group consumer",
        handler: remove_consumer,
        ..ON_GROUP
    },
    Spec {
        name: "destroy",
        arity: 4,
        complexity: "O(P) for the group's pending entries",
        summary: "Removes a group with its consumers and all that is pending.",
        syntax: "key group",
        handler: destroy,
        ..ON_GROUP
    },
    Spec {
        name: "help",
        arity: 2,
        flags: flag::LOADING | flag::STALE,
        keys: KeySpec::None,
        summary: "Lists the subcommands.",
        handler: xgroup_help,
        ..ON_GROUP
    },
    Spec {
        name: "setid",
        arity: -5,
        summary: "Moves a group's cursor; what is pending stays pending.",
        syntax: "key group <id | $> [ENTRIESREAD entries-read]",
        handler: set_id,
        ..ON_GROUP
    },
];

/// The options of CREATE and SETID.
#[derive(Debug, Default, PartialEq, Eq)]
struct Options {
    make_stream: bool,
    /// `None`: not known.
    entries_read: Option<u64>,
}

impl Options {
    fn parse(args: &[&[u8]], may_make_stream: bool) -> Result<Self, Refusal> {
        let mut parsed = Self::default();
        let mut options = &args[5..];
        while let [name, rest @ ..] = options {
            if may_make_stream && arg::is(name, "MKSTREAM") {
                parsed.make_stream = true;
                options = rest;
                continue;
            }
            match rest {
                [value, rest @ ..] if arg::is(name, "ENTRIESREAD") => {
                    parsed.entries_read = entries_read(value)?;
                    options = rest;
                }
                _ => return Err(Refusal::unknown_use("XGROUP", args[1])),
            }
        }
        Ok(parsed)
    }

    /// Nobody has read more entries than were added.
    fn entries_read_of(&self, stream: &StreamInfo) -> Option<u64> {
        self.entries_read.map(|read| read.min(stream.entries_added))
    }
}

/// A count of entries, or -1 for "not known".
fn entries_read(value: &[u8]) -> Result<Option<u64>, Refusal> {
    match arg::int(value)? {
        -1 => Ok(None),
        count => u64::try_from(count)
            .map(Some)
            .map_err(|_| Refusal::new("ERR value for ENTRIESREAD must be positive or -1")),
    }
}

/// The ID behind which a group begins; `$` is the stream's last one.
fn cursor_id(arg: &[u8], last_id: EntryId, allows_ends: bool) -> Result<EntryId, Refusal> {
    match arg {
        b"$" => Ok(last_id),
        _ if allows_ends => arg::id_or_end(arg, 0),
        _ => arg::id(arg),
    }
}

fn create(ctx: &mut Ctx<'_, '_>, args: &[&[u8]]) -> Result<Flow, Refusal> {
    let options = Options::parse(args, true)?;
    let (db, key, group) = (ctx.db(), args[2], args[3]);
    let stream = ctx.batch.stream(db, key);
    if stream.is_none() && !options.make_stream {
        return Err(needs_key());
    }
    if args.len() > 8 {
        return Err(Refusal::unknown_use("XGROUP", args[1]));
    }
    let known = stream.unwrap_or_default();
    let id = cursor_id(args[4], known.last_id, false)?;
    if stream.is_none() {
        ctx.batch.create_stream(db, key)?;
        ctx.notify(EventClasses::NEW, "new", db, key);
        ctx.ready(db, key);
    }
    let entries_read = options.entries_read_of(&known);
    ctx.batch
        .create_group(db, key, group, Cursor { id, entries_read })?;
    ctx.notify(EventClasses::STREAM, "xgroup-create", db, key);
    ctx.reply.ok();
    Ok(Flow::Done)
}

fn set_id(ctx: &mut Ctx<'_, '_>, args: &[&[u8]]) -> Result<Flow, Refusal> {
    let options = Options::parse(args, false)?;
    let (db, key, group) = (ctx.db(), args[2], args[3]);
    let stream = ctx.batch.stream(db, key).ok_or_else(needs_key)?;
    if !ctx.batch.group_exists(db, key, group) {
        return Err(no_group(key, group));
    }
    if args.len() > 7 {
        return Err(Refusal::unknown_use("XGROUP", args[1]));
    }
    let id = cursor_id(args[4], stream.last_id, true)?;
    let entries_read = options.entries_read_of(&stream);
    ctx.batch
        .set_cursor(db, key, group, Cursor { id, entries_read })?;
    ctx.notify(EventClasses::STREAM, "xgroup-setid", db, key);
    ctx.reply.ok();
    Ok(Flow::Done)
}

fn destroy(ctx: &mut Ctx<'_, '_>, args: &[&[u8]]) -> Result<Flow, Refusal> {
    let (db, key, group) = (ctx.db(), args[2], args[3]);
    let is_removed = ctx
        .batch
        .remove_group(db, key, group)
        .map_err(|error| match error {
            Error::NoSuchKey => needs_key(),
            other => other.into(),
        })?;
    if is_removed {
        ctx.notify(EventClasses::STREAM, "xgroup-destroy", db, key);
        ctx.hub.waiters.ready(db, key, Ready::Groups);
    }
    ctx.reply.int(i64::from(is_removed));
    Ok(Flow::Done)
}

fn create_consumer(ctx: &mut Ctx<'_, '_>, args: &[&[u8]]) -> Result<Flow, Refusal> {
    let (db, key) = (ctx.db(), args[2]);
    let member = Member {
        group: args[3],
        consumer: args[4],
    };
    let is_created = ctx
        .batch
        .create_consumer(db, key, member)
        .map_err(|error| refusal(error, key, member.group))?;
    if is_created {
        ctx.notify(EventClasses::STREAM, "xgroup-createconsumer", db, key);
    }
    ctx.reply.int(i64::from(is_created));
    Ok(Flow::Done)
}

fn remove_consumer(ctx: &mut Ctx<'_, '_>, args: &[&[u8]]) -> Result<Flow, Refusal> {
    let (db, key) = (ctx.db(), args[2]);
    let member = Member {
        group: args[3],
        consumer: args[4],
    };
    let pending = ctx
        .batch
        .remove_consumer(db, key, member)
        .map_err(|error| refusal(error, key, member.group))?;
    if pending.is_some() {
        ctx.notify(EventClasses::STREAM, "xgroup-delconsumer", db, key);
    }
    ctx.reply.count(pending.unwrap_or(0));
    Ok(Flow::Done)
}

fn xgroup_help(ctx: &mut Ctx<'_, '_>, _: &[&[u8]]) -> Result<Flow, Refusal> {
    Ok(help(
        ctx,
        "XGROUP",
        &[
            (
                "CREATE <key> <groupname> <id|$> [option]",
                &[
                    "Create a new consumer group. Options are:",
                    "* MKSTREAM",
                    "  Create the empty stream if it does not exist.",
                    "* ENTRIESREAD entries_read",
                    "  Set the group's entries_read counter (internal use).",
                ],
            ),
            (
                "CREATECONSUMER <key> <groupname> <consumer>",
                &["Create a new consumer in the specified group."],
            ),
            (
                "DELCONSUMER <key> <groupname> <consumer>",
                &["Remove the specified consumer."],
            ),
            (
                "DESTROY <key> <groupname>",
                &["Remove the specified group."],
            ),
            (
                "SETID <key> <groupname> <id|$> [ENTRIESREAD entries_read]",
                &["Set the current group ID and entries_read counter."],
            ),
        ],
    ))
}

fn xack(ctx: &mut Ctx<'_, '_>, args: &[&[u8]]) -> Result<Flow, Refusal> {
    let (db, key, group) = (ctx.db(), args[1], args[2]);
    let acked = match Ids::parse(&args[3..]) {
        Ok(ids) => ctx.batch.ack(db, key, group, &ids)?,
        // Without the group nothing is acknowledged, whatever the IDs are.
        Err(refusal) if ctx.batch.group_exists(db, key, group) => return Err(refusal),
        Err(_) => 0,
    };
    // Who acknowledged something has found the key.
    let exists = acked > 0 || ctx.batch.exists(db, key);
    ctx.looked(db, key, exists);
    ctx.reply.count(acked);
    Ok(Flow::Done)
}

fn needs_key() -> Refusal {
    Refusal::new(
        "ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to \
         use the MKSTREAM option to create an empty stream automatically.",
    )
}

/// There is no such group, in the words of XGROUP and XINFO.
pub(super) fn no_group(key: &[u8], group: &[u8]) -> Refusal {
    let parts: [&[u8]; 5] = [
        b"NOGROUP No such consumer group '",
        group,
        b"' for key name '",
        key,
        b"'",
    ];
    Refusal::quoting(&parts)
}

fn refusal(error: Error, key: &[u8], group: &[u8]) -> Refusal {
    match error {
        Error::NoSuchKey => needs_key(),
        Error::NoSuchGroup => no_group(key, group),
        other => other.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::Options;

    fn parse(command: &str, may_make_stream: bool) -> Result<Options, String> {
        let args: Vec<&[u8]> = command.split(' ').map(str::as_bytes).collect();
        Options::parse(&args, may_make_stream)
            .map_err(|refusal| String::from_utf8_lossy(refusal.text()).into_owned())
    }

    #[test]
    fn only_create_makes_a_stream() {
        let options = Options {
            make_stream: true,
            entries_read: Some(7),
        };
        assert_eq!(
            parse("XGROUP CREATE k g $ entriesread 7 mkstream", true).unwrap(),
            options
        );
        assert_eq!(
            parse("XGROUP SETID k g $ MKSTREAM", false).unwrap_err(),
            "ERR unknown subcommand or wrong number of arguments for 'SETID'. Try XGROUP HELP."
        );
    }

    #[test]
    fn minus_one_means_that_the_entries_read_are_not_known() {
        assert_eq!(
            parse("XGROUP SETID k g $ ENTRIESREAD -1", false)
                .unwrap()
                .entries_read,
            None
        );
        assert_eq!(
            parse("XGROUP SETID k g $ ENTRIESREAD -2", false).unwrap_err(),
            "ERR value for ENTRIESREAD must be positive or -1"
        );
        assert!(parse("XGROUP SETID k g $ ENTRIESREAD", false).is_err());
    }
}
