//! Groups, deliveries, claims and acks.

use super::super::super::finding::Kind;
use super::super::super::history::{COUNT_MAX, Fault, NOBODY, What};
use super::{ALL, Bench, USUAL, id, shown, sight, usual, value};

#[test]
fn an_unanswered_xack_may_have_happened_or_not() {
    for pending in [&[(2, 7, 1)][..], &[]] {
        let mut bench = usual();
        bench.ack_unknown(&[2]);
        assert_eq!(bench.crash(&[shown(&ALL, Some((2, pending)))]), []);
        assert_eq!(bench.crash(&[shown(&ALL, Some((2, pending)))]), []);
    }
}

#[test]
fn an_unanswered_delivery_moves_cursor_and_entry_or_neither() {
    for group in [USUAL, Some((3, &[(2, 7, 1), (3, 8, 1)][..]))] {
        let mut bench = usual();
        bench.unanswered(What::Deliver {
            group: 0,
            consumer: 8,
            entries: Vec::new(),
            is_noack: false,
        });
        assert_eq!(bench.crash(&[shown(&ALL, group)]), []);
    }
}

#[test]
fn an_unanswered_claim_may_have_moved_the_entry_or_not() {
    for line in [(2, 7, 1), (2, 8, 2)] {
        let mut bench = usual();
        bench.claim(8, &[2], true).end = None;
        assert_eq!(bench.crash(&[shown(&ALL, Some((2, &[line])))]), []);
    }
}

#[test]
fn concurrent_claims_may_have_happened_in_either_order() {
    for owner in [8, 9] {
        let mut bench = usual();
        let first = bench.claim(8, &[2], false);
        first.end = Some(1000);
        bench.claim(9, &[2], false);
        assert_eq!(bench.crash(&[shown(&ALL, Some((2, &[(2, owner, 1)])))]), []);
    }
}

#[test]
fn an_xack_and_its_result_in_one_transaction_survive_together() {
    let with_result = [(1, 1), (2, 2), (3, 3), (4, 4)];
    for (entries, pending, expected) in [
        (&ALL[..], &[(2, 7, 1)][..], &[][..]),
        (&with_result, &[], &[]),
        (&with_result, &[(2, 7, 1)], &[Kind::PartialTransaction]),
        (&ALL, &[], &[Kind::PartialTransaction]),
    ] {
        let mut bench = usual();
        bench.ack_unknown(&[2]).tx = Some(value(4));
        bench.add_unknown(4).tx = Some(value(4));
        assert_eq!(bench.crash(&[shown(entries, Some((2, pending)))]), expected);
    }
}

#[test]
fn a_group_that_is_gone_is_lost_once_and_may_be_made_again() {
    let mut bench = usual();
    assert_eq!(bench.crash(&[shown(&ALL, None)]), [Kind::GroupLost]);
    assert_eq!(bench.crash(&[shown(&ALL, None)]), []);
    bench.answered(What::CreateGroup { group: 0 });
    bench.deliver(7, &[1, 2]);
    let group = Some((2, &[(1, 7, 1), (2, 7, 1)][..]));
    assert_eq!(bench.crash(&[shown(&ALL, group)]), []);
}

#[test]
fn a_group_that_was_created_without_an_answer_may_be_missing() {
    let mut bench = Bench::new();
    bench.ops.clear();
    bench.unanswered(What::CreateGroup { group: 0 });
    bench.add(1, 1);
    assert_eq!(bench.crash(&[shown(&ALL[..1], None)]), []);
}

#[test]
fn a_cursor_that_moved_back_delivers_again() {
    let mut bench = usual();
    let back = Some((0, &[(2, 7, 1)][..]));
    assert_eq!(bench.crash(&[shown(&ALL, back)]), [Kind::CursorBack]);
    bench.deliver(7, &[1, 2]);
    let group = Some((2, &[(1, 7, 1), (2, 7, 1)][..]));
    assert_eq!(
        bench.crash(&[shown(&ALL, group)]),
        [Kind::AckLost, Kind::DeliveredTwice]
    );
}

#[test]
fn an_entry_delivered_as_new_to_two_consumers_is_found() {
    let mut bench = usual();
    bench.deliver(8, &[2]);
    let found = bench.crash(&[shown(&ALL, Some((2, &[(2, 8, 1)])))]);
    assert_eq!(found, [Kind::DeliveredTwice]);
}

#[test]
fn a_delivered_entry_in_no_list_is_lost() {
    let mut bench = usual();
    assert_eq!(
        bench.crash(&[shown(&ALL, Some((2, &[])))]),
        [Kind::PendingLost]
    );
    assert_eq!(bench.crash(&[shown(&ALL, Some((2, &[])))]), []);
    // In a later round as well.
    let mut bench = usual();
    assert_eq!(bench.crash(&[shown(&ALL, USUAL)]), []);
    assert_eq!(
        bench.crash(&[shown(&ALL, Some((2, &[])))]),
        [Kind::PendingLost]
    );
}

#[test]
fn a_cursor_that_moved_without_its_pending_entry_loses_it() {
    let mut bench = usual();
    bench.unanswered(What::Deliver {
        group: 0,
        consumer: 8,
        entries: Vec::new(),
        is_noack: false,
    });
    let found = bench.crash(&[shown(&ALL, Some((3, &[(2, 7, 1)])))]);
    assert_eq!(found, [Kind::PendingLost]);
}

