//! What is exported and built again is the same stream; what contradicts itself leaves no trace.

use proptest::prelude::*;

use super::ops::{self, KEYS};
use super::{Seen, fold, options, read};
use crate::batch::{
    AutoClaim, Batch, ConsumerParts, Cursor, Deliver, EntrySource, GroupParts, Member, NewId,
    NewStream, PendingParts, Piece, StreamParts,
};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::id::EntryId;
use crate::index::NodeSize;
use crate::limits::NAME_LEN_MAX;
use crate::{ProducerParts, ProducerSettings, ProducersParts, Retention, SentParts};

/// All of a stream, in memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Whole {
    parts: StreamParts,
    entries: Vec<Seen>,
    nodes: Vec<NodeSize>,
}

impl EntrySource for Whole {
    fn visit(&self, visitor: &mut dyn FnMut(Piece<'_>) -> Result<()>) -> Result<()> {
        let mut entries = self.entries.iter();
        for node in &self.nodes {
            for at in 0..node.live {
                let (id, fields) = entries.next().expect("as many as the nodes have");
                let fields: Vec<&[u8]> = fields.iter().flatten().map(Vec::as_slice).collect();
                visitor(Piece::Entry {
                    id: *id,
                    starts_node: at == 0,
                    fields: &fields,
                })?;
            }
            if node.added > node.live {
                visitor(Piece::Missing(node.added - node.live))?;
            }
        }
        Ok(())
    }
}

/// The engine at a time at which no key has expired.
fn locked(engine: &Engine) -> Batch<'_> {
    let mut batch = engine.lock();
    batch.set_now(0);
    batch
}

fn whole(engine: &Engine, key: &[u8]) -> Option<Whole> {
    let mut batch = locked(engine);
    let export = batch.export(0, key).unwrap()?;
    drop(batch);
    Some(Whole {
        parts: export.parts,
        entries: read(engine, &export.entries),
        nodes: export.nodes,
    })
}

fn build(engine: &Engine, key: &[u8], whole: &Whole, replaces: bool) -> Result<()> {
    let new = NewStream::new(&whole.parts, whole)?;
    locked(engine).restore(0, key, &new, replaces)
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 96,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_stream_is_the_same_after_export_and_build_and_reopening(ops in ops::ops(160)) {
        let dir = tempfile::tempdir().unwrap();
        let engine = Engine::open(dir.path(), options()).unwrap();
        let mut batch = engine.lock();
        batch.set_now(1000);
        for op in &ops {
            fold::run(&mut batch, op);
        }
        drop(batch);
        let streams: Vec<_> = KEYS.iter().map(|key| whole(&engine, key)).collect();
        for stream in streams.iter().flatten() {
            build(&engine, b"built", stream, true).unwrap();
            prop_assert_eq!(&whole(&engine, b"built").unwrap(), stream);
            locked(&engine).copy(0, b"built", 0, b"copied").unwrap();
            prop_assert_eq!(&whole(&engine, b"copied").unwrap(), stream);
            locked(&engine).remove(0, b"copied").unwrap();
        }
        drop(engine);
        let engine = Engine::open(dir.path(), options()).unwrap();
        prop_assert_eq!(whole(&engine, b"built"), streams.into_iter().flatten().last());
    }
}

fn sample() -> Whole {
    let id = |ms| EntryId::new(ms, 0);
    let consumer = |name: &[u8]| ConsumerParts {
        name: name.to_vec(),
        seen_ms: 50,
        active_ms: None,
    };
    let held = |ms, consumer| PendingParts {
        id: id(ms),
        delivered_ms: ms,
        delivery_count: ms,
        consumer,
    };
    let group = |name: &[u8]| GroupParts {
        name: name.to_vec(),
        cursor: Cursor {
            id: id(2),
            entries_read: Some(2),
        },
        consumers: vec![consumer(b"x"), consumer(b"y")],
        pending: vec![held(1, 1), held(2, 0), held(3, 1)],
        given_back: vec![(id(8), 4), (id(7), u64::MAX)],
    };
    let sent = |(iid, ms): (&[u8], u64)| SentParts {
        iid: iid.to_vec(),
        id: id(ms),
    };
    let producer = |name: &[u8], sent: Vec<SentParts>| ProducerParts {
        name: name.to_vec(),
        sent,
    };
    let producers = ProducersParts {
        settings: ProducerSettings {
            seconds: 7,
            count_max: 3,
        },
        added: 5,
        repeated: 2,
        producers: vec![
            producer(b"p", vec![sent((b"2", 7)), sent((b"1", 1))]),
            producer(b"q", vec![sent((b"1", 8))]),
        ],
    };
    let entry = |ms| (id(ms), Some(vec![b"f".to_vec(), vec![b'v'; 5]]));
    let size = |live, added| NodeSize { live, added };
    Whole {
        parts: StreamParts {
            last_id: id(9),
            entries_added: 12,
            max_deleted_id: id(3),
            deleted_up_to: id(9),
            expiry_ms: Some(77),
            groups: vec![group(b"g"), group(b"h")],
            producers: Some(producers),
            retention: Retention {
                length: Some(100),
                acked: Some(true),
                ..Retention::default()
            },
        },
        entries: vec![entry(1), entry(2), entry(7), entry(8)],
        nodes: vec![size(1, 4), size(3, 3)],
    }
}

