//! The server under test: started from a template, asked until it answers, killed by its number.
//!
//! It runs in a process group of its own, so that a wrapper script and what it starts end together.
//! Whatever happens to the tester, the group is killed when the [`Process`] is dropped.

use std::fs::{File, OpenOptions};
use std::io;
use std::net::TcpStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

use crate::tools::client::{Client, Reply};

/// How to start the server.
#[derive(Clone, Debug)]
pub(super) struct Launch {
    /// Program and arguments, with `{port}` and `{dir}` still in them.
    pub(super) template: Vec<String>,
    pub(super) port: u16,
    pub(super) data: PathBuf,
    /// Takes what the server prints.
    pub(super) log: PathBuf,
    /// How long a start may take.
    pub(super) start_max: Duration,
}

/// A started server.
pub(super) struct Process {
    child: Child,
    group: Pid,
    started: Instant,
    is_over: bool,
}

/// Why a server did not start.
#[derive(Debug)]
pub(super) enum StartError {
    Spawn(io::Error),
    Ended(ExitStatus),
    Silent(Duration),
    /// It answers, but not to us.
    Refused(String),
    /// The run was interrupted.
    Interrupted,
}

impl std::fmt::Display for StartError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            StartError::Spawn(error) => write!(f, "the command could not be started: {error}"),
            StartError::Ended(status) => {
                write!(f, "the server ended ({status}) before it answered")
            }
            StartError::Silent(waited) => {
                write!(
                    f,
                    "the server did not answer PING within {} s",
                    waited.as_secs()
                )
            }
            StartError::Refused(text) => write!(f, "the server refused PING: {text}"),
            StartError::Interrupted => write!(f, "interrupted"),
        }
    }
}

impl Launch {
    /// Program and arguments with port and directory put in.
    pub(super) fn words(&self) -> Vec<String> {
        let (port, dir) = (self.port.to_string(), self.data.to_string_lossy());
        let fill = |word: &String| word.replace("{port}", &port).replace("{dir}", &dir);
        self.template.iter().map(fill).collect()
    }

    /// Starts the server without waiting for it.
    pub(super) fn spawn(&self) -> Result<Process, StartError> {
        let words = self.words();
        let log = self.open_log().map_err(StartError::Spawn)?;
        let errors = log.try_clone().map_err(StartError::Spawn)?;
        let mut command = Command::new(program(&words[0]));
        command.args(&words[1..]).process_group(0);
        command.stdin(Stdio::null()).stdout(log).stderr(errors);
        if !self.template.iter().any(|word| word.contains("{dir}")) {
            command.current_dir(&self.data);
        }
        let started = Instant::now();
        let child = command.spawn().map_err(StartError::Spawn)?;
        let group = Pid::from_child(&child);
        Ok(Process {
            child,
            group,
            started,
            is_over: false,
        })
    }

    fn open_log(&self) -> io::Result<File> {
        OpenOptions::new().create(true).append(true).open(&self.log)
    }

    /// The last lines that the server printed.
    pub(super) fn last_words(&self) -> String {
        let text = std::fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(12)..].join("\n")
    }

    /// Waits until a just killed server's port is free again.
    pub(super) fn wait_closed(&self) {
        let limit = Instant::now() + Duration::from_secs(5);
        while TcpStream::connect(("127.0.0.1", self.port)).is_ok() && Instant::now() < limit {
            thread::sleep(Duration::from_millis(5));
        }
    }
}

/// The program as seen from any directory.
fn program(name: &str) -> PathBuf {
    let path = Path::new(name);
    if name.contains('/') {
        path.canonicalize().unwrap_or_else(|_| path.to_owned())
    } else {
        path.to_owned()
    }
}

impl Process {
    /// Waits until the server answers PING; returns the time since it was started.
    pub(super) fn wait_ready(
        &mut self,
        launch: &Launch,
        is_interrupted: &dyn Fn() -> bool,
    ) -> Result<Duration, StartError> {
        while self.started.elapsed() < launch.start_max {
            if let Some(status) = self.child.try_wait().map_err(StartError::Spawn)? {
                self.is_over = true;
                return Err(StartError::Ended(status));
            }
            if is_interrupted() {
                return Err(StartError::Interrupted);
            }
            match ping(launch.port) {
                Ok(Reply::Status(_)) => return Ok(self.started.elapsed()),
                Ok(Reply::Error(text)) if text.starts_with("NOAUTH") => {
                    return Err(StartError::Refused(text));
                }
                _ => thread::sleep(Duration::from_millis(2)),
            }
        }
        Err(StartError::Silent(launch.start_max))
    }

    /// SIGKILL, and waits for the end.
    pub(super) fn kill(&mut self) {
        self.signal(Signal::KILL);
        if self.child.wait().is_ok() {
            self.is_over = true;
        }
    }

    /// SIGTERM; true if the server ended by itself in time.
    pub(super) fn terminate(&mut self, patience: Duration) -> bool {
        self.signal(Signal::TERM);
        let limit = Instant::now() + patience;
        while Instant::now() < limit {
            if let Ok(Some(_)) = self.child.try_wait() {
                self.is_over = true;
                return true;
            }
            thread::sleep(Duration::from_millis(5));
        }
        self.kill();
        false
    }

    pub(super) fn pause(&self) {
        self.signal(Signal::STOP);
    }

    pub(super) fn resume(&self) {
        self.signal(Signal::CONT);
    }

    /// Whether it ended without being asked to.
    pub(super) fn has_ended(&mut self) -> Option<ExitStatus> {
        let status = self.child.try_wait().ok().flatten();
        self.is_over |= status.is_some();
        status
    }

    /// Signals the group, as long as its first process is not reaped and the number is ours.
    fn signal(&self, signal: Signal) {
        if !self.is_over {
            // The group may already be gone; then there is nothing to do.
            let _ = kill_process_group(self.group, signal);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !self.is_over {
            self.resume();
            self.kill();
        }
    }
}

fn ping(port: u16) -> io::Result<Reply> {
    Client::connect(port, Duration::from_secs(1))?.call(&[b"PING"])
}
