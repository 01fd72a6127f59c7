//! A small blocking RESP2 client: it queues commands, sends them at once, reads reply by reply.
//!
//! Any failure of the connection, a timeout and a reply that is no RESP are the same to a crash
//! test: no reply, so the outcome is not known.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, ToSocketAddrs};
use std::time::Duration;

/// Longest bulk string that is believed.
const BULK_LEN_MAX: usize = 64 << 20;
/// Longest array that is believed.
const ARRAY_LEN_MAX: usize = 1 << 20;
/// Deepest nesting that is believed.
const DEPTH_MAX: usize = 8;
/// Longest line (status, error, number) that is believed.
const LINE_LEN_MAX: usize = 64 << 10;

/// A server's reply.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Reply {
    Status(Vec<u8>),
    Error(String),
    Int(i64),
    Bulk(Vec<u8>),
    Nil,
    Array(Vec<Reply>),
}

impl Reply {
    /// The elements of an array.
    pub(crate) fn array(&self) -> Option<&[Reply]> {
        match self {
            Reply::Array(items) => Some(items),
            _ => None,
        }
    }

    /// The bytes of a bulk or status string.
    pub(crate) fn bytes(&self) -> Option<&[u8]> {
        match self {
            Reply::Bulk(bytes) | Reply::Status(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// A number that is not negative.
    pub(crate) fn count(&self) -> Option<u64> {
        match self {
            Reply::Int(n) => u64::try_from(*n).ok(),
            _ => None,
        }
    }

    /// The value of `name` in a flat list of names and values, as XINFO replies.
    pub(crate) fn member(&self, name: &str) -> Option<&Reply> {
        self.array()?
            .chunks_exact(2)
            .find_map(|pair| (pair[0].bytes() == Some(name.as_bytes())).then_some(&pair[1]))
    }
}

/// A connection.
pub(crate) struct Client {
    stream: TcpStream,
    output: Vec<u8>,
    input: Vec<u8>,
    /// How much of `input` is consumed.
    at: usize,
}

impl Client {
    /// Connects to 127.0.0.1; each later wait lasts at most `patience`.
    pub(crate) fn connect(port: u16, patience: Duration) -> io::Result<Client> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Client::over(TcpStream::connect_timeout(&address, patience)?, patience)
    }

    /// Connects to the first address of `host` that answers.
    pub(crate) fn connect_to(host: &str, port: u16, patience: Duration) -> io::Result<Client> {
        let mut refused = io::ErrorKind::AddrNotAvailable.into();
        for address in (host, port).to_socket_addrs()? {
            match TcpStream::connect_timeout(&address, patience) {
                Ok(stream) => return Client::over(stream, patience),
                Err(error) => refused = error,
            }
        }
        Err(refused)
    }

    fn over(stream: TcpStream, patience: Duration) -> io::Result<Client> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(patience))?;
        stream.set_write_timeout(Some(patience))?;
        Ok(Client {
            stream,
            output: Vec::new(),
            input: Vec::new(),
            at: 0,
        })
    }

    /// Puts a command behind those that wait to be sent.
    pub(crate) fn queue(&mut self, args: &[&[u8]]) {
        self.output
            .extend_from_slice(format!("*{}\r\n", args.len()).as_bytes());
        for arg in args {
            self.output
                .extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
            self.output.extend_from_slice(arg);
            self.output.extend_from_slice(b"\r\n");
        }
    }

    /// Sends what is queued.
    pub(crate) fn send(&mut self) -> io::Result<()> {
        let result = self.stream.write_all(&self.output);
        self.output.clear();
        result
    }

    /// Sends one command and reads its reply.
    pub(crate) fn call(&mut self, args: &[&[u8]]) -> io::Result<Reply> {
        self.queue(args);
        self.send()?;
        self.receive()
    }

    /// Reads the next reply.
    pub(crate) fn receive(&mut self) -> io::Result<Reply> {
        self.reply(0)
    }

