//! Connections that wait for the log: each is woken when the LSN that its replies depend on is
//! settled, and not before.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::task::{Poll, Waker};

use alluvium_engine::{Engine, Lsn};
use parking_lot::Mutex;

/// The log is poisoned: what was waited for will never be settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Poisoned;

#[derive(Default)]
struct Line {
    /// Ordered by LSN; nearly always pushed at the back.
    waiting: VecDeque<(Lsn, Waker)>,
    /// Kept for its memory.
    woken: Vec<Waker>,
}

#[derive(Default)]
pub(crate) struct Progress {
    line: Mutex<Line>,
}

impl Progress {
    /// Waits until `lsn` is settled.
    pub(crate) async fn settled(&self, engine: &Engine, lsn: Lsn) -> Result<(), Poisoned> {
        let mut is_in_line = false;
        poll_fn(|context| {
            if engine.settled() >= lsn {
                return Poll::Ready(Ok(()));
            }
            if !is_in_line {
                is_in_line = true;
                self.join(lsn, context.waker().clone());
            }
            // The log may have moved, or been poisoned, before the waker was in line.
            if engine.settled() >= lsn {
                Poll::Ready(Ok(()))
            } else if engine.is_poisoned() {
                Poll::Ready(Err(Poisoned))
            } else {
                Poll::Pending
            }
        })
        .await
    }

    fn join(&self, lsn: Lsn, waker: Waker) {
        let waiting = &mut self.line.lock().waiting;
        let at = match waiting.back() {
            Some((last, _)) if *last > lsn => waiting.partition_point(|(other, _)| *other <= lsn),
            _ => waiting.len(),
        };
        waiting.insert(at, (lsn, waker));
    }

    /// Wakes those whose LSN is settled; all of them if the log is poisoned.
    pub(crate) fn moved(&self, settled: Lsn, is_poisoned: bool) {
        let mut woken = {
            let Line { waiting, woken } = &mut *self.line.lock();
            let count = if is_poisoned {
                waiting.len()
            } else {
                waiting.partition_point(|(lsn, _)| *lsn <= settled)
            };
            woken.extend(waiting.drain(..count).map(|(_, waker)| waker));
            std::mem::take(woken)
        };
        for waker in woken.drain(..) {
            waker.wake();
        }
        self.line.lock().woken = woken;
    }
}
