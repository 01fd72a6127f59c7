//! A connection that sends and waits: for filling servers and for questions between measurements.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::servers::Server;
use crate::wire::{Scanner, Walk, request};

/// Requests in one write while filling.
pub(crate) const BATCH: u64 = 500;
/// How long any reply may take: Redis and Valkey look through millions of entries in one command.
const PATIENCE: Duration = Duration::from_secs(120);

/// A connection that sends and waits.
pub(crate) struct Client {
    stream: TcpStream,
    input: Vec<u8>,
    chunk: Vec<u8>,
    scanner: Scanner,
}

impl Client {
    pub(crate) fn connect(server: &Server) -> Result<Self, String> {
        let connect = || -> std::io::Result<TcpStream> {
            let stream = TcpStream::connect(("127.0.0.1", server.port))?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            Ok(stream)
        };
        Ok(Self {
            stream: connect().map_err(|e| format!("connecting: {e}"))?,
            input: Vec::new(),
            chunk: vec![0; 256 * 1024],
            scanner: Scanner::default(),
        })
    }

    /// Sends requests and does not wait.
    pub(crate) fn send(&mut self, requests: &[u8]) -> Result<(), String> {
        let sent = self.stream.write_all(requests);
        sent.map_err(|e| format!("sending: {e}"))
    }

    /// Waits for as many replies and hands each to `judge`.
    pub(crate) fn receive(
        &mut self,
        replies: u64,
        mut judge: impl FnMut(&[u8]) -> Result<(), String>,
    ) -> Result<(), String> {
        let mut due = replies;
        loop {
            let mut start = 0;
            while due > 0 {
                let Some(len) = self.scanner.scan(&self.input[start..])? else {
                    break;
                };
                judge(&self.input[start..start + len])?;
                start += len;
                due -= 1;
            }
            self.input.drain(..start);
            if due == 0 {
                return Ok(());
            }
            let read = self.stream.read(&mut self.chunk);
            let count = read.map_err(|e| format!("receiving: {e}"))?;
            if count == 0 {
                return Err("the server closed the connection".to_owned());
            }
            self.input.extend_from_slice(&self.chunk[..count]);
        }
    }

    /// One request; its reply is handed to `judge`.
    pub(crate) fn call<T>(
        &mut self,
        args: &[&[u8]],
        mut judge: impl FnMut(Walk<'_>) -> Result<T, String>,
    ) -> Result<T, String> {
        let mut bytes = Vec::new();
        request(&mut bytes, args);
        self.send(&bytes)?;
        let mut result = None;
        self.receive(1, |reply| {
            result = Some(judge(Walk::new(reply)?)?);
            Ok(())
        })?;
        result.ok_or_else(|| "a reply is missing".to_owned())
    }

    /// Sends `count` requests in batches, the next batch on its way while the server is at one;
    /// `write` appends the request of a number, `between` is called now and then.
    pub(crate) fn pour(
        &mut self,
        count: u64,
        mut write: impl FnMut(&mut Vec<u8>, u64),
        mut between: impl FnMut() -> Result<(), String>,
    ) -> Result<(), String> {
        let is_added = |reply: &[u8]| Walk::new(reply)?.bulk().map(drop);
        let mut requests = Vec::new();
        let (mut at, mut waiting) = (0, 0);
        while at < count {
            let batch = BATCH.min(count - at);
            requests.clear();
            for number in at..at + batch {
                write(&mut requests, number);
            }
            self.send(&requests)?;
            self.receive(waiting, is_added)?;
            (at, waiting) = (at + batch, batch);
            between()?;
        }
        self.receive(waiting, is_added)
    }
}
