//! One stream that grows: filled, settled, killed, stopped, scanned cold and warm.

use std::time::Instant;

use super::entry::{VALUE_LEN, Writer};
use super::scene::{Peak, Scene, Stage, mega};
use crate::report::float;
use crate::servers::Kind;
use crate::{disk, usage};

const KEY: &[u8] = b"backlog";
const SIZES: [u64; 3] = [1_000_000, 5_000_000, 20_000_000];
const COUNT: &[u8] = b"1000";

pub(super) fn run(scene: &mut Scene<'_>) -> Result<(), String> {
    SIZES
        .into_iter()
        .try_for_each(|size| grown(scene, scene.scaled(size)))
}

fn grown(scene: &mut Scene<'_>, entries: u64) -> Result<(), String> {
    let mut stage = scene.stage()?;
    let (mut writer, mut peak) = (Writer::new(KEY, &[]), Peak::new());
    let begin = Instant::now();
    stage.client()?.pour(
        entries,
        |out, number| writer.write(out, number, 0),
        || peak.look(|| stage.memory()),
    )?;
    scene.found(
        "stream.filled",
        entries,
        float(entries) / begin.elapsed().as_secs_f64(),
    );
    peak.take(stage.memory()?);
    stage.settle()?;
    scene.found("stream.memory", entries, stage.memory()?);
    scene.found("stream.memory_peak", entries, peak.highest);
    written(scene, &stage, entries)?;
    if scene.program.kind != Kind::Alluvium {
        scene.found("stream.disk_found", entries, stage.disk());
        rewrite(&stage)?;
    }
    scene.found("stream.disk", entries, stage.disk());
    stage.server.kill();
    started(scene, &mut stage, "stream.killed", entries)?;
    stage.server.stop()?;
    started(scene, &mut stage, "stream.stopped", entries)?;
    stage.server.stop()?;
    disk::drop_cache(&stage.home.dir)?;
    started(scene, &mut stage, "stream.cold", entries)?;
    for name in ["stream.scan_cold", "stream.scan_warm"] {
        scene.found(name, entries, scan(&stage, entries)?);
    }
    scene.found("stream.memory_scanned", entries, stage.memory()?);
    Ok(())
}

fn started(
    scene: &mut Scene<'_>,
    stage: &mut Stage,
    name: &'static str,
    entries: u64,
) -> Result<(), String> {
    let question = [b"XLEN ", KEY].concat();
    scene.found(name, entries, stage.start(&question, entries)?);
    Ok(())
}

/// The append-only file and the snapshot as small as they become.
fn rewrite(stage: &Stage) -> Result<(), String> {
    for command in [&b"BGREWRITEAOF"[..], b"BGSAVE"] {
        stage.server.must(&[command])?;
        stage.settle()?;
    }
    Ok(())
}

fn written(scene: &mut Scene<'_>, stage: &Stage, entries: u64) -> Result<(), String> {
    let all = mega(usage::Usage::quick(stage.server.pid())?.written_bytes);
    scene.found(
        "stream.written_values",
        entries,
        all / mega(entries * VALUE_LEN as u64),
    );
    if scene.program.kind == Kind::Alluvium {
        let info = stage.info()?;
        let field = |name: &str| {
            let value: Option<f64> = info.get(name).and_then(|value| value.parse().ok());
            value.ok_or_else(|| format!("INFO has no {name}"))
        };
        let by_log = all * 1e6 / field("log_bytes_appended")?;
        scene.found(
            "stream.amplification",
            entries,
            field("write_amplification")?,
        );
        scene.found("stream.amplification_all", entries, by_log);
    }
    Ok(())
}

/// Reads the whole stream by XRANGE COUNT 1000 over one connection; entries a second.
fn scan(stage: &Stage, entries: u64) -> Result<f64, String> {
    let mut client = stage.client()?;
    let mut start = b"-".to_vec();
    let mut read = 0;
    let begin = Instant::now();
    while read < entries {
        let page = [&b"XRANGE"[..], KEY, &start, b"+", b"COUNT", COUNT];
        let mut last = Vec::new();
        let count = client.call(&page, |mut walk| {
            walk.entries(|id, _| {
                last.clear();
                last.extend_from_slice(id);
            })
        })?;
        if count == 0 {
            return Err(format!("a scan found {read} of {entries} entries"));
        }
        read += count;
        start = [b"(", last.as_slice()].concat();
    }
    Ok(float(read) / begin.elapsed().as_secs_f64())
}
