//! Records, with the lists of IDs in them.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(
    init: alluvium_fuzz::plant("records"),
    |data: &[u8]| alluvium_engine::fuzzing::records(data)
);
