//! The broker's frame, spoken to over TCP: one module a promise.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod blocking;
mod client;
mod durability;
mod lifecycle;
mod poison;
mod protocol;
mod transactions;
