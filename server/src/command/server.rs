//! The broker as a whole: SAVE, SHUTDOWN, TIME, ROLE, FLUSHALL, ...

use super::Spec;

pub(crate) static SPECS: &[Spec] = &[];