    fn reply(&mut self, depth: usize) -> io::Result<Reply> {
        if depth > DEPTH_MAX {
            return Err(nonsense("replies nested too deeply"));
        }
        let line = self.line()?;
        let (kind, rest) = line
            .split_first()
            .ok_or_else(|| nonsense("an empty line"))?;
        match kind {
            b'+' => Ok(Reply::Status(rest.to_vec())),
            b'-' => Ok(Reply::Error(String::from_utf8_lossy(rest).into_owned())),
            b':' => Ok(Reply::Int(number(rest)?)),
            b'$' => match length(rest, BULK_LEN_MAX)? {
                None => Ok(Reply::Nil),
                Some(length) => Ok(Reply::Bulk(self.bulk(length)?)),
            },
            b'*' => match length(rest, ARRAY_LEN_MAX)? {
                None => Ok(Reply::Nil),
                Some(length) => {
                    let items = (0..length).map(|_| self.reply(depth + 1));
                    Ok(Reply::Array(items.collect::<io::Result<_>>()?))
                }
            },
            _ => Err(nonsense("an unknown kind of reply")),
        }
    }

    fn line(&mut self) -> io::Result<Vec<u8>> {
        let mut searched = 0;
        loop {
            let waiting = &self.input[self.at..];
            if let Some(found) = memchr::memchr(b'\n', &waiting[searched..]) {
                let end = searched + found;
                let line = waiting[..end].strip_suffix(b"\r").map(<[u8]>::to_vec);
                self.at += end + 1;
                return line.ok_or_else(|| nonsense("a line without CR"));
            }
            searched = waiting.len();
            if searched > LINE_LEN_MAX {
                return Err(nonsense("a line too long"));
            }
            self.fill()?;
        }
    }

    fn bulk(&mut self, length: usize) -> io::Result<Vec<u8>> {
        while self.input.len() - self.at < length + 2 {
            self.fill()?;
        }
        let bytes = self.input[self.at..self.at + length].to_vec();
        self.at += length + 2;
        Ok(bytes)
    }

    fn fill(&mut self) -> io::Result<()> {
        if self.at > 0 {
            self.input.drain(..self.at);
            self.at = 0;
        }
        let mut block = [0; 16 << 10];
        let count = self.stream.read(&mut block)?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.input.extend_from_slice(&block[..count]);
        Ok(())
    }
}

fn nonsense(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

fn number(text: &[u8]) -> io::Result<i64> {
    std::str::from_utf8(text)
        .ok()
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| nonsense("a number that is none"))
}

/// A length within `max`; `None` is RESP2's null.
fn length(text: &[u8], max: usize) -> io::Result<Option<usize>> {
    match number(text)? {
        -1 => Ok(None),
        n => usize::try_from(n)
            .ok()
            .filter(|n| *n <= max)
            .map(Some)
            .ok_or_else(|| nonsense("a length out of bounds")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    /// What a client reads from a server that answers `bytes` and closes.
    fn replies(bytes: &'static [u8], count: usize) -> Vec<io::Result<Reply>> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = std::thread::spawn(move || {
            let mut stream = listener.accept().unwrap().0;
            for piece in bytes.chunks(3) {
                stream.write_all(piece).unwrap();
            }
        });
        let mut client = Client::connect(port, Duration::from_secs(5)).unwrap();
        let replies = (0..count).map(|_| client.receive()).collect();
        server.join().unwrap();
        replies
    }

    #[test]
    fn replies_arrive_in_pieces() {
        let got = replies(
            b"+OK\r\n:-7\r\n$3\r\na\r\n\r\n*2\r\n$-1\r\n*-1\r\n-ERR no\r\n",
            5,
        );
        let got: Vec<Reply> = got.into_iter().map(Result::unwrap).collect();
        let expected = [
            Reply::Status(b"OK".to_vec()),
            Reply::Int(-7),
            Reply::Bulk(b"a\r\n".to_vec()),
            Reply::Array(vec![Reply::Nil, Reply::Nil]),
            Reply::Error("ERR no".to_owned()),
        ];
        assert_eq!(got, expected);
    }

    #[test]
    fn nonsense_and_a_cut_reply_are_errors() {
        let cases: [&[u8]; 6] = [
            b"$99999999999\r\n",
            b"*-2\r\n",
            b"?\r\n",
            b":x\r\n",
            b"$5\r\nab",
            b"*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n",
        ];
        for case in cases {
            assert!(replies(case, 1)[0].is_err(), "{case:?}");
        }
    }

    #[test]
    fn a_member_is_found_by_name() {
        let info = Reply::Array(vec![Reply::Bulk(b"length".to_vec()), Reply::Int(4)]);
        assert_eq!(info.member("length").and_then(Reply::count), Some(4));
        assert_eq!(info.member("groups"), None);
    }
}
