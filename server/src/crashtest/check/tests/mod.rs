//! Hand-made histories: each anomaly must be found, and no unknown outcome may be taken for one.

mod entries;
mod groups;
mod removals;

use alluvium_engine::EntryId;

use super::super::content::{Sight, Value};
use super::super::finding::{Kind, Tally};
use super::super::history::{Figures, GroupState, Names, Op, Pending, StreamState, What};
use super::{Evidence, Model};

/// A stream `s` with a group `g`, a second stream `t`, and what is known of them.
struct Bench {
    model: Model,
    tally: Tally,
    tick: u64,
    ops: Vec<Op>,
}

fn id(ms: u64) -> EntryId {
    EntryId::new(ms, 0)
}

/// The `n`-th XADD of connection 1.
fn value(n: u32) -> Value {
    Value { conn: 1, n }
}

fn sight(ms: u64, n: u32) -> Sight {
    Sight {
        id: id(ms),
        value: Some(value(n)),
        is_intact: true,
    }
}

/// A pending entry: ID, consumer, delivery count.
type Line = (u64, u32, u64);

/// What the server shows of `s`: entries as ID and number, and the group's cursor and pending list.
fn shown(entries: &[(u64, u32)], group: Option<(u64, &[Line])>) -> StreamState {
    let entries: Vec<Sight> = entries.iter().map(|(ms, n)| sight(*ms, *n)).collect();
    let groups = group.map(|(cursor, pending)| GroupState {
        group: 0,
        cursor: id(cursor),
        pending_count: pending.len() as u64,
        pending: pending
            .iter()
            .map(|(ms, consumer, delivery_count)| Pending {
                id: id(*ms),
                consumer: *consumer,
                delivery_count: *delivery_count,
            })
            .collect(),
    });
    StreamState {
        stream: 0,
        exists: true,
        figures: Figures {
            length: entries.len() as u64,
            last_id: entries
                .iter()
                .map(|sight| sight.id)
                .max()
                .unwrap_or_default(),
            entries_added: Some(entries.len() as u64),
            groups: Vec::new(),
        },
        entries,
        groups: groups.into_iter().collect(),
    }
}

impl Bench {
    fn new() -> Self {
        let mut names = Names::default();
        names.add_stream("s".to_owned());
        names.add_stream("t".to_owned());
        names.add_group(0, "g".to_owned());
        let mut model = Model::default();
        model.set_names(names);
        let mut bench = Bench {
            model,
            tally: Tally::default(),
            tick: 0,
            ops: Vec::new(),
        };
        bench.answered(What::CreateGroup { group: 0 });
        bench
    }

    /// An operation that begins behind all earlier ones and is answered before all later ones.
    fn answered(&mut self, what: What) -> &mut Op {
        self.tick += 2;
        self.ops.push(Op {
            conn: 1,
            start: self.tick,
            end: Some(self.tick + 1),
            tx: None,
            what,
        });
        self.ops.last_mut().unwrap()
    }

    fn unanswered(&mut self, what: What) -> &mut Op {
        let op = self.answered(what);
        op.end = None;
        op
    }

    fn add(&mut self, n: u32, ms: u64) -> &mut Op {
        let (stream, value, id) = (0, value(n), Some(id(ms)));
        self.answered(What::Add { stream, value, id })
    }

    fn add_unknown(&mut self, n: u32) -> &mut Op {
        let (stream, value, id) = (0, value(n), None);
        self.unanswered(What::Add { stream, value, id })
    }

    fn read(&mut self, after: u64, entries: &[(u64, u32)]) {
        let entries = entries.iter().map(|(ms, n)| sight(*ms, *n)).collect();
        let (stream, after) = (0, id(after));
        self.answered(What::Read {
            stream,
            after,
            entries,
        });
    }

    /// Delivery of entries whose numbers are their IDs.
    fn deliver(&mut self, consumer: u32, ids: &[u32]) {
        let entries = ids.iter().map(|n| sight(u64::from(*n), *n)).collect();
        self.answered(What::Deliver {
            group: 0,
            consumer,
            entries,
            is_noack: false,
        });
    }

