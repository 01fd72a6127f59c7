//! A persistent stream engine: Redis Streams semantics on an append-only log.

mod error;
mod format;
mod id;
pub mod limits;

pub use error::{Error, Result};
pub use id::EntryId;
