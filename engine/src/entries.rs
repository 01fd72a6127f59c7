//! The plan of a range read: where the chosen entries lie, to be read later without the lock.
//!
//! A plan is made under the engine's lock and costs a few bytes an entry; it keeps the segments that
//! it names alive. The bytes are read, and each entry's checksum verified, by [`Entries::visit`].

use std::ops::ControlFlow;

use crate::error::Result;
use crate::id::EntryId;

/// Entries chosen by a read, in reply order; a deleted one is an ID without fields.
///
/// Visit a plan only after what it depends on is settled (see
/// [`Batch::end_command`](crate::Batch::end_command)): until then the newest bytes may not be in the
/// file yet.
#[derive(Debug, Default)]
pub struct Entries {}

impl Entries {
    /// Number of entries, deleted ones included.
    #[must_use]
    pub fn len(&self) -> usize {
        todo!()
    }

    /// Whether there is nothing to visit.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Reads the entries from index `from` on and hands each to `visitor` until it breaks.
    ///
    /// # Errors
    ///
    /// [`Corrupt`](crate::Error::Corrupt) names the file and offset of an entry whose bytes are not
    /// those that were written.
    pub fn visit(
        &self,
        from: usize,
        visitor: &mut dyn FnMut(EntryId, Option<Fields<'_>>) -> ControlFlow<()>,
    ) -> Result<()> {
        let _ = (from, visitor);
        todo!()
    }
}

/// The fields of one entry: field, value, field, value, ...
#[derive(Clone, Debug)]
pub struct Fields<'a> {
    body: &'a [u8],
}

impl<'a> Iterator for Fields<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let _ = self.body;
        todo!()
    }
}

impl ExactSizeIterator for Fields<'_> {
    fn len(&self) -> usize {
        todo!()
    }
}
