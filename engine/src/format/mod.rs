//! The bytes on disk: no I/O, no clock.
//!
//! Everything is little-endian. A log segment is a header followed by frames; a frame is a
//! checksummed envelope around records; a checkpoint is an envelope around sections.
//! `docs/format.md` draws each layout, and a test holds the drawing against these constants.

pub(crate) mod checkpoint;
pub(crate) mod codec;
pub(crate) mod entry;
pub(crate) mod frame;
mod group_record;
mod ids;
pub(crate) mod record;
pub(crate) mod segment;
pub(crate) mod sorted;
pub(crate) mod varint;

#[cfg(test)]
pub(crate) mod tests;
