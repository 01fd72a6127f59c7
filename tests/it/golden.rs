//! Plays the transcripts in `tests/golden` against the broker: every reply must be the same bytes,
//! in RESP2 and in RESP3. `tests/golden/record.py` says what a transcript is and recorded most of
//! them from a real server; `ours*.txt` hold what only this broker answers, or what no server that
//! can be had knows yet: those are written from the documentation.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use alluvium_tests::Broker;

use crate::BROKER;

/// How long a reply may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes shown before a difference.
const CONTEXT: usize = 80;

#[test]
fn every_reply_is_the_same_bytes_as_recorded() {
    let broker = Broker::start(BROKER, &["--appendfsync", "no"]);
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden");
    let mut paths: Vec<PathBuf> = std::fs::read_dir(directory)
        .expect("the transcripts are there")
        .map(|entry| entry.expect("the directory is readable").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "txt"))
        .collect();
    paths.sort();
    let mut report = String::new();
    for path in &paths {
        let steps = parse(&std::fs::read_to_string(path).expect("a readable transcript"));
        for protocol in [2, 3] {
            let name = path.file_name().expect("a file").to_string_lossy();
            for difference in play(&broker, protocol, &steps) {
                writeln!(report, "{name} in RESP{protocol}: {difference}").expect("memory");
            }
        }
    }
    assert!(report.is_empty(), "replies differ:\n{report}");
}

/// One line of a transcript with what is expected behind it.
#[derive(Default)]
struct Step {
    line: usize,
    connection: char,
    /// Not empty: words to send; empty: something comes in by itself.
    words: Vec<Vec<u8>>,
    blocks: bool,
    /// In RESP2 and in RESP3.
    expected: [Vec<u8>; 2],
}

fn parse(transcript: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for (index, text) in transcript.lines().enumerate() {
        let bytes = text.as_bytes();
        match bytes {
            [] | [b'#', ..] => continue,
            [protocol @ (b'=' | b'2' | b'3'), b' ', ..] => {
                let step = steps.last_mut().expect("a command comes first");
                let reply = unescape(&text[2..]);
                if *protocol != b'3' {
                    step.expected[0].clone_from(&reply);
                }
                if *protocol != b'2' {
                    step.expected[1] = reply;
                }
                continue;
            }
            b"&" => {
                steps.last_mut().expect("a command comes first").blocks = true;
                continue;
            }
            _ => {}
        }
        let mut step = Step {
            line: index + 1,
            connection: 'a',
            ..Step::default()
        };
        match bytes {
            [name @ b'a'..=b'z', b'<'] => step.connection = char::from(*name),
            [name @ b'a'..=b'z', b'>', b' ', ..] => {
                step.connection = char::from(*name);
                step.words = words(&text[3..]);
            }
            _ => step.words = words(text),
        }
        steps.push(step);
    }
    steps
}

/// Splits a command line; only quoted words have escapes.
fn words(line: &str) -> Vec<Vec<u8>> {
    let mut out = Vec::new();
    let mut rest = line.trim_start();
    while !rest.is_empty() {
        let end = if let Some(quoted) = rest.strip_prefix('"') {
            let end = quoted.find('"').expect("a closing quote");
            out.push(unescape(&quoted[..end]));
            end + 2
        } else {
            let end = rest.find(' ').unwrap_or(rest.len());
            out.push(rest.as_bytes()[..end].to_vec());
            end
        };
        rest = rest[end..].trim_start();
    }
    out
}

fn unescape(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text.as_bytes();
    loop {
        rest = match *rest {
            [] => return out,
            [b'\\', b'r', ref rest @ ..] => {
                out.push(b'\r');
                rest
            }
            [b'\\', b'n', ref rest @ ..] => {
                out.push(b'\n');
                rest
            }
            [b'\\', b't', ref rest @ ..] => {
                out.push(b'\t');
                rest
            }
            [b'\\', b'x', high, low, ref rest @ ..] => {
                let digit = |byte| char::from(byte).to_digit(16).expect("a hex digit");
                out.push(u8::try_from(digit(high) * 16 + digit(low)).expect("one byte"));
                rest
            }
            [byte, ref rest @ ..] => {
                out.push(byte);
                rest
            }
        };
    }
}

/// Plays the steps on empty databases; returns what differs.
fn play(broker: &Broker, protocol: usize, steps: &[Step]) -> Vec<String> {
    let mut control = Wire::open(broker, 2);
    control.call(&["FLUSHALL"]);
    control.call(&["CONFIG", "SET", "notify-keyspace-events", ""]);
    // Redis estimates it, and the transcripts are recorded from Redis.
    control.call(&["CONFIG", "SET", "stream-lag-compat", "yes"]);
    let mut wires: BTreeMap<char, Wire> = BTreeMap::new();
    wires.insert('a', Wire::open(broker, protocol));
    let mut differences = Vec::new();
    let mut blocked = 0;
    for step in steps {
        let wire = wires
            .entry(step.connection)
            .or_insert_with(|| Wire::open(broker, protocol));
        if !step.words.is_empty() {
            wire.send(&step.words);
        }
        if step.blocks {
            blocked += 1;
            wire.is_blocked = true;
            control.wait_for_blocked(blocked);
            continue;
        }
        let found = wire.receive(PATIENCE);
        if step.words.is_empty() && wire.is_blocked {
            wire.is_blocked = false;
            blocked -= 1;
        }
        let expected = &step.expected[protocol - 2];
        let found = found.unwrap_or_default();
        if !matches(expected, &found) {
            differences.push(describe(step.line, expected, &found));
            if found.is_empty() {
                return differences;
            }
        }
    }
    for (name, wire) in &mut wires {
        if let Some(surplus) = wire.receive(Duration::from_millis(20)) {
            differences.push(format!("on {name} at the end: {}", surplus.escape_ascii()));
        }
    }
    differences
}

