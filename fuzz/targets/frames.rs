//! Frames of the log, one after the other, and a scan over anything.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(
    init: alluvium_fuzz::plant("frames"),
    |data: &[u8]| alluvium_engine::fuzzing::frames(data)
);
