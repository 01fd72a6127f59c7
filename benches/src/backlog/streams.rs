//! Many streams of three entries each.

use super::entry::Writer;
use super::scene::{Peak, Scene};

const STREAMS: u64 = 1_000_000;
const ENTRIES: u64 = 3;

pub(super) fn run(scene: &mut Scene<'_>) -> Result<(), String> {
    let streams = scene.scaled(STREAMS);
    let mut stage = scene.stage()?;
    let (mut writer, mut peak) = (Writer::new(b"stream:00000000", &[]), Peak::new());
    stage.client()?.pour(
        streams * ENTRIES,
        |out, number| writer.write(out, number, number % streams),
        || peak.look(|| stage.memory()),
    )?;
    peak.take(stage.memory()?);
    stage.settle()?;
    scene.found("streams.memory", streams, stage.memory()?);
    scene.found("streams.memory_peak", streams, peak.highest);
    stage.server.kill();
    scene.found("streams.killed", streams, stage.start(b"DBSIZE", streams)?);
    scene.found("streams.memory_started", streams, stage.memory()?);
    Ok(())
}
