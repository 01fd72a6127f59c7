//! Payloads of RESTORE under a checksum that is right: each is refused, or a stream that DUMP
//! writes and RESTORE makes again, the same to the last byte.
#![no_main]

use alluvium_engine::{Engine, Export, NewStream};
use crc::{CRC_64_REDIS, Crc};
use libfuzzer_sys::fuzz_target;

#[allow(dead_code, unused_imports)]
#[path = "../../server/src/rdb/mod.rs"]
mod rdb;

use rdb::{Payload, WRITTEN_VERSIONS};

const CRC: Crc<u64> = Crc::<u64>::new(&CRC_64_REDIS);

fuzz_target!(init: alluvium_fuzz::plant("restore"), |data: &[u8]| {
    let checksum = CRC.checksum(data);
    let Some(stream) = Stream::restore(&[data, &checksum.to_le_bytes()].concat()) else {
        return;
    };
    let (oldest, newest) = WRITTEN_VERSIONS;
    let dumped = stream.dump(newest);
    let again = Stream::restore(&dumped).expect("what DUMP writes can be restored");
    assert_eq!(again.export.parts, stream.export.parts);
    assert_eq!(again.export.nodes, stream.export.nodes);
    assert_eq!(again.dump(newest), dumped);
    for version in oldest..newest {
        assert!(Stream::restore(&stream.dump(version)).is_some());
    }
});

/// A stream, and the store that it is in.
struct Stream {
    export: Export,
    _engine: Engine,
}

impl Stream {
    fn restore(payload: &[u8]) -> Option<Self> {
        let payload = Payload::read(payload).ok()?;
        let new = NewStream::new(payload.parts(), &payload).ok()?;
        let engine = alluvium_engine::fuzzing::empty();
        let mut batch = engine.lock();
        batch
            .restore(0, b"key", &new, false)
            .expect("a stream that was checked");
        let export = batch
            .export(0, b"key")
            .expect("entries that were just added");
        let end = batch.end_command();
        drop(batch);
        engine.submit();
        engine.wait_settled(end).expect("a disk without faults");
        Some(Self {
            export: export.expect("a key that was just made"),
            _engine: engine,
        })
    }

    fn dump(&self, version_max: u16) -> Vec<u8> {
        rdb::write(&self.export, version_max).expect("a stream that fits into a payload")
    }
}
