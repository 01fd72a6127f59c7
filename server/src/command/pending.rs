//! What was delivered and not acknowledged: XPENDING, XCLAIM, XAUTOCLAIM.

use alluvium_engine::{AutoClaim, Claim, EntryId, Error, Member, PendingFilter};

use super::arg::{self, Ids};
use super::{Ctx, Flow, Group, KeySpec, Spec, flag};
use crate::keyspace_events::EventClasses;
use crate::refusal::Refusal;
use crate::waiters::Ready;

pub(crate) static SPECS: &[Spec] = &[
    Spec {
        name: "xpending",
        arity: -3,
        flags: flag::READONLY,
        keys: KeySpec::FIRST,
        group: Group::Stream,
        since: "5.0.0",
        complexity: "O(N) for N pending entries looked at; O(C) for C consumers without a range",
        summary: "Sums up what is pending in a group, or lists it.",
        syntax: "key group [[IDLE min-idle-time] start end count [consumer]]",
        handler: xpending,
        ..Spec::BASE
    },
    Spec {
        name: "xclaim",
        arity: -6,
        flags: flag::WRITE | flag::FAST,
        keys: KeySpec::FIRST,
        group: Group::Stream,
        since: "5.0.0",
        complexity: "O(log P) for each ID, P being the pending entries",
        summary: "Makes pending entries pending for another consumer.",
        syntax: "key group consumer min-idle-time id [id ...] [IDLE ms] [TIME unix-time-ms] \
                 [RETRYCOUNT count] [FORCE] [JUSTID] [LASTID id]",
        handler: xclaim,
        ..Spec::BASE
    },
    Spec {
        name: "xautoclaim",
        arity: -6,
        flags: flag::WRITE | flag::FAST,
        keys: KeySpec::FIRST,
        group: Group::Stream,
        since: "6.2.0",
        complexity: "O(COUNT)",
        summary: "Claims whatever has been pending for long enough.",
        syntax: "key group consumer min-idle-time start [COUNT count] [JUSTID]",
        handler: xautoclaim,
        ..Spec::BASE
    },
];

/// COUNT of XAUTOCLAIM if none is given.
const AUTO_CLAIM_COUNT: usize = 100;
/// The largest COUNT that Redis takes: its IDs must fit the address space.
const AUTO_CLAIM_COUNT_MAX: i64 = i64::MAX / 16;

/// There is no such key or group, in the words of XPENDING, XCLAIM, XAUTOCLAIM and XNACK.
pub(super) fn no_group(key: &[u8], group: &[u8]) -> Refusal {
    Refusal::quoting(&[
        b"NOGROUP No such key '",
        key,
        b"' or consumer group '",
        group,
        b"'",
    ])
}

fn refusal(error: Error, key: &[u8], group: &[u8]) -> Refusal {
    match error {
        Error::NoSuchKey | Error::NoSuchGroup => no_group(key, group),
        other => other.into(),
    }
}

/// The range form of XPENDING. Its parts are checked in Redis' order: IDLE, count, start, end.
fn parse_filter<'a>(args: &[&'a [u8]]) -> Result<PendingFilter<'a>, Refusal> {
    if args.len() < 6 || args.len() > 9 {
        return Err(Refusal::SYNTAX);
    }
    let mut min_idle_ms = 0;
    let mut rest = &args[3..];
    if arg::is(rest[0], "IDLE") {
        min_idle_ms = at_least_zero(arg::int(rest[1])?);
        rest = &rest[2..];
    }
    let [start, end, count, consumer @ ..] = rest else {
        return Err(Refusal::SYNTAX);
    };
    let count = arg::count(count)?;
    let start = arg::interval_start(start)?;
    let end = arg::interval_end(end)?;
    Ok(PendingFilter {
        min_idle_ms,
        start,
        end,
        count,
        consumer: consumer.first().copied(),
    })
}

