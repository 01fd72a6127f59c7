//! Wakes the task of one connection. A wake that comes while the task is not waiting is kept, so
//! none is lost; several become one.

use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;

#[derive(Default)]
pub(crate) struct Signal {
    is_set: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

impl Signal {
    /// Wakes the task, now or when it waits next.
    pub(crate) fn wake(&self) {
        // Pairs with the swap in `poll`: what was written before the wake is seen after it.
        self.is_set.store(true, Ordering::Release);
        if let Some(waker) = self.waker.lock().take() {
            waker.wake();
        }
    }

    /// Ready if there was a wake since the last time that this was ready.
    pub(crate) fn poll(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut waker = self.waker.lock();
        if self.is_set.swap(false, Ordering::Acquire) {
            return Poll::Ready(());
        }
        match &*waker {
            Some(known) if known.will_wake(context.waker()) => {}
            _ => *waker = Some(context.waker().clone()),
        }
        Poll::Pending
    }
}
