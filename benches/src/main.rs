//! `alluvium-bench`: Alluvium, Valkey and Redis side by side, on the same bytes.
//!
//! One thread drives all connections, so that on a machine with few cores the servers get the rest.
//! The flow is the list of modules: the command line names cases, each case prepares a server and
//! has actors, the driver runs them, rounds of all servers are interleaved, and the report takes
//! medians. `backlog` is the other half: scenarios that ask what a server costs, not how fast it
//! is.

mod args;
mod backlog;
mod cases;
mod client;
mod disk;
mod drive;
mod machine;
mod meter;
mod report;
mod run;
mod servers;
mod suites;
mod usage;
mod wire;
mod work;

use std::num::NonZeroU64;
use std::path::Path;
use std::process::ExitCode;

use args::{Output, Request};
use report::Told;

fn main() -> ExitCode {
    let result = match args::parse(std::env::args().skip(1)) {
        Ok(Request::Help(text)) => {
            print!("{text}");
            Ok(())
        }
        Ok(Request::List) => list(),
        Ok(Request::Compare(plan, output)) => compare(&plan, &output),
        Ok(Request::Backlog(plan, output)) => backlog(&plan, &output),
        Err(reason) => Err(reason),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("alluvium-bench: {reason}");
            ExitCode::FAILURE
        }
    }
}

fn list() -> Result<(), String> {
    for (name, what) in suites::SUITES {
        println!("{name}: {what}");
        for case in suites::suite(name)? {
            println!("  {}", case.label());
        }
    }
    println!("\nbacklog (alluvium-bench backlog --help):");
    for row in backlog::Row::ALL {
        println!("  {}: {}", row.name(), row.about());
    }
    Ok(())
}

/// Runs the cases and writes what was asked for; a run that failed makes the whole fail, after
/// that.
fn compare(plan: &run::Plan, output: &Output) -> Result<(), String> {
    wake_in_time()?;
    let outcome = run::run(plan, |line| eprintln!("{line}"));
    let report = report::Report::new(plan, &outcome);
    publish(&report, output)?;
    if let Some(path) = &output.html {
        write(path, &report.html())?;
    }
    none_failed(outcome.failures.len())
}

/// The same for the rows of the backlog.
fn backlog(plan: &backlog::Plan, output: &Output) -> Result<(), String> {
    wake_in_time()?;
    let outcome = backlog::run(plan, |line| eprintln!("{line}"));
    publish(&backlog::Report::new(plan, &outcome), output)?;
    none_failed(outcome.failures.len())
}

/// Fixed-rate sending wakes at fixed times; the default slack of 50 microseconds would show.
fn wake_in_time() -> Result<(), String> {
    let slack = rustix::thread::set_current_timer_slack(NonZeroU64::new(1));
    slack.map_err(|e| format!("timer slack: {e}"))
}

fn publish(told: &dyn Told, output: &Output) -> Result<(), String> {
    print!("{}", told.table());
    if let Some(path) = &output.json {
        write(path, &told.json())?;
    }
    output
        .markdown
        .iter()
        .try_for_each(|path| report::sections::update(path, told))
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    std::fs::write(path, text).map_err(|e| format!("{}: {e}", path.display()))
}

fn none_failed(count: usize) -> Result<(), String> {
    match count {
        0 => Ok(()),
        count => Err(format!("{count} runs failed")),
    }
}