type Change = fn(&mut Whole);

#[test]
fn what_contradicts_itself_is_not_built() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::open(dir.path(), options()).unwrap();
    build(&engine, b"k", &sample(), false).unwrap();
    let good = whole(&engine, b"k").unwrap();
    assert_eq!(good, sample());
    let bad: &[Change] = &[
        |it| it.entries.swap(0, 1),
        |it| it.entries[0].0 = EntryId::MIN,
        |it| it.entries[1].0 = it.entries[0].0,
        |it| it.entries[2].1 = Some(vec![]),
        |it| it.entries[2].1 = Some(vec![b"half".to_vec()]),
        |it| it.parts.last_id = EntryId::new(7, 9),
        |it| it.nodes.insert(0, NodeSize { live: 0, added: 1 }),
        |it| it.parts.groups.swap(0, 1),
        |it| it.parts.groups[1].name = b"g".to_vec(),
        |it| it.parts.groups[0].consumers.swap(0, 1),
        |it| it.parts.groups[0].consumers[1].name = b"x".to_vec(),
        |it| it.parts.groups[1].pending[2].consumer = 2,
        |it| it.parts.groups[1].pending.swap(0, 1),
    ];
    for (at, change) in bad.iter().enumerate() {
        let mut whole = sample();
        change(&mut whole);
        let built = build(&engine, b"k", &whole, true);
        assert!(matches!(built, Err(Error::Malformed { .. })), "change {at}");
    }
    let large: &[Change] = &[
        |it| it.parts.groups[0].name = vec![b'a'; NAME_LEN_MAX + 1],
        |it| it.parts.groups[0].consumers[0].name = vec![b'a'; NAME_LEN_MAX + 1],
    ];
    for change in large {
        let mut whole = sample();
        change(&mut whole);
        let built = build(&engine, b"k", &whole, true);
        assert!(matches!(built, Err(Error::TooLarge { .. })));
    }
    let again = build(&engine, b"k", &sample(), false);
    assert!(matches!(again, Err(Error::KeyExists)));
    assert_eq!(whole(&engine, b"k").as_ref(), Some(&good));
    drop(engine);
    let engine = Engine::open(dir.path(), options()).unwrap();
    assert_eq!(whole(&engine, b"k"), Some(good));
}

/// Entries that would take more than a transaction holds.
struct Endless;

impl EntrySource for Endless {
    fn visit(&self, visitor: &mut dyn FnMut(Piece<'_>) -> Result<()>) -> Result<()> {
        let value = vec![b'v'; 1 << 20];
        for ms in 1.. {
            visitor(Piece::Entry {
                id: EntryId::new(ms, 0),
                starts_node: true,
                fields: &[b"f", &value],
            })?;
        }
        Ok(())
    }
}

#[test]
fn a_stream_beyond_a_transaction_is_refused_before_anything_is_logged() {
    let parts = StreamParts {
        last_id: EntryId::MAX,
        ..StreamParts::default()
    };
    let measured = NewStream::new(&parts, &Endless);
    assert!(matches!(
        measured.err(),
        Some(Error::TooLarge { what: "stream", .. })
    ));
}

#[test]
fn a_deleted_pending_entry_is_known_to_be_gone_in_a_copy() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::open(dir.path(), options()).unwrap();
    let mut batch = engine.lock();
    batch.set_now(1000);
    for ms in 1..=3 {
        let id = NewId::Given(EntryId::new(ms, 0));
        batch.add(0, b"k", id, &[b"f", b"v"]).unwrap();
    }
    let cursor = Cursor {
        id: EntryId::MIN,
        entries_read: None,
    };
    batch.create_group(0, b"k", b"g", cursor).unwrap();
    let member = Member {
        group: b"g",
        consumer: b"x",
    };
    batch.deliver(0, b"k", member, Deliver::default()).unwrap();
    let gone = EntryId::new(2, 0);
    batch.delete_entries(0, b"k", &[gone]).unwrap();
    batch.copy(0, b"k", 0, b"copy").unwrap();
    let claim = AutoClaim {
        min_idle_ms: 0,
        start: EntryId::MIN,
        count: 10,
        just_id: true,
    };
    let claimed = batch.auto_claim(0, b"copy", member, claim).unwrap();
    assert_eq!(claimed.deleted, [gone]);
}
