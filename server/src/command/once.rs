//! Messages that producers may send more than once: XCFGSET, XIDMPRECORD, and what XADD takes for
//! the name of a message that has none. XCFGSET sets how much of a stream is kept as well.

use alluvium_engine::limits::{IID_SECONDS_MAX, IIDS_MAX};
use alluvium_engine::{Message, ProducerSettings, Remembering};
use xxhash_rust::xxh3::Xxh3;

use super::{Ctx, Flow, Group, KeySpec, Spec, flag};
use super::{arg, retention};
use crate::refusal::Refusal;

pub(crate) static SPECS: &[Spec] = &[
    Spec {
        name: "xcfgset",
        arity: -2,
        flags: flag::WRITE | flag::FAST,
        keys: KeySpec::FIRST,
        group: Group::Stream,
        since: "8.6.0",
        summary: "Sets for how long and how many messages of each producer a stream remembers, and how \
                  much of it is kept.",
        syntax: "key [IDMP-DURATION seconds] [IDMP-MAXSIZE count] \
                 [RETENTION-AGE <milliseconds | DEFAULT>] [RETENTION-BYTES <bytes | DEFAULT>] \
                 [RETENTION-LENGTH <entries | DEFAULT>] \
                 [RETENTION-ACKED <YES | NO | DEFAULT>] \
                 [RETENTION-ACKED-MAX-AGE <milliseconds | DEFAULT>]",
        handler: xcfgset,
        ..Spec::BASE
    },
    Spec {
        name: "xidmprecord",
        arity: 5,
        flags: flag::WRITE | flag::DENYOOM | flag::FAST,
        keys: KeySpec::FIRST,
        group: Group::Stream,
        since: "8.6.2",
        summary: "Remembers that an entry came of a producer's message; for those who restore one.",
        syntax: "key pid iid id",
        handler: xidmprecord,
        ..Spec::BASE
    },
];

/// The name of a message by its content, whatever the order of its fields: for each field the
/// XXH3 of the field, its length and the value; their sum and, turned, what they differ in.
pub(super) fn content_id(fields: &[&[u8]]) -> [u8; 16] {
    let (mut sum, mut difference) = ([0u64; 2], [0u64; 2]);
    let mut hasher = Xxh3::new();
    for pair in fields.chunks_exact(2) {
        hasher.reset();
        hasher.update(pair[0]);
        hasher.update(&(pair[0].len() as u64).to_le_bytes());
        hasher.update(pair[1]);
        let hash = hasher.digest128().to_le_bytes();
        for (at, half) in hash.as_chunks::<8>().0.iter().enumerate() {
            let half = u64::from_le_bytes(*half);
            sum[at] = sum[at].wrapping_add(half);
            difference[at] ^= half;
        }
    }
    let low = sum[0] ^ difference[1].rotate_left(1);
    let high = sum[1] ^ difference[0].rotate_left(1);
    (u128::from(high) << 64 | u128::from(low)).to_le_bytes()
}

fn xcfgset(ctx: &mut Ctx<'_, '_>, args: &[&[u8]]) -> Result<Flow, Refusal> {
    let (db, key) = (ctx.db(), args[1]);
    let present = ctx.batch.producers(db, key).ok_or(Refusal::NO_SUCH_KEY)?;
    let retention = ctx.batch.retention(db, key).unwrap_or_default();
    let mut retention = retention::Options::new(retention);
    let settings = parse(&args[2..], present.settings, &mut retention)?;
    ctx.batch.set_producers(db, key, settings)?;
    if !retention.is_empty() {
        ctx.batch.set_retention(db, key, retention.retention)?;
        ctx.touched(db, key);
    }
    ctx.reply.ok();
    Ok(Flow::Done)
}

