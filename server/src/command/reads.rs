//! Reading what comes next: XREAD and XREADGROUP, and when they wait.
//!
//! Both go over their streams twice. The first pass only checks, in the order in which Redis finds
//! fault: key, group, ID. The second reads; IDs are parsed again there, which is cheaper than to
//! keep them. A command that finds nothing blocks, with `$` replaced by the ID that it meant, and
//! runs again as a whole each time one of its keys may have become of interest.

use alluvium_engine::{Deliver, Entries, EntryId, Error, Fits, History, Member, Overdue, Range};
use smallvec::SmallVec;

use super::read_budget::Budget;
use super::read_request::{From, Request, Verb};
use super::{Block, Ctx, Flow, Group, KeySpec, Spec, WaitKind, flag};
use crate::keyspace_events::EventClasses;
use crate::refusal::Refusal;
use crate::resp::Protocol;
use crate::waiters::Ready;

pub(crate) static SPECS: &[Spec] = &[
    Spec {
        name: "xread",
        arity: -4,
        flags: flag::READONLY | flag::BLOCKING | flag::MOVABLEKEYS,
        keys: KeySpec::Streams,
        group: Group::Stream,
        since: "5.0.0",
        complexity: "O(log N + M) a stream, for M entries returned out of N",
        summary: "Reads the entries behind given IDs of one or more streams, or waits for some.",
        syntax: "[COUNT count] [MAXCOUNT count] [MAXSIZE bytes] [BLOCK milliseconds] \
                 STREAMS key [key ...] <id | $ | +> [<id | $ | +> ...]",
        handler: xread,
        ..Spec::BASE
    },
    Spec {
        name: "xreadgroup",
        arity: -7,
        flags: flag::WRITE | flag::BLOCKING | flag::MOVABLEKEYS,
        keys: KeySpec::Streams,
        group: Group::Stream,
        since: "5.0.0",
        complexity: "O(M log P) a stream, for M entries delivered and P pending ones",
        summary: "Delivers new entries to a consumer, or repeats what is pending for it.",
        syntax: "GROUP group consumer [COUNT count] [MAXCOUNT count] [MAXSIZE bytes] \
                 [BLOCK milliseconds] [CLAIM min-idle-time] [NOACK] STREAMS key [key ...] <id | >> [<id | >> ...]",
        handler: xreadgroup,
        ..Spec::BASE
    },
];

fn xread(ctx: &mut Ctx<'_, '_>, args: &[&[u8]]) -> Result<Flow, Refusal> {
    let request = Request::parse(args, Verb::Xread, ctx.batch.now_ms())?;
    for (key, id) in request.streams(args) {
        ctx.look_for(key);
        Verb::Xread.from(id)?;
    }
    let mut budget = Budget::of(&request, ctx.reply.protocol());
    let mut served = AllServed::new();
    for (key, id) in request.streams(args) {
        if budget.is_spent() {
            break;
        }
        let from = Verb::Xread.from(id)?;
        if let Some(entries) = read_behind(ctx, key, from, &mut budget)? {
            budget.spend(entries.len());
            served.push(Served::new(key, entries));
        }
    }
    answer_or_block(ctx, args, &request, served)
}

/// What a stream gives to a reply.
struct Served<'k> {
    key: &'k [u8],
    entries: Entries,
    /// With CLAIM: how the first of the entries were pending before.
    claimed: Option<Vec<Overdue>>,
}

/// Nearly always what one stream gives.
type AllServed<'k> = SmallVec<[Served<'k>; 1]>;

impl<'k> Served<'k> {
    fn new(key: &'k [u8], entries: Entries) -> Self {
        Self {
            key,
            entries,
            claimed: None,
        }
    }
}

/// What there is behind an ID; `None` if that is nothing.
fn read_behind(
    ctx: &mut Ctx<'_, '_>,
    key: &[u8],
    from: From,
    budget: &mut Budget,
) -> Result<Option<Entries>, Refusal> {
    let Some(stream) = ctx.look(key) else {
        return Ok(None);
    };
    let db = ctx.db();
    let mut range = Range {
        start: EntryId::MIN,
        end: EntryId::MAX,
        reverse: false,
        count: budget.count(),
    };
    let entries = match from {
        From::Newest if budget.has_size() => {
            let mut fits = budget.fits(key);
            ctx.batch.last_entry_that_fits(db, key, &mut fits)?
        }
        From::Newest => ctx.batch.last_entry(db, key)?,
        From::After(id) if id < stream.last_id => {
            range.start = id.next().unwrap_or(EntryId::MAX);
            if budget.has_size() {
                let mut fits = budget.fits(key);
                ctx.batch.range_that_fits(db, key, range, &mut fits)?
            } else {
                ctx.batch.range(db, key, range)?
            }
        }
        From::After(_) | From::Now | From::Undelivered => None,
    };
    Ok(entries.filter(|entries| !entries.is_empty()))
}

