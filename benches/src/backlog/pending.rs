//! Millions of pending entries in one group, and questions for those that wait longest.
//!
//! The idlest are the last in the order of IDs: whoever looks through all of them looks long.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use super::entry::Writer;
use super::scene::{Scene, Stage};
use crate::client::Client;
use crate::report::millis;
use crate::work;

const KEY: &[u8] = b"backlog";
const GROUP: &[u8] = b"workers";
const PENDING: u64 = 5_000_000;
const IDLEST: u64 = 10;
/// How idle the idlest are made, and what is asked for.
const IDLE_MS: &[u8] = b"7200000";
const IDLE_MS_MIN: &[u8] = b"3600000";
const CALLS: usize = 1000;
/// Stops asking a server that looks through everything each time.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) fn run(scene: &mut Scene<'_>) -> Result<(), String> {
    let pending = scene.scaled(PENDING).max(IDLEST);
    let mut stage = scene.stage()?;
    let mut writer = Writer::new(KEY, &[]);
    stage.client()?.pour(
        pending,
        |out, number| writer.write(out, number, 0),
        || Ok(()),
    )?;
    stage
        .server
        .must(&[b"XGROUP", b"CREATE", KEY, GROUP, b"0"])?;
    work::deliver_all(&stage.server, KEY, GROUP, pending)?;
    stage.settle()?;
    scene.found("pending.memory", pending, stage.memory()?);
    let idlest = last_ids(&stage)?;
    let mut client = stage.client()?;
    make_idle(&mut client, &idlest)?;
    let asked = measure(|| ask(&mut client))?;
    scene.found(
        "pending.xpending",
        pending,
        millis(asked.value_at_quantile(0.99)),
    );
    let mut call = Histogram::new(3).map_err(|e| e.to_string())?;
    let claimed = measure(|| {
        let took = claim(&mut client, &mut call)?;
        make_idle(&mut client, &idlest)?;
        Ok(took)
    })?;
    for (name, latencies) in [
        ("pending.xautoclaim", &call),
        ("pending.xautoclaim_all", &claimed),
    ] {
        scene.found(name, pending, millis(latencies.value_at_quantile(0.99)));
    }
    stage.settle()?;
    stage.server.kill();
    let question = [b"XLEN ", KEY].concat();
    scene.found("pending.killed", pending, stage.start(&question, pending)?);
    Ok(())
}

fn last_ids(stage: &Stage) -> Result<Vec<Vec<u8>>, String> {
    let count = IDLEST.to_string();
    let words = [
        &b"XREVRANGE"[..],
        KEY,
        b"+",
        b"-",
        b"COUNT",
        count.as_bytes(),
    ];
    let mut ids = Vec::new();
    stage.client()?.call(&words, |mut walk| {
        walk.entries(|id, _| ids.push(id.to_vec()))
    })?;
    Ok(ids)
}

/// Says that the entries were delivered two hours ago.
fn make_idle(client: &mut Client, ids: &[Vec<u8>]) -> Result<(), String> {
    let mut words = vec![&b"XCLAIM"[..], KEY, GROUP, b"lost", b"0"];
    words.extend(ids.iter().map(Vec::as_slice));
    words.extend([&b"IDLE"[..], IDLE_MS, b"JUSTID"]);
    let claimed = client.call(&words, |mut walk| walk.array())?;
    expect_all("XCLAIM", claimed)
}

fn expect_all(command: &str, found: Option<u64>) -> Result<(), String> {
    if found == Some(IDLEST) {
        return Ok(());
    }
    Err(format!(
        "{command} found {found:?} of the {IDLEST} idlest entries"
    ))
}

/// Repeats a question; how long it took each time.
fn measure(
    mut question: impl FnMut() -> Result<Duration, String>,
) -> Result<Histogram<u64>, String> {
    let mut histogram = Histogram::new(3).map_err(|e| e.to_string())?;
    let begin = Instant::now();
    for _ in 0..CALLS {
        if begin.elapsed() > PATIENCE {
            break;
        }
        note(&mut histogram, question()?)?;
    }
    Ok(histogram)
}

fn note(histogram: &mut Histogram<u64>, took: Duration) -> Result<(), String> {
    let nanoseconds = u64::try_from(took.as_nanos()).map_err(|e| e.to_string())?;
    histogram.record(nanoseconds).map_err(|e| e.to_string())
}

fn ask(client: &mut Client) -> Result<Duration, String> {
    let words = [
        &b"XPENDING"[..],
        KEY,
        GROUP,
        b"IDLE",
        IDLE_MS_MIN,
        b"-",
        b"+",
        b"10",
    ];
    let begin = Instant::now();
    let found = client.call(&words, |mut walk| walk.array())?;
    expect_all("XPENDING", found)?;
    Ok(begin.elapsed())
}

/// XAUTOCLAIM from the head, on from the cursor that it gives, until all of the idlest are claimed:
/// a call looks at ten times COUNT entries and no more. Notes each call.
fn claim(client: &mut Client, call: &mut Histogram<u64>) -> Result<Duration, String> {
    let mut cursor = b"0-0".to_vec();
    let mut claimed = 0;
    let begin = Instant::now();
    while claimed < IDLEST {
        let start = cursor.clone();
        let words = [
            &b"XAUTOCLAIM"[..],
            KEY,
            GROUP,
            b"lost",
            IDLE_MS_MIN,
            &start,
            b"COUNT",
            b"10",
            b"JUSTID",
        ];
        let sent = Instant::now();
        claimed += client.call(&words, |mut walk| {
            walk.array()?;
            cursor = walk.bulk()?.to_vec();
            Ok(walk.array()?.unwrap_or(0))
        })?;
        note(call, sent.elapsed())?;
        if cursor == b"0-0" && claimed < IDLEST {
            return expect_all("XAUTOCLAIM", Some(claimed)).map(|()| Duration::ZERO);
        }
    }
    Ok(begin.elapsed())
}
