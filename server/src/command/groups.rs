//! Consumer groups: XGROUP, XREADGROUP, XACK, XCLAIM, XAUTOCLAIM, XPENDING.

use super::Spec;

pub(crate) static SPECS: &[Spec] = &[];
