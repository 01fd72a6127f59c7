//! MULTI, EXEC, DISCARD, WATCH, UNWATCH.

use super::Spec;

pub(crate) static SPECS: &[Spec] = &[];
