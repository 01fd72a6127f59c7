//! Checkpoint files: header, sections, trailer.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(
    init: alluvium_fuzz::plant("checkpoints"),
    |data: &[u8]| alluvium_engine::fuzzing::checkpoints(data)
);
