//! Keys, whatever they hold: DEL, RENAME, EXPIRE, SCAN, ...

use super::Spec;

pub(crate) static SPECS: &[Spec] = &[];
