//! A stream that is trimmed as it grows: what it takes on the disk must not grow with it.

use std::time::Instant;

use super::entry::{VALUE_LEN, Writer};
use super::scene::{Peak, Scene};
use crate::report::float;
use crate::servers::Kind;

const KEY: &[u8] = b"trimmed";
const VALUES_LEN: u64 = 10_000_000_000;
const MAXLEN: &[u8] = b"100000";
/// A log segment in millions of bytes.
const SEGMENT: f64 = 67.108_864;

pub(super) fn run(scene: &mut Scene<'_>) -> Result<(), String> {
    // What Redis and Valkey take does not depend on how long they run, but adding takes them long.
    let share = if scene.program.kind == Kind::Alluvium {
        1
    } else {
        10
    };
    let entries = scene.scaled(VALUES_LEN / share / VALUE_LEN as u64);
    let stage = scene.stage()?;
    let mut writer = Writer::new(KEY, &[b"MAXLEN", b"~", MAXLEN]);
    let mut peak = Peak::new();
    let begin = Instant::now();
    stage.client()?.pour(
        entries,
        |out, number| writer.write(out, number, 0),
        || peak.look(|| Ok(stage.disk())),
    )?;
    scene.found(
        "trimmed.rate",
        entries,
        float(entries) / begin.elapsed().as_secs_f64(),
    );
    stage.settle()?;
    peak.take(stage.disk());
    scene.found("trimmed.disk", entries, peak.highest / SEGMENT);
    scene.found("trimmed.disk_last", entries, stage.disk() / SEGMENT);
    Ok(())
}
