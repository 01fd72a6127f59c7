//! `alluvium-bench`: Alluvium, Valkey and Redis side by side, on the same bytes.
//!
//! One thread drives all connections, so that on a machine with few cores the servers get the rest.
//! The flow is the list of modules: the command line names cases, each case prepares a server and
//! has actors, the driver runs them, rounds of all servers are interleaved, and the report takes
//! medians.

mod args;
mod cases;
mod drive;
mod machine;
mod meter;
mod report;
mod run;
mod servers;
mod usage;
mod wire;
mod work;

use std::num::NonZeroU64;
use std::process::ExitCode;

use args::{HELP, Order, Request};

fn main() -> ExitCode {
    let result = match args::parse(std::env::args().skip(1)) {
        Ok(Request::Help) => {
            print!("{HELP}");
            Ok(())
        }
        Ok(Request::List) => {
            list();
            Ok(())
        }
        Ok(Request::Run(order)) => measure(&order),
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

fn list() {
    for (name, what) in cases::SUITES {
        println!("{name}: {what}");
        for case in cases::suite(name).unwrap_or_default() {
            println!("  {}", case.label());
        }
    }
}

/// Runs the plan and writes what was asked for; a run that failed makes the whole fail, after that.
fn measure(order: &Order) -> Result<(), String> {
    // Fixed-rate sending wakes at fixed times; the default slack of 50 microseconds would show.
    let slack = rustix::thread::set_current_timer_slack(NonZeroU64::new(1));
    slack.map_err(|e| format!("timer slack: {e}"))?;
    let outcome = run::run(&order.plan, |line| eprintln!("{line}"));
    let report = report::Report::new(&order.plan, &outcome);
    print!("{}", report.table());
    if let Some(path) = &order.json {
        std::fs::write(path, report.json()).map_err(|e| format!("{}: {e}", path.display()))?;
    }
    if let Some(path) = &order.html {
        std::fs::write(path, report.html()).map_err(|e| format!("{}: {e}", path.display()))?;
    }
    match outcome.failures.len() {
        0 => Ok(()),
        count => Err(format!("{count} runs failed")),
    }
}
