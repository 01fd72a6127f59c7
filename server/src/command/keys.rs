//! Keys, whatever they hold: DEL, UNLINK, EXISTS, TYPE, TOUCH, RENAME, RENAMENX, COPY, MOVE, and
//! the databases they are in: KEYS, SCAN, RANDOMKEY, DBSIZE, SWAPDB, FLUSHDB, FLUSHALL.

use alluvium_engine::{StreamInfo, limits};

use super::{Ctx, Flow, Group, KeySpec, Spec, arg, flag};
use crate::glob;
use crate::keyspace_events::EventClasses;
use crate::refusal::Refusal;

/// What most commands on one key have in common.
const ON_KEY: Spec = Spec {
    keys: KeySpec::FIRST,
    group: Group::Generic,
    ..Spec::BASE
};

/// What commands on any number of keys have in common.
const ON_KEYS: Spec = Spec {
    arity: -2,
    keys: KeySpec::Range {
        first: 1,
        last: -1,
        step: 1,
    },
    complexity: "O(N) for N keys",
    syntax: "key [key ...]",
    ..ON_KEY
};

/// What commands on two keys have in common.
const ON_TWO_KEYS: Spec = Spec {
    keys: KeySpec::Range {
        first: 1,
        last: 2,
        step: 1,
    },
    ..ON_KEY
};

pub(crate) static SPECS: &[Spec] = &[
    Spec {
        name: "del",
        flags: flag::WRITE,
        summary: "Removes keys.",
        handler: del,
        ..ON_KEYS
    },
    Spec {
        name: "unlink",
        flags: flag::WRITE | flag::FAST,
        since: "4.0.0",
        summary: "Removes keys. The same as DEL: neither has to touch the entries.",
        handler: del,
        ..ON_KEYS
    },
    Spec {
        name: "exists",
        flags: flag::READONLY | flag::FAST,
        summary: "Counts which of the keys exist, one that is named twice twice.",
        handler: exists,
        ..ON_KEYS
    },
    Spec {
        name: "touch",
        flags: flag::READONLY | flag::FAST,
        since: "3.2.1",
        summary: "Counts which of the keys exist and marks them as used.",
        handler: exists,
        ..ON_KEYS
    },
    Spec {
        name: "type",
        arity: 2,
        flags: flag::READONLY | flag::FAST,
        summary: "Tells what a key holds: stream, or none.",
        syntax: "key",
        handler: type_of,
        ..ON_KEY
    },
    Spec {
        name: "rename",
        arity: 3,
        flags: flag::WRITE,
        summary: "Renames a key; one of the new name is replaced.",
        syntax: "key newkey",
        handler: rename,
        ..ON_TWO_KEYS
    },
    Spec {
        name: "renamenx",
        arity: 3,
        flags: flag::WRITE | flag::FAST,
        summary: "Renames a key unless there is one of the new name.",
        syntax: "key newkey",
        handler: renamenx,
        ..ON_TWO_KEYS
    },
    Spec {
        name: "copy",
        arity: -3,
        flags: flag::WRITE | flag::DENYOOM,
        since: "6.2.0",
        complexity: "O(N) for N entries and pending entries",
        summary: "Copies a stream with its groups to another key.",
        syntax: "source destination [DB destination-db] [REPLACE]",
        handler: copy,
        ..ON_TWO_KEYS
    },
    Spec {
        name: "move",
        arity: 3,
        flags: flag::WRITE | flag::FAST,
        summary: "Moves a key to another database.",
        syntax: "key db",
        handler: move_key,
        ..ON_KEY
    },
    Spec {
        name: "swapdb",
        arity: 3,
        flags: flag::WRITE | flag::FAST,
        keys: KeySpec::None,
        group: Group::Server,
        since: "4.0.0",
        summary: "Exchanges two databases.",
        syntax: "index1 index2",
        handler: swapdb,
        ..ON_KEY
    },
    Spec {
        name: "keys",
        arity: 2,
        flags: flag::READONLY,
        keys: KeySpec::None,
        complexity: "O(N) for N keys in the database",
        summary: "Lists the keys that match a pattern.",
        syntax: "pattern",
        handler: keys,
        ..ON_KEY
    },
    Spec {
        name: "scan",
        arity: -2,
        flags: flag::READONLY,
        keys: KeySpec::None,
        since: "2.8.0",
        complexity: "O(COUNT) a call",
        summary: "Lists keys, a few at a time.",
        syntax: "cursor [MATCH pattern] [COUNT count] [TYPE type]",
        handler: scan,
        ..ON_KEY
    },
    Spec {
        name: "randomkey",
        arity: 1,
        flags: flag::READONLY,
        keys: KeySpec::None,
        summary: "Names some key of the database.",
        handler: randomkey,
        ..ON_KEY
    },
    Spec {
        name: "dbsize",
        arity: 1,
        flags: flag::READONLY | flag::FAST,
        keys: KeySpec::None,
        group: Group::Server,
        summary: "Counts the keys of the database.",
        handler: dbsize,
        ..ON_KEY
    },
    Spec {
        name: "flushdb",
        arity: -1,
        flags: flag::WRITE,
        keys: KeySpec::None,
        group: Group::Server,
        complexity: "O(N) for N keys in the database",
        summary: "Removes all keys of the database.",
        syntax: "[ASYNC | SYNC]",
        handler: flushdb,
        ..ON_KEY
    },
    Spec {
        name: "flushall",
        arity: -1,
        flags: flag::WRITE,
        keys: KeySpec::None,
        group: Group::Server,
        complexity: "O(N) for N keys in all databases",
        summary: "Removes all keys of all databases.",
        syntax: "[ASYNC | SYNC]",
        handler: flushall,
        ..ON_KEY
    },
];

