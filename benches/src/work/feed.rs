//! Filling a server before the measuring: one connection, deep pipeline, every reply checked.

use std::io::{Read, Write};
use std::net::TcpStream;

use super::FIRST_MS;
use crate::servers::Server;
use crate::wire::{HOLE_DIGITS, Scanner, Template, Walk, request};

/// Requests in flight while filling.
const BATCH: u64 = 500;

/// A connection that sends and waits.
struct Feed {
    stream: TcpStream,
    input: Vec<u8>,
    scanner: Scanner,
}

impl Feed {
    fn connect(server: &Server) -> Result<Self, String> {
        let stream = TcpStream::connect(("127.0.0.1", server.port))
            .map_err(|e| format!("connecting: {e}"))?;
        Ok(Self {
            stream,
            input: Vec::new(),
            scanner: Scanner::default(),
        })
    }

    /// Sends requests and waits for their replies; the last one is handed to `judge`.
    fn exchange(
        &mut self,
        requests: &[u8],
        replies: u64,
        mut judge: impl FnMut(&[u8]) -> Result<(), String>,
    ) -> Result<(), String> {
        self.stream
            .write_all(requests)
            .map_err(|e| format!("filling: {e}"))?;
        let mut due = replies;
        let mut chunk = vec![0; 64 * 1024];
        while due > 0 {
            let mut start = 0;
            while let Some(len) = self.scanner.scan(&self.input[start..])? {
                judge(&self.input[start..start + len])?;
                start += len;
                due -= 1;
            }
            self.input.drain(..start);
            if due > 0 {
                let count = self
                    .stream
                    .read(&mut chunk)
                    .map_err(|e| format!("filling: {e}"))?;
                if count == 0 {
                    return Err("the server closed the connection while being filled".to_owned());
                }
                self.input.extend_from_slice(&chunk[..count]);
            }
        }
        Ok(())
    }
}

/// Adds `count` entries with IDs from `FIRST_MS` on.
pub(crate) fn fill(server: &Server, key: &[u8], count: u64, size: usize) -> Result<(), String> {
    let mut feed = Feed::connect(server)?;
    let id = [&[b'#'; HOLE_DIGITS][..], b"-0"].concat();
    let template = Template::new(&[b"XADD", key, &id, b"field", &vec![b'x'; size]]);
    let mut requests = Vec::new();
    let mut at = 0;
    while at < count {
        let batch = BATCH.min(count - at);
        requests.clear();
        for number in at..at + batch {
            template.write(&mut requests, &[FIRST_MS + number]);
        }
        feed.exchange(&requests, batch, |reply| Walk::new(reply)?.bulk().map(drop))?;
        at += batch;
    }
    Ok(())
}

/// Delivers all entries to one consumer that never acknowledges.
pub(super) fn deliver_all(
    server: &Server,
    key: &[u8],
    group: &[u8],
    count: u64,
) -> Result<(), String> {
    let mut feed = Feed::connect(server)?;
    let mut ask = Vec::new();
    let words: [&[u8]; 9] = [
        b"XREADGROUP",
        b"GROUP",
        group,
        b"lost",
        b"COUNT",
        b"1000",
        b"STREAMS",
        key,
        b">",
    ];
    request(&mut ask, &words);
    let mut delivered = 0;
    while delivered < count {
        let mut batch = 0;
        feed.exchange(&ask, 1, |reply| {
            batch = Walk::new(reply)?.stream(|_, _| ())?;
            Ok(())
        })?;
        if batch == 0 {
            return Err(format!("{delivered} of {count} entries were delivered"));
        }
        delivered += batch;
    }
    Ok(())
}
