//! Adding what a producer sent once, however often it sends it.
//!
//! A message that is remembered is not added again: the answer is the entry that came of it. What
//! is remembered is logged with the entry, in the same frame.

use super::{Batch, NewId, check_len};
use crate::error::{Error, Result};
use crate::format::record::{Record, StreamChange, lists_len_max};
use crate::id::EntryId;
use crate::limits::{ENTRY_LEN_MAX, IID_LEN_MAX, IID_SECONDS_MAX, IIDS_MAX};
use crate::log::Growth;
use crate::producers::{Producers, Settings};

/// What a producer sent, by the names that it goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// Who sent it.
    pub producer: &'a [u8],
    /// What it calls it: the idempotent ID.
    pub iid: &'a [u8],
}

/// What came of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Added {
    /// A new entry.
    New(EntryId),
    /// Nothing: this entry had come of it before.
    Repeated(EntryId),
}

/// What came of the wish to remember a message of which an entry has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remembering {
    /// It is remembered now, or was already.
    Done,
    /// There is no such entry.
    NoEntry,
    /// Another entry came of the message.
    OtherEntry,
}

/// What a stream remembers of its producers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProducersInfo {
    /// How much is remembered.
    pub settings: Settings,
    /// Producers of which anything is remembered.
    pub producers: usize,
    /// Messages that are remembered.
    pub messages: usize,
    /// Messages that ever were.
    pub added: u64,
    /// Messages that were sent again.
    pub repeated: u64,
}

/// How long messages may be remembered beyond their time, so that not every one is a record.
const FORGET_SLACK_MS: u64 = 1000;

