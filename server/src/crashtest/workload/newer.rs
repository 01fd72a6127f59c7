//! What came with Redis 8.2 to 8.8, for servers that know it: XDELEX and XACKDEL, XNACK, XREADGROUP
//! that claims, and XADD of messages that are added once however often they are sent.

use std::io;

use alluvium_engine::EntryId;

use super::super::content::{Recipe, Value};
use super::super::history::{Fault, Op, StreamNo, What};
use super::consumers::{Desk, first_stream};
use super::producers::{added_id, queue_value};
use super::removers::counted;
use super::{Answer, GroupAt, Worker};
use crate::tools::client::{Client, Reply};

/// So many of its latest messages a connection remembers, to be sent again behind the fault; half
/// of what a stream remembers of a producer.
const MESSAGES_MAX: usize = 50;
/// What becomes of what groups know of an entry that is deleted.
const POLICIES: [&str; 3] = ["KEEPREF", "DELREF", "ACKED"];

/// The modes of XNACK.
const MODES: [(&str, Fault); 3] = [
    ("SILENT", Fault::Nothing),
    ("FAIL", Fault::Consumer),
    ("FATAL", Fault::Entry),
];

/// What the server knows.
#[derive(Clone, Copy, Debug, Default)]
pub(in super::super) struct Abilities {
    /// XDELEX and XACKDEL.
    deletes_by_reference: bool,
    /// XNACK; and XREADGROUP with CLAIM, which is older.
    gives_back: bool,
    /// XADD with IDMP, and XCFGSET.
    adds_once: bool,
}

impl Abilities {
    pub(in super::super) fn of(client: &mut Client) -> io::Result<Self> {
        let mut knows = |name: &str| {
            let info = client.call(&[b"COMMAND", b"INFO", name.as_bytes()])?;
            let first = info.array().and_then(<[Reply]>::first);
            io::Result::Ok(first.is_some_and(|info| info.array().is_some()))
        };
        Ok(Self {
            deletes_by_reference: knows("xackdel")?,
            gives_back: knows("xnack")?,
            adds_once: knows("xcfgset")?,
        })
    }

    /// Lets a stream remember messages until long after a restart.
    pub(in super::super) fn set_up(self, client: &mut Client, key: &str) -> io::Result<()> {
        if self.adds_once {
            client.call(&["XCFGSET", key, "IDMP-DURATION", "86400"].map(str::as_bytes))?;
        }
        Ok(())
    }
}

/// A message, which is known by its value.
#[derive(Clone, Debug)]
pub(in super::super) struct Message {
    stream: StreamNo,
    key: String,
    value: Value,
}

impl Message {
    fn queue(&self, client: &mut Client, recipe: Recipe) {
        let (producer, iid) = (format!("c{}", self.value.conn), self.value.to_string());
        let once = ["IDMP", &producer, &iid];
        queue_value(client, recipe, &self.key, self.value, &once);
    }

    /// Sends it once more; what the reply says it became.
    pub(in super::super) fn send_again(
        &self,
        client: &mut Client,
        recipe: Recipe,
        mut tick: impl FnMut() -> u64,
    ) -> io::Result<Option<Op>> {
        self.queue(client, recipe);
        let start = tick();
        client.send()?;
        let reply = client.receive()?;
        Ok(added_id(Some(&reply)).map(|id| Op {
            conn: self.value.conn,
            start,
            end: Some(tick()),
            tx: None,
            what: What::AddAgain {
                stream: self.stream,
                value: self.value,
                id,
            },
        }))
    }
}

