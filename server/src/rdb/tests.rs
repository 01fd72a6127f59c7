//! Payloads of real servers, of our own, and broken ones.

use std::ops::ControlFlow;

use alluvium_engine::limits::{IID_SECONDS_MAX, IIDS_MAX};
use alluvium_engine::{
    ConsumerParts, Cursor, Engine, EntryId, EntrySource, Error, Export, GroupParts, NewStream,
    NodeSize, Options, PendingParts, Piece, ProducerParts, ProducerSettings, ProducersParts,
    SentParts, StreamParts, SyncPolicy, Threads,
};
use proptest::prelude::*;

use super::{CRC, FOOTER_LEN, Payload, Result, Unreadable, WRITTEN_VERSIONS, write};

/// Streams that real servers dumped; `tests/clients/oracle/moving.py` moves many more.
const REDIS_7_0: &str = include_str!("fixtures/redis-7.0.hex");
const VALKEY_9_1: &str = include_str!("fixtures/valkey-9.1.hex");
const REDIS_8_6: &str = include_str!("fixtures/redis-8.6.hex");
/// Written by hand after the layout of Redis 5.0: two entries and a group.
const REDIS_5_0: &str = include_str!("fixtures/redis-5.0.hex");
/// The same: no entry is left, two of four that are pending were given back, and two producers are
/// remembered, not in the order of their names.
const REDIS_8_8: &str = include_str!("fixtures/redis-8.8.hex");

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    let byte = |two: &[u8]| u8::from_str_radix(std::str::from_utf8(two).unwrap(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

/// Puts the right checksum behind a payload of that version.
fn sealed(body: &[u8], version: u16) -> Vec<u8> {
    let mut payload = [body, &version.to_le_bytes()].concat();
    let crc = CRC.checksum(&payload);
    payload.extend_from_slice(&crc.to_le_bytes());
    payload
}

/// A payload without its version and checksum.
fn body(hex: &str) -> Vec<u8> {
    let mut body = bytes(hex);
    body.truncate(body.len() - FOOTER_LEN);
    body
}

fn producer(name: &[u8], sent: &[(&[u8], EntryId)]) -> ProducerParts {
    let sent = sent.iter().map(|&(iid, id)| SentParts {
        iid: iid.to_vec(),
        id,
    });
    ProducerParts {
        name: name.to_vec(),
        sent: sent.collect(),
    }
}

/// A store in which streams are built and exported.
struct Store {
    engine: Engine,
    _dir: tempfile::TempDir,
}

impl Store {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut options = Options::default();
        options.threads = Threads::Inline;
        options.sync_policy = SyncPolicy::Never;
        options.checkpoint_interval = 0;
        options.segment_size = 1 << 20;
        let engine = Engine::open(dir.path(), options).unwrap();
        Self { engine, _dir: dir }
    }

    /// What RESTORE does.
    fn restore(&self, payload: &[u8]) -> Result<Export, Unreadable> {
        let payload = Payload::read(payload)?;
        self.build(payload.parts(), &payload)
    }

    fn build(&self, parts: &StreamParts, entries: &dyn EntrySource) -> Result<Export, Unreadable> {
        let new = NewStream::new(parts, entries)?;
        let mut batch = self.engine.lock();
        batch.restore(0, b"key", &new, true)?;
        let export = batch.export(0, b"key")?.unwrap();
        let end = batch.end_command();
        drop(batch);
        self.engine.wait_settled(end)?;
        Ok(export)
    }

    fn is_empty(&self) -> bool {
        self.engine.lock().key_count(0) == 0
    }
}

type Entry = (EntryId, Vec<Vec<u8>>);

fn entries(export: &Export) -> Vec<Entry> {
    let mut entries = Vec::new();
    let visited = export.entries.visit(0, &mut |id, fields| {
        entries.push((id, fields.unwrap().map(<[u8]>::to_vec).collect()));
        ControlFlow::Continue(())
    });
    visited.unwrap();
    entries
}

fn id(ms: u64, seq: u64) -> EntryId {
    EntryId::new(ms, seq)
}

#[test]
fn the_checksum_is_that_of_redis() {
    assert_eq!(CRC.checksum(b"123456789"), 0xe9c6_d914_c4b8_d9ca);
}

/// What `fixtures` hold but for the times at which consumers were seen.
fn check_fixture(export: &Export) {
    let texts = |entry: &Entry| {
        let texts = entry.1.iter().map(|text| text.escape_ascii().to_string());
        (entry.0, texts.collect::<Vec<_>>().join(" "))
    };
    let long = "a".repeat(90);
    let expected = [
        (id(1, 1), "temp 21 place hall".to_owned()),
        (id(2, 2), format!("temp 1000000 place {long}")),
        (id(3, 1), "other x".to_owned()),
        (
            id(4, 0),
            "temp 3000000000 place \\x00\\xff\\r\\n".to_owned(),
        ),
        (id(5, 0), "temp 0 place -9223372036854775808".to_owned()),
        (id(6, 0), "temp 200 place hall".to_owned()),
        (id(7, 0), "temp -70000 place hall".to_owned()),
        (id(8, 0), "temp 4096 place hall".to_owned()),
    ];
    let found: Vec<_> = entries(export).iter().map(texts).collect();
    assert_eq!(found[..8], expected);
    let parts = &export.parts;
    assert_eq!(parts.max_deleted_id, id(9, 0));
    let [g, h] = &parts.groups[..] else {
        panic!("two groups, found {:?}", parts.groups);
    };
    let cursor = |id, entries_read| Cursor { id, entries_read };
    assert_eq!(
        (&g.name[..], g.cursor),
        (&b"g"[..], cursor(id(5, 0), Some(6)))
    );
    assert_eq!(
        (&h.name[..], h.cursor),
        (&b"h"[..], cursor(id(9, 0), Some(4)))
    );
    let names: Vec<_> = g.consumers.iter().map(|it| &it.name[..]).collect();
    assert_eq!(names, [b"alice", &b"bob"[..], b"carol"]);
    let held = |id, delivered_ms, delivery_count, consumer| PendingParts {
        id,
        delivered_ms,
        delivery_count,
        consumer,
    };
    let (early, late) = (1_600_000_000_000, 1_700_000_000_000);
    let expected = [
        held(id(3, 1), early, 7, 1),
        held(id(5, 0), early, 7, 1),
        held(id(2, 1), late, 3, 0),
        held(id(2, 2), late, 3, 0),
        held(id(4, 0), late, 3, 0),
    ];
    assert_eq!(g.pending, expected);
    assert!(h.pending.is_empty() && h.consumers.is_empty());
}

#[test]
fn payloads_of_real_servers_are_read() {
    let store = Store::new();
    let size = |live, added| NodeSize { live, added };
    for (payload, has_active) in [(REDIS_7_0, false), (VALKEY_9_1, true)] {
        let export = store.restore(&bytes(payload)).unwrap();
        check_fixture(&export);
        assert_eq!(export.entries.len(), 8);
        assert_eq!(export.nodes, [size(3, 4), size(4, 4), size(1, 2)]);
        assert_eq!(export.parts.last_id, id(12, 5));
        assert_eq!(export.parts.entries_added, 40);
        // Carol never got anything; older servers do not tell.
        let carol = &export.parts.groups[0].consumers[2];
        assert_eq!(carol.active_ms, (!has_active).then_some(carol.seen_ms));
    }
    // The same with three entries more, of idempotent producers.
    let export = store.restore(&bytes(REDIS_8_6)).unwrap();
    check_fixture(&export);
    assert_eq!(export.entries.len(), 11);
    assert_eq!(export.parts.entries_added, 43);
    let producers = ProducersParts {
        settings: ProducerSettings {
            seconds: 86_400,
            count_max: 77,
        },
        added: 3,
        repeated: 2,
        producers: vec![producer(b"p1", &[(b"iid-3", id(1_795_393_480_151, 2))])],
    };
    assert_eq!(export.parts.producers, Some(producers));
}

#[test]
fn what_was_given_back_is_pending_for_nobody() {
    let store = Store::new();
    let export = store.restore(&bytes(REDIS_8_8)).unwrap();
    let group = &export.parts.groups[0];
    let ids: Vec<_> = group.pending.iter().map(|held| held.id).collect();
    assert_eq!(ids, [id(1, 0), id(3, 0)]);
    let fatal = i64::MAX.cast_unsigned();
    assert_eq!(group.given_back, [(id(4, 0), fatal), (id(2, 0), 3)]);
    let producers = ProducersParts {
        settings: ProducerSettings {
            seconds: 7,
            count_max: 3,
        },
        added: 11,
        repeated: 2,
        producers: vec![
            producer(b"p", &[(b"b", id(8, 0)), (b"a", id(7, 0))]),
            producer(b"q", &[(b"a", id(9, 0))]),
        ],
    };
    assert_eq!(export.parts.producers, Some(producers));
    // Nobody may own what was given back, and it must be pending.
    let body = body(REDIS_8_8);
    let given_back = [0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0];
    let at = body.windows(16).rposition(|it| it == given_back).unwrap();
    for (ms, what) in [
        (1, "an entry is pending for two consumers"),
        (2, "an entry is pending for two consumers"),
        (5, "what is pending for a consumer is unknown"),
    ] {
        let mut body = body.clone();
        body[at + 7] = ms;
        assert_eq!(malformed(&sealed(&body, 14)), what);
    }
    let lists = |count: u8, end: usize| [&body[..at - 1], &[count], &body[at..end]].concat();
    let behind = &body[at + 32..];
    let one_less = sealed(&[&lists(1, at + 16), behind].concat(), 14);
    assert_eq!(malformed(&one_less), "an entry is pending for nobody");
}

#[test]
fn producers_that_contradict_themselves_are_refused() {
    let start = [26, 0, 0, 9, 0, 0, 0, 0, 0, 9, 0];
    for (producers, what) in [
        (
            &[0, 1, 0, 0, 0][..],
            "a setting for producers that cannot be",
        ),
        (&[1, 0, 0, 0, 0], "a setting for producers that cannot be"),
        (
            &[1, 1, 2, 1, b'p', 0, 1, b'p', 0, 0, 0],
            "two producers of one name",
        ),
        (
            &[1, 1, 1, 1, b'p', 2, 1, b'a', 5, 0, 1, b'a', 6, 0, 2, 0],
            "a message is remembered twice",
        ),
        (
            &[1, 1, 9, 1, b'p', 0, 0, 0],
            "more items than the payload has room for",
        ),
        (&[1, 1, 0, 0], "the payload ends too early"),
    ] {
        let payload = sealed(&[&start, producers].concat(), 13);
        assert_eq!(malformed(&payload), what, "{producers:?}");
    }
}

#[test]
fn the_oldest_layout_that_has_a_place_for_everything_is_written() {
    let store = Store::new();
    let layout = |export: &Export, version_max| {
        let payload = write(export, version_max).unwrap();
        (payload[0], payload[payload.len() - 10])
    };
    let mut export = store.restore(&bytes(REDIS_8_8)).unwrap();
    for (version_max, expected) in [
        (14, (27, 14)),
        (13, (26, 13)),
        (12, (21, 11)),
        (10, (19, 10)),
    ] {
        assert_eq!(layout(&export, version_max), expected);
    }
    export.parts.groups[0].given_back.clear();
    assert_eq!(layout(&export, 14), (26, 13));
    export.parts.producers = None;
    assert_eq!(layout(&export, 14), (21, 11));
    // Ordinary settings are all that newer servers write of a stream without producers.
    let ordinary = [
        26, 0, 0, 9, 0, 0, 0, 0, 0, 9, 0, 0x40, 100, 0x40, 100, 0, 0, 0,
    ];
    let export = store.restore(&sealed(&ordinary, 13)).unwrap();
    assert_eq!(layout(&export, 14), (21, 11));
}

#[test]
fn a_payload_of_the_oldest_layout_is_read() {
    let export = Store::new().restore(&bytes(REDIS_5_0)).unwrap();
    let entry = |ms, value: &[u8]| (id(ms, 0), vec![b"f".to_vec(), value.to_vec()]);
    assert_eq!(entries(&export), [entry(1, b"a"), entry(2, b"b")]);
    let parts = &export.parts;
    assert_eq!((parts.last_id, parts.entries_added), (id(2, 0), 2));
    let group = &parts.groups[0];
    let at_first = Cursor {
        id: id(1, 0),
        entries_read: Some(1),
    };
    assert_eq!(group.cursor, at_first);
    let seen = (group.consumers[0].seen_ms, group.consumers[0].active_ms);
    assert_eq!(seen, (9, Some(9)));
    assert_eq!(
        (group.pending[0].id, group.pending[0].delivered_ms),
        (id(1, 0), 5)
    );
}

fn malformed(payload: &[u8]) -> &'static str {
    match Payload::read(payload).err() {
        Some(Unreadable::Stream(Error::Malformed { what })) => what,
        other => panic!("{other:?}"),
    }
}

