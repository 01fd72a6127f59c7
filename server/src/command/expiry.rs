//! When keys end: the EXPIRE and TTL families, and PERSIST.
//!
//! A time is kept as milliseconds since the epoch, whatever unit it came in. One that is not in the
//! future removes the key at once.

use super::{Ctx, Flow, Group, KeySpec, Spec, arg, flag, keys};
use crate::keyspace_events::EventClasses;
use crate::refusal::Refusal;

/// What the commands that set an expiry have in common.
const SETS: Spec = Spec {
    arity: -3,
    flags: flag::WRITE | flag::FAST,
    keys: KeySpec::FIRST,
    group: Group::Generic,
    ..Spec::BASE
};

/// What the commands that tell an expiry have in common.
const TELLS: Spec = Spec {
    arity: 2,
    flags: flag::READONLY | flag::FAST,
    syntax: "key",
    ..SETS
};

pub(crate) static SPECS: &[Spec] = &[
    Spec {
        name: "expire",
        summary: "Lets a key end in a number of seconds.",
        syntax: "key seconds [NX | XX | GT | LT]",
        handler: expire,
        ..SETS
    },
    Spec {
        name: "pexpire",
        since: "2.6.0",
        summary: "Lets a key end in a number of milliseconds.",
        syntax: "key milliseconds [NX | XX | GT | LT]",
        handler: pexpire,
        ..SETS
    },
    Spec {
        name: "expireat",
        since: "1.2.0",
        summary: "Lets a key end at a Unix time in seconds.",
        syntax: "key unix-time-seconds [NX | XX | GT | LT]",
        handler: expireat,
        ..SETS
    },
    Spec {
        name: "pexpireat",
        since: "2.6.0",
        summary: "Lets a key end at a Unix time in milliseconds.",
        syntax: "key unix-time-milliseconds [NX | XX | GT | LT]",
        handler: pexpireat,
        ..SETS
    },
    Spec {
        name: "persist",
        arity: 2,
        since: "2.2.0",
        summary: "Lets a key stay for ever.",
        syntax: "key",
        handler: persist,
        ..SETS
    },
    Spec {
        name: "ttl",
        summary: "Tells in how many seconds a key ends: -1 is never, -2 no such key.",
        handler: ttl,
        ..TELLS
    },
    Spec {
        name: "pttl",
        since: "2.6.0",
        summary: "Tells in how many milliseconds a key ends: -1 is never, -2 no such key.",
        handler: pttl,
        ..TELLS
    },
    Spec {
        name: "expiretime",
        since: "7.0.0",
        summary: "Tells the Unix time in seconds at which a key ends: -1 is never, -2 no such key.",
        handler: expiretime,
        ..TELLS
    },
    Spec {
        name: "pexpiretime",
        since: "7.0.0",
        summary: "Tells the Unix time in milliseconds at which a key ends: -1 is never, -2 no such \
                  key.",
        handler: pexpiretime,
        ..TELLS
    },
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    Seconds,
    Milliseconds,
}

/// On which present expiry a new one depends.
#[expect(
    clippy::struct_excessive_bools,
    reason = "four options of the command, of which several may be given"
)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Condition {
    /// NX: there is none.
    is_none: bool,
    /// XX: there is one.
    is_some: bool,
    /// GT: it is earlier. No expiry is later than any.
    is_earlier: bool,
    /// LT: it is later, or there is none.
    is_later: bool,
}

impl Condition {
    fn parse(options: &[&[u8]]) -> Result<Self, Refusal> {
        let mut parsed = Self::default();
        for option in options {
            if arg::is(option, "NX") {
                parsed.is_none = true;
            } else if arg::is(option, "XX") {
                parsed.is_some = true;
            } else if arg::is(option, "GT") {
                parsed.is_earlier = true;
            } else if arg::is(option, "LT") {
                parsed.is_later = true;
            } else {
                return Err(Refusal::quoting(&[b"ERR Unsupported option ", option]));
            }
        }
        if parsed.is_none && (parsed.is_some || parsed.is_earlier || parsed.is_later) {
            return Err(Refusal::new(
                "ERR NX and XX, GT or LT options at the same time are not compatible",
            ));
        }
        if parsed.is_earlier && parsed.is_later {
            return Err(Refusal::new(
                "ERR GT and LT options at the same time are not compatible",
            ));
        }
        Ok(parsed)
    }

