//! Consumers: read new entries, ack most of them, leave some pending, claim what others hold, give
//! some back, read their own pending entries again, and hand results on in a MULTI/EXEC with the
//! XACK. Some reading is with NOACK, some by a consumer that is deleted right after.

use std::collections::BTreeMap;

use alluvium_engine::EntryId;

use super::super::content::parse_id;
use super::super::history::{ConsumerNo, GroupNo, What};
use super::{GroupAt, Worker};
use crate::tools::client::Reply;

/// What a consumer carries along.
pub(super) struct Desk {
    consumer: ConsumerNo,
    /// `w<consumer>`.
    name: String,
    groups: Vec<GroupAt>,
    /// What it was given and means to ack, by group.
    held: BTreeMap<GroupNo, Vec<EntryId>>,
    /// Where XAUTOCLAIM goes on, by group.
    scan: BTreeMap<GroupNo, Vec<u8>>,
}

/// The numbers of the consumers that are deleted again lie behind this.
const GUESTS_FROM: ConsumerNo = 1 << 20;

/// Consumes until the connection ends; the consumer `w0` also creates the late group, `w1` the one
/// whose cursor is moved.
pub(super) fn consume(worker: &mut Worker<'_>, index: u32) {
    let mut desk = Desk {
        consumer: index,
        name: format!("w{index}"),
        groups: worker.stage.groups.clone(),
        held: BTreeMap::new(),
        scan: BTreeMap::new(),
    };
    let mut is_late_group_due = index == 0;
    let mut is_moved_group_due = index == 1;
    while worker.goes_on() {
        if is_moved_group_due && worker.rng.one_in(100) {
            is_moved_group_due = false;
            worker.move_group();
        }
        if is_late_group_due && worker.rng.one_in(100) {
            is_late_group_due = false;
            worker.create_group(&mut desk);
        }
        let at = desk.groups[worker.rng.below(desk.groups.len())].clone();
        match worker.rng.below(100) {
            0 => worker.be_guest(&at),
            1..3 => {
                worker.deliver_to(&at, desk.consumer, true);
            }
            3..50 => worker.deliver(&mut desk, &at),
            50..56 if worker.can_delete_by_reference() => worker.ack_and_delete(&mut desk, &at),
            56..60 if worker.can_give_back() => worker.give_back(&mut desk, &at),
            60..64 if worker.can_give_back() => worker.deliver_overdue(&mut desk, &at),
            50..82 => worker.ack(&mut desk, &at),
            82..87 => worker.hand_on(&mut desk, &at),
            87..92 => worker.auto_claim(&mut desk, &at),
            92..97 => worker.claim(&mut desk, &at),
            _ if worker.stage.has_history => worker.read_again(&desk, &at),
            _ => {}
        }
    }
}

impl Desk {
    /// Takes up to `count` IDs that are to be acked.
    pub(super) fn take(&mut self, group: GroupNo, count: usize) -> Vec<EntryId> {
        let held = self.held.entry(group).or_default();
        held.drain(..count.min(held.len())).collect()
    }

    pub(super) fn consumer(&self) -> ConsumerNo {
        self.consumer
    }

    pub(super) fn keep(&mut self, group: GroupNo, ids: impl Iterator<Item = EntryId>) {
        self.held.entry(group).or_default().extend(ids);
    }
}

