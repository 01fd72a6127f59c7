//! Segments made ahead: the next one, and a reserve for when the disk is full.
//!
//! The next segment is zero-filled, synced and named before it is needed, so that a roll costs
//! nothing and a full disk is an error here and never one of a write. The reserve is a file that
//! only takes its room, without a place in the log; if the next segment cannot be made, what
//! shrinks the data may turn the reserve into it. What grows the data is refused until there is a
//! reserve again.
//!
//! Only a checkpoint makes room, and a checkpoint needs some itself: a second file keeps it free.
//! It is as long as the last checkpoint and a quarter, and counts as part of the reserve.
//!
//! A quota that is reached is like a full disk: no file is made that would lead beyond it, and what
//! grows the data is refused as long as the files are more already.
//!
//! A file gets its final name only when it is complete, so that whatever has the name of a segment
//! has a valid header.

mod maker;
mod quota;

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use super::Growth;
use super::segment::{Segment, name};
use crate::error::io_error;
use crate::format::segment::HEADER_LEN;
use crate::limits::SEGMENT_SIZE_MAX;
use crate::storage::Storage;
use crate::sync::{Condvar, Mutex, MutexGuard};
use crate::{Error, Lsn, Result};
use maker::{Blank, Failure, Made, Maker};
use quota::Quota;

/// The name of the reserve.
pub(crate) const RESERVE: &str = "reserve";
/// Ending of the names of files that are being made.
pub(crate) const UNFINISHED: &str = ".new";
/// How long to wait before trying again on a full disk.
const RETRY: Duration = Duration::from_millis(250);
/// What is kept free for a checkpoint is a multiple of this.
const ROOM_STEP: u64 = 64 << 10;
/// Sizes of segments are multiples of this.
const SIZE_STEP: u64 = 4096;

/// Makes segments ahead.
pub(crate) struct Prepare {
    maker: Maker,
    segment_size: u64,
    wanted: Mutex<Wanted>,
    changed: Condvar,
    /// Whether the reserve is there, as far as is known: what grows the data may go on.
    reserve_holds: AtomicBool,
    is_full: AtomicBool,
}

#[derive(Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts, not one state"
)]
struct Wanted {
    /// Where the next segment starts; `None` while the log is closed.
    first: Option<Lsn>,
    /// The segment before that, which is being written to.
    active: Option<Arc<Segment>>,
    /// What it has to hold at least, header included.
    len_min: u64,
    next: Option<Arc<Segment>>,
    has_reserve: bool,
    /// Bytes that are kept free for a checkpoint.
    room: u64,
    /// The same as it should be.
    room_min: u64,
    /// Something that shrinks the data waits: the reserve may become the next segment.
    is_urgent: bool,
    /// The quota was changed, and nobody has looked since.
    has_new_quota: bool,
    /// The files are more than the quota.
    is_over: bool,
    /// What the last round met.
    failed: Option<Failure>,
    /// How many callers wait for a step or a round to end.
    waiting: usize,
    /// Steps of work that have ended.
    steps: u64,
    /// Whether a round is under way; it releases the lock at times.
    is_busy: bool,
    /// Whether a thread does the work; otherwise whoever needs something does.
    has_thread: bool,
    is_stopped: bool,
}

/// A part of a round.
#[derive(Clone, Copy, Debug)]
enum Step {
    MakeNext,
    UseReserve,
    MakeReserve,
    MakeRoom,
}

impl Prepare {
    /// Segments of `segment_size` bytes in the first of `dirs`; room for checkpoints in the second.
    /// The files in all of them may take `quota` bytes, if that is not 0.
    pub(crate) fn new(
        storage: Arc<dyn Storage>,
        dirs: [PathBuf; 3],
        segment_size: u64,
        quota: u64,
    ) -> Self {
        let quota = Quota::new(Arc::clone(&storage), dirs.to_vec(), quota);
        let [dir, room_dir, _] = dirs;
        Self {
            maker: Maker {
                storage,
                dir,
                room_dir,
                store: AtomicU32::new(0),
                quota,
            },
            segment_size,
            wanted: Mutex::default(),
            changed: Condvar::new(),
            reserve_holds: AtomicBool::new(true),
            is_full: AtomicBool::new(false),
        }
    }

    /// Changes how many bytes the files may take; 0: as many as there is room for.
    pub(crate) fn set_quota(&self, bytes: u64) {
        self.maker.quota.set(bytes);
        let mut wanted = self.wanted.lock();
        wanted.has_new_quota = true;
        if !wanted.has_thread && !wanted.is_busy {
            self.round(&mut wanted);
        }
        self.changed.notify_all();
    }

    /// How many bytes the files may take; 0: as many as there is room for.
    pub(crate) fn quota(&self) -> u64 {
        self.maker.quota.bytes()
    }

