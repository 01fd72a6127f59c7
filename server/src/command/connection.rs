//! PING, ECHO, HELLO, AUTH, QUIT, RESET, SELECT.

use super::Spec;

pub(crate) static SPECS: &[Spec] = &[];