    fn allows(self, present_ms: Option<u64>, new_ms: i64) -> bool {
        let Some(present_ms) = present_ms else {
            return !self.is_some && !self.is_earlier;
        };
        let present_ms = i64::try_from(present_ms).unwrap_or(i64::MAX);
        !(self.is_none
            || self.is_earlier && new_ms <= present_ms
            || self.is_later && new_ms >= present_ms)
    }
}

fn expire(ctx: &mut Ctx<'_, '_>, args: &[&[u8]]) -> Result<Flow, Refusal> {
    let now_ms = ctx.batch.now_ms();
    set(ctx, args, Unit::Seconds, now_ms)
}

fn pexpire(ctx: &mut Ctx<'_, '_>, args: &[&[u8]]) -> Result<Flow, Refusal> {
    let now_ms = ctx.batch.now_ms();
    set(ctx, args, Unit::Milliseconds, now_ms)
}

fn expireat(ctx: &mut Ctx<'_, '_>, args: &[&[u8]]) -> Result<Flow, Refusal> {
    set(ctx, args, Unit::Seconds, 0)
}

fn pexpireat(ctx: &mut Ctx<'_, '_>, args: &[&[u8]]) -> Result<Flow, Refusal> {
    set(ctx, args, Unit::Milliseconds, 0)
}

/// The time that an argument means, counted from `base_ms`; `None` if it is not representable.
fn absolute_ms(time: i64, unit: Unit, base_ms: u64) -> Option<i64> {
    let time_ms = match unit {
        Unit::Seconds => time.checked_mul(1_000)?,
        Unit::Milliseconds => time,
    };
    time_ms.checked_add(i64::try_from(base_ms).ok()?)
}

fn set(ctx: &mut Ctx<'_, '_>, args: &[&[u8]], unit: Unit, base_ms: u64) -> Result<Flow, Refusal> {
    let (db, key) = (ctx.db(), args[1]);
    let condition = Condition::parse(&args[3..])?;
    let time = arg::int(args[2])?;
    let expiry_ms = absolute_ms(time, unit, base_ms).ok_or_else(|| {
        let name = ctx.command.full_name();
        Refusal::format(format_args!("ERR invalid expire time in '{name}' command"))
    })?;
    let allows = match ctx.batch.expiry(db, key) {
        Some(present_ms) => condition.allows(present_ms, expiry_ms),
        None => false,
    };
    if allows {
        match u64::try_from(expiry_ms) {
            Ok(expiry_ms) if expiry_ms > ctx.batch.now_ms() => {
                ctx.batch.set_expiry(db, key, Some(expiry_ms))?;
                ctx.touched(db, key);
                ctx.notify(EventClasses::GENERIC, "expire", db, key);
            }
            _ => {
                keys::remove(ctx, db, key)?;
            }
        }
    }
    ctx.reply.int(i64::from(allows));
    Ok(Flow::Done)
}

fn persist(ctx: &mut Ctx<'_, '_>, args: &[&[u8]]) -> Result<Flow, Refusal> {
    let (db, key) = (ctx.db(), args[1]);
    let has_expiry = ctx.batch.expiry(db, key).flatten().is_some();
    if has_expiry {
        ctx.batch.set_expiry(db, key, None)?;
        ctx.touched(db, key);
        ctx.notify(EventClasses::GENERIC, "persist", db, key);
    }
    ctx.reply.int(i64::from(has_expiry));
    Ok(Flow::Done)
}

