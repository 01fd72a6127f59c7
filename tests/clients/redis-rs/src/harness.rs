//! What the checks stand on: a broker that is killed with -9 and brought back, and the report, a
//! line of JSON a check in the file that CHECK_RESULTS names.

use std::cell::RefCell;
use std::error::Error;
use std::fmt::Debug;
use std::fs::{self, OpenOptions};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use std::{env, process, thread};

pub type Checked = Result<(), Box<dyn Error + Send + Sync>>;

/// The two must be equal.
pub fn equal<F: Debug + PartialEq<E>, E: Debug>(found: F, expected: E) -> Checked {
    if found == expected {
        return Ok(());
    }
    Err(format!("found {found:?}, expected {expected:?}").into())
}

/// The error must have that code and begin with these words.
pub fn refused<T: Debug>(found: redis::RedisResult<T>, code: &str, words: &str) -> Checked {
    let error = found.err().ok_or("nothing was refused")?;
    equal(error.code(), Some(code))?;
    equal(error.detail().is_some_and(|it| it.starts_with(words)), true)
}

/// A broker of its own on a free port, with a directory that goes with it.
pub struct Broker {
    pub port: u16,
    directory: PathBuf,
    process: RefCell<Child>,
}

impl Broker {
    pub fn start() -> Self {
        let probe = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = probe.local_addr().expect("an address").port();
        drop(probe);
        let directory = env::temp_dir().join(format!("alluvium-rs-{}", process::id()));
        fs::create_dir(&directory).expect("a directory");
        let process = RefCell::new(run(port, &directory));
        Self {
            port,
            directory,
            process,
        }
    }

    pub fn client(&self) -> redis::Client {
        redis::Client::open(("127.0.0.1", self.port)).expect("a client")
    }

    /// Ends the broker with -9, and starts it again on what it left.
    pub fn kill_and_restart(&self) {
        let mut process = self.process.borrow_mut();
        process.kill().expect("a broker to kill");
        process.wait().expect("its end");
        *process = run(self.port, &self.directory);
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let process = self.process.get_mut();
        let _ = process.kill().and_then(|()| process.wait().map(drop));
        let _ = fs::remove_dir_all(&self.directory);
    }
}

fn run(port: u16, directory: &PathBuf) -> Child {
    let binary = env::var_os("ALLUVIUM_BIN").expect("ALLUVIUM_BIN names the broker");
    let process = Command::new(binary)
        .args([
            "--bind",
            "127.0.0.1",
            "--appendfsync",
            "always",
            "--port",
            &port.to_string(),
        ])
        .arg("--dir")
        .arg(directory)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the broker starts");
    for _ in 0..500 {
        if answers(port).is_some() {
            return process;
        }
        thread::sleep(Duration::from_millis(20));
    }
    panic!("the broker did not start");
}

fn answers(port: u16) -> Option<()> {
    let mut socket = TcpStream::connect(("127.0.0.1", port)).ok()?;
    socket.set_read_timeout(Some(Duration::from_secs(1))).ok()?;
    socket.write_all(b"PING\r\n").ok()?;
    let mut reply = [0; 7];
    socket.read_exact(&mut reply).ok()?;
    (&reply == b"+PONG\r\n").then_some(())
}

/// What one way of using the client shows.
pub struct Report {
    client: &'static str,
    pub passed: usize,
    pub failed: usize,
}

impl Report {
    pub fn new(client: &'static str) -> Self {
        Self {
            client,
            passed: 0,
            failed: 0,
        }
    }

    /// Who the client is; its line of CLIENT INFO tells the protocol.
    pub fn who(&self, version: &str, info: &str) {
        let protocol = if info.contains("resp=3") {
            "RESP3"
        } else {
            "RESP2"
        };
        self.say(&[
            ("version", version),
            ("runtime", "Rust"),
            ("protocol", protocol),
        ]);
    }

    pub fn add(&mut self, check: &str, found: Checked) {
        match found {
            Ok(()) => {
                self.passed += 1;
                println!("ok: {check}");
                self.say(&[("check", check), ("result", "yes")]);
            }
            Err(error) => {
                self.failed += 1;
                println!("FAILED: {check}: {error}");
                self.say(&[
                    ("check", check),
                    ("result", "failed"),
                    ("why", &error.to_string()),
                ]);
            }
        }
    }

    fn say(&self, pairs: &[(&str, &str)]) {
        let mut line = format!("{{\"client\":{:?}", self.client);
        for (name, value) in pairs {
            let plain: String = value.chars().filter(|it| !it.is_control()).collect();
            let escaped = plain.replace('\\', "\\\\").replace('"', "\\\"");
            line.push_str(&format!(",\"{name}\":\"{escaped}\""));
        }
        let path = env::var_os("CHECK_RESULTS").expect("CHECK_RESULTS names a file");
        let mut file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .expect("the file");
        writeln!(file, "{line}}}").expect("a line");
    }
}
