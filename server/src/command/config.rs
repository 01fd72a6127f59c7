//! CONFIG: reading and changing parameters.

use super::Spec;

pub(crate) static SPECS: &[Spec] = &[];
