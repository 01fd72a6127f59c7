//! The categories of commands that ACL CAT, COMMAND INFO and COMMAND LIST speak of.

use super::{Command, Group, flag};

/// All categories in the order in which Redis lists them.
pub(super) const CATEGORIES: &[&str] = &[
    "keyspace",
    "read",
    "write",
    "set",
    "sortedset",
    "list",
    "hash",
    "string",
    "bitmap",
    "hyperloglog",
    "geo",
    "stream",
    "pubsub",
    "admin",
    "fast",
    "slow",
    "blocking",
    "dangerous",
    "connection",
    "transaction",
    "scripting",
];

/// Commands that are dangerous though they are not for admins only.
const DANGEROUS: &[&str] = &[
    "flushall", "flushdb", "info", "keys", "lastsave", "role", "swapdb", "restore", "sort",
];

/// Commands about keys that are documented with the server's.
const KEYSPACE: &[&str] = &["dbsize", "flushall", "flushdb", "swapdb"];

/// Commands about the connection that are documented elsewhere.
const CONNECTION: &[&str] = &["command", "wait", "waitaof"];

/// Commands for admins that may run everywhere and so lack the flag.
const FOR_ADMINS: &[&str] = &["lastsave", "role"];

/// The categories of a command, in their order.
pub(super) fn categories(command: &Command) -> Vec<&'static str> {
    CATEGORIES
        .iter()
        .copied()
        .filter(|category| is_in(command, category))
        .collect()
}

fn is_in(command: &Command, category: &str) -> bool {
    let spec = command.spec;
    let is_container = !spec.subcommands.is_empty();
    let family = command.parent.map_or(spec.name, |parent| parent.name);
    let is_connection = CONNECTION.contains(&family) && (!is_container || family == "command")
        || !is_container && spec.group == Group::Connection;
    let group = if is_container { None } else { Some(spec.group) };
    match category {
        "keyspace" => {
            !is_connection && group == Some(Group::Generic) || KEYSPACE.contains(&spec.name)
        }
        "read" => spec.has(flag::READONLY) && group != Some(Group::Scripting),
        "write" => spec.has(flag::WRITE),
        "string" => group == Some(Group::String),
        "stream" => group == Some(Group::Stream),
        "pubsub" => spec.has(flag::PUBSUB),
        "admin" => spec.has(flag::ADMIN) || FOR_ADMINS.contains(&spec.name),
        "fast" => spec.has(flag::FAST),
        "slow" => !spec.has(flag::FAST),
        "blocking" => spec.has(flag::BLOCKING),
        "dangerous" => {
            spec.has(flag::ADMIN) || command.parent.is_none() && DANGEROUS.contains(&spec.name)
        }
        "connection" => is_connection,
        "transaction" => group == Some(Group::Transactions),
        "scripting" => group == Some(Group::Scripting),
        _ => false,
    }
}