impl Worker<'_> {
    /// XADD of a message, and sometimes at once the same again.
    pub(super) fn add_once(&mut self) {
        if !self.stage.abilities.adds_once {
            return self.add_one();
        }
        let (stream, key) = self.any_stream();
        let message = Message {
            stream,
            key: key.to_owned(),
            value: self.next_value(),
        };
        message.queue(&mut self.client, self.stage.recipe);
        let start = self.send();
        let answer = self.receive(start);
        self.note_add(stream, message.value, None, &answer);
        if answer.success().is_some() && self.rng.one_in(4) {
            message.queue(&mut self.client, self.stage.recipe);
            let start = self.send();
            let answer = self.receive(start);
            if let Some(id) = added_id(answer.reply.as_ref()) {
                let value = message.value;
                self.note(&answer, None, What::AddAgain { stream, value, id });
            }
        }
        let messages = &mut self.notes.messages;
        if messages.len() == MESSAGES_MAX {
            messages.remove(0);
        }
        messages.push(message);
    }

    /// XDELEX of one of its own entries.
    pub(super) fn delete_by_reference(&mut self) {
        if !self.stage.abilities.deletes_by_reference {
            return self.delete_one();
        }
        let Some((stream, id)) = self.victim() else {
            return;
        };
        let key = self.key(stream).to_vec();
        let policy = POLICIES[self.rng.below(POLICIES.len())];
        let (word, text) = (policy.as_bytes(), id.to_string());
        let answer = self.ask(&[b"XDELEX", &key, word, b"IDS", b"1", text.as_bytes()]);
        let outcome = outcome(&answer);
        if outcome == Some(2) {
            // A group still has to do with it.
            return;
        }
        let what = What::Delete {
            stream,
            id,
            removed: u64::from(outcome == Some(1)),
            unrefers: policy == "DELREF",
        };
        self.note(&answer, None, what);
    }

    /// XACKDEL of an entry that it was given.
    pub(super) fn ack_and_delete(&mut self, desk: &mut Desk, at: &GroupAt) {
        let stream = self.stage.streams.iter().find(|(_, key)| *key == at.key);
        let ids = desk.take(at.group, 1);
        let (Some((stream, _)), &[id]) = (stream, &ids[..]) else {
            return;
        };
        let policy = POLICIES[self.rng.below(POLICIES.len())];
        let text = id.to_string();
        let args = ["XACKDEL", &at.key, &at.name, policy, "IDS", "1", &text];
        let answer = self.ask(&args.map(str::as_bytes));
        let outcome = outcome(&answer);
        if outcome == Some(-1) {
            // It was another's meanwhile, who acked it.
            return;
        }
        let group = at.group;
        self.note(&answer, None, What::Ack { group, ids });
        if outcome != Some(2) {
            let what = What::Delete {
                stream: *stream,
                id,
                removed: u64::from(outcome == Some(1)),
                unrefers: policy == "DELREF",
            };
            self.note(&answer, None, what);
        }
    }

    /// XNACK of an entry that it was given.
    pub(super) fn give_back(&mut self, desk: &mut Desk, at: &GroupAt) {
        let ids = desk.take(at.group, 1);
        let [id] = ids[..] else {
            return;
        };
        let (mode, fault) = MODES[self.rng.below(MODES.len())];
        let text = id.to_string();
        let args = ["XNACK", &at.key, &at.name, mode, "IDS", "1", &text];
        let answer = self.ask(&args.map(str::as_bytes));
        if answer.success().is_some() && counted(&answer) == 0 {
            return;
        }
        let what = What::GiveBack {
            group: at.group,
            id,
            fault,
        };
        self.note(&answer, None, what);
    }

    /// XREADGROUP with CLAIM: what has been pending for a while, and new entries behind it.
    pub(super) fn deliver_overdue(&mut self, desk: &mut Desk, at: &GroupAt) {
        let (group, consumer) = (at.group, desk.consumer());
        let count = self.rng.between(1, 6).to_string();
        let name = format!("w{consumer}");
        let mut args = vec!["XREADGROUP", "GROUP", &at.name, &name, "COUNT", &count];
        args.extend(["CLAIM", "1", "STREAMS", &at.key, ">"]);
        let args: Vec<&[u8]> = args.into_iter().map(str::as_bytes).collect();
        let answer = self.ask(&args);
        let entries = first_stream(answer.reply.as_ref()).and_then(Reply::array);
        let parts = entries.unwrap_or_default().iter().filter_map(idle_entry);
        let (mut fresh, mut claimed) = (Vec::new(), Vec::new());
        for (entry, idle_ms) in parts {
            // What is claimed was pending for a millisecond at least.
            let side = if idle_ms == 0 {
                &mut fresh
            } else {
                &mut claimed
            };
            side.extend(self.stage.recipe.judge(&entry));
        }
        let taken: Vec<EntryId> = claimed.iter().map(|sight| sight.id).collect();
        let given = fresh.iter().map(|sight| sight.id);
        desk.keep(group, taken.iter().copied().chain(given));
        let claim = What::Claim {
            group,
            consumer,
            asked: None,
            taken,
            is_counted: true,
            entries: claimed,
        };
        self.note(&answer, None, claim);
        let delivery = What::Deliver {
            group,
            consumer,
            entries: fresh,
            is_noack: false,
        };
        self.note(&answer, None, delivery);
    }

    pub(super) fn can_delete_by_reference(&self) -> bool {
        self.stage.abilities.deletes_by_reference
    }

    pub(super) fn can_give_back(&self) -> bool {
        self.stage.abilities.gives_back
    }
}

/// An entry in a reply to CLAIM, as it is without, and how long it had been pending.
fn idle_entry(entry: &Reply) -> Option<(Reply, u64)> {
    let [id, fields, idle_ms, _] = entry.array()? else {
        return None;
    };
    let entry = Reply::Array(vec![id.clone(), fields.clone()]);
    Some((entry, idle_ms.count()?))
}

/// What XDELEX or XACKDEL replied of its one entry.
fn outcome(answer: &Answer) -> Option<i64> {
    match answer.reply.as_ref()?.array()? {
        [Reply::Int(outcome)] => Some(*outcome),
        _ => None,
    }
}
