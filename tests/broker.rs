//! A broker in a process and a directory of its own, which can be killed and started again.

use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::Connection;

const START_PATIENCE: Duration = Duration::from_secs(30);

/// A running broker; dropping it kills the process and removes the directory.
#[derive(Debug)]
pub struct Broker {
    program: PathBuf,
    options: Vec<String>,
    home: tempfile::TempDir,
    port: u16,
    child: Child,
}

impl Broker {
    /// Starts the broker on a free port with further command line options (or a configuration file
    /// first). `ALLUVIUM_BIN` names another build of it.
    #[must_use]
    pub fn start(program: &str, options: &[&str]) -> Broker {
        let home = tempfile::tempdir().expect("a directory for the broker");
        Broker::start_in(program, options, home)
    }

    /// The same with its store in `data` of the given directory.
    pub fn start_in(program: &str, options: &[&str], home: tempfile::TempDir) -> Broker {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("its number").port();
        drop(listener);
        let program =
            std::env::var_os("ALLUVIUM_BIN").map_or_else(|| program.into(), PathBuf::from);
        let options: Vec<String> = options.iter().map(ToString::to_string).collect();
        let child = spawn(&program, &options, home.path(), port);
        let mut broker = Broker {
            program,
            options,
            home,
            port,
            child,
        };
        broker.wait_until_ready();
        broker
    }

    fn wait_until_ready(&mut self) {
        let start = Instant::now();
        loop {
            if let Ok(mut connection) = Connection::open(self.port)
                && connection
                    .call(&["PING"])
                    .is_ok_and(|reply| reply.text() == "PONG")
            {
                return;
            }
            let ended = self
                .child
                .try_wait()
                .expect("the state of the broker's process");
            assert!(
                ended.is_none(),
                "the broker ended with {ended:?}: {}",
                self.said()
            );
            assert!(
                start.elapsed() < START_PATIENCE,
                "the broker is not ready: {}",
                self.said()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// A new connection.
    #[must_use]
    pub fn connect(&self) -> Connection {
        Connection::open(self.port).expect("the broker accepts connections")
    }

    /// The port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The ID of its process.
    #[must_use]
    pub fn process(&self) -> u32 {
        self.child.id()
    }

    /// Where the store is.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.home.path().join("data")
    }

    /// All that the broker printed so far.
    #[must_use]
    pub fn said(&self) -> String {
        std::fs::read_to_string(self.home.path().join("output")).unwrap_or_default()
    }

    /// Ends the process as a power switch would, save that the page cache stays: SIGKILL.
    pub fn kill(&mut self) {
        self.child.kill().expect("the process is ours to kill");
        self.child.wait().expect("the process ended");
    }

    /// Starts it again on the same directory and port.
    pub fn restart(&mut self) {
        self.begin_restart();
        self.wait_until_ready();
    }

    /// Starts it again without waiting until it is ready.
    pub fn begin_restart(&mut self) {
        self.child = spawn(&self.program, &self.options, self.home.path(), self.port);
    }

    /// Sends SIGTERM and waits until the process ended.
    pub fn terminate(&mut self) -> ExitStatus {
        let id = self.child.id().to_string();
        let sent = Command::new("kill")
            .args(["-TERM", &id])
            .status()
            .expect("kill runs");
        assert!(sent.success(), "the process is ours to signal");
        self.child.wait().expect("the process ended")
    }

    /// Asks it to end in order and waits until it did.
    pub fn shut_down(&mut self) -> ExitStatus {
        // The reply is the closed connection.
        let _closed = self.connect().call(&["SHUTDOWN"]);
        self.child.wait().expect("the process ended")
    }
}

fn spawn(program: &Path, options: &[String], home: &Path, port: u16) -> Child {
    let data = home.join("data");
    std::fs::create_dir_all(&data).expect("a directory for the store");
    let output = File::options()
        .create(true)
        .append(true)
        .open(home.join("output"))
        .expect("a file for what it says");
    Command::new(program)
        .args(options)
        .args(["--port", &port.to_string(), "--dir"])
        .arg(&data)
        .stdin(Stdio::null())
        .stdout(output.try_clone().expect("the same file again"))
        .stderr(output)
        .spawn()
        .expect("the broker's binary runs")
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _was_running = self.child.kill();
        let _reaped = self.child.wait();
    }
}
