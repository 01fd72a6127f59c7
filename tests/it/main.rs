//! One binary for the tests that share nothing but the machine; each module is one promise.

#![expect(clippy::unwrap_used, reason = "a test ends where an expectation fails")]

/// What operators and their tools rely on.
mod admin;
/// Every event of a day's work ends handled, whoever dies on the way.
mod back_office;
/// A backup of a broker that works on meanwhile is a broker's data.
mod backup;
/// The load generator measures what it says, and says what went wrong.
mod bench;
/// What is not in memory is looked up without holding others up.
mod cold;
/// Every reply is the same bytes as recorded from a real server.
mod golden;
/// How a broker starts and ends, and that a kill changes nothing that it had said.
mod lifecycle;
/// What streams let go by themselves, and when.
mod retention;
/// What a data directory shows to tools, and what they make of a damaged one.
mod tools;
/// What `docs/tour.md` shows is what the broker answers.
mod tour;

/// The layering, the words and the sizes that the code base promises.
mod tidy;

/// The broker, built for these tests.
const BROKER: &str = env!("CARGO_BIN_EXE_broker-under-test");

/// The load generator, built for these tests.
const BENCH: &str = env!("CARGO_BIN_EXE_bench-under-test");
