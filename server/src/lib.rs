//! A durable stream broker that speaks Redis Streams.

mod admission;
mod broker;
mod buffers;
mod client;
mod command;
mod config;
mod connection;
mod crashtest;
mod execute;
mod feed;
mod glob;
mod hub;
mod keyspace_events;
mod log;
pub mod parameters;
mod process;
mod progress;
mod pubsub;
mod refusal;
mod reply;
mod resp;
mod saver;
mod signal;
mod start;
mod stats;
mod tools;
mod traffic;
mod waiters;
mod watches;

pub use alluvium_engine::SyncPolicy;
pub(crate) use broker::Server;
pub use broker::{RunError, run};
pub use config::{ConfigError, Invocation, Start, help, version};
pub use parameters::Config;
pub use start::{Broker, Prepared, StartError, runtime};
pub use tools::{Tool, tool};