fn ttl(ctx: &mut Ctx<'_, '_>, args: &[&[u8]]) -> Result<Flow, Refusal> {
    let now_ms = ctx.batch.now_ms();
    tell(ctx, args[1], Unit::Seconds, now_ms)
}

fn pttl(ctx: &mut Ctx<'_, '_>, args: &[&[u8]]) -> Result<Flow, Refusal> {
    let now_ms = ctx.batch.now_ms();
    tell(ctx, args[1], Unit::Milliseconds, now_ms)
}

fn expiretime(ctx: &mut Ctx<'_, '_>, args: &[&[u8]]) -> Result<Flow, Refusal> {
    tell(ctx, args[1], Unit::Seconds, 0)
}

fn pexpiretime(ctx: &mut Ctx<'_, '_>, args: &[&[u8]]) -> Result<Flow, Refusal> {
    tell(ctx, args[1], Unit::Milliseconds, 0)
}

fn tell(ctx: &mut Ctx<'_, '_>, key: &[u8], unit: Unit, base_ms: u64) -> Result<Flow, Refusal> {
    let exists = ctx.look_for(key);
    match ctx.batch.expiry(ctx.db(), key).filter(|_| exists) {
        None => ctx.reply.int(-2),
        Some(None) => ctx.reply.int(-1),
        Some(Some(expiry_ms)) => {
            let ms = expiry_ms.saturating_sub(base_ms);
            ctx.reply.count(match unit {
                Unit::Seconds => ms.saturating_add(500) / 1_000,
                Unit::Milliseconds => ms,
            });
        }
    }
    Ok(Flow::Done)
}

#[cfg(test)]
mod tests {
    use super::{Condition, Unit, absolute_ms};

    fn condition(options: &str) -> Result<Condition, String> {
        let options: Vec<&[u8]> = options.split(' ').map(str::as_bytes).collect();
        Condition::parse(&options)
            .map_err(|refusal| String::from_utf8_lossy(refusal.text()).into_owned())
    }

    #[test]
    fn a_key_without_expiry_lives_longer_than_any_other() {
        for (options, none, earlier, same, later) in [
            ("NX", true, false, false, false),
            ("XX", false, true, true, true),
            ("GT", false, true, false, false),
            ("LT", true, false, false, true),
            ("GT XX", false, true, false, false),
            ("lt xx", false, false, false, true),
        ] {
            let condition = condition(options).unwrap();
            assert_eq!(condition.allows(None, 100), none, "{options} on none");
            assert_eq!(
                condition.allows(Some(50), 100),
                earlier,
                "{options} on earlier"
            );
            assert_eq!(
                condition.allows(Some(100), 100),
                same,
                "{options} on the same"
            );
            assert_eq!(
                condition.allows(Some(150), 100),
                later,
                "{options} on later"
            );
        }
    }

    #[test]
    fn conditions_that_exclude_each_other_are_refused() {
        let with_nx = "ERR NX and XX, GT or LT options at the same time are not compatible";
        assert_eq!(condition("NX XX").unwrap_err(), with_nx);
        assert_eq!(condition("GT LT NX").unwrap_err(), with_nx);
        assert_eq!(
            condition("GT LT").unwrap_err(),
            "ERR GT and LT options at the same time are not compatible"
        );
        assert_eq!(condition("FOO").unwrap_err(), "ERR Unsupported option FOO");
    }

    #[test]
    fn a_time_must_fit_signed_milliseconds() {
        assert_eq!(absolute_ms(5, Unit::Seconds, 100), Some(5_100));
        assert_eq!(absolute_ms(-5, Unit::Milliseconds, 2), Some(-3));
        assert_eq!(absolute_ms(i64::MAX, Unit::Milliseconds, 0), Some(i64::MAX));
        assert_eq!(absolute_ms(i64::MAX, Unit::Milliseconds, 1), None);
        assert_eq!(absolute_ms(i64::MAX / 1_000 + 1, Unit::Seconds, 0), None);
        assert_eq!(absolute_ms(i64::MIN / 1_000 - 1, Unit::Seconds, 0), None);
    }
}
