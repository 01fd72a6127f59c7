//! Where the blocks are loaded that commands ask for, and entries are read for replies: never
//! under a lock.
//!
//! What lies in the page cache takes some 20 microseconds. A thread that serves connections does
//! that itself, because to hand it to another one costs as much. A read from the disk would hold up
//! the other connections of that thread, so it is left to one that may block. Nobody says ahead
//! which of the two it will be; the time that the last loads took does. Likewise a piece of a reply
//! is rendered where the connection is served until one took so long that a disk must be slow.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use alluvium_engine::{ColdBlocks, Error};

use crate::Server;
use crate::reply::{Rendered, Reply};

/// A block that takes longer came from the disk.
const QUICK: Duration = Duration::from_micros(100);
/// So many quick loads in a row are taken for a sign of more.
const QUICK_IN_A_ROW: u32 = 16;
/// More blocks than this are a long time in any case.
const FEW_BLOCKS: usize = 4;
/// A piece of a reply that takes longer waited for a slow disk.
const SLOW_PIECE: Duration = Duration::from_millis(1);
/// So many pieces after a slow one are left to a thread that may block.
const WARY_PIECES: u32 = 64;

/// See the module's description.
#[derive(Default)]
pub(crate) struct Loads {
    /// Quick loads since the last slow one; no order with anything else is needed.
    quick: AtomicU32,
    /// Pieces of replies that are still to be left to others; the same.
    wary: AtomicU32,
}

/// Loads what a command asked for.
pub(crate) async fn load(server: &Arc<Server>, mut cold: Box<ColdBlocks>) -> Box<ColdBlocks> {
    let loads = &server.loads;
    if cold.wanted() <= FEW_BLOCKS && loads.quick.load(Ordering::Relaxed) >= QUICK_IN_A_ROW {
        loads.time(&mut cold);
        return cold;
    }
    let server = Arc::clone(server);
    let load = move || {
        server.loads.time(&mut cold);
        cold
    };
    outside(load).await
}

/// Renders a piece of a reply, as [`Reply::render`] does.
pub(crate) async fn render(
    server: &Arc<Server>,
    reply: &mut Reply,
    out: &mut Vec<u8>,
    len_max: usize,
) -> Result<Rendered, Error> {
    if server.loads.wary.load(Ordering::Relaxed) == 0 {
        return server.loads.time_piece(|| reply.render(out, len_max));
    }
    let server = Arc::clone(server);
    let (mut taken, mut bytes) = (std::mem::take(reply), std::mem::take(out));
    let render = move || {
        let rendered = server
            .loads
            .time_piece(|| taken.render(&mut bytes, len_max));
        (taken, bytes, rendered)
    };
    let rendered;
    (*reply, *out, rendered) = outside(render).await;
    rendered
}

/// Runs on a thread that may block; a panic there is one here.
pub(crate) async fn outside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    }
}

impl Loads {
    /// Renders a piece, and notes whether that took long.
    fn time_piece<T>(&self, render: impl FnOnce() -> T) -> T {
        let began = Instant::now();
        let rendered = render();
        self.note_piece(began.elapsed());
        rendered
    }

    fn note_piece(&self, took: Duration) {
        let wary = self.wary.load(Ordering::Relaxed);
        if took > SLOW_PIECE {
            self.wary.store(WARY_PIECES, Ordering::Relaxed);
        } else if wary > 0 {
            self.wary.store(wary - 1, Ordering::Relaxed);
        }
    }

    /// Loads, and notes whether that was quick.
    fn time(&self, cold: &mut ColdBlocks) {
        let (began, blocks) = (Instant::now(), cold.wanted());
        cold.load();
        let quick = QUICK * u32::try_from(blocks).unwrap_or(u32::MAX);
        if began.elapsed() > quick {
            self.quick.store(0, Ordering::Relaxed);
        } else if self.quick.load(Ordering::Relaxed) < QUICK_IN_A_ROW {
            self.quick.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_left_to_others_after_a_slow_one_until_enough_were_quick() {
        let loads = Loads::default();
        let is_wary = || loads.wary.load(Ordering::Relaxed) > 0;
        loads.note_piece(SLOW_PIECE);
        assert!(!is_wary());
        loads.note_piece(SLOW_PIECE * 2);
        for _ in 0..WARY_PIECES {
            assert!(is_wary());
            loads.note_piece(Duration::ZERO);
        }
        assert!(!is_wary());
    }
}
