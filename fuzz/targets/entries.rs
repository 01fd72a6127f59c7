//! Entries, which carry their own checksums.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(
    init: alluvium_fuzz::plant("entries"),
    |data: &[u8]| alluvium_engine::fuzzing::entries(data)
);
