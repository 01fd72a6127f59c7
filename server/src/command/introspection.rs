//! COMMAND, SLOWLOG, LATENCY, MONITOR: the broker looks at itself.

use super::Spec;

pub(crate) static SPECS: &[Spec] = &[];
