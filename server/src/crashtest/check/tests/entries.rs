//! Entries and transactions of entries.

use super::super::super::finding::Kind;
use super::super::super::history::{StreamState, What};
use super::{ALL, Bench, USUAL, id, shown, sight, usual, value};

#[test]
fn an_unanswered_xadd_may_be_there_or_not() {
    for entries in [&ALL[..], &[(1, 1), (2, 2), (3, 3), (9, 9)]] {
        let mut bench = usual();
        bench.add_unknown(9);
        assert_eq!(bench.crash(&[shown(entries, USUAL)]), []);
        // And so it stays.
        assert_eq!(bench.crash(&[shown(entries, USUAL)]), []);
    }
}

#[test]
fn an_xadd_that_was_refused_leaves_no_hole() {
    let mut bench = usual();
    let refused = What::Add {
        stream: 0,
        value: value(4),
        id: None,
    };
    bench.answered(refused);
    bench.add(5, 5);
    let entries = [(1, 1), (2, 2), (3, 3), (5, 5)];
    assert_eq!(bench.crash(&[shown(&entries, USUAL)]), []);
}

#[test]
fn concurrent_xadds_may_be_in_either_order() {
    let mut bench = Bench::new();
    bench.add(1, 2).end = Some(1000);
    bench.add(2, 1);
    assert_eq!(bench.crash(&[shown(&[(1, 2), (2, 1)], Some((0, &[])))]), []);
}

#[test]
fn an_unanswered_xadd_may_still_arrive_at_a_server_that_was_only_paused() {
    let mut bench = usual();
    bench.add_unknown(4);
    assert_eq!(bench.end_round(&[shown(&ALL, USUAL)], false), []);
    let entries = [(1, 1), (2, 2), (3, 3), (4, 4)];
    assert_eq!(bench.end_round(&[shown(&entries, USUAL)], false), []);
}

#[test]
fn an_acknowledged_entry_that_is_missing_is_lost_once() {
    let mut bench = usual();
    assert_eq!(
        bench.crash(&[shown(&ALL[..2], USUAL)]),
        [Kind::Lost, Kind::IdWentBack]
    );
    assert_eq!(bench.crash(&[shown(&ALL[..2], USUAL)]), []);
    // In the middle.
    let mut bench = usual();
    assert_eq!(
        bench.crash(&[shown(&[(1, 1), (3, 3)], USUAL)]),
        [Kind::Lost]
    );
}

#[test]
fn an_entry_that_was_seen_and_is_missing_has_vanished() {
    let mut bench = usual();
    bench.add_unknown(4);
    bench.read(3, &[(4, 4)]);
    assert_eq!(
        bench.crash(&[shown(&ALL, USUAL)]),
        [Kind::Vanished, Kind::IdWentBack]
    );
}

#[test]
fn an_entry_with_other_bytes_is_altered() {
    let mut bench = usual();
    let mut state = shown(&ALL, USUAL);
    state.entries[1].is_intact = false;
    assert_eq!(bench.crash(&[state.clone()]), [Kind::Altered]);
    assert_eq!(bench.crash(&[state]), []);
    // Something that nobody sent.
    let mut bench = usual();
    let mut state = shown(&[(1, 1), (2, 2), (3, 3), (4, 4)], USUAL);
    state.entries[3].value = None;
    assert_eq!(bench.crash(&[state]), [Kind::Altered]);
    // What a reader was given counts, too.
    let mut bench = usual();
    let mut entry = sight(1, 1);
    entry.is_intact = false;
    bench.answered(What::Read {
        stream: 0,
        after: id(0),
        entries: vec![entry],
    });
    assert_eq!(bench.crash(&[shown(&ALL, USUAL)]), [Kind::Altered]);
}

#[test]
fn an_entry_of_another_stream_is_altered() {
    let mut bench = usual();
    bench.answered(What::Add {
        stream: 1,
        value: value(4),
        id: Some(id(4)),
    });
    let mut other = shown(&[], None);
    other.stream = 1;
    let entries = [(1, 1), (2, 2), (3, 3), (4, 4)];
    let found = bench.crash(&[shown(&entries, USUAL), other]);
    assert!(
        found.contains(&Kind::Altered) && found.contains(&Kind::Lost),
        "{found:?}"
    );
}

#[test]
fn an_entry_that_is_there_twice_is_duplicated() {
    let mut bench = usual();
    let entries = [(1, 1), (2, 2), (3, 3), (5, 2)];
    assert_eq!(bench.crash(&[shown(&entries, USUAL)]), [Kind::Duplicated]);
    // One that nobody acknowledged as well.
    let mut bench = usual();
    bench.add_unknown(4);
    let entries = [(1, 1), (2, 2), (3, 3), (4, 4), (5, 4)];
    assert_eq!(bench.crash(&[shown(&entries, USUAL)]), [Kind::Duplicated]);
}

#[test]
fn an_order_that_contradicts_the_clock_is_reordered() {
    let mut bench = Bench::new();
    bench.add(1, 2);
    bench.add(2, 1);
    assert_eq!(
        bench.crash(&[shown(&[(1, 2), (2, 1)], Some((0, &[])))]),
        [Kind::Reordered]
    );
    // Acknowledged at one ID, found at another.
    let mut bench = usual();
    let found = bench.crash(&[shown(&[(1, 1), (2, 2), (4, 3)], USUAL)]);
    assert_eq!(found, [Kind::Lost, Kind::Reordered]);
    // A listing that is not in order.
    let mut bench = usual();
    assert_eq!(
        bench.crash(&[shown(&[(2, 2), (1, 1), (3, 3)], USUAL)]),
        [Kind::Reordered]
    );
}

