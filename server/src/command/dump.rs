//! DUMP and RESTORE: streams as bytes that Redis and Valkey understand.
//!
//! DUMP takes the plan of a stream under the lock and writes the payload outside of it. RESTORE
//! reads and checks all of a payload before it changes anything.

use alluvium_engine::NewStream;

use super::{Ctx, Flow, Group, KeySpec, Spec, arg, flag, keys};
use crate::keyspace_events::EventClasses;
use crate::log;
use crate::rdb::{self, Payload, Unreadable};
use crate::refusal::Refusal;

pub(crate) static SPECS: &[Spec] = &[
    Spec {
        name: "dump",
        arity: 2,
        flags: flag::READONLY,
        keys: KeySpec::FIRST,
        group: Group::Generic,
        since: "2.6.0",
        complexity: "O(N) for N entries and pending entries",
        summary: "Writes a stream with its groups as a payload for RESTORE; null for a missing key.",
        syntax: "key",
        handler: dump,
        ..Spec::BASE
    },
    Spec {
        name: "restore",
        arity: -4,
        flags: flag::WRITE | flag::DENYOOM,
        keys: KeySpec::FIRST,
        group: Group::Generic,
        since: "2.6.0",
        complexity: "O(N) for N entries and pending entries",
        summary: "Makes a stream of a payload that DUMP wrote, here or in Redis or Valkey.",
        syntax: "key ttl serialized-value [REPLACE] [ABSTTL] [IDLETIME seconds] [FREQ frequency]",
        handler: restore,
        ..Spec::BASE
    },
];

/// An entry takes at least so many bytes of a payload.
const ENTRY_LEN_MIN: u64 = 10;

fn dump(ctx: &mut Ctx<'_, '_>, args: &[&[u8]]) -> Result<Flow, Refusal> {
    let (db, key) = (ctx.db(), args[1]);
    let length = ctx.look(key).map_or(0, |stream| stream.length);
    if length.saturating_mul(ENTRY_LEN_MIN) > rdb::PAYLOAD_LEN_MAX as u64 {
        return Err(Refusal::format(format_args!(
            "ERR payload of the stream of {length} entries is over the limit of {} bytes",
            rdb::PAYLOAD_LEN_MAX
        )));
    }
    let Some(export) = ctx.batch.export(db, key)? else {
        ctx.reply.null();
        return Ok(Flow::Done);
    };
    let version_max = ctx.hub.config.dump_rdb_version;
    let mut groups = export.parts.groups.iter();
    if version_max < rdb::GIVEN_BACK_VERSION && groups.any(|group| !group.given_back.is_empty()) {
        // Left out, they would never be delivered again.
        return Err(Refusal::format(format_args!(
            "ERR before dump-rdb-version {} the payload cannot hold entries that were given back \
             by XNACK; claim them first",
            rdb::GIVEN_BACK_VERSION
        )));
    }
    let write = move || rdb::write(&export, version_max);
    ctx.reply.late_bulk(Box::new(write));
    Ok(Flow::Done)
}

/// What may stand behind the payload.
#[derive(Default)]
struct Options {
    replaces: bool,
    is_absolute: bool,
    idle_secs: Option<u64>,
    has_frequency: bool,
}

impl Options {
    fn parse(mut args: &[&[u8]]) -> Result<Self, Refusal> {
        let mut options = Self::default();
        while let [name, rest @ ..] = args {
            args = match rest {
                _ if arg::is(name, "REPLACE") => {
                    options.replaces = true;
                    rest
                }
                _ if arg::is(name, "ABSTTL") => {
                    options.is_absolute = true;
                    rest
                }
                [secs, rest @ ..] if arg::is(name, "IDLETIME") && !options.has_frequency => {
                    let refusal = Refusal::new("ERR Invalid IDLETIME value, must be >= 0");
                    let secs = u64::try_from(arg::int(secs)?).map_err(|_| refusal)?;
                    options.idle_secs = Some(secs);
                    rest
                }
                // Without an LFU policy, of which there is none, a frequency says nothing.
                [frequency, rest @ ..] if arg::is(name, "FREQ") && options.idle_secs.is_none() => {
                    let refusal = Refusal::new("ERR Invalid FREQ value, must be >= 0 and <= 255");
                    u8::try_from(arg::int(frequency)?).map_err(|_| refusal)?;
                    options.has_frequency = true;
                    rest
                }
                _ => return Err(Refusal::SYNTAX),
            };
        }
        Ok(options)
    }
}

fn restore(ctx: &mut Ctx<'_, '_>, args: &[&[u8]]) -> Result<Flow, Refusal> {
    let (db, key) = (ctx.db(), args[1]);
    let options = Options::parse(&args[4..])?;
    if !options.replaces && ctx.batch.exists(db, key) {
        return Err(Refusal::from(alluvium_engine::Error::KeyExists));
    }
    let expiry_ms = expiry(ctx, args[2], options.is_absolute)?;
    let mut payload = Payload::read(args[3]).map_err(|error| unreadable(key, &error))?;
    payload.expire(expiry_ms);
    let new = NewStream::new(payload.parts(), &payload)
        .map_err(|error| unreadable(key, &Unreadable::Stream(error)))?;
    if expiry_ms.is_some_and(|expiry_ms| expiry_ms <= ctx.batch.now_ms()) {
        // Whatever it was, its time is over.
        keys::remove(ctx, db, key)?;
        ctx.reply.ok();
        return Ok(Flow::Done);
    }
    ctx.batch.restore(db, key, &new, options.replaces)?;
    if let Some(idle_secs) = options.idle_secs {
        let idle_ms = idle_secs.saturating_mul(1000);
        ctx.batch.set_idle_ms(db, key, idle_ms);
    }
    ctx.notify(EventClasses::NEW, "new", db, key);
    ctx.ready(db, key);
    ctx.notify(EventClasses::GENERIC, "restore", db, key);
    ctx.reply.ok();
    Ok(Flow::Done)
}

/// When the key expires; a time of 0 means never.
fn expiry(ctx: &Ctx<'_, '_>, ttl: &[u8], is_absolute: bool) -> Result<Option<u64>, Refusal> {
    let refusal = Refusal::new("ERR Invalid TTL value, must be >= 0");
    let ttl = u64::try_from(arg::int(ttl)?).map_err(|_| refusal.clone())?;
    if ttl == 0 {
        return Ok(None);
    }
    let start = if is_absolute { 0 } else { ctx.batch.now_ms() };
    // As everywhere, a time is one that a signed number can hold.
    let expiry_ms = start
        .checked_add(ttl)
        .filter(|ms| i64::try_from(*ms).is_ok());
    expiry_ms.map(Some).ok_or(refusal)
}

/// The words of Redis; the reason is a line in the broker's log.
fn unreadable(key: &[u8], error: &Unreadable) -> Refusal {
    match error {
        Unreadable::Envelope => Refusal::new("ERR DUMP payload version or checksum are wrong"),
        Unreadable::OtherType(types) => Refusal::format(format_args!(
            "ERR Bad data format: this server only holds streams, not {types}"
        )),
        Unreadable::Stream(alluvium_engine::Error::Malformed { what }) => {
            let key = key.escape_ascii();
            log::warning(format_args!("RESTORE of {key}: malformed payload: {what}"));
            Refusal::new("ERR Bad data format")
        }
        Unreadable::Stream(error) => Refusal::format(format_args!("ERR {error}")),
    }
}
