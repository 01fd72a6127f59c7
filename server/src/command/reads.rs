//! Reading what comes next: XREAD and XREADGROUP, and when they wait.
//!
//! Both go over their streams twice. The first pass only checks, in the order in which Redis finds
//! fault: key, group, ID. The second reads; IDs are parsed again there, which is cheaper than to
//! keep them. A command that finds nothing blocks, with `$` replaced by the ID that it meant, and
//! runs again as a whole each time one of its keys may have become of interest.

use alluvium_engine::{Deliver, Entries, EntryId, Error, History, Member, Range};

use super::arg;
use super::{Block, Ctx, Flow, Group, KeySpec, Spec, WaitKind, flag};
use crate::keyspace_events::EventClasses;
use crate::refusal::Refusal;
use crate::resp::Protocol;

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
        syntax: "[COUNT count] [BLOCK milliseconds] STREAMS key [key ...] <id | $ | +> \
                 [<id | $ | +> ...]",
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
        syntax: "GROUP group consumer [COUNT count] [BLOCK milliseconds] [NOACK] \
                 STREAMS key [key ...] <id | >> [<id | >> ...]",
        handler: xreadgroup,
        ..Spec::BASE
    },
];

/// Which of the two commands it is, and what they do differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verb {
    Xread,
    Xreadgroup,
}

/// What a command asks for, its streams aside.
#[derive(Debug)]
struct Request<'a> {
    member: Option<Member<'a>>,
    count: Option<usize>,
    block_ms: Option<u64>,
    noack: bool,
    /// Index of the first key; behind the keys stand as many IDs.
    keys_at: usize,
    keys: usize,
}

/// Where to read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum From {
    /// Behind this ID.
    After(EntryId),
    /// `$`: behind the last ID that the stream has now.
    Now,
    /// `+`: the last entry.
    Newest,
    /// `>`: behind the group's cursor.
    Undelivered,
}

