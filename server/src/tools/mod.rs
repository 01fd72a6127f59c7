//! What the binary does beside serving: tools with a name of their own as the first word.
//!
//! A tool gets the words behind its name and answers with an exit code: 0 all is well, 1 it found
//! something wrong, 2 wrong usage or it could not do its work.

mod backup;
mod check;
pub(crate) mod client;
mod dump;
mod json;
mod progress;
mod repair;

use std::ffi::{OsStr, OsString};
use std::process::ExitCode;

/// A tool: the words behind its name in, exit code out.
pub type Tool = fn(Vec<OsString>) -> ExitCode;

const TOOLS: &[(&str, Tool)] = &[
    ("backup", backup::run),
    ("check", check::run),
    ("crashtest", crate::crashtest::run),
    ("dump", dump::run),
    ("repair", repair::run),
];

/// What the tools exit with on wrong usage, or if they could not do their work.
pub(crate) const UNUSABLE: u8 = 2;

/// The tool of that name.
#[must_use]
pub fn tool(name: &OsStr) -> Option<Tool> {
    let found = TOOLS.iter().find(|(known, _)| *known == name);
    found.map(|(_, tool)| *tool)
}

/// Says on standard error why a tool does not do its work.
fn unusable(tool: &str, why: &str) -> ExitCode {
    eprintln!("alluvium {tool}: {why}");
    ExitCode::from(UNUSABLE)
}

/// Bytes between quotes, escaped as redis-cli does.
fn shown(bytes: &[u8]) -> String {
    let mut out = String::from("\"");
    for &byte in bytes {
        match byte {
            b'"' | b'\\' => out.extend(['\\', char::from(byte)]),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            0x07 => out.push_str("\\a"),
            0x08 => out.push_str("\\b"),
            b' '..=b'~' => out.push(char::from(byte)),
            _ => out.extend(byte.escape_ascii().map(char::from)),
        }
    }
    out.push('"');
    out
}

/// A JSON string.
pub(crate) fn json_text(text: &str) -> String {
    use std::fmt::Write as _;
    let mut out = String::from("\"");
    for char in text.chars() {
        match char {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            char if char.is_control() => {
                // Writing to a String does not fail.
                let _ = write!(out, "\\u{:04x}", u32::from(char));
            }
            char => out.push(char),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_escaped() {
        assert_eq!(json_text("a\"b\\c\nd\u{1}e"), r#""a\"b\\c\nd\u0001e""#);
    }

    #[test]
    fn bytes_are_shown_as_redis_cli_shows_them() {
        assert_eq!(shown(b"a\"\\\r\n\x07\xff~"), r#""a\"\\\r\n\a\xff~""#);
    }

    #[test]
    fn tools_are_found_by_their_name_alone() {
        assert!(tool(OsStr::new("backup")).is_some());
        assert!(tool(OsStr::new("check")).is_some());
        assert!(tool(OsStr::new("crashtest")).is_some());
        assert!(tool(OsStr::new("dump")).is_some());
        assert!(tool(OsStr::new("repair")).is_some());
        assert!(tool(OsStr::new("check.conf")).is_none());
    }
}
