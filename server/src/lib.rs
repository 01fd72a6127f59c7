//! A durable stream broker that speaks Redis Streams.
#![expect(dead_code, reason = "removed as the parts come together")]

mod arguments;
mod client;
mod command;
mod glob;
mod hub;
mod keyspace_events;
pub mod parameters;
mod pubsub;
mod refusal;
mod reply;
mod resp;
mod signal;
mod stats;
mod waiters;
mod watches;

use parking_lot::Mutex;

/// What all connections hold.
pub(crate) struct Server {
    pub(crate) engine: alluvium_engine::Engine,
    pub(crate) hub: Mutex<hub::Hub>,
    /// Wall-clock milliseconds.
    pub(crate) started_ms: u64,
    /// 40 hex digits, new at each start.
    pub(crate) run_id: String,
    /// The port that the broker listens on.
    pub(crate) port: u16,
}

impl Server {
    /// Begins an orderly end of the broker, as SIGTERM does.
    pub(crate) fn shut_down(&self) {
        todo!()
    }
}
