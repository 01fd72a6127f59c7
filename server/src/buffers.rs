//! Buffers that connections borrow while they have something to do, so that an idle connection
//! holds none.

use std::cell::RefCell;

/// What a new buffer holds, in bytes.
const CAPACITY: usize = 16 << 10;
/// A larger buffer is not kept.
const KEPT_CAPACITY_MAX: usize = 256 << 10;
/// Buffers kept by each thread.
const KEPT_MAX: usize = 64;

thread_local! {
    static KEPT: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// An empty buffer.
pub(crate) fn take() -> Vec<u8> {
    KEPT.with_borrow_mut(Vec::pop)
        .unwrap_or_else(|| Vec::with_capacity(CAPACITY))
}

/// Gives a buffer back; what is in it is dropped.
pub(crate) fn give(mut buffer: Vec<u8>) {
    let capacity = buffer.capacity();
    if (CAPACITY..=KEPT_CAPACITY_MAX).contains(&capacity) {
        buffer.clear();
        KEPT.with_borrow_mut(|kept| {
            if kept.len() < KEPT_MAX {
                kept.push(buffer);
            }
        });
    }
}
