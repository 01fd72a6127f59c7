//! What was removed: entries, consumers, groups; and cursors that were set.

use super::super::super::finding::Kind;
use super::super::super::history::{Bound, What};
use super::{ALL, Bench, Line, USUAL, id, shown, sight, usual, value};

const WITHOUT_THIRD: [(u64, u32); 2] = [(1, 1), (2, 2)];

fn delete(ms: u64) -> What {
    What::Delete {
        stream: 0,
        id: id(ms),
        removed: 1,
        unrefers: false,
    }
}

fn trim(to: Bound) -> What {
    What::Trim {
        stream: 0,
        to,
        removed: 1,
    }
}

/// The entry 3 is gone, and the last ID stays.
fn without_third() -> super::StreamState {
    let mut state = shown(&WITHOUT_THIRD, USUAL);
    state.figures.last_id = id(3);
    state
}

#[test]
fn a_deleted_entry_is_missing_and_stays_away() {
    let mut bench = usual();
    bench.answered(delete(3));
    assert_eq!(bench.crash(&[without_third()]), []);
    assert_eq!(bench.crash(&[without_third()]), []);
    assert_eq!(bench.crash(&[shown(&ALL, USUAL)]), [Kind::Resurrected]);
}

#[test]
fn a_deletion_that_was_answered_and_did_not_last_is_found_once() {
    let mut bench = usual();
    bench.answered(delete(3));
    assert_eq!(bench.crash(&[shown(&ALL, USUAL)]), [Kind::Undone]);
    assert_eq!(bench.crash(&[shown(&ALL, USUAL)]), []);
    assert_eq!(bench.crash(&[without_third()]), [Kind::Lost]);
}

#[test]
fn a_deletion_without_an_answer_may_have_happened_or_not() {
    for state in [without_third(), shown(&ALL, USUAL)] {
        let mut bench = usual();
        bench.unanswered(delete(3));
        assert_eq!(bench.crash(&[state]), []);
    }
    // Behind the crash it cannot happen any more.
    let mut bench = usual();
    bench.unanswered(delete(3));
    assert_eq!(bench.crash(&[shown(&ALL, USUAL)]), []);
    assert_eq!(bench.crash(&[without_third()]), [Kind::Lost]);
    // Unless the server was only paused.
    let mut bench = usual();
    bench.unanswered(delete(3));
    assert_eq!(bench.end_round(&[shown(&ALL, USUAL)], false), []);
    assert_eq!(bench.crash(&[without_third()]), []);
}

#[test]
fn a_deletion_and_an_addition_in_one_transaction_survive_together() {
    let with_fourth = [(1, 1), (2, 2), (3, 3), (4, 4)];
    let replaced = [(1, 1), (2, 2), (4, 4)];
    for (entries, expected) in [
        (&ALL[..], &[][..]),
        (&replaced, &[]),
        (&with_fourth, &[Kind::PartialTransaction]),
        (&WITHOUT_THIRD, &[Kind::PartialTransaction]),
    ] {
        let mut bench = usual();
        bench.unanswered(delete(3)).tx = Some(value(4));
        bench.add_unknown(4).tx = Some(value(4));
        let mut state = shown(entries, USUAL);
        state.figures.last_id = state.figures.last_id.max(id(3));
        assert_eq!(bench.crash(&[state]), expected, "{entries:?}");
    }
}

#[test]
fn a_trim_removes_what_lies_before_and_nothing_else() {
    let rest = [(2, 2), (3, 3)];
    let mut bench = usual();
    bench.answered(trim(Bound::MinId(id(2))));
    assert_eq!(bench.crash(&[shown(&rest, USUAL)]), []);
    assert_eq!(bench.crash(&[shown(&rest[1..], USUAL)]), [Kind::Lost]);

    let mut bench = usual();
    bench.answered(trim(Bound::MinId(id(2))));
    assert_eq!(bench.crash(&[shown(&ALL, USUAL)]), [Kind::Undone]);
    assert_eq!(bench.crash(&[shown(&ALL, USUAL)]), []);

    for entries in [&rest[..], &ALL] {
        let mut bench = usual();
        bench.unanswered(trim(Bound::MinId(id(2))));
        assert_eq!(bench.crash(&[shown(entries, USUAL)]), []);
    }
}