/// COUNT of SCAN if none is given.
const SCAN_COUNT: usize = 10;

impl Ctx<'_, '_> {
    /// Looks a key up in order to read it: counts it as found or missed.
    pub(crate) fn look(&mut self, key: &[u8]) -> Option<StreamInfo> {
        let db = self.db();
        let stream = self.batch.stream(db, key);
        self.looked(db, key, stream.is_some());
        stream
    }

    /// Whether a key exists that is about to be read; counts it as found or missed.
    pub(crate) fn look_for(&mut self, key: &[u8]) -> bool {
        let db = self.db();
        let exists = self.batch.exists(db, key);
        self.looked(db, key, exists);
        exists
    }

    /// Counts a key that was looked for in order to read it as found or missed.
    pub(crate) fn looked(&mut self, db: u8, key: &[u8], exists: bool) {
        if exists {
            self.hub.stats.keyspace_hits += 1;
        } else {
            self.hub.stats.keyspace_misses += 1;
            self.notify(EventClasses::MISSED, "keymiss", db, key);
        }
    }
}

/// Removes a key, as DEL does and an expiry in the past.
pub(super) fn remove(ctx: &mut Ctx<'_, '_>, db: u8, key: &[u8]) -> Result<bool, Refusal> {
    let is_removed = ctx.batch.remove(db, key)?;
    if is_removed {
        ctx.gone(db, key);
        ctx.notify(EventClasses::GENERIC, "del", db, key);
    }
    Ok(is_removed)
}

fn del(ctx: &mut Ctx<'_, '_>, args: &[&[u8]]) -> Result<Flow, Refusal> {
    let db = ctx.db();
    let mut removed = 0;
    for key in &args[1..] {
        removed += i64::from(remove(ctx, db, key)?);
    }
    ctx.reply.int(removed);
    Ok(Flow::Done)
}

fn exists(ctx: &mut Ctx<'_, '_>, args: &[&[u8]]) -> Result<Flow, Refusal> {
    let is_touch = ctx.command.spec.name == "touch";
    let db = ctx.db();
    let mut found = 0;
    for key in &args[1..] {
        if ctx.look_for(key) {
            found += 1;
            if is_touch {
                ctx.batch.touch(db, key);
            }
        }
    }
    ctx.reply.int(found);
    Ok(Flow::Done)
}

fn type_of(ctx: &mut Ctx<'_, '_>, args: &[&[u8]]) -> Result<Flow, Refusal> {
    let exists = ctx.look_for(args[1]);
    ctx.reply.simple(if exists { "stream" } else { "none" });
    Ok(Flow::Done)
}

fn rename(ctx: &mut Ctx<'_, '_>, args: &[&[u8]]) -> Result<Flow, Refusal> {
    rename_to(ctx, args, true)?;
    ctx.reply.ok();
    Ok(Flow::Done)
}

