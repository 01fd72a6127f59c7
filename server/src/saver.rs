//! Checkpoints that clients ask for: SAVE takes one at once, BGSAVE has the saver's own thread take
//! it.

use alluvium_engine::Result;
use parking_lot::{Condvar, Mutex};

use crate::Server;
use crate::log;

#[derive(Default)]
struct State {
    is_asked: bool,
    is_running: bool,
    is_closed: bool,
}

/// Hands the wish for a checkpoint from the commands to the thread.
#[derive(Default)]
pub(crate) struct Saver {
    state: Mutex<State>,
    changed: Condvar,
}

impl Saver {
    /// Asks for a checkpoint; false if one is asked for or being taken already.
    pub(crate) fn ask(&self) -> bool {
        let mut state = self.state.lock();
        if state.is_asked || state.is_running {
            return false;
        }
        state.is_asked = true;
        self.changed.notify_all();
        true
    }

    /// Whether a checkpoint is asked for or being taken.
    pub(crate) fn is_busy(&self) -> bool {
        let state = self.state.lock();
        state.is_asked || state.is_running
    }

    /// Lets the thread end after what it is doing.
    pub(crate) fn close(&self) {
        self.state.lock().is_closed = true;
        self.changed.notify_all();
    }

    /// The thread: takes checkpoints until it is closed. The engine remembers a failure, and
    /// INFO shows it.
    pub(crate) fn run(server: &Server) {
        let saver = &server.saver;
        loop {
            let mut state = saver.state.lock();
            while !state.is_asked && !state.is_closed {
                saver.changed.wait(&mut state);
            }
            if state.is_closed {
                return;
            }
            (state.is_asked, state.is_running) = (false, true);
            drop(state);
            let result = save(server);
            saver.state.lock().is_running = false;
            if let Err(error) = result {
                log::warning(format_args!("checkpoint failed: {error}"));
            }
        }
    }
}

/// Takes a checkpoint; from then on INFO counts the changes behind it.
pub(crate) fn save(server: &Server) -> Result<()> {
    let mutations = server.engine.lock().mutations();
    server.engine.checkpoint()?;
    server.hub.lock().stats.mutations_saved = mutations;
    Ok(())
}