fn parse(
    mut options: &[&[u8]],
    present: ProducerSettings,
    retention: &mut retention::Options,
) -> Result<ProducerSettings, Refusal> {
    if options.is_empty() {
        return Err(Refusal::new("ERR At least one parameter must be specified"));
    }
    let (mut seconds, mut count_max) = (None, None);
    while let [name, rest @ ..] = options {
        let [value, rest @ ..] = rest else {
            return Err(Refusal::SYNTAX);
        };
        options = rest;
        if arg::is(name, "IDMP-DURATION") {
            let refusal = "ERR IDMP-DURATION must be between 1 and 86400 seconds";
            set_once(&mut seconds, (name, value), IID_SECONDS_MAX, refusal)?;
        } else if arg::is(name, "IDMP-MAXSIZE") {
            let refusal = "ERR IDMP-MAXSIZE must be between 1 and 10000 entries";
            set_once(&mut count_max, (name, value), IIDS_MAX, refusal)?;
        } else if !retention.take(name, value)? {
            return Err(Refusal::SYNTAX);
        }
    }
    Ok(ProducerSettings {
        seconds: seconds.unwrap_or(present.seconds),
        count_max: count_max.unwrap_or(present.count_max),
    })
}

fn set_once(
    setting: &mut Option<u32>,
    (name, value): (&[u8], &[u8]),
    max: u32,
    refusal: &'static str,
) -> Result<(), Refusal> {
    if setting.is_some() {
        let name = name.to_ascii_uppercase();
        return Err(Refusal::quoting(&[
            b"ERR ",
            &name,
            b" specified multiple times",
        ]));
    }
    let number = u32::try_from(arg::int(value)?).ok();
    let number = number.filter(|number| (1..=max).contains(number));
    *setting = Some(number.ok_or(Refusal::new(refusal))?);
    Ok(())
}

fn xidmprecord(ctx: &mut Ctx<'_, '_>, args: &[&[u8]]) -> Result<Flow, Refusal> {
    let (producer, iid, id) = (args[2], args[3], arg::id(args[4])?);
    if producer.is_empty() {
        return Err(Refusal::new("ERR producer ID must be non-empty"));
    }
    if iid.is_empty() {
        return Err(Refusal::new("ERR idempotent ID must be non-empty"));
    }
    let message = Message { producer, iid };
    match ctx.batch.remember(ctx.db(), args[1], message, id)? {
        Remembering::Done => ctx.reply.ok(),
        Remembering::NoEntry => return Err(Refusal::new("ERR No such message in stream")),
        Remembering::OtherEntry => {
            return Err(Refusal::new(
                "ERR IID already exists for this producer with a different stream ID",
            ));
        }
    }
    Ok(Flow::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    // What Redis 8.6.3 writes into its append-only file for the same entries.
    #[test]
    fn content_has_the_name_that_redis_gives_it() {
        let name = |fields: &[&str]| {
            let fields: Vec<&[u8]> = fields.iter().map(|field| field.as_bytes()).collect();
            let id = content_id(&fields);
            format!("{:032x}", u128::from_be_bytes(id))
        };
        assert_eq!(name(&["f", "v"]), "6e95729ee727f0814aedffba55730079");
        assert_eq!(name(&["", ""]), "1a9f7ebbaea1d61d30b6b8daa3e38da7");
        let two = "c5b282935f77a53123e1ff7a302a11f2";
        assert_eq!(name(&["a", "1", "b", "2"]), two);
        assert_eq!(name(&["b", "2", "a", "1"]), two);
        assert_eq!(
            name(&["ab", "1", "ab", "1"]),
            "c0a2b78cb6dd4f1cc281ae4dd364176b"
        );
        let many = [
            "a", "1", "b", "2", "c", "3", "d", "4", "e", "5", "f", "6", "g", "7",
        ];
        assert_eq!(name(&many), "9da1236f6211a22c343b4ad4e6893433");
        let (long, longer) = ("x".repeat(300), "y".repeat(500));
        let mixed = [
            "temperature",
            "21.5",
            "unit",
            "celsius",
            "sensor-id",
            "1234567890",
        ];
        let mixed: Vec<&str> = mixed.into_iter().chain([&*long, &*longer]).collect();
        assert_eq!(name(&mixed), "19147c073b711cacaad0c691d4cbc98f");
    }
}