#[test]
fn envelopes_and_other_types_are_told_apart() {
    let good = bytes(REDIS_5_0);
    let refused = |payload: &[u8]| Payload::read(payload).err();
    for len in 0..good.len() {
        let found = refused(&good[..len]);
        assert!(matches!(found, Some(Unreadable::Envelope)), "{len}");
    }
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 0x10;
        assert!(matches!(refused(&bad), Some(Unreadable::Envelope)), "{at}");
    }
    for version in [0, 16, 79, 81, u16::MAX] {
        let bad = sealed(&body(REDIS_5_0), version);
        assert!(matches!(refused(&bad), Some(Unreadable::Envelope)));
    }
    // What a Redis 7.0 and a Valkey 9.1 wrote for a string and a list.
    let string = refused(&bytes("0001760a009108ceb219388ace"));
    assert!(matches!(string, Some(Unreadable::OtherType("strings"))));
    let list = bytes("1201020c0c00000002000101816102ff50001fb3063d29cd79b7");
    assert!(matches!(
        refused(&list),
        Some(Unreadable::OtherType("lists"))
    ));
    for body in [&[][..], &[99, 0, 0], &[26]] {
        // Valkey has no type 26.
        let found = refused(&sealed(body, 80));
        let is_malformed = matches!(found, Some(Unreadable::Stream(Error::Malformed { .. })));
        assert!(is_malformed, "{body:?}");
    }
}