/// What was expected and what was found, from shortly before they part.
fn describe(line: usize, expected: &[u8], found: &[u8]) -> String {
    let common = expected
        .iter()
        .zip(found)
        .take_while(|(a, b)| a == b)
        .count();
    let from = common.saturating_sub(CONTEXT);
    let [expected, found] = [expected, found].map(|bytes| bytes[from..].escape_ascii());
    format!("line {line}, byte {common}\n  expected {expected}\n  found    {found}")
}

/// Whether the bytes are those expected, where `<n>` stands for any number.
fn matches(expected: &[u8], found: &[u8]) -> bool {
    let mut rest = found;
    for part in expected.split_inclusive(|byte| *byte == b'>') {
        let literal = part.strip_suffix(b"<n>").unwrap_or(part);
        let Some(behind) = rest.strip_prefix(literal) else {
            return false;
        };
        rest = behind;
        if literal.len() < part.len() {
            let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
            if digits == 0 {
                return false;
            }
            rest = &rest[digits..];
        }
    }
    rest.is_empty()
}

/// A connection that keeps replies as bytes.
struct Wire {
    stream: TcpStream,
    buffer: Vec<u8>,
    is_blocked: bool,
}

impl Wire {
    fn open(broker: &Broker, protocol: usize) -> Wire {
        let stream = TcpStream::connect(("127.0.0.1", broker.port())).expect("a connection");
        stream.set_nodelay(true).expect("a TCP connection");
        let mut wire = Wire {
            stream,
            buffer: Vec::new(),
            is_blocked: false,
        };
        if protocol == 3 {
            wire.call(&["HELLO", "3"]);
        }
        wire
    }

    fn send(&mut self, words: &[Vec<u8>]) {
        let mut request = format!("*{}\r\n", words.len()).into_bytes();
        for word in words {
            request.extend(format!("${}\r\n", word.len()).bytes());
            request.extend(word);
            request.extend(b"\r\n");
        }
        self.stream.write_all(&request).expect("the broker listens");
    }

    fn call(&mut self, words: &[&str]) -> Vec<u8> {
        let words: Vec<Vec<u8>> = words.iter().map(|word| word.as_bytes().to_vec()).collect();
        self.send(&words);
        self.receive(PATIENCE).expect("a reply")
    }

    /// The bytes of one reply; `None` if it does not come in time.
    fn receive(&mut self, patience: Duration) -> Option<Vec<u8>> {
        self.stream
            .set_read_timeout(Some(patience))
            .expect("a TCP connection");
        loop {
            if let Some(end) = reply_end(&self.buffer, 0) {
                let rest = self.buffer.split_off(end);
                return Some(std::mem::replace(&mut self.buffer, rest));
            }
            let mut bytes = [0; 1 << 12];
            match self.stream.read(&mut bytes) {
                Ok(0) => return None,
                Ok(read) => self.buffer.extend(&bytes[..read]),
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) =>
                {
                    return None;
                }
                Err(error) => panic!("reading a reply: {error}"),
            }
        }
    }

    /// Waits until so many clients are blocked.
    fn wait_for_blocked(&mut self, count: usize) {
        let wanted = format!("\r\nblocked_clients:{count}\r\n");
        let start = Instant::now();
        while !String::from_utf8_lossy(&self.call(&["INFO", "clients"])).contains(&wanted) {
            assert!(
                start.elapsed() < PATIENCE,
                "{count} clients should be blocked"
            );
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Where the reply that begins at `at` ends; `None` if it is not all there.
fn reply_end(data: &[u8], at: usize) -> Option<usize> {
    let line = data.get(at..)?;
    let line_len = line.windows(2).position(|pair| pair == b"\r\n")?;
    let end = at + line_len + 2;
    let number = || {
        std::str::from_utf8(&line[1..line_len])
            .ok()?
            .parse::<i64>()
            .ok()
    };
    let items = match line[0] {
        b'$' | b'=' | b'!' => {
            let Ok(len) = usize::try_from(number()?) else {
                return Some(end);
            };
            return (data.len() >= end + len + 2).then_some(end + len + 2);
        }
        b'*' | b'~' | b'>' => number()?.max(0),
        b'%' => number()? * 2,
        _ => 0,
    };
    (0..items).try_fold(end, |end, _| reply_end(data, end))
}

#[test]
fn a_number_is_matched_by_any_number_and_nothing_else() {
    assert!(matches(b":<n>\r\n:1\r\n", b":177\r\n:1\r\n"));
    assert!(matches(b"-ERR the > ID", b"-ERR the > ID"));
    assert!(!matches(b":<n>\r\n", b":-1\r\n"));
    assert!(!matches(b":<n>\r\n", b":1\r\n:2\r\n"));
    assert!(!matches(b":1\r\n", b":2\r\n"));
}
