//! The broker's frame, spoken to over TCP: one module a promise.

mod blocking;
mod client;
mod lifecycle;
mod poison;
mod protocol;
mod transactions;