/// Whatever is done to a payload, with its checksum made right again: it is a stream, or it is
/// refused and leaves nothing behind.
fn check_damaged(store: &Store, body: &[u8], version: u16) {
    let restored = store.restore(&sealed(body, version));
    match restored {
        Ok(export) => {
            assert_eq!(entries(&export).len(), export.entries.len());
            // What was built can be written and read again.
            let newest = WRITTEN_VERSIONS.1;
            let again = store.restore(&write(&export, newest).unwrap()).unwrap();
            assert_eq!(entries(&again), entries(&export));
            assert_eq!(again.nodes, export.nodes);
            assert_eq!(again.parts, export.parts);
            store.engine.lock().remove(0, b"key").unwrap();
        }
        Err(_) => assert!(store.is_empty(), "something was left behind"),
    }
}

fn payloads() -> [Vec<u8>; 5] {
    [REDIS_7_0, VALKEY_9_1, REDIS_8_6, REDIS_5_0, REDIS_8_8].map(bytes)
}

#[test]
fn a_changed_or_cut_payload_is_a_stream_or_refused() {
    let store = Store::new();
    for payload in payloads() {
        let (body, footer) = payload.split_at(payload.len() - 10);
        let version = u16::from_le_bytes([footer[0], footer[1]]);
        for at in 0..body.len() {
            check_damaged(&store, &body[..at], version);
            for change in [0x01, 0x02, 0x40, 0x80, 0xff] {
                let mut bad = body.to_vec();
                bad[at] ^= change;
                check_damaged(&store, &bad, version);
            }
            let without = [&body[..at], &body[at + 1..]].concat();
            check_damaged(&store, &without, version);
            let doubled = [&body[..=at], &body[at..]].concat();
            check_damaged(&store, &doubled, version);
        }
    }
}

