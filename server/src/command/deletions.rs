//! Entries that are deleted one by one: XDEL, XDELEX, XACKDEL.

use alluvium_engine::{Delete, Deletion, RefPolicy};

use super::arg::{self, Ids};
use super::trim::ref_policy;
use super::{Ctx, Flow, Group, KeySpec, Spec, flag};
use crate::keyspace_events::EventClasses;
use crate::refusal::Refusal;

pub(crate) static SPECS: &[Spec] = &[
    Spec {
        name: "xdel",
        arity: -3,
        flags: flag::WRITE | flag::FAST,
        keys: KeySpec::FIRST,
        group: Group::Stream,
        since: "5.0.0",
        complexity: "O(log N) for each ID",
        summary: "Deletes single entries; what is pending of them stays pending.",
        syntax: "key id [id ...]",
        handler: xdel,
        ..Spec::BASE
    },
    Spec {
        name: "xdelex",
        arity: -5,
        flags: flag::WRITE | flag::FAST,
        keys: KeySpec::FIRST,
        group: Group::Stream,
        since: "8.2.0",
        complexity: "O(G log N) for each ID, G being the groups",
        summary: "Deletes single entries, and says what that means to groups that refer to them.",
        syntax: "key [KEEPREF | DELREF | ACKED] IDS numids id [id ...]",
        handler: xdelex,
        ..Spec::BASE
    },
    Spec {
        name: "xackdel",
        arity: -6,
        flags: flag::WRITE | flag::FAST,
        keys: KeySpec::FIRST,
        group: Group::Stream,
        since: "8.2.0",
        complexity: "O(G log N) for each ID, G being the groups",
        summary: "Acknowledges entries in a group and deletes them.",
        syntax: "key group [KEEPREF | DELREF | ACKED] IDS numids id [id ...]",
        handler: xackdel,
        ..Spec::BASE
    },
];

fn xdel(ctx: &mut Ctx<'_, '_>, args: &[&[u8]]) -> Result<Flow, Refusal> {
    let (db, key) = (ctx.db(), args[1]);
    if !ctx.batch.exists(db, key) {
        ctx.reply.int(0);
        return Ok(Flow::Done);
    }
    let ids = Ids::parse(&args[2..])?;
    let deleted = ctx.batch.delete_entries(db, key, &ids)?;
    if deleted > 0 {
        ctx.touched(db, key);
        ctx.notify(EventClasses::STREAM, "xdel", db, key);
    }
    ctx.reply.count(deleted);
    Ok(Flow::Done)
}

/// What XDELEX and XACKDEL are asked for: the policy and the words of the IDs.
fn parse<'w, 'a>(mut words: &'w [&'a [u8]]) -> Result<(RefPolicy, &'w [&'a [u8]]), Refusal> {
    let (mut policy, mut ids) = (None, None);
    while let [word, rest @ ..] = words {
        words = rest;
        if let Some(named) = ref_policy(word).filter(|_| policy.is_none()) {
            policy = Some(named);
        } else if let [numids, rest @ ..] = rest
            && arg::is(word, "IDS")
        {
            let refusal = Refusal::new("ERR Number of IDs must be a positive integer");
            let count = arg::int_within(numids, 1..=i64::MAX, refusal)?;
            let listed = usize::try_from(count)
                .ok()
                .and_then(|count| rest.split_at_checked(count));
            let (listed, others) = listed.ok_or(Refusal::new(
                "ERR The `numids` parameter must match the number of arguments",
            ))?;
            ids = Some(listed);
            words = others;
        } else {
            return Err(Refusal::SYNTAX);
        }
    }
    let ids = ids.ok_or(Refusal::new("ERR IDS option is required"))?;
    Ok((policy.unwrap_or_default(), ids))
}

fn xdelex(ctx: &mut Ctx<'_, '_>, args: &[&[u8]]) -> Result<Flow, Refusal> {
    let (policy, words) = parse(&args[2..])?;
    let (db, key) = (ctx.db(), args[1]);
    // Without the key there is nothing to delete, whatever the IDs are.
    let outcomes = if ctx.batch.exists(db, key) {
        let ids = Ids::parse(words)?;
        let (ids, references) = (&ids[..], policy);
        ctx.batch.delete_with(db, key, Delete { ids, references })?
    } else {
        vec![Deletion::NotFound; words.len()]
    };
    tell(ctx, key, &outcomes);
    Ok(Flow::Done)
}

fn xackdel(ctx: &mut Ctx<'_, '_>, args: &[&[u8]]) -> Result<Flow, Refusal> {
    let (policy, words) = parse(&args[3..])?;
    let (db, key, group) = (ctx.db(), args[1], args[2]);
    let outcomes = if ctx.batch.group_exists(db, key, group) {
        let ids = Ids::parse(words)?;
        let (ids, references) = (&ids[..], policy);
        let delete = Delete { ids, references };
        ctx.batch.ack_and_delete(db, key, group, delete)?
    } else {
        vec![Deletion::NotFound; words.len()]
    };
    tell(ctx, key, &outcomes);
    Ok(Flow::Done)
}

fn tell(ctx: &mut Ctx<'_, '_>, key: &[u8], outcomes: &[Deletion]) {
    let db = ctx.db();
    if outcomes.contains(&Deletion::Deleted) {
        ctx.touched(db, key);
        ctx.notify(EventClasses::STREAM, "xdel", db, key);
    }
    ctx.reply.array(outcomes.len());
    for outcome in outcomes {
        ctx.reply.int(match outcome {
            Deletion::Deleted => 1,
            Deletion::NotFound => -1,
            Deletion::Referenced => 2,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(command: &str) -> Result<(RefPolicy, usize), String> {
        let words: Vec<&[u8]> = command.split(' ').map(str::as_bytes).collect();
        match parse(&words) {
            Ok((policy, ids)) => Ok((policy, ids.len())),
            Err(refusal) => Err(String::from_utf8_lossy(refusal.text()).into_owned()),
        }
    }

    #[test]
    fn policy_and_ids_come_in_any_order() {
        assert_eq!(parsed("IDS 2 1-1 2-1"), Ok((RefPolicy::Keep, 2)));
        assert_eq!(parsed("acked ids 1 1-1"), Ok((RefPolicy::Acked, 1)));
        assert_eq!(parsed("IDS 1 1-1 DELREF"), Ok((RefPolicy::Drop, 1)));
        assert_eq!(parsed("IDS 1 1-1 IDS 1 KEEPREF"), Ok((RefPolicy::Keep, 1)));
    }

    #[test]
    fn each_mistake_has_its_words() {
        let positive = "ERR Number of IDs must be a positive integer";
        let matching = "ERR The `numids` parameter must match the number of arguments";
        for (command, refusal) in [
            ("IDS 0 1-1", positive),
            ("IDS x 1-1", positive),
            ("IDS 2 1-1", matching),
            ("IDS 99999999999 1-1", matching),
            ("IDS 1 1-1 2-1", "ERR syntax error"),
            ("KEEPREF ACKED IDS 1 1-1", "ERR syntax error"),
            ("1-1 2-1", "ERR syntax error"),
            ("KEEPREF", "ERR IDS option is required"),
        ] {
            assert_eq!(parsed(command), Err(refusal.to_owned()), "{command}");
        }
    }
}
