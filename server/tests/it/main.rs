//! The broker's frame, spoken to over TCP: one module a promise.

mod blocking;
mod client;
mod lifecycle;
mod protocol;
mod transactions;