#[test]
fn counts_and_lengths_beyond_the_payload_are_refused_at_once() {
    let store = Store::new();
    let huge = [0x81, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
    for payload in payloads() {
        let body = &payload[..payload.len() - 10];
        for at in 1..body.len() {
            let bad = [&body[..at], &huge, &body[at + 1..]].concat();
            check_damaged(&store, &bad, 14);
        }
    }
}

#[test]
fn compressed_names_beyond_all_proportion_are_refused() {
    // A group's name of 64 KiB that takes a few hundred bytes, again and again.
    let mut packed = vec![0, b'a'];
    for _ in 0..248 {
        packed.extend_from_slice(&[0xe0, 0xff, 0]);
    }
    let mut name = vec![0xc3];
    super::codec::put_length(&mut name, packed.len() as u64);
    super::codec::put_length(&mut name, 1 + 248 * 264);
    name.extend_from_slice(&packed);
    let group = [&name[..], &[0, 0, 0, 0, 0]].concat();
    let mut body = vec![19, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    super::codec::put_length(&mut body, 100);
    body.extend(std::iter::repeat_n(group, 100).flatten());
    let what = malformed(&sealed(&body, 10));
    assert_eq!(what, "names beyond all proportion");
}

/// All of a stream, in memory.
#[derive(Clone, Debug)]
struct Whole {
    parts: StreamParts,
    entries: Vec<Entry>,
    nodes: Vec<NodeSize>,
}

impl EntrySource for Whole {
    fn visit(&self, visitor: &mut dyn FnMut(Piece<'_>) -> Result<()>) -> Result<()> {
        let mut entries = self.entries.iter();
        for node in &self.nodes {
            for at in 0..node.live {
                let (id, fields) = entries.next().unwrap();
                let fields: Vec<&[u8]> = fields.iter().map(Vec::as_slice).collect();
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

fn text() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        any::<i64>().prop_map(|integer| integer.to_string().into_bytes()),
        (-5000_i64..5000).prop_map(|integer| integer.to_string().into_bytes()),
        proptest::collection::vec(any::<u8>(), 0..20),
        (0usize..5000).prop_map(|len| vec![b'x'; len]),
        Just(b"temp".to_vec()),
    ]
}

/// IDs that grow, with fields of the same names or of others.
fn nodes() -> impl Strategy<Value = (Vec<Entry>, Vec<NodeSize>)> {
    let step = prop_oneof![Just((0, 1)), Just((1, 0)), (1u64..1 << 40, any::<u64>())];
    let fields = prop_oneof![
        text().prop_map(|value| vec![b"temp".to_vec(), value]),
        proptest::collection::vec((text(), text()), 1..4)
            .prop_map(|pairs| pairs.into_iter().flat_map(|(a, b)| [a, b]).collect()),
    ];
    let node = (proptest::collection::vec((step, fields), 1..6), 0u32..4);
    proptest::collection::vec(node, 0..5).prop_map(|nodes| {
        let (mut last, mut entries, mut sizes) = (EntryId::MIN, Vec::new(), Vec::new());
        for (node, missing) in nodes {
            let live = u32::try_from(node.len()).unwrap();
            for ((ms, seq), fields) in node {
                last = match ms {
                    0 => EntryId::new(last.ms, last.seq.saturating_add(seq)),
                    _ => EntryId::new(last.ms + ms, seq),
                };
                if entries.last().is_none_or(|(id, _)| *id < last) && last > EntryId::MIN {
                    entries.push((last, fields));
                } else {
                    last = EntryId::new(last.ms + 1, 0);
                    entries.push((last, fields));
                }
            }
            let added = live + missing;
            sizes.push(NodeSize { live, added });
        }
        (entries, sizes)
    })
}

fn group() -> impl Strategy<Value = GroupParts> {
    let name = proptest::collection::vec(any::<u8>(), 0..30);
    let consumer = (any::<u32>(), proptest::option::of(any::<u32>()));
    let consumers = proptest::collection::btree_map(name.clone(), consumer, 1..4);
    let held = (any::<u32>(), any::<u64>(), 0u32..3);
    let pending = proptest::collection::btree_map((any::<u64>(), any::<u64>()), held, 0..20);
    let given_back = proptest::option::of(0usize..20);
    let cursor = (
        any::<u64>(),
        any::<u64>(),
        proptest::option::of(any::<u32>()),
    );
    let parts = (name, consumers, pending, given_back, cursor);
    parts.prop_map(|(name, consumers, pending, given_back, cursor)| {
        let count = u32::try_from(consumers.len()).unwrap();
        let consumer = |(name, (seen, active)): (Vec<u8>, (u32, Option<u32>))| ConsumerParts {
            name,
            seen_ms: u64::from(seen),
            active_ms: active.map(u64::from),
        };
        let held = |((ms, seq), (delivered, delivery_count, consumer))| PendingParts {
            id: EntryId::new(ms, seq),
            delivered_ms: u64::from(delivered),
            delivery_count,
            consumer: consumer % count,
        };
        let mut pending: Vec<_> = pending.into_iter().map(held).collect();
        let kept = given_back.map_or(pending.len(), |count| pending.len().saturating_sub(count));
        let given_back = pending.split_off(kept).into_iter().rev();
        pending.sort_by_key(|held| held.delivered_ms);
        GroupParts {
            name,
            cursor: Cursor {
                id: EntryId::new(cursor.0, cursor.1),
                entries_read: cursor.2.map(u64::from),
            },
            consumers: consumers.into_iter().map(consumer).collect(),
            pending,
            given_back: given_back
                .map(|held| (held.id, held.delivery_count))
                .collect(),
        }
    })
}

fn producers() -> impl Strategy<Value = ProducersParts> {
    let name = proptest::collection::vec(any::<u8>(), 0..30);
    let sent = proptest::collection::btree_map(name.clone(), (any::<u64>(), any::<u64>()), 1..5);
    let producers = proptest::collection::btree_map(name, sent, 0..4);
    let settings = (1..=IID_SECONDS_MAX, 1..=IIDS_MAX);
    let counters = (any::<u32>(), any::<u32>());
    (settings, counters, producers).prop_map(|(settings, counters, producers)| {
        let producers = producers.iter().map(|(name, sent)| {
            let sent = sent.iter().rev();
            let sent = sent.map(|(iid, &(ms, seq))| (&iid[..], EntryId::new(ms, seq)));
            producer(name, &sent.collect::<Vec<_>>())
        });
        ProducersParts {
            settings: ProducerSettings {
                seconds: settings.0,
                count_max: settings.1,
            },
            added: 100 + u64::from(counters.0),
            repeated: u64::from(counters.1),
            producers: producers.collect(),
        }
    })
}

fn whole() -> impl Strategy<Value = Whole> {
    let groups = proptest::collection::vec(group(), 0..3);
    let deleted = (any::<u64>(), any::<u64>());
    let producers = proptest::option::of(producers());
    (nodes(), groups, any::<u32>(), deleted, producers).prop_map(
        |((entries, nodes), groups, ahead, deleted, producers)| {
            let last = entries.last().map_or(EntryId::MIN, |(id, _)| *id);
            let mut groups = groups;
            groups.sort_by(|a, b| a.name.cmp(&b.name));
            groups.dedup_by(|a, b| a.name == b.name);
            Whole {
                parts: StreamParts {
                    last_id: EntryId::new(last.ms + u64::from(ahead), last.seq),
                    entries_added: u64::from(ahead),
                    max_deleted_id: EntryId::new(deleted.0, deleted.1),
                    deleted_up_to: EntryId::MIN,
                    expiry_ms: None,
                    groups,
                    producers,
                    retention: alluvium_engine::Retention::default(),
                },
                entries,
                nodes,
            }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 128,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn what_is_written_is_read_again(whole in whole()) {
        let store = Store::new();
        let mut built = store.build(&whole.parts, &whole).unwrap();
        for version in [14, 13, 11, 10, 9] {
            let payload = write(&built, version).unwrap();
            let mut read = store.restore(&payload).unwrap();
            prop_assert_eq!(&entries(&read), &whole.entries);
            prop_assert_eq!(&read.nodes, &whole.nodes);
            prop_assert_eq!(read.first_id, built.first_id);
            // What the older layouts have no place for.
            read.parts.deleted_up_to = EntryId::MIN;
            built.parts.deleted_up_to = EntryId::MIN;
            if version < 14 {
                built.parts.groups.iter_mut().for_each(|group| group.given_back.clear());
            }
            if version < 13 {
                built.parts.producers = None;
            }
            if version < 11 {
                for (read, built) in read.parts.groups.iter_mut().zip(&built.parts.groups) {
                    for (read, built) in read.consumers.iter_mut().zip(&built.consumers) {
                        prop_assert_eq!(read.active_ms, Some(read.seen_ms));
                        read.active_ms = built.active_ms;
                    }
                }
            }
            if version < 10 {
                prop_assert_eq!(read.parts.entries_added, whole.entries.len() as u64);
                read.parts.entries_added = built.parts.entries_added;
                read.parts.max_deleted_id = built.parts.max_deleted_id;
                for (read, built) in read.parts.groups.iter_mut().zip(&built.parts.groups) {
                    read.cursor.entries_read = built.cursor.entries_read;
                }
            }
            prop_assert_eq!(&read.parts, &built.parts);
        }
    }

    #[test]
    fn arbitrary_bytes_are_refused_or_a_stream(
        layout in prop_oneof![Just(15u8), Just(19), Just(21), Just(26), Just(27), any::<u8>()],
        body in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        check_damaged(&Store::new(), &[&[layout], &body[..]].concat(), 15);
    }
}
