//! DEBUG: what tests need; refused unless `enable-debug-command` allows it.

use super::Spec;

pub(crate) static SPECS: &[Spec] = &[];