fn renamenx(ctx: &mut Ctx<'_, '_>, args: &[&[u8]]) -> Result<Flow, Refusal> {
    let is_renamed = rename_to(ctx, args, false)?;
    ctx.reply.int(i64::from(is_renamed));
    Ok(Flow::Done)
}

/// False if nothing was renamed: both names are the same, or the new one is taken.
fn rename_to(ctx: &mut Ctx<'_, '_>, args: &[&[u8]], replaces: bool) -> Result<bool, Refusal> {
    let (db, from, to) = (ctx.db(), args[1], args[2]);
    if !ctx.batch.exists(db, from) {
        return Err(Refusal::NO_SUCH_KEY);
    }
    if from == to || (!replaces && ctx.batch.exists(db, to)) {
        return Ok(false);
    }
    ctx.batch.rename(db, from, db, to)?;
    ctx.notify(EventClasses::NEW, "new", db, to);
    ctx.ready(db, to);
    ctx.gone(db, from);
    ctx.notify(EventClasses::GENERIC, "rename_from", db, from);
    ctx.notify(EventClasses::GENERIC, "rename_to", db, to);
    Ok(true)
}

/// A database number that the broker has.
fn database(index: i32) -> Result<u8, Refusal> {
    u8::try_from(index)
        .ok()
        .filter(|db| *db < limits::DATABASES)
        .ok_or(Refusal::new("ERR DB index is out of range"))
}

fn move_key(ctx: &mut Ctx<'_, '_>, args: &[&[u8]]) -> Result<Flow, Refusal> {
    let (db, key) = (ctx.db(), args[1]);
    let to_db = database(arg::int32(args[2])?)?;
    if to_db == db {
        return Err(same_object());
    }
    let is_moved = ctx.batch.exists(db, key) && !ctx.batch.exists(to_db, key);
    if is_moved {
        ctx.batch.rename(db, key, to_db, key)?;
        ctx.notify(EventClasses::NEW, "new", to_db, key);
        ctx.ready(to_db, key);
        ctx.gone(db, key);
        ctx.notify(EventClasses::GENERIC, "move_from", db, key);
        ctx.notify(EventClasses::GENERIC, "move_to", to_db, key);
    }
    ctx.reply.int(i64::from(is_moved));
    Ok(Flow::Done)
}

fn same_object() -> Refusal {
    Refusal::new("ERR source and destination objects are the same")
}

fn copy(ctx: &mut Ctx<'_, '_>, args: &[&[u8]]) -> Result<Flow, Refusal> {
    let (db, from, to) = (ctx.db(), args[1], args[2]);
    let mut to_db = db;
    let mut replaces = false;
    let mut options = &args[3..];
    while let [name, rest @ ..] = options {
        options = match rest {
            _ if arg::is(name, "REPLACE") => {
                replaces = true;
                rest
            }
            [value, rest @ ..] if arg::is(name, "DB") => {
                to_db = database(arg::int32(value)?)?;
                rest
            }
            _ => return Err(Refusal::SYNTAX),
        };
    }
    if db == to_db && from == to {
        return Err(same_object());
    }
    if !ctx.look_for(from) || (!replaces && ctx.batch.exists(to_db, to)) {
        ctx.reply.int(0);
        return Ok(Flow::Done);
    }
    if ctx.batch.exists(to_db, to) {
        // Copied aside first: a copy that fails, say on a full disk, must not cost the target.
        let aside = free_name(ctx, to_db);
        ctx.batch.copy(db, from, to_db, &aside)?;
        ctx.batch.rename(to_db, &aside, to_db, to)?;
    } else {
        ctx.batch.copy(db, from, to_db, to)?;
    }
    ctx.notify(EventClasses::NEW, "new", to_db, to);
    ctx.ready(to_db, to);
    ctx.notify(EventClasses::GENERIC, "copy_to", to_db, to);
    ctx.reply.int(1);
    Ok(Flow::Done)
}

/// A name that no key has. Nobody sees it: the key is renamed within the same command.
fn free_name(ctx: &mut Ctx<'_, '_>, db: u8) -> Vec<u8> {
    let mut name = b"copy".to_vec();
    while ctx.batch.exists(db, &name) {
        name.push(b'+');
    }
    name
}

