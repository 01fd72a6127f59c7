//! Error replies: the exact words of the protocol, and the one place where the engine's errors get
//! theirs.

use std::borrow::Cow;
use std::fmt;

use alluvium_engine::Error;

/// Bytes of an unknown name, and of its arguments in all, that a refusal quotes.
pub(crate) const QUOTED_MAX: usize = 128;

/// An error reply as it stands on the wire, without the leading `-` and the line end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal(Cow<'static, [u8]>);

impl Refusal {
    pub(crate) const SYNTAX: Self = Self::new("ERR syntax error");
    pub(crate) const NOT_AN_INTEGER: Self =
        Self::new("ERR value is not an integer or out of range");
    pub(crate) const NO_SUCH_KEY: Self = Self::new("ERR no such key");
    pub(crate) const INVALID_ID: Self =
        Self::new("ERR Invalid stream ID specified as stream command argument");
    pub(crate) const NO_AUTH: Self = Self::new("NOAUTH Authentication required.");

    /// A fixed text.
    pub(crate) const fn new(text: &'static str) -> Self {
        Self(Cow::Borrowed(text.as_bytes()))
    }

    /// A text made for the occasion: `Refusal::format(format_args!(..))`.
    pub(crate) fn format(text: fmt::Arguments<'_>) -> Self {
        Self::bytes(text.to_string().into_bytes())
    }

    /// A text that quotes bytes of the client. Line ends in it become spaces, because one ends the
    /// reply.
    pub(crate) fn bytes(mut text: Vec<u8>) -> Self {
        for byte in &mut text {
            if matches!(byte, b'\r' | b'\n') {
                *byte = b' ';
            }
        }
        Self(Cow::Owned(text))
    }

    /// Joins parts, some of which are the client's bytes: Redis shows them up to the first NUL, and
    /// leaves out line ends behind everything.
    pub(crate) fn quoting(parts: &[&[u8]]) -> Self {
        let parts: Vec<&[u8]> = parts.iter().map(|part| before_nul(part)).collect();
        let mut text = parts.concat();
        let is_line_end = |byte: &u8| matches!(byte, b'\r' | b'\n');
        let kept = text.iter().rposition(|byte| !is_line_end(byte));
        text.truncate(kept.map_or(0, |last| last + 1));
        Self::bytes(text)
    }

    /// No command has that name.
    pub(crate) fn unknown_command(args: &[&[u8]]) -> Self {
        let cut = |text: &'_ [u8], len_max: usize| {
            let text = before_nul(text);
            text[..text.len().min(len_max)].to_vec()
        };
        let mut quoted = Vec::new();
        for arg in &args[1..] {
            if quoted.len() >= QUOTED_MAX {
                break;
            }
            let room = QUOTED_MAX - quoted.len();
            quoted.push(b'\'');
            quoted.extend(cut(arg, room));
            quoted.extend_from_slice(b"' ");
        }
        Self::quoting(&[
            b"ERR unknown command '",
            &cut(args[0], QUOTED_MAX),
            b"', with args beginning with: ",
            &quoted,
        ])
    }

    /// `name` is lower case, `container|sub` for a subcommand.
    pub(crate) fn wrong_arity(name: &str) -> Self {
        Self::format(format_args!(
            "ERR wrong number of arguments for '{name}' command"
        ))
    }

    /// A subcommand that is known was not called as it wants to be. `container` is upper case.
    pub(crate) fn unknown_use(container: &str, subcommand: &[u8]) -> Self {
        let shown = &subcommand[..subcommand.len().min(QUOTED_MAX)];
        let rest = format!("'. Try {container} HELP.");
        Self::quoting(&[
            b"ERR unknown subcommand or wrong number of arguments for '",
            shown,
            rest.as_bytes(),
        ])
    }

    /// The text on the wire.
    pub(crate) fn text(&self) -> &[u8] {
        &self.0
    }

    /// The first word, under which INFO errorstats counts.
    pub(crate) fn code(&self) -> &[u8] {
        self.0
            .split(|byte| *byte == b' ')
            .next()
            .unwrap_or_default()
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        match error {
            Error::NoSuchKey => Self::NO_SUCH_KEY,
            Error::NoSuchGroup => Self::new("NOGROUP No such consumer group"),
            Error::GroupExists => Self::new("BUSYGROUP Consumer Group name already exists"),
            Error::KeyExists => Self::new("BUSYKEY Target key name already exists."),
            Error::IdTooSmall => Self::new(
                "ERR The ID specified in XADD is equal or smaller than the target stream top item",
            ),
            Error::IdExhausted => Self::new(
                "ERR The stream has exhausted the last possible ID, unable to add more items",
            ),
            Error::DiskFull => Self::new(
                "DISKFULL No space left in the data directory: what adds data is refused, \
                 what frees space is accepted",
            ),
            Error::QuotaReached => Self::new(
                "DISKFULL The data directory has reached disk-quota: what adds data is refused, \
                 what frees space is accepted",
            ),
            Error::Poisoned => Self::new(
                "POISONED A write or sync to the data directory failed: the broker must be \
                 restarted",
            ),
            Error::Malformed { .. } => Self::new("ERR Bad data format"),
            Error::Corrupt { .. } => Self::format(format_args!("CORRUPT {error}")),
            other => Self::format(format_args!("ERR {other}")),
        }
    }
}

/// The bytes before the first NUL.
fn before_nul(text: &[u8]) -> &[u8] {
    text.split(|byte| *byte == 0).next().unwrap_or_default()
}
