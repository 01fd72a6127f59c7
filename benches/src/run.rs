//! Rounds: every server in every mode runs a case once, then all of them again, so that whatever
//! the machine does meanwhile happens to all. Each run has a fresh server and an empty directory.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use tempfile::TempDir;

use crate::cases::{Case, Work};
use crate::drive::{Driver, Span};
use crate::meter::Slice;
use crate::servers::{Mode, Program, Server};
use crate::usage::Usage;
use crate::{disk, work};

/// What to run, and how often.
pub(crate) struct Plan {
    pub(crate) programs: Vec<Program>,
    pub(crate) modes: Vec<Mode>,
    pub(crate) cases: Vec<Case>,
    pub(crate) rounds: usize,
    pub(crate) span: Span,
    /// Where the servers' directories are made.
    pub(crate) dir: PathBuf,
}

/// One server in one mode on one case, once.
pub(crate) struct Sample {
    pub(crate) case: usize,
    pub(crate) program: usize,
    pub(crate) mode: Mode,
    pub(crate) units: u64,
    pub(crate) elapsed_ns: u64,
    pub(crate) commands: u64,
    pub(crate) lanes: Vec<Histogram<u64>>,
    pub(crate) slices: Vec<Slice>,
    pub(crate) usage: Usage,
    /// What the data directory took at the end.
    pub(crate) disk_bytes: u64,
    pub(crate) client_cpu_ns: u64,
}

/// A run that did not come to an end: which, and why.
pub(crate) struct Failure {
    pub(crate) case: usize,
    pub(crate) program: usize,
    pub(crate) mode: Mode,
    pub(crate) reason: String,
}

/// All that was measured.
#[derive(Default)]
pub(crate) struct Outcome {
    pub(crate) samples: Vec<Sample>,
    pub(crate) failures: Vec<Failure>,
}

/// Runs everything; `tell` hears of each run as it ends.
pub(crate) fn run(plan: &Plan, mut tell: impl FnMut(&str)) -> Outcome {
    let mut outcome = Outcome::default();
    for (index, case) in plan.cases.iter().enumerate() {
        for round in 0..plan.rounds {
            for &mode in case.modes(&plan.modes) {
                for turn in 0..plan.programs.len() {
                    // Whoever goes first in one round goes last in the next.
                    let program = (turn + round) % plan.programs.len();
                    let name = format!(
                        "{} {} {} round {}",
                        case.label(),
                        plan.programs[program].kind.name(),
                        mode.name(),
                        round + 1
                    );
                    match once(plan, (index, program, mode)) {
                        Ok(Some(sample)) => {
                            let rate = per_second(sample.units, sample.elapsed_ns);
                            tell(&format!("{name}: {rate:.0} {}/s", case.work.unit()));
                            outcome.samples.push(sample);
                        }
                        Ok(None) => {}
                        Err(reason) => {
                            tell(&format!("{name}: FAILED: {reason}"));
                            outcome.failures.push(Failure {
                                case: index,
                                program,
                                mode,
                                reason,
                            });
                        }
                    }
                }
            }
        }
    }
    outcome
}

/// Units a second.
#[expect(
    clippy::cast_precision_loss,
    reason = "a rate is shown with a few digits"
)]
pub(crate) fn per_second(units: u64, elapsed_ns: u64) -> f64 {
    units as f64 * 1e9 / elapsed_ns.max(1) as f64
}