fn at_least_zero(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

fn xpending(ctx: &mut Ctx<'_, '_>, args: &[&[u8]]) -> Result<Flow, Refusal> {
    let (db, key, group) = (ctx.db(), args[1], args[2]);
    if args.len() == 3 {
        return summary(ctx, key, group);
    }
    let filter = parse_filter(args)?;
    if !ctx.look_for(key) {
        return Err(no_group(key, group));
    }
    let pending = ctx
        .batch
        .pending_range(db, key, group, &filter)
        .map_err(|error| refusal(error, key, group))?;
    ctx.reply.array(pending.len());
    for entry in pending {
        ctx.reply.array(4);
        ctx.reply.id(entry.id);
        ctx.reply.bulk(&entry.consumer);
        match entry.idle_ms {
            Some(idle_ms) => ctx.reply.count(idle_ms),
            None => ctx.reply.int(-1),
        }
        ctx.reply.count(entry.delivery_count);
    }
    Ok(Flow::Done)
}

fn summary(ctx: &mut Ctx<'_, '_>, key: &[u8], group: &[u8]) -> Result<Flow, Refusal> {
    if !ctx.look_for(key) {
        return Err(no_group(key, group));
    }
    let summary = ctx
        .batch
        .pending_summary(ctx.db(), key, group)
        .map_err(|error| refusal(error, key, group))?;
    ctx.reply.array(4);
    ctx.reply.count(summary.count);
    let Some((lowest, highest)) = summary.bounds else {
        ctx.reply.null();
        ctx.reply.null();
        ctx.reply.null_array();
        return Ok(Flow::Done);
    };
    ctx.reply.id(lowest);
    ctx.reply.id(highest);
    ctx.reply.array(summary.consumers.len());
    for (consumer, count) in summary.consumers {
        ctx.reply.array(2);
        ctx.reply.bulk(&consumer);
        ctx.reply.bulk_int(count);
    }
    Ok(Flow::Done)
}

/// The options of XCLAIM behind its IDs.
#[derive(Debug, Default, PartialEq, Eq)]
struct ClaimOptions {
    force: bool,
    just_id: bool,
    /// Milliseconds since the epoch.
    delivered_ms: Option<u64>,
    delivery_count: Option<u64>,
    last_id: Option<EntryId>,
}

impl ClaimOptions {
    fn parse(mut options: &[&[u8]], now_ms: u64) -> Result<Self, Refusal> {
        let mut parsed = Self::default();
        while let [name, rest @ ..] = options {
            options = rest;
            if arg::is(name, "FORCE") {
                parsed.force = true;
            } else if arg::is(name, "JUSTID") {
                parsed.just_id = true;
            } else if let [value, rest @ ..] = rest {
                parsed.take(name, value, now_ms)?;
                options = rest;
            } else {
                return Err(unrecognized(name));
            }
        }
        Ok(parsed)
    }

    fn take(&mut self, name: &[u8], value: &[u8], now_ms: u64) -> Result<(), Refusal> {
        let now = i64::try_from(now_ms).unwrap_or(i64::MAX);
        if arg::is(name, "IDLE") {
            let invalid = Refusal::new("ERR Invalid IDLE option argument for XCLAIM");
            let idle = arg::int_or(value, invalid)?;
            self.delivered_ms = Some(delivered_ms(now.wrapping_sub(idle), now));
        } else if arg::is(name, "TIME") {
            let invalid = Refusal::new("ERR Invalid TIME option argument for XCLAIM");
            self.delivered_ms = Some(delivered_ms(arg::int_or(value, invalid)?, now));
        } else if arg::is(name, "RETRYCOUNT") {
            let invalid = Refusal::new("ERR Invalid RETRYCOUNT option argument for XCLAIM");
            self.delivery_count = u64::try_from(arg::int_or(value, invalid)?).ok();
        } else if arg::is(name, "LASTID") {
            self.last_id = Some(arg::id(value)?);
        } else {
            return Err(unrecognized(name));
        }
        Ok(())
    }
}

/// A delivery time that cannot be (the future, or before the epoch) is now.
fn delivered_ms(time: i64, now: i64) -> u64 {
    at_least_zero(if (0..=now).contains(&time) { time } else { now })
}

fn unrecognized(option: &[u8]) -> Refusal {
    Refusal::quoting(&[b"ERR Unrecognized XCLAIM option '", option, b"'"])
}

fn xclaim(ctx: &mut Ctx<'_, '_>, args: &[&[u8]]) -> Result<Flow, Refusal> {
    let (db, key) = (ctx.db(), args[1]);
    let member = Member {
        group: args[2],
        consumer: args[3],
    };
    if !ctx.look_for(key) || !ctx.batch.group_exists(db, key, member.group) {
        return Err(no_group(key, member.group));
    }
    let invalid = Refusal::new("ERR Invalid min-idle-time argument for XCLAIM");
    let min_idle_ms = at_least_zero(arg::int_or(args[4], invalid)?);
    // The first argument that is no ID begins the options.
    let id_count = args[5..]
        .iter()
        .take_while(|id| arg::parse_id(id, 0).is_some())
        .count();
    let ids = Ids::parse(&args[5..5 + id_count])?;
    let options = ClaimOptions::parse(&args[5 + id_count..], ctx.batch.now_ms())?;
    let claim = Claim {
        min_idle_ms,
        ids: &ids,
        delivery_time_ms: options.delivered_ms,
        delivery_count: options.delivery_count,
        force: options.force,
        just_id: options.just_id,
        last_id: options.last_id,
    };
    let claimed = ctx.batch.claim(db, key, member, &claim)?;
    if claimed.consumer_created {
        ctx.notify(EventClasses::STREAM, "xgroup-createconsumer", db, key);
    }
    if !claimed.ids.is_empty() {
        ctx.hub.waiters.ready(db, key, Ready::Claimers);
    }
    if options.just_id {
        ctx.reply.ids(&claimed.ids);
    } else {
        ctx.reply.entries(claimed.entries);
    }
    Ok(Flow::Done)
}

fn xautoclaim(ctx: &mut Ctx<'_, '_>, args: &[&[u8]]) -> Result<Flow, Refusal> {
    let (db, key) = (ctx.db(), args[1]);
    let member = Member {
        group: args[2],
        consumer: args[3],
    };
    let exists = ctx.look_for(key);
    let invalid = Refusal::new("ERR Invalid min-idle-time argument for XAUTOCLAIM");
    let min_idle_ms = at_least_zero(arg::int_or(args[4], invalid)?);
    let start = arg::interval_start(args[5])?;
    let mut claim = AutoClaim {
        min_idle_ms,
        start,
        count: AUTO_CLAIM_COUNT,
        just_id: false,
    };
    let mut options = &args[6..];
    while let [name, rest @ ..] = options {
        options = match rest {
            [value, rest @ ..] if arg::is(name, "COUNT") => {
                claim.count = auto_claim_count(value)?;
                rest
            }
            _ if arg::is(name, "JUSTID") => {
                claim.just_id = true;
                rest
            }
            _ => return Err(Refusal::SYNTAX),
        };
    }
    if !exists {
        return Err(no_group(key, member.group));
    }
    let result = ctx
        .batch
        .auto_claim(db, key, member, claim)
        .map_err(|error| refusal(error, key, member.group))?;
    if result.claimed.consumer_created {
        ctx.notify(EventClasses::STREAM, "xgroup-createconsumer", db, key);
    }
    ctx.reply.array(3);
    ctx.reply.id(result.next);
    if claim.just_id {
        ctx.reply.ids(&result.claimed.ids);
    } else {
        ctx.reply.entries(result.claimed.entries);
    }
    ctx.reply.ids(&result.deleted);
    Ok(Flow::Done)
}

fn auto_claim_count(value: &[u8]) -> Result<usize, Refusal> {
    arg::parse_int(value)
        .filter(|count| (1..=AUTO_CLAIM_COUNT_MAX).contains(count))
        .and_then(|count| usize::try_from(count).ok())
        .ok_or(Refusal::new("ERR COUNT must be > 0"))
}

#[cfg(test)]
mod tests {
    use super::{ClaimOptions, parse_filter};
    use alluvium_engine::EntryId;

    fn split(text: &str) -> Vec<&[u8]> {
        text.split(' ')
            .filter(|word| !word.is_empty())
            .map(str::as_bytes)
            .collect()
    }

    #[test]
    fn a_pending_range_may_exclude_its_ends_and_name_a_consumer() {
        let args = split("XPENDING k g IDLE 5 (1-1 3 10 c");
        let filter = parse_filter(&args).unwrap();
        assert_eq!(filter.min_idle_ms, 5);
        assert_eq!(filter.start, EntryId::new(1, 2));
        assert_eq!(filter.end, EntryId::new(3, u64::MAX));
        assert_eq!((filter.count, filter.consumer), (10, Some(&b"c"[..])));
        assert_eq!(
            parse_filter(&split("XPENDING k g - + -3")).unwrap().count,
            0
        );
    }

    #[test]
    fn a_pending_range_needs_start_end_and_count() {
        for command in [
            "XPENDING k g -",
            "XPENDING k g - +",
            "XPENDING k g IDLE 5 -",
            "XPENDING k g IDLE 5 - +",
            "XPENDING k g IDLE 5 - + 10 c more",
        ] {
            let text = parse_filter(&split(command)).unwrap_err();
            assert_eq!(text.text(), b"ERR syntax error", "{command}");
        }
    }

    #[test]
    fn a_claim_may_set_time_and_count() {
        let parse = |text| ClaimOptions::parse(&split(text), 1_000);
        let options = parse("idle 100 RETRYCOUNT 7 FORCE LASTID 5 JUSTID").unwrap();
        assert_eq!(options.delivered_ms, Some(900));
        assert_eq!(options.delivery_count, Some(7));
        assert_eq!(options.last_id, Some(EntryId::new(5, 0)));
        assert!(options.force && options.just_id);
        assert_eq!(parse("TIME 2000").unwrap().delivered_ms, Some(1_000));
        assert_eq!(parse("IDLE 2000").unwrap().delivered_ms, Some(1_000));
        assert_eq!(parse("IDLE -1").unwrap().delivered_ms, Some(1_000));
        assert_eq!(parse("RETRYCOUNT -1").unwrap().delivery_count, None);
    }

    #[test]
    fn an_unknown_claim_option_is_named() {
        for (command, refusal) in [
            ("1-x", "ERR Unrecognized XCLAIM option '1-x'"),
            ("FOO 5", "ERR Unrecognized XCLAIM option 'FOO'"),
            ("IDLE", "ERR Unrecognized XCLAIM option 'IDLE'"),
            ("TIME x", "ERR Invalid TIME option argument for XCLAIM"),
        ] {
            let refused = ClaimOptions::parse(&split(command), 1_000).unwrap_err();
            assert_eq!(refused.text(), refusal.as_bytes());
        }
    }
}
