//! Streams: XADD, XLEN, XRANGE, XREAD, XDEL, XTRIM, XSETID, XINFO.

use super::Spec;

pub(crate) static SPECS: &[Spec] = &[];
