//! PUBLISH, SUBSCRIBE and their kin.

use super::Spec;

pub(crate) static SPECS: &[Spec] = &[];
