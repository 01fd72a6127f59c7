//! redis-rs does its ordinary stream work against the broker: blocking, and under tokio.
//!
//! What both ways share is written once in `common.rs`; what they do in their own way (connecting,
//! waiting readers, subscriptions, reconnecting) is in `blocking.rs` and `asynchronous.rs`.

mod asynchronous;
mod blocking;
mod common;
mod harness;

use std::process::ExitCode;

use harness::{Broker, Report};

/// The version that Cargo.toml pins.
fn version() -> &'static str {
    let pin = include_str!("../Cargo.toml")
        .split("redis = { version = \"=")
        .nth(1);
    pin.and_then(|it| it.split('"').next())
        .expect("a pinned version")
}

fn main() -> ExitCode {
    let broker = Broker::start();
    let mut blocking = Report::new("redis-rs");
    blocking::run(&broker, &mut blocking).expect("the checks run");
    let mut asynchronous = Report::new("redis-rs async");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime
        .block_on(asynchronous::run(&broker, &mut asynchronous))
        .expect("the checks run");
    let failed = blocking.failed + asynchronous.failed;
    println!(
        "{} passed, {failed} failed",
        blocking.passed + asynchronous.passed
    );
    ExitCode::from(u8::from(failed > 0))
}
