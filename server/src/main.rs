//! The broker's command line: arguments in, exit code out. 0 is an orderly end, 1 a configuration
//! or a start that failed, 2 a broker that had to give up.

use std::process::ExitCode;

use alluvium::{Invocation, Prepared, Start};
use tokio::signal::unix::{SignalKind, signal};

fn main() -> ExitCode {
    let mut words = std::env::args_os().skip(1).peekable();
    if let Some(tool) = words.peek().and_then(|name| alluvium::tool(name)) {
        return tool(words.skip(1).collect());
    }
    match Invocation::parse(words) {
        Ok(Invocation::Run(start)) => run(*start),
        Ok(Invocation::Help) => {
            print!("{}", alluvium::help());
            ExitCode::SUCCESS
        }
        Ok(Invocation::Version) => {
            println!("{}", alluvium::version());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("alluvium: {error}");
            eprintln!("alluvium --help explains the parameters.");
            ExitCode::from(1)
        }
    }
}

fn run(start: Start) -> ExitCode {
    start.warn();
    let runtime = match alluvium::runtime(&start.config) {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("alluvium: {error}");
            return ExitCode::from(1);
        }
    };
    runtime.block_on(async {
        let prepared = match Prepared::new(start.config) {
            Ok(prepared) => prepared,
            Err(error) => {
                eprintln!("alluvium: {error}");
                return ExitCode::from(1);
            }
        };
        match prepared.run(end_signal()).await {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("alluvium: {error}");
                ExitCode::from(2)
            }
        }
    })
}

/// Completes at SIGTERM or SIGINT. Both are caught from the call on, not from the first poll: a
/// broker that answers can be told to end.
fn end_signal() -> impl Future<Output = ()> {
    let listen = |kind| signal(kind).expect("signals can be listened to");
    let (mut terminate, mut interrupt) = (
        listen(SignalKind::terminate()),
        listen(SignalKind::interrupt()),
    );
    async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    }
}
