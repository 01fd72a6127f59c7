//! What belongs to other data types: the broker knows the names, and says that it only holds
//! streams instead of "unknown command".
//!
//! GET alone is answered: clients read keys that they do not expect to exist, to find out about
//! each other. No key here holds a string, so it is null or the wrong type.

use super::{Ctx, Flow, Group, KeySpec, Spec, flag};
use crate::refusal::Refusal;

pub(crate) static SPECS: &[Spec] = &[Spec {
    name: "get",
    arity: 2,
    flags: flag::READONLY | flag::FAST,
    keys: KeySpec::FIRST,
    group: Group::String,
    summary: "Answers null for a missing key; keys hold streams, which it does not read.",
    syntax: "key",
    handler: get,
    ..Spec::BASE
}];

fn get(ctx: &mut Ctx<'_, '_>, args: &[&[u8]]) -> Result<Flow, Refusal> {
    if ctx.look_for(args[1]) {
        return Err(Refusal::new(
            "WRONGTYPE Operation against a key holding the wrong kind of value",
        ));
    }
    ctx.reply.null();
    Ok(Flow::Done)
}

/// Names of commands that Redis has for what is not kept here.
const OTHERS: &[(&str, &[&str])] = &[
    (
        "strings",
        &[
            "append",
            "bitcount",
            "bitfield",
            "bitfield_ro",
            "bitop",
            "bitpos",
            "decr",
            "decrby",
            "getbit",
            "getdel",
            "getex",
            "getrange",
            "getset",
            "incr",
            "incrby",
            "incrbyfloat",
            "lcs",
            "mget",
            "mset",
            "msetnx",
            "psetex",
            "set",
            "setbit",
            "setex",
            "setnx",
            "setrange",
            "strlen",
            "substr",
        ],
    ),
    (
        "lists",
        &[
            "blmove",
            "blmpop",
            "blpop",
            "brpop",
            "brpoplpush",
            "lindex",
            "linsert",
            "llen",
            "lmove",
            "lmpop",
            "lpop",
            "lpos",
            "lpush",
            "lpushx",
            "lrange",
            "lrem",
            "lset",
            "ltrim",
            "rpop",
            "rpoplpush",
            "rpush",
            "rpushx",
            "sort",
            "sort_ro",
        ],
    ),
    (
        "sets",
        &[
            "sadd",
            "scard",
            "sdiff",
            "sdiffstore",
            "sinter",
            "sintercard",
            "sinterstore",
            "sismember",
            "smembers",
            "smismember",
            "smove",
            "spop",
            "srandmember",
            "srem",
            "sscan",
            "sunion",
            "sunionstore",
        ],
    ),
    (
        "sorted sets",
        &[
            "bzmpop",
            "bzpopmax",
            "bzpopmin",
            "zadd",
            "zcard",
            "zcount",
            "zdiff",
            "zdiffstore",
            "zincrby",
            "zinter",
            "zintercard",
            "zinterstore",
            "zlexcount",
            "zmpop",
            "zmscore",
            "zpopmax",
            "zpopmin",
            "zrandmember",
            "zrange",
            "zrangebylex",
            "zrangebyscore",
            "zrangestore",
            "zrank",
            "zrem",
            "zremrangebylex",
            "zremrangebyrank",
            "zremrangebyscore",
            "zrevrange",
            "zrevrangebylex",
            "zrevrangebyscore",
            "zrevrank",
            "zscan",
            "zscore",
            "zunion",
            "zunionstore",
        ],
    ),
    (
        "hashes",
        &[
            "hdel",
            "hexists",
            "hexpire",
            "hexpireat",
            "hexpiretime",
            "hget",
            "hgetall",
            "hgetdel",
            "hgetex",
            "hincrby",
            "hincrbyfloat",
            "hkeys",
            "hlen",
            "hmget",
            "hmset",
            "hpersist",
            "hpexpire",
            "hpexpireat",
            "hpexpiretime",
            "hpttl",
            "hrandfield",
            "hscan",
            "hset",
            "hsetex",
            "hsetnx",
            "hstrlen",
            "httl",
            "hvals",
        ],
    ),
    (
        "geospatial sets",
        &[
            "geoadd",
            "geodist",
            "geohash",
            "geopos",
            "georadius",
            "georadius_ro",
            "georadiusbymember",
            "georadiusbymember_ro",
            "geosearch",
            "geosearchstore",
        ],
    ),
    (
        "HyperLogLogs",
        &["pfadd", "pfcount", "pfdebug", "pfmerge", "pfselftest"],
    ),
    (
        "scripts",
        &[
            "eval",
            "eval_ro",
            "evalsha",
            "evalsha_ro",
            "fcall",
            "fcall_ro",
        ],
    ),
    ("links to other servers", &["migrate", "restore-asking"]),
];

/// What a command of another data type is answered; `None` if the name is not known as one.
pub(crate) fn refusal(name: &[u8]) -> Option<Refusal> {
    let is_named = |known: &str| known.as_bytes().eq_ignore_ascii_case(name);
    let (what, _) = OTHERS
        .iter()
        .find(|(_, names)| names.iter().any(|known| is_named(known)))?;
    Some(Refusal::quoting(&[
        b"ERR '",
        name,
        b"' is not supported: this server only holds streams, not ",
        what.as_bytes(),
    ]))
}

#[cfg(test)]
mod tests {
    use super::refusal;

    #[test]
    fn commands_of_other_types_are_told_apart_from_unknown_ones() {
        let refused = refusal(b"HSet").unwrap();
        let text: &[u8] =
            b"ERR 'HSet' is not supported: this server only holds streams, not hashes";
        assert_eq!(refused.text(), text);
        assert!(refusal(b"xadd").is_none());
        assert!(refusal(b"foo").is_none());
    }
}