#[test]
fn an_acked_entry_must_not_be_pending_again() {
    let mut bench = usual();
    let group = Some((2, &[(1, 7, 1), (2, 7, 1)][..]));
    assert_eq!(bench.crash(&[shown(&ALL, group)]), [Kind::AckLost]);
    // In a later round as well.
    let mut bench = usual();
    assert_eq!(bench.crash(&[shown(&ALL, USUAL)]), []);
    assert_eq!(bench.crash(&[shown(&ALL, group)]), [Kind::AckLost]);
}

#[test]
fn who_claims_may_ack_before_who_was_given_has_the_answer() {
    let mut bench = usual();
    let delivery = What::Deliver {
        group: 0,
        consumer: 8,
        entries: vec![sight(3, 3)],
        is_noack: false,
    };
    bench.answered(delivery).end = Some(100);
    bench.claim(9, &[3], true);
    bench.ack(&[3]);
    assert_eq!(bench.crash(&[shown(&ALL, Some((3, &[(2, 7, 1)])))]), []);
}

#[test]
fn a_claim_that_was_answered_must_hold() {
    let mut bench = usual();
    bench.claim(8, &[2], true);
    let found = bench.crash(&[shown(&ALL, USUAL)]);
    assert_eq!(found, [Kind::ClaimLost, Kind::CountLost]);
    // A holder must not change by itself.
    let mut bench = usual();
    assert_eq!(bench.crash(&[shown(&ALL, USUAL)]), []);
    assert_eq!(
        bench.crash(&[shown(&ALL, Some((2, &[(2, 9, 1)])))]),
        [Kind::ClaimLost]
    );
}

#[test]
fn a_delivery_count_must_not_fall() {
    let mut bench = usual();
    bench.answered(What::Repeat {
        group: 0,
        entries: vec![sight(2, 2)],
    });
    assert_eq!(bench.crash(&[shown(&ALL, USUAL)]), [Kind::CountLost]);
    let mut bench = usual();
    assert_eq!(bench.crash(&[shown(&ALL, Some((2, &[(2, 7, 4)])))]), []);
    assert_eq!(
        bench.crash(&[shown(&ALL, Some((2, &[(2, 7, 3)])))]),
        [Kind::CountLost]
    );
}

#[test]
fn a_delivery_that_is_lost_with_its_cursor_is_found_as_that() {
    let mut bench = usual();
    assert_eq!(
        bench.crash(&[shown(&ALL, Some((1, &[])))]),
        [Kind::CursorBack]
    );
    let mut bench = usual();
    bench.ack(&[2]).tx = Some(value(4));
    bench.add_unknown(4).tx = Some(value(4));
    assert_eq!(
        bench.crash(&[shown(&ALL, Some((1, &[])))]),
        [Kind::CursorBack]
    );
}

#[test]
fn what_was_given_back_is_pending_for_nobody() {
    let given_back = |fault| What::GiveBack {
        group: 0,
        id: id(2),
        fault,
    };
    for (fault, line, expected) in [
        (Fault::Consumer, (2, NOBODY, 1), &[][..]),
        (Fault::Nothing, (2, NOBODY, 0), &[]),
        (Fault::Entry, (2, NOBODY, COUNT_MAX), &[]),
        (Fault::Consumer, (2, NOBODY, 0), &[Kind::CountLost]),
        (Fault::Entry, (2, NOBODY, 1), &[Kind::CountLost]),
        (Fault::Consumer, (2, 7, 1), &[Kind::ClaimLost]),
    ] {
        let mut bench = usual();
        bench.answered(given_back(fault));
        let state = shown(&ALL, Some((2, &[line])));
        assert_eq!(bench.crash(std::slice::from_ref(&state)), expected);
        assert_eq!(bench.crash(&[state]), []);
    }
    // Not pending at all.
    let mut bench = usual();
    bench.answered(given_back(Fault::Consumer));
    let state = shown(&ALL, Some((2, &[])));
    assert_eq!(bench.crash(&[state]), [Kind::PendingLost]);
    // Claimed again; the largest count rises no more.
    for (fault, count) in [(Fault::Consumer, 2), (Fault::Entry, COUNT_MAX)] {
        let mut bench = usual();
        bench.answered(given_back(fault));
        bench.claim(8, &[2], true);
        let state = shown(&ALL, Some((2, &[(2, 8, count)])));
        assert_eq!(bench.crash(std::slice::from_ref(&state)), []);
        bench.claim(8, &[2], true);
        let state = shown(&ALL, Some((2, &[(2, 8, (count + 1).min(COUNT_MAX))])));
        assert_eq!(bench.crash(&[state]), []);
    }
    // Without an answer.
    for (fault, line) in [
        (Fault::Nothing, (2, 7, 1)),
        (Fault::Nothing, (2, NOBODY, 0)),
        (Fault::Entry, (2, 7, 1)),
        (Fault::Entry, (2, NOBODY, COUNT_MAX)),
    ] {
        let mut bench = usual();
        bench.unanswered(given_back(fault));
        assert_eq!(bench.crash(&[shown(&ALL, Some((2, &[line])))]), []);
    }
}
