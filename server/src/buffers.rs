//! Buffers, and replies with theirs, that connections borrow while they have something to do, so
//! that an idle connection holds none.

use std::cell::RefCell;

use crate::reply::Reply;

/// What a new buffer holds, in bytes.
const CAPACITY: usize = 16 << 10;
/// A larger buffer is not kept.
const KEPT_CAPACITY_MAX: usize = 256 << 10;
/// Buffers kept by each thread, and replies.
const KEPT_MAX: usize = 64;

thread_local! {
    static BUFFERS: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
    static REPLIES: RefCell<Vec<Reply>> = const { RefCell::new(Vec::new()) };
}

/// An empty buffer.
pub(crate) fn take() -> Vec<u8> {
    BUFFERS
        .with_borrow_mut(Vec::pop)
        .unwrap_or_else(|| Vec::with_capacity(CAPACITY))
}

/// Gives a buffer back; what is in it is dropped.
pub(crate) fn give(mut buffer: Vec<u8>) {
    if is_kept(buffer.capacity()) {
        buffer.clear();
        BUFFERS.with_borrow_mut(|kept| keep(kept, buffer));
    }
}

/// An empty reply that has a buffer.
pub(crate) fn take_reply() -> Reply {
    REPLIES
        .with_borrow_mut(Vec::pop)
        .unwrap_or_else(|| Reply::with_buffer(Vec::with_capacity(CAPACITY)))
}

/// Gives a reply back; what is in it is dropped.
pub(crate) fn give_reply(mut reply: Reply) {
    if is_kept(reply.capacity()) {
        reply.clear();
        REPLIES.with_borrow_mut(|kept| keep(kept, reply));
    }
}

fn is_kept(capacity: usize) -> bool {
    (CAPACITY..=KEPT_CAPACITY_MAX).contains(&capacity)
}

fn keep<T>(kept: &mut Vec<T>, one: T) {
    if kept.len() < KEPT_MAX {
        kept.push(one);
    }
}
