//! `alluvium crashtest`: a crash-recovery tester for any server that speaks Redis Streams.
//!
//! It starts the server, loads it, kills it, starts it again, reads everything back and judges the
//! history: what was acknowledged has to be there, what was seen must not vanish, and what a group
//! handed out is pending or acked.
//!
//! ```text
//!   options -> run --+-- process    the server under test
//!                    +-- workload   producers, consumers, a reader --> history
//!                    +-- readback   what the server shows          --> history
//!                    +-- check      the model that judges both     --> finding
//!                    +-- report     in words, as JSON, as a picture
//! ```
//!
//! It knows the server by its replies only; nothing here touches the broker's own code.

mod check;
mod content;
mod finding;
mod history;
mod options;
mod process;
mod readback;
mod report;
mod rng;
mod run;
mod workload;

use std::ffi::OsString;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use options::{HELP, Options, Request};
use process::Launch;
use run::{Halt, Run};

use crate::tools::UNUSABLE;

/// Runs the tester on the words behind `alluvium crashtest`.
pub(crate) fn run(words: Vec<OsString>) -> ExitCode {
    let options = match Options::parse(words) {
        Ok(Request::Help) => {
            print!("{HELP}");
            return ExitCode::SUCCESS;
        }
        Ok(Request::Run(options)) => options,
        Err(mistake) => {
            eprintln!("alluvium crashtest: {mistake}\nTry alluvium crashtest --help.");
            return ExitCode::from(UNUSABLE);
        }
    };
    match test(&options) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("alluvium crashtest: {error}");
            ExitCode::from(UNUSABLE)
        }
    }
}

fn test(options: &Options) -> io::Result<ExitCode> {
    let seed = options
        .seed
        .unwrap_or_else(|| RandomState::new().hash_one(0));
    let home = Home::new(options, seed)?;
    let launch = Launch {
        template: options.command.clone(),
        port: options.port.map_or_else(free_port, Ok)?,
        data: home.data.clone(),
        log: home.root.join("server.log"),
        start_max: options.start_max,
    };
    let interrupted = watch_signals()?;
    let say = |words: &str| {
        if options.has_json_on_stdout() {
            eprintln!("{words}");
        } else {
            println!("{words}");
        }
    };
    let mut run = Run::new(options, &launch, seed, &interrupted);
    let halt = run.rounds(&|round, tally| {
        if !options.quiet {
            say(&report::progress(round, tally));
        }
    });
    if let Err(Halt::NoStart(error)) = &halt {
        let last_words = launch.last_words();
        home.remove();
        return Err(io::Error::other(format!("{error}\n{last_words}")));
    }
    let mut report = run.finish();
    report.is_interrupted = matches!(halt, Err(Halt::Interrupted));
    report.is_failed = report.tally.fails(&options.allowed);
    report.kept = home.close(options.keep || report.is_failed);
    say(&report::summary(&report));
    if let Some(path) = &options.svg {
        std::fs::write(path, report::svg(&report))?;
    }
    if options.has_json_on_stdout() {
        print!("{}", report::json(&report));
    } else if let Some(path) = &options.json {
        std::fs::write(path, report::json(&report))?;
    }
    Ok(ExitCode::from(u8::from(report.is_failed)))
}

/// Where the server's data and output are.
struct Home {
    root: PathBuf,
    data: PathBuf,
}

impl Home {
    fn new(options: &Options, seed: u64) -> io::Result<Home> {
        let name = format!("alluvium-crashtest-{}-{seed:x}", std::process::id());
        let root = std::env::temp_dir().join(name);
        std::fs::create_dir(&root)?;
        let data = options.dir.clone().unwrap_or_else(|| root.join("data"));
        std::fs::create_dir_all(&data)?;
        let data = data.canonicalize()?;
        Ok(Home { root, data })
    }

    /// Removes what is not kept; returns what is.
    fn close(self, is_kept: bool) -> Option<PathBuf> {
        if is_kept {
            return Some(self.root);
        }
        self.remove();
        None
    }

    fn remove(&self) {
        // Only what this run made itself; a directory given with --dir lies elsewhere.
        if let Err(error) = std::fs::remove_dir_all(&self.root) {
            eprintln!(
                "alluvium crashtest: {} is left: {error}",
                self.root.display()
            );
        }
    }
}

fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// True once the tester was interrupted: the server is a process group of its own and does not see
/// the terminal's signal, so it is ended in good order.
fn watch_signals() -> io::Result<Arc<AtomicBool>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let interrupted = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&interrupted);
    std::thread::spawn(move || {
        runtime.block_on(async {
            use tokio::signal::unix::{SignalKind, signal};
            let (Ok(mut interrupt), Ok(mut terminate)) = (
                signal(SignalKind::interrupt()),
                signal(SignalKind::terminate()),
            ) else {
                return;
            };
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            flag.store(true, Ordering::Relaxed);
            // Keeps the handlers in place until the run is over.
            std::future::pending::<()>().await;
        });
    });
    Ok(interrupted)
}
