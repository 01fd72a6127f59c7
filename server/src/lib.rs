//! A durable stream broker that speaks Redis Streams.
#![expect(dead_code, reason = "removed as the parts come together")]

mod client;
mod command;
mod glob;
mod hub;
mod keyspace_events;
pub mod parameters;
mod process;
mod pubsub;
mod refusal;
mod reply;
mod resp;
mod saver;
mod signal;
mod stats;
mod waiters;
mod watches;

use parking_lot::Mutex;

/// What all connections hold.
pub(crate) struct Server {
    pub(crate) engine: alluvium_engine::Engine,
    pub(crate) hub: Mutex<hub::Hub>,
    /// Takes the checkpoints that clients ask for.
    pub(crate) saver: saver::Saver,
    /// Wall-clock milliseconds.
    pub(crate) started_ms: u64,
    /// 40 hex digits, new at each start.
    pub(crate) run_id: String,
    /// The port that the broker listens on.
    pub(crate) port: u16,
}

impl Server {
    /// Writes a line that an operator should see.
    pub(crate) fn complain(&self, what: std::fmt::Arguments<'_>) {
        let _ = what;
        todo!()
    }

    /// Begins an orderly end of the broker, as SIGTERM does.
    pub(crate) fn shut_down(&self) {
        todo!()
    }
}