impl Batch<'_> {
    /// Appends an entry under an ID made of the time, unless one has come of the message before;
    /// makes the stream if there is none.
    ///
    /// # Errors
    ///
    /// Those of [`Batch::add`], and [`TooLarge`](crate::Error::TooLarge) for long names.
    #[expect(
        clippy::missing_panics_doc,
        reason = "a stream that was made under this lock is found under it"
    )]
    pub fn add_once(
        &mut self,
        db: u8,
        key: &[u8],
        message: Message<'_>,
        fields: &[&[u8]],
    ) -> Result<Added> {
        check_message(message)?;
        if let Some(slot) = self.find_used(db, key)
            && let Some(id) = self.remembered(slot, message)
        {
            self.admit(lists_len_max(1), Growth::Shrinks)?;
            let stream = self.stream_in(slot).number;
            let change = StreamChange::Repeated;
            self.commit_soft(&Record::Stream { stream, change });
            return Ok(Added::Repeated(id));
        }
        // The entry checks its own length; here only its room is asked for together with the rest.
        let fields_len = fields.iter().map(|field| field.len() + 10).sum::<usize>();
        let entry_len = fields_len.min(ENTRY_LEN_MAX) + key.len() + 2 * lists_len_max(1);
        self.admit(entry_len + remembered_len_max(message), Growth::Grows)?;
        let id = self.add(db, key, NewId::Auto, fields)?;
        let slot = self.find(db, key).expect("an entry was just added");
        self.remember_admitted(slot, message, id);
        Ok(Added::New(id))
    }

    /// Remembers a message of which an entry has come.
    ///
    /// # Errors
    ///
    /// [`NoSuchKey`](crate::Error::NoSuchKey), [`TooLarge`](crate::Error::TooLarge).
    pub fn remember(
        &mut self,
        db: u8,
        key: &[u8],
        message: Message<'_>,
        id: EntryId,
    ) -> Result<Remembering> {
        let slot = self.find_used(db, key).ok_or(Error::NoSuchKey)?;
        check_message(message)?;
        if self
            .stream_in(slot)
            .index
            .find(id, &self.guard.log)?
            .is_none()
        {
            return Ok(Remembering::NoEntry);
        }
        match self.remembered(slot, message) {
            Some(known) if known == id => return Ok(Remembering::Done),
            Some(_) => return Ok(Remembering::OtherEntry),
            None => {}
        }
        self.admit(remembered_len_max(message), Growth::Grows)?;
        self.remember_admitted(slot, message, id);
        self.count(1);
        Ok(Remembering::Done)
    }

    /// Sets how much a stream remembers of its producers. It forgets everything if that is not what
    /// it was.
    ///
    /// # Errors
    ///
    /// [`NoSuchKey`](crate::Error::NoSuchKey).
    pub fn set_producers(&mut self, db: u8, key: &[u8], settings: Settings) -> Result<()> {
        let slot = self.find_used(db, key).ok_or(Error::NoSuchKey)?;
        let info = self.producers_in(slot);
        let Settings { seconds, count_max } = bounded(settings);
        if info.settings != (Settings { seconds, count_max }) {
            let change = StreamChange::ProducersSet {
                seconds,
                count_max,
                added: info.added,
                repeated: info.repeated,
            };
            self.change(slot, change, Growth::Shrinks)?;
            self.count(1);
        }
        Ok(())
    }

    /// How much streams that are made from now on remember of their producers.
    pub fn set_producer_defaults(&mut self, settings: Settings) {
        self.guard.state.producer_settings = bounded(settings);
    }

    /// What a stream remembers of its producers; `None` if there is no such key.
    pub fn producers(&mut self, db: u8, key: &[u8]) -> Option<ProducersInfo> {
        let slot = self.find(db, key)?;
        Some(self.producers_in(slot))
    }

    /// Lets up to `limit` streams forget what is too old.
    pub fn forget_due(&mut self, limit: usize) -> Result<()> {
        let state = &mut self.guard.state;
        let from = std::mem::take(&mut state.forget_from);
        let slots: Vec<u32> = state.keyspace.remembering(from).take(limit).collect();
        if slots.len() == limit {
            state.forget_from = slots.last().map_or(0, |slot| slot + 1);
        }
        for slot in slots {
            let stream = self.guard.state.keyspace.stream(slot);
            let found = stream.and_then(|stream| Some((stream.number, stream.producers()?)));
            let Some((stream, producers)) = found.filter(|(_, producers)| producers.len() > 0)
            else {
                self.guard.state.keyspace.remembers_nothing(slot);
                continue;
            };
            let until_ms = producers.settings.forgotten_ms(self.now_ms);
            let late_ms = until_ms.map_or(0, |until_ms| until_ms.saturating_sub(FORGET_SLACK_MS));
            if let Some(until_ms) = until_ms.filter(|_| producers.has_due(late_ms)) {
                self.admit(lists_len_max(1), Growth::Shrinks)?;
                let change = StreamChange::Forgotten { until_ms };
                self.commit_soft(&Record::Stream { stream, change });
            }
        }
        Ok(())
    }

    /// The entry that came of a message, unless that is too long ago.
    fn remembered(&self, slot: u32, message: Message<'_>) -> Option<EntryId> {
        let producers = self.stream_in(slot).producers()?;
        let id = producers.find(message.producer, message.iid)?;
        let forgotten_ms = producers.settings.forgotten_ms(self.now_ms);
        (forgotten_ms.is_none_or(|forgotten_ms| id.ms > forgotten_ms)).then_some(id)
    }

    fn remember_admitted(&mut self, slot: u32, message: Message<'_>, id: EntryId) {
        let Message { producer, iid } = message;
        let info = self.producers_in(slot).settings;
        let known = self.stream_in(slot).producers();
        let count = known.map_or(0, |producers| producers.count_of(producer)) + 1;
        let kept = u32::try_from(count).unwrap_or(u32::MAX).min(info.count_max);
        self.commit_to_stream(
            slot,
            StreamChange::Remembered {
                producer,
                iid,
                id,
                kept,
            },
        );
    }

    pub(super) fn producers_in(&self, slot: u32) -> ProducersInfo {
        let info = |producers: &Producers| ProducersInfo {
            settings: producers.settings,
            producers: producers.len(),
            messages: producers.messages(),
            added: producers.added,
            repeated: producers.repeated,
        };
        self.stream_in(slot)
            .producers()
            .map_or_else(ProducersInfo::default, info)
    }

    /// Logs what a stream that has just been made remembers, if that is out of the ordinary; it was
    /// admitted.
    pub(super) fn commit_producer_defaults(&mut self, stream: u64) {
        let settings = self.guard.state.producer_settings;
        if settings != Settings::default() {
            let change = StreamChange::ProducersSet {
                seconds: settings.seconds,
                count_max: settings.count_max,
                added: 0,
                repeated: 0,
            };
            self.commit(&Record::Stream { stream, change });
        }
    }
}

fn bounded(settings: Settings) -> Settings {
    Settings {
        seconds: settings.seconds.clamp(1, IID_SECONDS_MAX),
        count_max: settings.count_max.clamp(1, IIDS_MAX),
    }
}

fn check_message(message: Message<'_>) -> Result<()> {
    check_len("producer name", message.producer, IID_LEN_MAX)?;
    check_len("idempotent ID", message.iid, IID_LEN_MAX)
}

/// The most bytes of the record that remembers a message.
fn remembered_len_max(message: Message<'_>) -> usize {
    lists_len_max(1) + message.producer.len() + message.iid.len()
}
