//! The sections of a checkpoint, decoded to a state.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(
    init: alluvium_fuzz::plant("snapshots"),
    |data: &[u8]| alluvium_engine::fuzzing::snapshots(data)
);
