//! A durable stream broker that speaks Redis Streams.

#![expect(dead_code, reason = "removed as the parts come together")]

mod keyspace_events;
pub mod parameters;
