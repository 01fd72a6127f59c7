//! Recovery on a small directory in which anything was changed.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(
    init: alluvium_fuzz::plant("directories"),
    |data: &[u8]| alluvium_engine::fuzzing::directories(data)
);
