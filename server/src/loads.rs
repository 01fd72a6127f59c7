//! Where the blocks are loaded that commands ask for: never under a lock.
//!
//! What lies in the page cache takes some 20 microseconds. A thread that serves connections does
//! that itself, because to hand it to another one costs as much. A read from the disk would hold up
//! the other connections of that thread, so it is left to one that may block. Nobody says ahead
//! which of the two it will be; the time that the last loads took does.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use alluvium_engine::ColdBlocks;

use crate::Server;

/// A block that takes longer came from the disk.
const QUICK: Duration = Duration::from_micros(100);
/// So many quick loads in a row are taken for a sign of more.
const QUICK_IN_A_ROW: u32 = 16;
/// More blocks than this are a long time in any case.
const FEW_BLOCKS: usize = 4;

/// See the module's description.
#[derive(Default)]
pub(crate) struct Loads {
    /// Quick loads since the last slow one; no order with anything else is needed.
    quick: AtomicU32,
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
    match tokio::task::spawn_blocking(load).await {
        Ok(cold) => cold,
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    }
}

impl Loads {
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
