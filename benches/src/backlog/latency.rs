//! XADD at a fixed rate on a stream with a backlog: beside background work that is asked for again
//! and again, and with all of it turned off. Rounds alternate; medians count.

use std::time::Duration;

use super::scene::Scene;
use crate::cases::Case;
use crate::drive::Span;
use crate::report::{median, millis};
use crate::run;
use crate::servers::Mode;

const ROUNDS: usize = 3;
/// So few that nothing is to be sorted where background work is off.
const BACKLOG: u64 = 500_000;

pub(super) fn run(scene: &mut Scene<'_>) -> Result<(), String> {
    let backlog = scene.scaled(BACKLOG);
    let case = |background: &str| {
        Case::parse(&format!(
            "xadd:rate=20000:backlog={backlog}:background={background}"
        ))
    };
    let (quiet, busy) = (case("off")?, case("asked")?);
    let span = Span {
        warmup: Duration::from_secs(1),
        measure: Duration::from_secs(10),
    };
    let (mut without, mut beside) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        for (case, latencies) in [(&quiet, &mut without), (&busy, &mut beside)] {
            let home = scene.home()?;
            let sample = run::driven(case, &scene.program, (Mode::EverySecond, span), &home.dir)?;
            latencies.push(millis(sample.lanes[0].value_at_quantile(0.999)));
        }
    }
    let (without, beside) = (median(without.into_iter()), median(beside.into_iter()));
    scene.found("latency.quiet", backlog, without);
    scene.found("latency.busy", backlog, beside);
    scene.found("latency.ratio", backlog, beside / without);
    Ok(())
}