    fn ack(&mut self, ids: &[u64]) -> &mut Op {
        let ids = ids.iter().copied().map(id).collect();
        self.answered(What::Ack { group: 0, ids })
    }

    fn ack_unknown(&mut self, ids: &[u64]) -> &mut Op {
        let op = self.ack(ids);
        op.end = None;
        op
    }

    fn claim(&mut self, consumer: u32, ids: &[u64], is_counted: bool) -> &mut Op {
        let taken: Vec<EntryId> = ids.iter().copied().map(id).collect();
        self.answered(What::Claim {
            group: 0,
            consumer,
            asked: Some(taken.clone()),
            taken,
            is_counted,
            entries: Vec::new(),
        })
    }

    /// Ends the round with a crash, behind which the server shows `states`.
    fn crash(&mut self, states: &[StreamState]) -> Vec<Kind> {
        self.end_round(states, true)
    }

    fn end_round(&mut self, states: &[StreamState], has_ended: bool) -> Vec<Kind> {
        self.tally = Tally::default();
        let ops = std::mem::take(&mut self.ops);
        let evidence = Evidence {
            ops: &ops,
            states,
            has_ended,
        };
        self.model.check(&evidence, &mut self.tally);
        self.tally
            .totals()
            .into_iter()
            .map(|(kind, _)| kind)
            .collect()
    }
}

/// Three entries, of which 1 is acked, 2 is pending for `w7` and 3 is not delivered.
fn usual() -> Bench {
    let mut bench = Bench::new();
    bench.add(1, 1);
    bench.add(2, 2);
    bench.add(3, 3);
    bench.deliver(7, &[1, 2]);
    bench.ack(&[1]);
    bench
}

const ALL: [(u64, u32); 3] = [(1, 1), (2, 2), (3, 3)];
const USUAL: Option<(u64, &[Line])> = Some((2, &[(2, 7, 1)]));

#[test]
fn what_was_promised_and_kept_is_clean() {
    let mut bench = usual();
    assert_eq!(bench.crash(&[shown(&ALL, USUAL)]), []);
    bench.add(4, 4);
    bench.claim(8, &[2], true);
    bench.deliver(8, &[3, 4]);
    bench.ack(&[2, 3]);
    let entries = [(1, 1), (2, 2), (3, 3), (4, 4)];
    assert_eq!(bench.crash(&[shown(&entries, Some((4, &[(4, 8, 1)])))]), []);
}

#[test]
fn figures_that_contradict_each_other_are_found() {
    for spoil in [
        (|state| state.figures.length = 4) as fn(&mut StreamState),
        |state| state.figures.entries_added = Some(1),
        |state| state.groups[0].pending_count = 2,
    ] {
        let mut bench = usual();
        let mut state = shown(&ALL, USUAL);
        spoil(&mut state);
        assert_eq!(bench.crash(&[state]), [Kind::Inconsistent]);
    }
    // Pending, although nobody asked for it.
    let mut bench = usual();
    let group = Some((2, &[(2, 7, 1), (3, 7, 1)][..]));
    assert_eq!(bench.crash(&[shown(&ALL, group)]), [Kind::Inconsistent]);
}

#[test]
fn a_stream_with_the_same_figures_counts_as_unchanged() {
    let mut bench = usual();
    let state = shown(&ALL, USUAL);
    assert!(!bench.model.is_unchanged(&state));
    bench.crash(std::slice::from_ref(&state));
    assert!(bench.model.is_unchanged(&state));
    assert!(!bench.model.is_unchanged(&shown(&ALL[..2], USUAL)));
}

#[test]
fn allowed_kinds_are_counted_and_do_not_fail() {
    let mut tally = Tally::default();
    tally.add(Kind::CountLost, String::new);
    assert!(tally.fails(&[]));
    assert!(!tally.fails(&[Kind::CountLost]));
    assert_eq!(tally.total(Kind::CountLost), 1);
    assert_eq!(Kind::from_name("count-lost"), Some(Kind::CountLost));
}