#[test]
fn a_trim_to_a_length_spares_the_newest() {
    for entries in [&ALL[..], &ALL[1..]] {
        let mut bench = usual();
        bench.answered(trim(Bound::MaxLen(2)));
        assert_eq!(bench.crash(&[shown(entries, USUAL)]), []);
    }
    let mut bench = usual();
    bench.answered(trim(Bound::MaxLen(2)));
    assert_eq!(bench.crash(&[shown(&ALL[2..], USUAL)]), [Kind::Lost]);
    // An entry of which no more is known may have been the second one.
    let mut bench = usual();
    bench.add_unknown(4);
    bench.answered(trim(Bound::MaxLen(2)));
    assert_eq!(bench.crash(&[shown(&ALL[2..], USUAL)]), []);
}

#[test]
fn an_unanswered_xadd_may_have_been_trimmed_before_a_later_one() {
    let mut bench = usual();
    bench.add_unknown(4);
    bench.add_unknown(5);
    bench.answered(trim(Bound::MinId(id(5))));
    assert_eq!(bench.crash(&[shown(&[(5, 5)], USUAL)]), []);
}

#[test]
fn what_was_read_without_ack_is_handled_and_is_not_handed_out_again() {
    let read = |entries| What::Deliver {
        group: 0,
        consumer: 8,
        entries,
        is_noack: true,
    };
    let past: Option<(u64, &[Line])> = Some((3, &[(2, 7, 1)]));
    let mut bench = usual();
    bench.answered(read(vec![sight(3, 3)]));
    assert_eq!(bench.crash(&[shown(&ALL, past)]), []);
    bench.deliver(7, &[3]);
    let again = Some((3, &[(2, 7, 1), (3, 7, 1)][..]));
    assert_eq!(bench.crash(&[shown(&ALL, again)]), [Kind::AckLost]);

    let mut bench = usual();
    bench.answered(read(vec![sight(3, 3)]));
    assert_eq!(bench.crash(&[shown(&ALL, USUAL)]), [Kind::CursorBack]);
    let mut bench = usual();
    bench.answered(read(vec![sight(3, 3)]));
    assert_eq!(bench.crash(&[shown(&ALL, again)]), [Kind::AckLost]);
    // Without an answer the cursor may have passed anything.
    for group in [USUAL, past] {
        let mut bench = usual();
        bench.unanswered(read(Vec::new()));
        assert_eq!(bench.crash(&[shown(&ALL, group)]), []);
    }
}

#[test]
fn what_a_deleted_consumer_held_is_gone_and_it_does_not_come_back() {
    let gone = What::DeleteConsumer {
        group: 0,
        consumer: 7,
    };
    let mut bench = usual();
    bench.answered(gone.clone());
    assert_eq!(bench.crash(&[shown(&ALL, Some((2, &[])))]), []);
    let mut bench = usual();
    bench.answered(gone.clone());
    assert_eq!(bench.crash(&[shown(&ALL, USUAL)]), [Kind::Undone]);
    for group in [USUAL, Some((2, &[][..]))] {
        let mut bench = usual();
        bench.unanswered(gone.clone());
        assert_eq!(bench.crash(&[shown(&ALL, group)]), []);
    }
    // Unless it reads again.
    for is_answered in [true, false] {
        let mut bench = usual();
        bench.answered(gone.clone());
        bench.deliver(7, &[3]);
        if !is_answered {
            bench.ops.last_mut().unwrap().end = None;
        }
        let group = Some((3, &[(3, 7, 1)][..]));
        assert_eq!(bench.crash(&[shown(&ALL, group)]), []);
    }
    // What another one has claimed before stays with that one.
    let mut bench = usual();
    bench.claim(8, &[2], false);
    bench.answered(gone);
    assert_eq!(bench.crash(&[shown(&ALL, Some((2, &[(2, 8, 1)])))]), []);
}