impl<'a> Request<'a> {
    fn parse(args: &[&'a [u8]], verb: Verb, now_ms: u64) -> Result<Self, Refusal> {
        let mut request = Self {
            member: None,
            count: None,
            block_ms: None,
            noack: false,
            keys_at: 0,
            keys: 0,
        };
        let mut at = 1;
        while at < args.len() && request.keys_at == 0 {
            at += match args[at + 1..] {
                [value, ..] if arg::is(args[at], "BLOCK") => {
                    request.block_ms = Some(arg::block_ms(value, now_ms)?);
                    2
                }
                [value, ..] if arg::is(args[at], "COUNT") => {
                    request.count = Some(arg::count(value)?).filter(|count| *count > 0);
                    2
                }
                [_, ..] if arg::is(args[at], "STREAMS") => {
                    request.take_streams(at + 1, args.len(), verb)?;
                    1
                }
                [group, consumer, ..] if arg::is(args[at], "GROUP") => {
                    verb.require_group(
                        "ERR The GROUP option is only supported by XREADGROUP. \
                         You called XREAD instead.",
                    )?;
                    request.member = Some(Member { group, consumer });
                    3
                }
                _ if arg::is(args[at], "NOACK") => {
                    verb.require_group(
                        "ERR The NOACK option is only supported by XREADGROUP. \
                         You called XREAD instead.",
                    )?;
                    request.noack = true;
                    1
                }
                _ => return Err(Refusal::SYNTAX),
            };
        }
        if request.keys_at == 0 {
            return Err(Refusal::SYNTAX);
        }
        if verb == Verb::Xreadgroup && request.member.is_none() {
            return Err(Refusal::new("ERR Missing GROUP option for XREADGROUP"));
        }
        Ok(request)
    }

    fn take_streams(&mut self, at: usize, end: usize, verb: Verb) -> Result<(), Refusal> {
        if !(end - at).is_multiple_of(2) {
            return Err(Refusal::new(match verb {
                Verb::Xread => {
                    "ERR Unbalanced 'xread' list of streams: for each stream key an ID or '$' \
                     must be specified."
                }
                Verb::Xreadgroup => {
                    "ERR Unbalanced 'xreadgroup' list of streams: for each stream key an ID or \
                     '>' must be specified."
                }
            }));
        }
        self.keys_at = at;
        self.keys = (end - at) / 2;
        Ok(())
    }

    /// The keys with the text of their IDs.
    fn streams<'s>(&self, args: &'s [&'a [u8]]) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + 's {
        let (keys, ids) = args[self.keys_at..].split_at(self.keys);
        keys.iter().copied().zip(ids.iter().copied())
    }
}

impl Verb {
    fn require_group(self, refusal: &'static str) -> Result<(), Refusal> {
        match self {
            Self::Xread => Err(Refusal::new(refusal)),
            Self::Xreadgroup => Ok(()),
        }
    }

    fn from(self, arg: &[u8]) -> Result<From, Refusal> {
        match (arg, self) {
            (b"$", Self::Xread) => Ok(From::Now),
            (b"+", Self::Xread) => Ok(From::Newest),
            (b">", Self::Xread) => Err(Refusal::new(
                "ERR The > ID can be specified only when calling XREADGROUP using the GROUP \
                 <group> <consumer> option.",
            )),
            (b">", Self::Xreadgroup) => Ok(From::Undelivered),
            (b"$", Self::Xreadgroup) => Err(Refusal::new(
                "ERR The $ ID is meaningless in the context of XREADGROUP: you want to read the \
                 history of this consumer by specifying a proper ID, or use the > ID to get new \
                 messages. The $ ID would just return an empty result set.",
            )),
            (b"+", Self::Xreadgroup) => Err(Refusal::new(
                "ERR The + ID is meaningless in the context of XREADGROUP: you want to read the \
                 history of this consumer by specifying a proper ID, or use the > ID to get new \
                 messages. The + ID would just return an empty result set.",
            )),
            // The largest ID and `>` are one and the same to Redis.
            (id, Self::Xreadgroup) => Ok(match arg::id(id)? {
                EntryId::MAX => From::Undelivered,
                id => From::After(id),
            }),
            (id, Self::Xread) => Ok(From::After(arg::id(id)?)),
        }
    }
}

fn xread(ctx: &mut Ctx<'_, '_>, args: &[&[u8]]) -> Result<Flow, Refusal> {
    let request = Request::parse(args, Verb::Xread, ctx.batch.now_ms())?;
    for (key, id) in request.streams(args) {
        ctx.look_for(key);
        Verb::Xread.from(id)?;
    }
    let mut served = Vec::new();
    for (key, id) in request.streams(args) {
        let from = Verb::Xread.from(id)?;
        if let Some(entries) = read_behind(ctx, key, from, request.count)? {
            served.push((key, entries));
        }
    }
    answer_or_block(ctx, args, &request, served)
}

/// What there is behind an ID; `None` if that is nothing.
fn read_behind(
    ctx: &mut Ctx<'_, '_>,
    key: &[u8],
    from: From,
    count: Option<usize>,
) -> Result<Option<Entries>, Refusal> {
    let Some(stream) = ctx.look(key) else {
        return Ok(None);
    };
    let db = ctx.db();
    let entries = match from {
        From::Newest => ctx.batch.last_entry(db, key)?,
        From::After(id) if id < stream.last_id => {
            let start = id.next().unwrap_or(EntryId::MAX);
            let range = Range {
                start,
                end: EntryId::MAX,
                reverse: false,
                count,
            };
            ctx.batch.range(db, key, range)?
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
    let mut served = Vec::new();
    for (key, id) in request.streams(args) {
        let from = Verb::Xreadgroup.from(id)?;
        if let Some(entries) = deliver(ctx, key, from, &request, member)? {
            served.push((key, entries));
        }
    }
    answer_or_block(ctx, args, &request, served)
}

/// New entries, or `None` if there are none; of the history always a list, be it empty.
fn deliver(
    ctx: &mut Ctx<'_, '_>,
    key: &[u8],
    from: From,
    request: &Request<'_>,
    member: Member<'_>,
) -> Result<Option<Entries>, Refusal> {
    let (db, count) = (ctx.db(), request.count);
    let delivery = match from {
        From::After(after) => ctx.batch.history(db, key, member, History { after, count }),
        _ => ctx.batch.deliver(
            db,
            key,
            member,
            Deliver {
                count,
                noack: request.noack,
            },
        ),
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
    Ok(Some(delivery.entries).filter(|entries| is_history || !entries.is_empty()))
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
    served: Vec<(&[u8], Entries)>,
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
    for (key, entries) in served {
        if !is_resp3 {
            ctx.reply.array(2);
        }
        ctx.reply.bulk(key);
        ctx.reply.entries(entries);
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
    Ok(Flow::Block(Block {
        db,
        keys: request.streams(args).map(|(key, _)| key.to_vec()).collect(),
        deadline_ms: (block_ms > 0).then(|| ctx.batch.now_ms() + block_ms),
        kind: if request.member.is_some() {
            WaitKind::Group
        } else {
            WaitKind::Read
        },
        command,
    }))
}

#[cfg(test)]
mod tests {
    use super::{From, Request, Verb};
    use alluvium_engine::EntryId;

    fn refused(verb: Verb, command: &str) -> String {
        let args: Vec<&[u8]> = command.split(' ').map(str::as_bytes).collect();
        let refusal = Request::parse(&args, verb, 1_000).expect_err(command);
        String::from_utf8_lossy(refusal.text()).into_owned()
    }

    #[test]
    fn options_end_with_the_streams() {
        let args: Vec<&[u8]> = "XREADGROUP NOACK COUNT 5 group g c block 7 STREAMS a COUNT > 0"
            .split(' ')
            .map(str::as_bytes)
            .collect();
        let request = Request::parse(&args, Verb::Xreadgroup, 1_000).unwrap();
        let member = request.member.unwrap();
        assert_eq!((member.group, member.consumer), (&b"g"[..], &b"c"[..]));
        assert_eq!(
            (request.count, request.block_ms, request.noack),
            (Some(5), Some(7), true)
        );
        let streams: Vec<_> = request.streams(&args).collect();
        assert_eq!(
            streams,
            [(&b"a"[..], &b">"[..]), (&b"COUNT"[..], &b"0"[..])]
        );
    }

    #[test]
    fn a_request_needs_streams_and_a_group_where_there_are_groups() {
        assert_eq!(refused(Verb::Xread, "XREAD COUNT 1"), "ERR syntax error");
        assert_eq!(refused(Verb::Xread, "XREAD BLOCK"), "ERR syntax error");
        assert_eq!(
            refused(Verb::Xreadgroup, "XREADGROUP STREAMS a 0"),
            "ERR Missing GROUP option for XREADGROUP"
        );
        assert!(refused(Verb::Xread, "XREAD STREAMS a b 0").starts_with("ERR Unbalanced 'xread'"));
        assert!(refused(Verb::Xread, "XREAD NOACK STREAMS a 0").contains("NOACK option"));
        assert!(refused(Verb::Xread, "XREAD GROUP g c STREAMS a 0").contains("GROUP option"));
    }

    #[test]
    fn the_largest_id_means_undelivered_to_a_group() {
        let max = EntryId::MAX.to_string();
        assert_eq!(
            Verb::Xreadgroup.from(max.as_bytes()).unwrap(),
            From::Undelivered
        );
        assert_eq!(
            Verb::Xread.from(max.as_bytes()).unwrap(),
            From::After(EntryId::MAX)
        );
        assert!(Verb::Xreadgroup.from(b"$").is_err());
        assert!(Verb::Xreadgroup.from(b"+").is_err());
        assert!(Verb::Xread.from(b">").is_err());
        assert!(Verb::Xread.from(b"-").is_err());
    }
}