fn xreadgroup(ctx: &mut Ctx<'_, '_>, args: &[&[u8]]) -> Result<Flow, Refusal> {
    let request = Request::parse(args, Verb::Xreadgroup, ctx.batch.now_ms())?;
    let Some(member) = request.member else {
        return Err(Refusal::SYNTAX);
    };
    // A single stream with a good ID needs no check ahead: delivering from it finds the rest out.
    let is_simple = request.keys == 1 && Verb::Xreadgroup.from(args[request.keys_at + 1]).is_ok();
    if !is_simple {
        for (key, id) in request.streams(args) {
            if !ctx.look_for(key) || !ctx.batch.group_exists(ctx.db(), key, member.group) {
                return Err(no_group(key, member.group));
            }
            Verb::Xreadgroup.from(id)?;
        }
    }
    let mut budget = Budget::of(&request, ctx.reply.protocol());
    let mut served = AllServed::new();
    for (key, id) in request.streams(args) {
        let from = Verb::Xreadgroup.from(id)?;
        if budget.is_spent() {
            break;
        }
        if let Some(delivered) = deliver(ctx, key, from, (&request, member), &mut budget)? {
            budget.spend(delivered.entries.len());
            served.push(delivered);
        }
    }
    answer_or_block(ctx, args, &request, served)
}

/// New entries, or `None` if there are none; of the history always a list, be it empty.
fn deliver<'k>(
    ctx: &mut Ctx<'_, '_>,
    key: &'k [u8],
    from: From,
    (request, member): (&Request<'_>, Member<'_>),
    budget: &mut Budget,
) -> Result<Option<Served<'k>>, Refusal> {
    let (db, count, has_size) = (ctx.db(), budget.count(), budget.has_size());
    let mut fits = budget.fits(key);
    let fits = has_size.then_some(&mut fits as Fits<'_>);
    let delivery = if let From::After(after) = from {
        let history = History { after, count, fits };
        ctx.batch.history(db, key, member, history)
    } else {
        let deliver = Deliver {
            count,
            noack: request.noack,
            claim_idle_ms: request.claim_idle_ms,
            fits,
        };
        ctx.batch.deliver(db, key, member, deliver)
    };
    ctx.looked(db, key, !matches!(delivery, Err(Error::NoSuchKey)));
    let delivery = delivery.map_err(|error| match error {
        Error::NoSuchKey | Error::NoSuchGroup => no_group(key, member.group),
        other => other.into(),
    })?;
    if delivery.consumer_created {
        ctx.notify(EventClasses::STREAM, "xgroup-createconsumer", db, key);
    }
    let is_history = matches!(from, From::After(_));
    if !delivery.entries.is_empty() {
        // Who waits to claim has something to wait for.
        ctx.hub.waiters.ready(db, key, Ready::Claimers);
    }
    let claims = request.claim_idle_ms.is_some() && !is_history;
    let is_told = is_history || !delivery.entries.is_empty();
    Ok(is_told.then_some(Served {
        key,
        entries: delivery.entries,
        claimed: claims.then_some(delivery.claimed),
    }))
}

fn no_group(key: &[u8], group: &[u8]) -> Refusal {
    Refusal::quoting(&[
        b"NOGROUP No such key '",
        key,
        b"' or consumer group '",
        group,
        b"' in XREADGROUP with GROUP option",
    ])
}

fn answer_or_block(
    ctx: &mut Ctx<'_, '_>,
    args: &[&[u8]],
    request: &Request<'_>,
    served: AllServed<'_>,
) -> Result<Flow, Refusal> {
    if served.is_empty() {
        return match request.block_ms {
            Some(block_ms) if ctx.may_block() => block(ctx, args, request, block_ms),
            _ => {
                ctx.reply.null_array();
                Ok(Flow::Done)
            }
        };
    }
    let is_resp3 = ctx.reply.protocol() == Protocol::Resp3;
    if is_resp3 {
        ctx.reply.map(served.len());
    } else {
        ctx.reply.array(served.len());
    }
    for stream in served {
        if !is_resp3 {
            ctx.reply.array(2);
        }
        ctx.reply.bulk(stream.key);
        match stream.claimed {
            Some(claimed) => ctx.reply.claimed_entries(stream.entries, claimed),
            None => ctx.reply.entries(stream.entries),
        }
    }
    Ok(Flow::Done)
}

fn block(
    ctx: &mut Ctx<'_, '_>,
    args: &[&[u8]],
    request: &Request<'_>,
    block_ms: u64,
) -> Result<Flow, Refusal> {
    let db = ctx.db();
    let mut command: Vec<Vec<u8>> = args.iter().map(|arg| arg.to_vec()).collect();
    for (index, (key, id)) in request.streams(args).enumerate() {
        if id == b"$" {
            let last_id = ctx
                .batch
                .stream(db, key)
                .map_or(EntryId::MIN, |stream| stream.last_id);
            command[request.keys_at + request.keys + index] = last_id.to_string().into_bytes();
        }
    }
    let kind = match (request.member, request.claim_idle_ms) {
        (None, _) => WaitKind::Read,
        (Some(_), None) => WaitKind::Group,
        (Some(_), Some(_)) => WaitKind::Claim,
    };
    Ok(Flow::Block(Block {
        db,
        keys: request.streams(args).map(|(key, _)| key.to_vec()).collect(),
        deadline_ms: (block_ms > 0).then(|| ctx.batch.now_ms() + block_ms),
        retry_ms: next_claim_ms(ctx, args, request),
        kind,
        command,
    }))
}

/// When there will be something to claim.
fn next_claim_ms(ctx: &mut Ctx<'_, '_>, args: &[&[u8]], request: &Request<'_>) -> Option<u64> {
    let (db, member, idle_ms) = (ctx.db(), request.member?, request.claim_idle_ms?);
    let keys = request.streams(args).map(|(key, _)| key);
    keys.filter_map(|key| ctx.batch.next_idle_at_ms(db, key, member.group, idle_ms))
        .min()
}