#[test]
fn a_destroyed_group_is_gone_and_stays_away() {
    let destroy = What::DestroyGroup { group: 0 };
    let mut bench = usual();
    bench.answered(destroy.clone());
    assert_eq!(bench.crash(&[shown(&ALL, None)]), []);
    let mut bench = usual();
    bench.answered(destroy.clone());
    assert_eq!(bench.crash(&[shown(&ALL, USUAL)]), [Kind::Undone]);
    assert_eq!(bench.crash(&[shown(&ALL, None)]), [Kind::GroupLost]);
    for group in [USUAL, None] {
        let mut bench = usual();
        bench.unanswered(destroy.clone());
        assert_eq!(bench.crash(&[shown(&ALL, group)]), []);
    }
}

#[test]
fn a_cursor_is_where_it_was_set_to() {
    let set = |ms| What::SetCursor {
        group: 0,
        id: id(ms),
    };
    let at = |cursor| shown(&ALL, Some((cursor, &[])));
    let begun = || {
        let mut bench = Bench::new();
        for n in 1..4 {
            bench.add(n, u64::from(n));
        }
        bench
    };
    let mut bench = begun();
    bench.answered(set(3));
    bench.answered(set(1));
    assert_eq!(bench.crash(&[at(1)]), []);
    assert_eq!(bench.crash(&[at(0)]), [Kind::CursorBack]);
    for (cursor, expected) in [
        (0, &[Kind::CursorBack][..]),
        (3, &[]),
        (1, &[]),
        (2, &[Kind::CursorBack]),
    ] {
        let mut bench = begun();
        bench.answered(set(3));
        bench.unanswered(set(1));
        assert_eq!(bench.crash(&[at(cursor)]), expected, "{cursor}");
    }
    for cursor in [0, 3] {
        let mut bench = begun();
        bench.unanswered(set(3));
        assert_eq!(bench.crash(&[at(cursor)]), []);
    }
}

#[test]
fn what_is_deleted_with_its_references_is_pending_for_nobody() {
    let deleted = |unrefers| What::Delete {
        stream: 0,
        id: id(2),
        removed: 1,
        unrefers,
    };
    let state = |pending| shown(&[(1, 1), (3, 3)], Some((2, pending)));
    let held: &[Line] = &[(2, 7, 1)];
    for (unrefers, pending, expected) in [
        (true, &[][..], &[][..]),
        (true, held, &[Kind::Undone]),
        (false, held, &[]),
    ] {
        let mut bench = usual();
        bench.answered(deleted(unrefers));
        assert_eq!(bench.crash(&[state(pending)]), expected);
        assert_eq!(bench.crash(&[state(pending)]), []);
    }
    for pending in [held, &[]] {
        let mut bench = usual();
        bench.unanswered(deleted(true));
        assert_eq!(bench.crash(&[state(pending)]), []);
    }
}

#[test]
fn of_two_who_delete_an_entry_either_may_have_done_it() {
    let mut bench = usual();
    bench.unanswered(delete(3)).tx = Some(value(4));
    let (stream, added, at) = (0, value(4), None);
    let add = What::Add {
        stream,
        value: added,
        id: at,
    };
    bench.unanswered(add).tx = Some(added);
    assert_eq!(bench.crash(&[without_third()]), [Kind::PartialTransaction]);
    let mut bench = usual();
    bench.unanswered(delete(3)).tx = Some(value(4));
    let add = What::Add {
        stream,
        value: added,
        id: at,
    };
    bench.unanswered(add).tx = Some(added);
    bench.answered(delete(3));
    assert_eq!(bench.crash(&[without_third()]), []);
}