impl Worker<'_> {
    fn create_group(&mut self, desk: &mut Desk) {
        let at = self.stage.late_group.clone();
        let args = ["XGROUP", "CREATE", &at.key, &at.name, "0"];
        let answer = self.ask(&args.map(str::as_bytes));
        self.note(&answer, None, What::CreateGroup { group: at.group });
        if answer.success().is_some() {
            desk.groups.push(at);
        }
    }

    /// Creates a group, moves its cursor back and forth, and destroys it or not.
    fn move_group(&mut self) {
        let at = self.stage.moved_group.clone();
        let args = ["XGROUP", "CREATE", &at.key, &at.name, "0"];
        let answer = self.ask(&args.map(str::as_bytes));
        self.note(&answer, None, What::CreateGroup { group: at.group });
        for _ in 0..self.rng.between(1, 4) {
            let id = EntryId::new(self.rng.below(1 << 40) as u64, 1);
            let text = id.to_string();
            let args = ["XGROUP", "SETID", &at.key, &at.name, &text];
            let answer = self.ask(&args.map(str::as_bytes));
            self.note(
                &answer,
                None,
                What::SetCursor {
                    group: at.group,
                    id,
                },
            );
        }
        if self.rng.one_in(2) {
            let args = ["XGROUP", "DESTROY", &at.key, &at.name];
            let answer = self.ask(&args.map(str::as_bytes));
            self.note(&answer, None, What::DestroyGroup { group: at.group });
        }
    }

    /// Reads as a consumer that nobody else is, and deletes it with what it was given.
    fn be_guest(&mut self, at: &GroupAt) {
        let consumer = GUESTS_FROM + self.conn;
        self.deliver_to(at, consumer, false);
        let name = format!("w{consumer}");
        let args = ["XGROUP", "DELCONSUMER", &at.key, &at.name, &name];
        let answer = self.ask(&args.map(str::as_bytes));
        let group = at.group;
        self.note(&answer, None, What::DeleteConsumer { group, consumer });
    }

    fn deliver(&mut self, desk: &mut Desk, at: &GroupAt) {
        let given = self.deliver_to(at, desk.consumer, false);
        // One entry in 16 is left pending for others to find.
        let rng = &mut self.rng;
        let kept = given.into_iter().filter(|_| !rng.one_in(16));
        desk.keep(at.group, kept);
    }

    /// Reads new entries for a consumer; their IDs.
    fn deliver_to(&mut self, at: &GroupAt, consumer: ConsumerNo, is_noack: bool) -> Vec<EntryId> {
        let count = self.rng.between(1, 20).to_string();
        let name = format!("w{consumer}");
        let mut args = vec!["XREADGROUP", "GROUP", &at.name, &name, "COUNT", &count];
        args.extend(["BLOCK", "5"]);
        args.extend(is_noack.then_some("NOACK"));
        args.extend(["STREAMS", &at.key, ">"]);
        let args: Vec<&[u8]> = args.into_iter().map(str::as_bytes).collect();
        let answer = self.ask(&args);
        let entries = self.sights(first_stream(answer.reply.as_ref()));
        let given = entries.iter().map(|sight| sight.id).collect();
        let what = What::Deliver {
            group: at.group,
            consumer,
            entries,
            is_noack,
        };
        self.note(&answer, None, what);
        given
    }

    fn ack(&mut self, desk: &mut Desk, at: &GroupAt) {
        let count = self.rng.between(1, 30);
        let ids = desk.take(at.group, count);
        if ids.is_empty() {
            return;
        }
        let texts: Vec<String> = ids.iter().map(EntryId::to_string).collect();
        let mut args = vec!["XACK", &at.key, &at.name];
        args.extend(texts.iter().map(String::as_str));
        let args: Vec<&[u8]> = args.into_iter().map(str::as_bytes).collect();
        let answer = self.ask(&args);
        let what = What::Ack {
            group: at.group,
            ids,
        };
        self.note(&answer, None, what);
    }

    /// XACK and the XADD of a result in one transaction.
    fn hand_on(&mut self, desk: &mut Desk, at: &GroupAt) {
        let ids = desk.take(at.group, 1);
        let Some(id) = ids.first().map(EntryId::to_string) else {
            return;
        };
        self.client.queue(&[b"MULTI"]);
        self.client
            .queue(&["XACK", &at.key, &at.name, &id].map(str::as_bytes));
        let (stream, value) = self.queue_add();
        self.client.queue(&[b"EXEC"]);
        let start = self.send();
        for _ in 0..3 {
            self.receive(start);
        }
        let mut answer = self.receive(start);
        let results = answer.reply.take();
        let results = results.as_ref().and_then(Reply::array).unwrap_or_default();
        answer.reply = results
            .first()
            .filter(|r| !matches!(r, Reply::Error(_)))
            .cloned();
        let what = What::Ack {
            group: at.group,
            ids,
        };
        self.note(&answer, Some(value), what);
        answer.reply = results.get(1).cloned();
        self.note_add(stream, value, Some(value), &answer);
    }

    fn auto_claim(&mut self, desk: &mut Desk, at: &GroupAt) {
        let from = desk
            .scan
            .entry(at.group)
            .or_insert_with(|| b"0-0".to_vec())
            .clone();
        let is_counted = self.rng.one_in(2);
        let mut args: Vec<&[u8]> = vec![
            b"XAUTOCLAIM",
            at.key.as_bytes(),
            at.name.as_bytes(),
            desk.name.as_bytes(),
            b"0",
            &from,
            b"COUNT",
            b"3",
        ];
        if !is_counted {
            args.push(b"JUSTID");
        }
        let answer = self.ask(&args);
        let parts = answer
            .reply
            .as_ref()
            .and_then(Reply::array)
            .unwrap_or_default();
        if let Some(next) = parts.first().and_then(Reply::bytes) {
            desk.scan.insert(at.group, next.to_vec());
        }
        let taken = parts.get(1).cloned();
        self.note_claim(desk, at, &answer, (taken, None, is_counted));
    }

    /// XCLAIM of a few entries that XPENDING shows from some point on.
    fn claim(&mut self, desk: &mut Desk, at: &GroupAt) {
        let held = desk.held.get(&at.group).and_then(|held| held.first());
        let from = held.map_or_else(|| "-".to_owned(), EntryId::to_string);
        let list = self.ask(&["XPENDING", &at.key, &at.name, &from, "+", "4"].map(str::as_bytes));
        let list = list
            .reply
            .as_ref()
            .and_then(Reply::array)
            .unwrap_or_default();
        let id_of = |item: &Reply| parse_id(item.array()?.first()?.bytes()?);
        let ids: Vec<EntryId> = list.iter().filter_map(id_of).collect();
        if ids.is_empty() {
            return;
        }
        let is_counted = self.rng.one_in(2);
        let texts: Vec<String> = ids.iter().map(EntryId::to_string).collect();
        let mut args = vec!["XCLAIM", &at.key, &at.name, &desk.name, "0"];
        args.extend(texts.iter().map(String::as_str));
        if !is_counted {
            args.push("JUSTID");
        }
        let args: Vec<&[u8]> = args.into_iter().map(str::as_bytes).collect();
        let answer = self.ask(&args);
        let taken = answer.reply.clone();
        self.note_claim(desk, at, &answer, (taken, Some(ids), is_counted));
    }

    /// `claim` is what was taken, what was asked for, and whether delivery counts rose.
    fn note_claim(
        &mut self,
        desk: &mut Desk,
        at: &GroupAt,
        answer: &super::Answer,
        claim: (Option<Reply>, Option<Vec<EntryId>>, bool),
    ) {
        let (reply, asked, is_counted) = claim;
        let (taken, entries) = if is_counted {
            let entries = self.sights(reply.as_ref());
            (entries.iter().map(|sight| sight.id).collect(), entries)
        } else {
            let ids = reply.as_ref().and_then(Reply::array).unwrap_or_default();
            let ids = ids.iter().filter_map(|id| parse_id(id.bytes()?));
            (ids.collect::<Vec<_>>(), Vec::new())
        };
        desk.keep(at.group, taken.iter().copied());
        let what = What::Claim {
            group: at.group,
            consumer: desk.consumer,
            asked,
            taken,
            is_counted,
            entries,
        };
        self.note(answer, None, what);
    }

    /// The consumer's own pending entries, as a worker does that starts again.
    fn read_again(&mut self, desk: &Desk, at: &GroupAt) {
        let args = [
            "XREADGROUP",
            "GROUP",
            &at.name,
            &desk.name,
            "COUNT",
            "10",
            "STREAMS",
            &at.key,
            "0",
        ];
        let answer = self.ask(&args.map(str::as_bytes));
        let entries = self.sights(first_stream(answer.reply.as_ref()));
        let what = What::Repeat {
            group: at.group,
            entries,
        };
        self.note(&answer, None, what);
    }
}

/// The entries of the first stream in a reply of XREADGROUP.
pub(super) fn first_stream(reply: Option<&Reply>) -> Option<&Reply> {
    reply?.array()?.first()?.array()?.get(1)
}