fn swapdb(ctx: &mut Ctx<'_, '_>, args: &[&[u8]]) -> Result<Flow, Refusal> {
    let first = arg::int32_or(args[1], Refusal::new("ERR invalid first DB index"))?;
    let second = arg::int32_or(args[2], Refusal::new("ERR invalid second DB index"))?;
    let (first, second) = (database(first)?, database(second)?);
    if first != second {
        ctx.swapped(first, second);
        ctx.batch.swap_databases(first, second)?;
    }
    ctx.reply.ok();
    Ok(Flow::Done)
}

/// The keys of a database that match; the pattern `*` is matched by every key, even the empty one.
fn matches(pattern: Option<&[u8]>, key: &[u8]) -> bool {
    match pattern {
        None | Some(b"*") => true,
        Some(pattern) => glob::matches(pattern, key),
    }
}

fn keys(ctx: &mut Ctx<'_, '_>, args: &[&[u8]]) -> Result<Flow, Refusal> {
    let db = ctx.db();
    let mut found: Vec<Vec<u8>> = Vec::new();
    let mut cursor = 0;
    loop {
        let count = ctx.batch.key_count(db).max(1);
        cursor = ctx.batch.scan(db, cursor, count, &mut |key| {
            if matches(Some(args[1]), key) {
                found.push(key.to_vec());
            }
        });
        if cursor == 0 {
            break;
        }
    }
    list(ctx, &found);
    Ok(Flow::Done)
}

fn list(ctx: &mut Ctx<'_, '_>, keys: &[Vec<u8>]) {
    ctx.reply.array(keys.len());
    for key in keys {
        ctx.reply.bulk(key);
    }
}

fn scan(ctx: &mut Ctx<'_, '_>, args: &[&[u8]]) -> Result<Flow, Refusal> {
    let cursor = arg::cursor(args[1]).ok_or(Refusal::new("ERR invalid cursor"))?;
    let mut count = SCAN_COUNT;
    let mut pattern = None;
    let mut wants_streams = true;
    let mut options = &args[2..];
    while let [name, rest @ ..] = options {
        let [value, rest @ ..] = rest else {
            return Err(Refusal::SYNTAX);
        };
        if arg::is(name, "COUNT") {
            let given = arg::int(value)?;
            count = usize::try_from(given)
                .ok()
                .filter(|count| *count > 0)
                .ok_or(Refusal::SYNTAX)?;
        } else if arg::is(name, "MATCH") {
            pattern = Some(*value);
        } else if arg::is(name, "TYPE") {
            // Of other types, known to Redis or not, there are no keys.
            wants_streams = arg::is(value, "stream");
        } else {
            return Err(Refusal::SYNTAX);
        }
        options = rest;
    }
    let db = ctx.db();
    let mut found: Vec<Vec<u8>> = Vec::new();
    let next = ctx.batch.scan(db, cursor, count, &mut |key| {
        if wants_streams && matches(pattern, key) {
            found.push(key.to_vec());
        }
    });
    ctx.reply.array(2);
    ctx.reply.bulk_int(next);
    list(ctx, &found);
    Ok(Flow::Done)
}

fn randomkey(ctx: &mut Ctx<'_, '_>, _: &[&[u8]]) -> Result<Flow, Refusal> {
    match ctx.batch.random_key(ctx.db()) {
        Some(key) => ctx.reply.bulk(&key),
        None => ctx.reply.null(),
    }
    Ok(Flow::Done)
}

fn dbsize(ctx: &mut Ctx<'_, '_>, _: &[&[u8]]) -> Result<Flow, Refusal> {
    let count = ctx.batch.key_count(ctx.db());
    ctx.reply.count(count);
    Ok(Flow::Done)
}

fn flushdb(ctx: &mut Ctx<'_, '_>, args: &[&[u8]]) -> Result<Flow, Refusal> {
    let db = ctx.db();
    flush(ctx, args, Some(db))
}

fn flushall(ctx: &mut Ctx<'_, '_>, args: &[&[u8]]) -> Result<Flow, Refusal> {
    flush(ctx, args, None)
}

fn flush(ctx: &mut Ctx<'_, '_>, args: &[&[u8]], db: Option<u8>) -> Result<Flow, Refusal> {
    match args[1..] {
        [] => {}
        [mode] if arg::is(mode, "ASYNC") || arg::is(mode, "SYNC") => {}
        _ => return Err(Refusal::SYNTAX),
    }
    ctx.flushed(db);
    ctx.batch.flush(db)?;
    ctx.reply.ok();
    Ok(Flow::Done)
}