    /// Whether the quota has room for a file of `len` bytes.
    pub(crate) fn has_quota_for(&self, len: u64) -> bool {
        self.maker.quota.admit(len).is_ok()
    }

    /// Bytes of what was made ahead.
    pub(crate) fn bytes_ahead(&self) -> u64 {
        let wanted = self.wanted.lock();
        let next = wanted.next.as_ref().map_or(0, |next| next.len());
        next + self.segment_size * u64::from(wanted.has_reserve) + wanted.room
    }

    /// All that is made from now on bears the number of this data directory.
    pub(crate) fn belong_to(&self, store: u32) {
        self.maker.store.store(store, Ordering::Relaxed);
    }

    /// The number of the data directory.
    pub(crate) fn store(&self) -> u32 {
        self.maker.store.load(Ordering::Relaxed)
    }

    /// Whether a reserve of `len` bytes can become a segment: the size of segments may have been
    /// raised since it was made.
    pub(crate) fn is_reserve(&self, len: u64) -> bool {
        len >= self.segment_size
    }

    /// Starts over behind `active`; `next` and the reserve are what was found on disk.
    pub(crate) fn restart(
        &self,
        active: &Arc<Segment>,
        next: Option<Arc<Segment>>,
        has_reserve: bool,
    ) {
        let mut wanted = self.lock_idle();
        wanted.first = Some(active.end_lsn());
        wanted.active = Some(Arc::clone(active));
        wanted.next = next;
        wanted.has_reserve = has_reserve;
        wanted.len_min = 0;
        wanted.is_urgent = false;
        wanted.failed = None;
        self.changed.notify_all();
    }

    /// Room was found to be kept for checkpoints, and the last one took `used` bytes.
    pub(crate) fn keep_room(&self, found: Option<u64>, used: u64) {
        // A round that is under way goes on; the next one makes what is missing then.
        let mut wanted = self.wanted.lock();
        wanted.room = found.unwrap_or(wanted.room);
        if wanted.room < used.max(ROOM_STEP) {
            wanted.room_min = (used + used / 4).max(1).next_multiple_of(ROOM_STEP);
        }
        self.changed.notify_all();
    }

    /// Waits for the round that is under way and keeps another one from starting.
    pub(crate) fn pause(&self) {
        let mut wanted = self.lock_idle();
        wanted.first = None;
        wanted.active = None;
    }

    /// Makes the first segment of a new log.
    pub(crate) fn begin(&self, first: Lsn) -> Result<Arc<Segment>> {
        let mut wanted = self.lock_idle();
        wanted.first = Some(first);
        wanted.next = None;
        self.step(Step::MakeNext, &mut wanted)
            .map_err(|error| Failure::of(error).error())?;
        drop(wanted);
        Ok(self.take_next(0))
    }

    /// Makes what is missing now, as far as that is possible.
    pub(crate) fn prime(&self) {
        self.round(&mut self.lock_idle());
    }

