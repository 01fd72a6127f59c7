//! What the model's streams remember of their producers.

use std::collections::BTreeMap;

use crate::ProducerSettings;
use crate::batch::ProducersInfo;
use crate::id::EntryId;

/// Messages by producer, the oldest first, each with its entry.
#[derive(Clone, Debug, Default)]
pub(super) struct Sent {
    settings: ProducerSettings,
    by_producer: BTreeMap<u8, Vec<(u8, EntryId)>>,
    added: u64,
    repeated: u64,
}

impl Sent {
    /// The entry that came of a message that is sent again.
    pub(super) fn repeat(&mut self, (producer, iid): (u8, u8), now: u64) -> Option<EntryId> {
        let sent = self.by_producer.get(&producer)?;
        let (_, id) = sent.iter().find(|(other, _)| *other == iid)?;
        let is_fresh = self
            .forgotten(now)
            .is_none_or(|forgotten| id.ms > forgotten);
        is_fresh.then(|| {
            self.repeated += 1;
            *id
        })
    }

    pub(super) fn remember(&mut self, (producer, iid): (u8, u8), id: EntryId) {
        let sent = self.by_producer.entry(producer).or_default();
        sent.retain(|(other, _)| *other != iid);
        let surplus = (sent.len() + 1).saturating_sub(self.settings.count_max as usize);
        sent.drain(..surplus);
        sent.push((iid, id));
        self.added += 1;
    }

    pub(super) fn set(&mut self, settings: ProducerSettings) {
        if settings != self.settings {
            self.settings = settings;
            self.by_producer.clear();
        }
    }

    /// Forgets what is too old once something is by a second.
    pub(super) fn forget(&mut self, now: u64) {
        let Some(until) = self.forgotten(now) else {
            return;
        };
        let late = until.saturating_sub(1000);
        let mut first = self.by_producer.values().filter_map(|sent| sent.first());
        if first.any(|(_, id)| id.ms <= late) {
            self.by_producer.retain(|_, sent| {
                let due = sent.iter().take_while(|(_, id)| id.ms <= until).count();
                sent.drain(..due);
                !sent.is_empty()
            });
        }
    }

    pub(super) fn info(&self) -> ProducersInfo {
        ProducersInfo {
            settings: self.settings,
            producers: self.by_producer.len(),
            messages: self.by_producer.values().map(Vec::len).sum(),
            added: self.added,
            repeated: self.repeated,
        }
    }

    fn forgotten(&self, now: u64) -> Option<u64> {
        now.checked_sub(u64::from(self.settings.seconds) * 1000)
    }
}
