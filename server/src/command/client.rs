//! CLIENT: what connections know about each other and do to each other.

use super::Spec;

pub(crate) static SPECS: &[Spec] = &[];