    fn lock_idle(&self) -> MutexGuard<'_, Wanted> {
        let mut wanted = self.wanted.lock();
        wanted.waiting += 1;
        self.changed.notify_all();
        while wanted.is_busy {
            self.changed.wait(&mut wanted);
        }
        wanted.waiting -= 1;
        wanted
    }

    /// Whether what grows the data may go on, as far as the reserve is concerned.
    #[inline]
    pub(crate) fn reserve_holds(&self) -> bool {
        self.reserve_holds.load(Ordering::Relaxed)
    }

    /// Whether the last round found the disk full.
    #[inline]
    pub(crate) fn is_full(&self) -> bool {
        self.is_full.load(Ordering::Relaxed)
    }

    pub(crate) fn is_next_ready(&self) -> bool {
        self.wanted.lock().next.is_some()
    }

    /// Makes sure that the next segment is there and holds `frames_len` bytes of frames.
    pub(crate) fn ensure(&self, frames_len: usize, growth: Growth) -> Result<()> {
        let len_min = (HEADER_LEN + frames_len) as u64;
        let len_min = len_min.next_multiple_of(SIZE_STEP);
        if len_min > SEGMENT_SIZE_MAX {
            return Err(Error::TooLarge {
                what: "transaction",
                size: frames_len as u64,
                limit: SEGMENT_SIZE_MAX,
            });
        }
        let mut wanted = self.wanted.lock();
        let mut has_tried = false;
        loop {
            if let Some(verdict) = self.verdict(&wanted, len_min, growth, has_tried) {
                return verdict;
            }
            wanted.len_min = wanted.len_min.max(len_min);
            wanted.is_urgent |= growth == Growth::Shrinks && !has_tried;
            has_tried = true;
            if !wanted.has_thread && !wanted.is_busy {
                self.round(&mut wanted);
                continue;
            }
            let steps = wanted.steps;
            wanted.waiting += 1;
            self.changed.notify_all();
            while wanted.steps == steps && !wanted.is_stopped {
                self.changed.wait(&mut wanted);
            }
            wanted.waiting -= 1;
        }
    }

    /// Whether the next segment will do; `None` if that is not yet known.
    fn verdict(
        &self,
        wanted: &Wanted,
        len_min: u64,
        growth: Growth,
        has_tried: bool,
    ) -> Option<Result<()>> {
        let is_ready = wanted.has_next(len_min);
        // A thread tries again by itself; without one there is nobody else who would.
        let may_try = !wanted.has_thread && !has_tried;
        let failure = wanted.failed.as_ref().map(Failure::error);
        match growth {
            Growth::Grows if !self.reserve_holds() && !may_try => {
                Some(Err(failure.unwrap_or(Error::DiskFull)))
            }
            Growth::Grows if !self.reserve_holds() => None,
            _ if is_ready => Some(Ok(())),
            _ if wanted.is_stopped => Some(Err(Error::Poisoned)),
            Growth::Grows if may_try => None,
            Growth::Grows => failure.map(Err),
            Growth::Shrinks if has_tried && !wanted.is_urgent => {
                Some(Err(failure.unwrap_or(Error::DiskFull)))
            }
            Growth::Shrinks => None,
        }
    }

    /// Takes the next segment, which the log goes on in; there must be one of `frames_len` bytes.
    pub(crate) fn take_next(&self, frames_len: usize) -> Arc<Segment> {
        if let Err(error) = self.ensure(frames_len, Growth::Shrinks) {
            panic!("append follows admit, which makes sure of the next segment: {error}");
        }
        let mut wanted = self.wanted.lock();
        let next = wanted.next.take().expect("just made sure of");
        wanted.first = Some(next.end_lsn());
        wanted.active = Some(Arc::clone(&next));
        wanted.len_min = 0;
        self.changed.notify_all();
        next
    }

    /// The preparing thread: works until it is stopped.
    pub(crate) fn run(&self) {
        let _stop = StopOnDrop(self);
        let mut wanted = self.lock_idle();
        wanted.has_thread = true;
        while !wanted.is_stopped {
            if !wanted.has_work() {
                self.changed.wait(&mut wanted);
                continue;
            }
            self.round(&mut wanted);
            let has_failed = wanted.failed.is_some();
            while has_failed && !wanted.is_stopped && !wanted.is_urgent {
                if self.changed.wait_for(&mut wanted, RETRY).timed_out() {
                    break;
                }
            }
        }
    }

    /// Ends the preparing thread, and all waiting.
    pub(crate) fn stop(&self) {
        self.wanted.lock().is_stopped = true;
        self.changed.notify_all();
    }

    /// Gives the room that is kept for a checkpoint away, and the reserve. They are made again once
    /// there is room.
    pub(crate) fn release_room(&self) -> Result<()> {
        let mut wanted = self.lock_idle();
        if std::mem::take(&mut wanted.room) > 0 {
            self.maker.discard(&self.maker.room_dir.join(RESERVE))?;
        }
        if std::mem::take(&mut wanted.has_reserve) {
            self.maker.discard(&self.maker.dir.join(RESERVE))?;
        }
        Ok(())
    }

    /// Tries to make all that is missing. What panics has failed.
    fn round(&self, wanted: &mut MutexGuard<'_, Wanted>) {
        wanted.is_busy = true;
        let tried = catch_unwind(AssertUnwindSafe(|| self.try_round(wanted)));
        if tried.is_err() {
            wanted.failed = Some(Failure::panicked(&self.maker.dir));
        }
        wanted.is_urgent = false;
        wanted.is_busy = false;
        wanted.steps += 1;
        self.changed.notify_all();
    }

    fn try_round(&self, wanted: &mut MutexGuard<'_, Wanted>) {
        let steps: &[Step] = match (wanted.is_urgent, self.reserve_holds()) {
            (true, _) => &[Step::MakeNext, Step::UseReserve],
            // What grows the data waits for the next segment only, ...
            (false, true) => &[Step::MakeNext, Step::MakeReserve, Step::MakeRoom],
            // ... or for the reserve first, which what shrinks the data has used up.
            (false, false) => &[Step::MakeReserve, Step::MakeRoom, Step::MakeNext],
        };
        wanted.has_new_quota = false;
        let over = MutexGuard::unlocked(wanted, || self.maker.quota.admit(0));
        let mut failed = over.err().map(Failure::of);
        wanted.is_over = failed.is_some();
        if wanted.is_over {
            wanted.failed.clone_from(&failed);
        }
        for &step in steps {
            if failed.is_some() && !wanted.is_urgent {
                break;
            }
            if let Err(error) = self.step(step, wanted) {
                failed = Some(Failure::of(error));
                wanted.failed.clone_from(&failed);
            }
            wanted.steps += 1;
            self.changed.notify_all();
        }
        let is_full = failed.as_ref().is_some_and(Failure::is_full);
        self.is_full.store(is_full, Ordering::Relaxed);
        // Nothing is refused before it is known that there is no room.
        let holds = failed.is_none() || wanted.has_reserves() && !wanted.is_over;
        self.reserve_holds.store(holds, Ordering::Relaxed);
        wanted.failed = failed;
    }

    fn step(&self, step: Step, wanted: &mut MutexGuard<'_, Wanted>) -> Result<()> {
        let Some(first) = wanted.first else {
            return Ok(());
        };
        let len_min = wanted.len_min;
        let lacks_next = !wanted.has_next(len_min);
        match step {
            Step::MakeNext if lacks_next => {
                let len = self.segment_size.max(len_min);
                let made = MutexGuard::unlocked(wanted, || {
                    let place = (first, len);
                    self.maker
                        .make(&name(first), place, Blank::Zeros, self.pace())
                })?;
                self.publish_next(wanted, &made, first, len)
            }
            Step::UseReserve if lacks_next && wanted.has_reserve => {
                let reserve = self.maker.dir.join(RESERVE);
                let size = self.segment_size;
                if size < len_min {
                    return Err(io_error(
                        "extend",
                        &reserve,
                        io::ErrorKind::StorageFull.into(),
                    ));
                }
                let marked =
                    MutexGuard::unlocked(wanted, || self.maker.mark(&reserve, first, size))?;
                self.reserve_holds.store(false, Ordering::Relaxed);
                wanted.has_reserve = false;
                self.publish_next(wanted, &marked, first, size)
            }
            Step::MakeReserve if !wanted.has_reserve => {
                let made = MutexGuard::unlocked(wanted, || {
                    let place = (Lsn::ZERO, self.segment_size);
                    let made = self.maker.make(RESERVE, place, Blank::Room, || {})?;
                    self.maker.rename(&made.path, &self.maker.dir, RESERVE)
                });
                wanted.has_reserve = made.is_ok();
                made
            }
            Step::MakeRoom if wanted.room < wanted.room_min => {
                let len = wanted.room_min;
                MutexGuard::unlocked(wanted, || self.maker.make_room(len))?;
                wanted.room = len;
                Ok(())
            }
            Step::MakeNext | Step::UseReserve | Step::MakeReserve | Step::MakeRoom => Ok(()),
        }
    }

    /// Rests as long as the work before took, so that half of the disk is left to others; not
    /// while somebody waits, or might soon.
    fn pace(&self) -> impl FnMut() {
        let mut began = Instant::now();
        move || {
            let mut wanted = self.wanted.lock();
            if wanted.has_thread && !wanted.is_hurried() {
                self.changed.wait_for(&mut wanted, began.elapsed());
            }
            began = Instant::now();
        }
    }

    /// Gives a complete file the name of the next segment. Under the lock, so that the log cannot
    /// go on in a file that is about to be replaced by a longer one.
    fn publish_next(&self, wanted: &mut Wanted, made: &Made, first: Lsn, len: u64) -> Result<()> {
        if wanted.first != Some(first) || wanted.has_next(len) {
            return self.maker.discard(&made.path);
        }
        wanted.next = None;
        self.maker
            .rename(&made.path, &self.maker.dir, &name(first))?;
        let path = self.maker.dir.join(name(first));
        let segment = Segment::new(path, made.header, Arc::clone(&made.file))?;
        wanted.next = Some(Arc::new(segment));
        Ok(())
    }
}

impl Wanted {
    fn has_next(&self, len_min: u64) -> bool {
        self.next.as_ref().is_some_and(|next| next.len() >= len_min)
    }

    /// Whether what is being made is needed at once, or the log may be done with the active segment
    /// before the next one is there.
    fn is_hurried(&self) -> bool {
        let is_half_full = |active: &Arc<Segment>| active.bytes().len() as u64 > active.len() / 2;
        let is_late = self.next.is_none() && self.active.as_ref().is_some_and(is_half_full);
        self.is_stopped || self.waiting > 0 || is_late
    }

    fn has_reserves(&self) -> bool {
        self.has_reserve && self.room >= self.room_min
    }

    fn has_work(&self) -> bool {
        let lacks = !(self.has_reserves() && self.has_next(self.len_min));
        self.first.is_some() && (lacks || self.has_new_quota || self.is_over)
    }
}

/// Lets nobody wait for a thread that is gone, also if it panicked.
struct StopOnDrop<'a>(&'a Prepare);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        // The lock is free: the guard of `run` was dropped before this one.
        let mut wanted = self.0.wanted.lock();
        wanted.is_stopped = true;
        wanted.has_thread = false;
        wanted.is_busy = false;
        self.0.changed.notify_all();
    }
}
