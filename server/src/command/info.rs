//! INFO: the state of the broker as text.

use super::Spec;

pub(crate) static SPECS: &[Spec] = &[];