#[test]
fn an_id_that_stands_for_another_entry_is_reissued() {
    let mut bench = usual();
    assert_eq!(
        bench.crash(&[shown(&ALL[..2], USUAL)]),
        [Kind::Lost, Kind::IdWentBack]
    );
    bench.add(4, 3);
    let entries = [(1, 1), (2, 2), (3, 4)];
    assert_eq!(bench.crash(&[shown(&entries, USUAL)]), [Kind::Reissued]);
}

#[test]
fn an_id_below_one_given_out_before_went_back() {
    let mut bench = usual();
    assert_eq!(bench.crash(&[shown(&ALL, USUAL)]), []);
    bench.add(4, 0);
    let entries = [(0, 4), (1, 1), (2, 2), (3, 3)];
    let found = bench.crash(&[shown(&entries, USUAL)]);
    assert!(found.contains(&Kind::IdWentBack), "{found:?}");
    let mut bench = usual();
    let mut state = shown(&ALL, USUAL);
    state.figures.last_id = id(2);
    assert_eq!(
        bench.crash(&[state]),
        [Kind::IdWentBack, Kind::Inconsistent]
    );
}

#[test]
fn what_survives_of_one_connection_is_a_beginning() {
    let mut bench = usual();
    bench.add_unknown(4);
    bench.add_unknown(5);
    let entries = [(1, 1), (2, 2), (3, 3), (5, 5)];
    assert_eq!(bench.crash(&[shown(&entries, USUAL)]), [Kind::Hole]);
    let mut bench = usual();
    bench.add_unknown(4);
    bench.add_unknown(5);
    let entries = [(1, 1), (2, 2), (3, 3), (4, 4)];
    assert_eq!(bench.crash(&[shown(&entries, USUAL)]), []);
}

#[test]
fn what_was_absent_must_not_come_back() {
    let mut bench = usual();
    bench.add_unknown(4);
    assert_eq!(bench.crash(&[shown(&ALL, USUAL)]), []);
    let entries = [(1, 1), (2, 2), (3, 3), (4, 4)];
    assert_eq!(bench.crash(&[shown(&entries, USUAL)]), [Kind::Resurrected]);
    let mut bench = usual();
    assert_eq!(
        bench.crash(&[shown(&ALL[..2], USUAL)]),
        [Kind::Lost, Kind::IdWentBack]
    );
    assert_eq!(bench.crash(&[shown(&ALL, USUAL)]), [Kind::Resurrected]);
}

#[test]
fn nothing_appears_behind_a_reader() {
    let mut bench = usual();
    bench.read(0, &[(1, 1), (3, 3)]);
    assert_eq!(bench.crash(&[shown(&ALL, USUAL)]), [Kind::Skipped]);
    let mut bench = usual();
    bench.deliver(7, &[3, 5]);
    bench.add(5, 5);
    bench.add_unknown(4);
    let entries = [(1, 1), (2, 2), (3, 3), (4, 4), (5, 5)];
    let group = Some((5, &[(2, 7, 1), (3, 7, 1), (5, 7, 1)][..]));
    let found = bench.crash(&[shown(&entries, group)]);
    assert!(found.contains(&Kind::Skipped), "{found:?}");
}

#[test]
fn one_part_of_a_transaction_is_an_anomaly() {
    for (entries, expected) in [
        (&ALL[..], &[][..]),
        (&[(1, 1), (2, 2), (3, 3), (4, 4), (5, 5)], &[]),
        (
            &[(1, 1), (2, 2), (3, 3), (4, 4)],
            &[Kind::PartialTransaction],
        ),
    ] {
        let mut bench = usual();
        bench.add_unknown(4).tx = Some(value(4));
        bench.add_unknown(5).tx = Some(value(4));
        assert_eq!(bench.crash(&[shown(entries, USUAL)]), expected);
    }
}

#[test]
fn a_stream_that_is_gone_loses_entries_and_groups() {
    let mut bench = usual();
    let gone = StreamState {
        stream: 0,
        ..StreamState::default()
    };
    assert_eq!(bench.crash(&[gone]), [Kind::Lost, Kind::GroupLost]);
}

#[test]
fn a_message_that_is_sent_again_is_the_entry_that_it_was() {
    let again = |n, ms| What::AddAgain {
        stream: 0,
        value: value(n),
        id: id(ms),
    };
    let mut bench = usual();
    bench.answered(again(3, 3));
    assert_eq!(bench.crash(&[shown(&ALL, USUAL)]), []);
    // It is one entry more.
    let mut bench = usual();
    bench.answered(again(3, 4));
    let state = shown(&[(1, 1), (2, 2), (3, 3), (4, 3)], USUAL);
    assert_eq!(bench.crash(&[state]), [Kind::Duplicated]);
    // Nobody had been told of the first; whichever it is, it is acknowledged now.
    let mut bench = usual();
    bench.add_unknown(4);
    bench.answered(again(4, 4));
    let state = shown(&[(1, 1), (2, 2), (3, 3), (4, 4)], USUAL);
    assert_eq!(bench.crash(&[state]), []);
    let mut bench = usual();
    bench.add_unknown(4);
    bench.answered(again(4, 4));
    let mut state = shown(&ALL, USUAL);
    state.figures.last_id = id(4);
    assert_eq!(bench.crash(&[state]), [Kind::Lost]);
}
