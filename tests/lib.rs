//! What the black-box tests share: a running broker, a connection that keeps reply types, and
//! replies as `redis-cli` prints them. The tests are in `it/`, `crash/` and `clients/`.
#![expect(
    clippy::missing_panics_doc,
    reason = "a failed expectation is a failed test"
)]

mod broker;
mod cli;
mod value;

pub use broker::Broker;
pub use cli::{printed, words};
pub use value::{Connection, Value};
