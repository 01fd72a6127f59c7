//! Replies as `redis-cli` prints them to a terminal, and command lines as it splits them.

use crate::Value;

/// What redis-cli shows for a reply over RESP2, each line ended by a line feed.
#[must_use]
pub fn printed(value: &Value) -> String {
    let mut out = String::new();
    print(value, "", &mut out);
    out
}

fn print(value: &Value, indent: &str, out: &mut String) {
    match value {
        Value::Simple(text) => line(out, text),
        Value::Error(text) => line(out, &format!("(error) {text}")),
        Value::Int(number) => line(out, &format!("(integer) {number}")),
        Value::Bulk(bytes) => line(out, &quoted(bytes)),
        Value::NullBulk | Value::NullArray | Value::Null => line(out, "(nil)"),
        Value::Array(items) if items.is_empty() => line(out, "(empty array)"),
        Value::Array(items) => {
            let width = items.len().to_string().len();
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push_str(indent);
                }
                let number = format!("{:>width$}) ", at + 1);
                out.push_str(&number);
                let deeper = format!("{indent}{}", " ".repeat(width + 2));
                print(item, &deeper, out);
            }
        }
        Value::Map(_) | Value::Other(..) => panic!("not a reply of RESP2: {value:?}"),
    }
}

fn line(out: &mut String, text: &str) {
    out.push_str(text);
    out.push('\n');
}

fn quoted(bytes: &[u8]) -> String {
    let mut out = String::from("\"");
    for &byte in bytes {
        match byte {
            b'"' | b'\\' => out.extend(['\\', char::from(byte)]),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            b' '..=b'~' => out.push(char::from(byte)),
            _ => out.extend(byte.escape_ascii().map(char::from)),
        }
    }
    out.push('"');
    out
}

/// The arguments of a command line; double quotes hold spaces together.
#[must_use]
pub fn words(line: &str) -> Vec<String> {
    let mut out = Vec::new();
    let mut word: Option<String> = None;
    let mut is_quoted = false;
    for character in line.chars() {
        match character {
            '"' => {
                is_quoted = !is_quoted;
                word.get_or_insert_default();
            }
            ' ' if !is_quoted => out.extend(word.take()),
            other => word.get_or_insert_default().push(other),
        }
    }
    assert!(!is_quoted, "unbalanced quotes: {line}");
    out.extend(word);
    out
}