/// One run; `None` where it makes no sense.
fn once(plan: &Plan, what: (usize, usize, Mode)) -> Result<Option<Sample>, String> {
    let (case_index, program_index, mode) = what;
    let case = &plan.cases[case_index];
    let program = &plan.programs[program_index];
    let (_temp, dir) = home(&plan.dir)?;
    let result = if case.work == Work::Restart {
        restart(case, program, mode, &dir)
    } else {
        driven(case, program, (mode, plan.span), &dir).map(Some)
    };
    let sample = result.map_err(|reason| {
        let log = std::fs::read_to_string(dir.with_extension("log")).unwrap_or_default();
        let tail: Vec<_> = log.lines().rev().take(5).collect();
        let tail: Vec<_> = tail.into_iter().rev().collect();
        format!("{reason}; its log ends: {}", tail.join(" | "))
    })?;
    Ok(sample.map(|mut sample| {
        (sample.case, sample.program, sample.mode) = (case_index, program_index, mode);
        sample
    }))
}

/// An empty directory for a server below one of its own, beside which its log has a place.
pub(crate) fn home(parent: &Path) -> Result<(TempDir, PathBuf), String> {
    let temp = TempDir::with_prefix_in("alluvium-bench-", parent)
        .map_err(|e| format!("{}: {e}", parent.display()))?;
    let dir = temp.path().join("data");
    std::fs::create_dir(&dir).map_err(|e| format!("{}: {e}", dir.display()))?;
    Ok((temp, dir))
}

/// One server, started, filled as the case wants it, driven, asked and killed.
pub(crate) fn driven(
    case: &Case,
    program: &Program,
    (mode, span): (Mode, Span),
    dir: &Path,
) -> Result<Sample, String> {
    let mut server = Server::start(&case.program(program), mode, dir)?;
    let job = work::prepare(case, &server)?;
    let mut span = span;
    if job.is_finite {
        span.warmup = Duration::ZERO;
        span.measure = span.measure.max(Duration::from_secs(60));
    }
    let driver = Driver::connect(server.port, job.actors, case.work.lanes().len(), job.pace)?;
    let run = driver.run(span, server.pid())?;
    work::verify(case, &server, &run)?;
    if run.meter.units == 0 {
        return Err("nothing was done in the measured time".to_owned());
    }
    let disk_bytes = disk::used(dir);
    server.kill();
    Ok(Sample {
        case: 0,
        program: 0,
        mode,
        units: run.meter.units,
        elapsed_ns: run.elapsed_ns,
        commands: run.meter.commands,
        lanes: run.meter.lanes,
        slices: run.meter.slices,
        usage: run.usage,
        disk_bytes,
        client_cpu_ns: run.client_cpu_ns,
    })
}

/// Fills a server, kills it with -9 and measures the time from start to the first right answer.
///
/// The page cache stays warm: the process dies, the machine does not.
fn restart(
    case: &Case,
    program: &Program,
    mode: Mode,
    dir: &Path,
) -> Result<Option<Sample>, String> {
    if mode == Mode::None && program.kind != crate::servers::Kind::Alluvium {
        return Ok(None);
    }
    let program = &case.program(program);
    let mut server = Server::start(program, mode, dir)?;
    work::fill(&server, work::KEY, case.backlog, case.size)?;
    if mode != Mode::Always {
        // What everysec promises to keep is what a second has passed over.
        std::thread::sleep(Duration::from_millis(1500));
    }
    server.kill();
    let begin = Instant::now();
    let mut server = Server::spawn(program, mode, dir)?;
    let expected = format!(":{}\r\n", case.backlog);
    let question = [&b"XLEN "[..], work::KEY].concat();
    server.wait_for(&question, |reply| reply == expected.as_bytes())?;
    let elapsed_ns = u64::try_from(begin.elapsed().as_nanos()).unwrap_or(u64::MAX);
    let mut lane = Histogram::new(3).map_err(|e| e.to_string())?;
    lane.record(elapsed_ns).map_err(|e| e.to_string())?;
    Ok(Some(Sample {
        case: 0,
        program: 0,
        mode,
        units: case.backlog,
        elapsed_ns,
        commands: 1,
        lanes: vec![lane],
        slices: Vec::new(),
        usage: Usage::of(server.pid())?,
        disk_bytes: disk::used(dir),
        client_cpu_ns: 0,
    }))
}
