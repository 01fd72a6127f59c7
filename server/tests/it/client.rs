//! A broker of its own for each test, and clients that compare raw bytes.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use alluvium::{Broker, Config};
use tempfile::TempDir;

/// How long a reply may take.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Stage {
    pub(crate) broker: Broker,
    // Dropped last: the broker ends before its directory does.
    pub(crate) dir: TempDir,
}

impl Stage {
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    pub(crate) fn with(change: impl FnOnce(&mut Config)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let broker = start(&dir, change);
        Self { broker, dir }
    }

    pub(crate) fn client(&self) -> Client {
        Client::connect(&self.broker)
    }
}

pub(crate) fn start(dir: &TempDir, change: impl FnOnce(&mut Config)) -> Broker {
    let mut config = Config::default();
    config.dir = dir.path().join("data");
    config.port = 0;
    config.segment_size = 1 << 20;
    change(&mut config);
    Broker::start(config).unwrap()
}

pub(crate) struct Client {
    stream: TcpStream,
    unread: Vec<u8>,
}

impl Client {
    pub(crate) fn connect(broker: &Broker) -> Self {
        Self::connect_to(broker.address())
    }

    pub(crate) fn connect_to(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_millis(20)))
            .unwrap();
        Self {
            stream,
            unread: Vec::new(),
        }
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).unwrap();
    }

    /// Sends a line as an inline command.
    pub(crate) fn say(&mut self, line: &str) {
        self.send(format!("{line}\r\n"));
    }

    /// The next bytes are exactly these; a line end is written `|`, and `|` itself `\x01`.
    #[track_caller]
    pub(crate) fn expect(&mut self, expected: &str) {
        let expected = expected.replace('|', "\r\n").replace('\x01', "|");
        let found = self.read(expected.len());
        assert_eq!(String::from_utf8_lossy(&found), expected);
    }

    #[track_caller]
    pub(crate) fn ask(&mut self, line: &str, expected: &str) {
        self.say(line);
        self.expect(expected);
    }

    /// Bytes up to and with the first line end.
    #[track_caller]
    pub(crate) fn line(&mut self) -> String {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            line.extend(self.read(1));
        }
        String::from_utf8(line).unwrap().trim_end().to_owned()
    }

    /// The text of a bulk or verbatim string.
    #[track_caller]
    pub(crate) fn text(&mut self) -> String {
        let len = self.line()[1..].parse().unwrap();
        let text = self.read(len);
        self.expect("|");
        String::from_utf8(text).unwrap()
    }

    #[track_caller]
    pub(crate) fn read(&mut self, len: usize) -> Vec<u8> {
        let deadline = Instant::now() + PATIENCE;
        while self.unread.len() < len {
            assert!(
                self.fill() && Instant::now() < deadline,
                "expected {len} bytes, found {:?} and then nothing",
                String::from_utf8_lossy(&self.unread)
            );
        }
        self.unread.drain(..len).collect()
    }

    /// The broker sends nothing for a while.
    #[track_caller]
    pub(crate) fn expect_silence(&mut self) {
        self.fill();
        assert_eq!(String::from_utf8_lossy(&self.unread), "");
    }

    /// The broker has closed the connection, and sent nothing more before.
    #[track_caller]
    pub(crate) fn expect_end(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        while self.fill() {
            assert!(Instant::now() < deadline, "the connection is still open");
        }
        assert_eq!(String::from_utf8_lossy(&self.unread), "");
    }

    /// False at the end of the connection.
    fn fill(&mut self) -> bool {
        let mut buffer = vec![0; 64 << 10];
        match self.stream.read(&mut buffer) {
            Ok(0) => false,
            Ok(count) => {
                self.unread.extend_from_slice(&buffer[..count]);
                true
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                true
            }
            Err(_) => false,
        }
    }

    /// A field of INFO.
    pub(crate) fn info(&mut self, name: &str) -> String {
        self.say("INFO everything");
        let text = self.text();
        let field = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        field
            .unwrap_or_else(|| panic!("no {name} in INFO"))
            .to_owned()
    }

    /// Waits until a field of INFO has a value.
    #[track_caller]
    pub(crate) fn wait_for(&mut self, name: &str, value: &str) {
        let deadline = Instant::now() + PATIENCE;
        while self.info(name) != value {
            assert!(
                Instant::now() < deadline,
                "{name} is {}, not {value}",
                self.info(name)
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}
