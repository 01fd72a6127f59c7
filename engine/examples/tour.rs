//! A tour of the engine: open, append, read, deliver to a group, acknowledge, close, open again.
//!
//! `cargo run -p alluvium-engine --example tour`

use std::ops::ControlFlow;

use alluvium_engine::{
    Cursor, Deliver, Engine, Entries, EntryId, Member, NewId, Options, Range, Result, Trim,
    TrimStrategy,
};

const DB: u8 = 0;
const KEY: &[u8] = b"payments";
const GROUP: &[u8] = b"billing";

/// Reads a plan: the ID and the first value of each entry.
fn read(entries: &Entries) -> Result<Vec<(EntryId, String)>> {
    let mut found = Vec::new();
    entries.visit(0, &mut |id, fields| {
        let value = fields
            .and_then(|mut fields| fields.nth(1))
            .unwrap_or_default();
        found.push((id, String::from_utf8_lossy(value).into_owned()));
        ControlFlow::Continue(())
    })?;
    Ok(found)
}

fn append(engine: &Engine) -> Result<Vec<EntryId>> {
    let mut batch = engine.lock();
    let ids = ["jake", "finn", "marceline"]
        .map(|user| batch.add(DB, KEY, NewId::Auto, &[b"user-id", user.as_bytes()]));
    let settled = batch.end_command();
    drop(batch);
    // Nothing is acknowledged before it is settled: with the default policy, durable.
    engine.submit();
    engine.wait_settled(settled)?;
    ids.into_iter().collect()
}

fn range(engine: &Engine) -> Result<Vec<(EntryId, String)>> {
    let whole = Range {
        start: EntryId::MIN,
        end: EntryId::MAX,
        reverse: false,
        count: None,
    };
    let mut batch = engine.lock();
    let entries = batch.range(DB, KEY, whole)?.unwrap_or_default();
    let seen = batch.end_command();
    // The bytes are read without the lock, once all that was seen is settled.
    drop(batch);
    engine.submit();
    engine.wait_settled(seen)?;
    read(&entries)
}

fn deliver_and_ack(engine: &Engine) -> Result<()> {
    let worker = Member {
        group: GROUP,
        consumer: b"worker-1",
    };
    let mut batch = engine.lock();
    batch.create_group(
        DB,
        KEY,
        GROUP,
        Cursor {
            id: EntryId::MIN,
            entries_read: None,
        },
    )?;
    let deliver = Deliver {
        count: Some(2),
        noack: false,
        ..Deliver::default()
    };
    let delivery = batch.deliver(DB, KEY, worker, deliver)?;
    let delivered = batch.end_command();
    drop(batch);
    engine.submit();
    engine.wait_settled(delivered)?;

    let handled = read(&delivery.entries)?;
    assert_eq!(handled.len(), 2);
    assert_eq!(handled[0].1, "jake");

    let mut batch = engine.lock();
    assert_eq!(batch.ack(DB, KEY, GROUP, &[handled[0].0])?, 1);
    let acked = batch.end_command();
    drop(batch);
    engine.submit();
    engine.wait_settled(acked)
}

fn main() -> Result<()> {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let engine = Engine::open(dir.path(), Options::default())?;
    let ids = append(&engine)?;
    assert!(ids.is_sorted());
    let found = range(&engine)?;
    assert_eq!(found.iter().map(|(id, _)| *id).collect::<Vec<_>>(), ids);
    assert_eq!(found[2].1, "marceline");
    deliver_and_ack(&engine)?;
    engine.close()?;

    // What was acknowledged is there again, the group's cursor and what is pending included.
    let engine = Engine::open(dir.path(), Options::default())?;
    assert_eq!(range(&engine)?, found);
    let mut batch = engine.lock();
    let pending = batch.pending_summary(DB, KEY, GROUP)?;
    assert_eq!(pending.consumers, [(b"worker-1".to_vec(), 1)]);
    assert_eq!(batch.groups(DB, KEY)?[0].lag, 1);
    let newest = Trim {
        strategy: TrimStrategy::MaxLen(1),
        approximate: false,
        limit: None,
        references: alluvium_engine::RefPolicy::Keep,
    };
    assert_eq!(batch.trim(DB, KEY, newest)?, 2);
    drop(batch);
    engine.close()?;
    println!("ok");
    Ok(())
}
