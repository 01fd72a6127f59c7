//! A connection to the broker that keeps what kind of reply came: `$-1`, `*-1` and `_` are three
//! different answers.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// No reply in the tests is longer; a larger number is a fault of the broker.
const REPLY_LEN_MAX: i64 = 1 << 30;

/// A reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// `+text`
    Simple(String),
    /// `-text`
    Error(String),
    /// `:number`
    Int(i64),
    /// `$bytes`
    Bulk(Vec<u8>),
    /// `$-1`
    NullBulk,
    /// `*-1`
    NullArray,
    /// `_`
    Null,
    /// `*`, `~` or `>`
    Array(Vec<Value>),
    /// `%`
    Map(Vec<(Value, Value)>),
    /// Any other scalar of RESP3, with its type byte.
    Other(u8, String),
}

impl Value {
    /// The text of a simple or bulk string.
    #[must_use]
    pub fn text(&self) -> &str {
        match self {
            Value::Simple(text) | Value::Error(text) => text,
            Value::Bulk(bytes) => std::str::from_utf8(bytes).expect("the reply is text"),
            other => panic!("expected a string, found {other:?}"),
        }
    }

    /// The number of an integer reply.
    #[must_use]
    pub fn int(&self) -> i64 {
        match self {
            Value::Int(number) => *number,
            other => panic!("expected an integer, found {other:?}"),
        }
    }

    /// The items of an array; none for a null.
    #[must_use]
    pub fn items(&self) -> &[Value] {
        match self {
            Value::Array(items) => items,
            Value::Null | Value::NullArray | Value::NullBulk => &[],
            other => panic!("expected an array, found {other:?}"),
        }
    }

    /// Whether this is an error that begins with `code`.
    #[must_use]
    pub fn is_error(&self, code: &str) -> bool {
        matches!(self, Value::Error(text) if text.starts_with(code))
    }
}

/// A connection over RESP2.
#[derive(Debug)]
pub struct Connection {
    reader: BufReader<TcpStream>,
}

impl Connection {
    /// Connects to a broker on this machine.
    pub fn open(port: u16) -> io::Result<Connection> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        Ok(Connection {
            reader: BufReader::new(stream),
        })
    }

    /// Sends a command without waiting for its reply.
    pub fn send<A: AsRef<[u8]>>(&mut self, args: &[A]) -> io::Result<()> {
        let mut out = format!("*{}\r\n", args.len()).into_bytes();
        for arg in args {
            let arg = arg.as_ref();
            out.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
            out.extend_from_slice(arg);
            out.extend_from_slice(b"\r\n");
        }
        self.reader.get_mut().write_all(&out)
    }

    /// Waits for the next reply.
    pub fn read(&mut self) -> io::Result<Value> {
        let mut line = String::new();
        if self.reader.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let line = line.trim_end_matches(['\r', '\n']);
        let (kind, rest) = line.split_at(1);
        let number = || rest.parse::<i64>().map_err(|_| bad(line));
        Ok(match kind.as_bytes()[0] {
            b'+' => Value::Simple(rest.to_owned()),
            b'-' => Value::Error(rest.to_owned()),
            b':' => Value::Int(number()?),
            b'_' => Value::Null,
            b'$' | b'=' => match number()? {
                -1 => Value::NullBulk,
                len => self.read_bulk(len)?,
            },
            b'*' | b'~' | b'>' => match number()? {
                -1 => Value::NullArray,
                count => Value::Array((0..count).map(|_| self.read()).collect::<io::Result<_>>()?),
            },
            b'%' => Value::Map(
                (0..number()?)
                    .map(|_| Ok((self.read()?, self.read()?)))
                    .collect::<io::Result<_>>()?,
            ),
            kind @ (b',' | b'#' | b'(') => Value::Other(kind, rest.to_owned()),
            _ => return Err(bad(line)),
        })
    }

    fn read_bulk(&mut self, len: i64) -> io::Result<Value> {
        let len = usize::try_from(len).ok().filter(|_| len <= REPLY_LEN_MAX);
        let mut bytes = vec![0; len.ok_or_else(|| bad("bulk length"))? + 2];
        self.reader.read_exact(&mut bytes)?;
        if !bytes.ends_with(b"\r\n") {
            return Err(bad("the end of a bulk string"));
        }
        bytes.truncate(bytes.len() - 2);
        Ok(Value::Bulk(bytes))
    }

    /// The fields of INFO; of all sections, if none is named.
    pub fn info(&mut self, sections: &str) -> BTreeMap<String, String> {
        let reply = self.ok(format!("INFO {sections}").trim_end());
        let text = reply.text();
        assert!(text.ends_with("\r\n"), "INFO ends in the middle of a line");
        let fields = text.split("\r\n").filter_map(|line| line.split_once(':'));
        fields
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    }

    /// A command and its reply, which may be an error reply.
    pub fn call<A: AsRef<[u8]>>(&mut self, args: &[A]) -> io::Result<Value> {
        self.send(args)?;
        self.read()
    }

    /// A command whose arguments hold no spaces, as one types it; the broker must answer, and not
    /// with an error.
    pub fn ok(&mut self, line: &str) -> Value {
        let args: Vec<&str> = line.split(' ').collect();
        let reply = self
            .call(&args)
            .unwrap_or_else(|error| panic!("{line}: {error}"));
        assert!(!matches!(reply, Value::Error(_)), "{line}: {reply:?}");
        reply
    }
}

fn bad(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("not a reply: {what}"))
}
