//! How the value of a parameter reads and writes: the forms of redis.conf and nothing about what
//! a parameter means.
//!
//! A form turns words into a [`Value`] or into the complaint that Redis has for it, and a value
//! back into the text that `CONFIG GET` shows. `parse(show(v)) == v` for every value of a form.

use std::borrow::Cow;

/// Why a value was refused, in Redis' words.
pub(crate) type Complaint = Cow<'static, str>;

/// The shape of a parameter's value.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Form {
    /// `yes` or `no`.
    Flag,
    /// A whole number within bounds.
    Number {
        /// Smallest accepted value.
        min: i64,
        /// Largest accepted value.
        max: i64,
    },
    /// A number of bytes, written with an optional unit: `64mb`, `1g`.
    Memory {
        /// Smallest accepted value.
        min: i64,
        /// Largest accepted value.
        max: i64,
    },
    /// One of these names.
    Choice(&'static [&'static str]),
    /// One word, any bytes.
    Text,
    /// Any number of words.
    Words,
}

/// A parsed value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    /// Of [`Form::Flag`].
    Flag(bool),
    /// Of [`Form::Number`] and [`Form::Memory`].
    Number(i64),
    /// Of [`Form::Choice`]: the position in its list.
    Choice(usize),
    /// Of [`Form::Text`].
    Text(Vec<u8>),
    /// Of [`Form::Words`].
    Words(Vec<Vec<u8>>),
}

impl Form {
    /// Reads the words behind a directive.
    pub(crate) fn parse(&self, words: &[&[u8]]) -> Result<Value, Complaint> {
        if let Form::Words = self {
            return Ok(Value::Words(
                words.iter().map(|word| word.to_vec()).collect(),
            ));
        }
        let [word] = words else {
            return Err(Cow::Borrowed("wrong number of arguments"));
        };
        match *self {
            Form::Flag => match word.to_ascii_lowercase().as_slice() {
                b"yes" => Ok(Value::Flag(true)),
                b"no" => Ok(Value::Flag(false)),
                _ => Err(Cow::Borrowed("argument must be 'yes' or 'no'")),
            },
            Form::Number { min, max } => {
                let number = parse_number(word)
                    .ok_or(Cow::Borrowed("argument couldn't be parsed into an integer"))?;
                within(number, min, max)
            }
            Form::Memory { min, max } => {
                let bytes =
                    parse_memory(word).ok_or(Cow::Borrowed("argument must be a memory value"))?;
                within(bytes, min, max)
            }
            Form::Choice(names) => names
                .iter()
                .position(|name| name.as_bytes().eq_ignore_ascii_case(word))
                .map(Value::Choice)
                .ok_or_else(|| {
                    let names = names.join(", ");
                    Cow::Owned(format!("argument(s) must be one of the following: {names}"))
                }),
            Form::Text => Ok(Value::Text(word.to_vec())),
            Form::Words => unreachable!("handled above"),
        }
    }

    /// The text of a value of this form, as `CONFIG GET` shows it.
    pub(crate) fn show(&self, value: &Value) -> Vec<u8> {
        match (self, value) {
            (_, Value::Flag(true)) => b"yes".to_vec(),
            (_, Value::Flag(false)) => b"no".to_vec(),
            (_, Value::Number(number)) => number.to_string().into_bytes(),
            (Form::Choice(names), Value::Choice(position)) => names[*position].as_bytes().to_vec(),
            (_, Value::Choice(_)) => unreachable!("a choice is shown by the form that parsed it"),
            (_, Value::Text(text)) => text.clone(),
            (_, Value::Words(words)) => words.join(&b' '),
        }
    }
}

fn within(number: i64, min: i64, max: i64) -> Result<Value, Complaint> {
    if (min..=max).contains(&number) {
        return Ok(Value::Number(number));
    }
    Err(Cow::Owned(format!(
        "argument must be between {min} and {max} inclusive"
    )))
}

fn parse_number(word: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(word).ok()?;
    // A sign in front of a positive number is not a number to Redis.
    if text.starts_with('+') {
        None
    } else {
        text.parse().ok()
    }
}

/// Bytes with an optional unit; `k` is 1000 and `kb` is 1024, as in redis.conf.
fn parse_memory(word: &[u8]) -> Option<i64> {
    let digits = word.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let number = parse_number(&word[..digits])?;
    let unit = match word[digits..].to_ascii_lowercase().as_slice() {
        b"" | b"b" => 1,
        b"k" => 1000,
        b"kb" => 1 << 10,
        b"m" => 1_000_000,
        b"mb" => 1 << 20,
        b"g" => 1_000_000_000,
        b"gb" => 1 << 30,
        _ => return None,
    };
    number.checked_mul(unit)
}

/// A word as it must be written into a file so that the parser of redis.conf reads it back.
pub(crate) fn quote(word: &[u8]) -> String {
    let is_plain = !word.is_empty()
        && word
            .iter()
            .all(|byte| byte.is_ascii_graphic() && !b"\"'\\".contains(byte));
    if is_plain {
        return String::from_utf8_lossy(word).into_owned();
    }
    escape(word)
}

/// A byte string between double quotes with everything unprintable escaped: what `MONITOR`, the
/// configuration file and error messages show.
pub(crate) fn escape(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut text = String::with_capacity(bytes.len() + 2);
    text.push('"');
    for &byte in bytes {
        match byte {
            b'\\' | b'"' => {
                text.push('\\');
                text.push(char::from(byte));
            }
            b'\n' => text.push_str("\\n"),
            b'\r' => text.push_str("\\r"),
            b'\t' => text.push_str("\\t"),
            0x07 => text.push_str("\\a"),
            0x08 => text.push_str("\\b"),
            b' '..=b'~' => text.push(char::from(byte)),
            _ => write!(text, "\\x{byte:02x}").expect("a String takes all that is written"),
        }
    }
    text.push('"');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaint(form: Form, word: &str) -> String {
        form.parse(&[word.as_bytes()]).unwrap_err().into_owned()
    }

    #[test]
    fn memory_units_are_those_of_redis_conf() {
        for (text, bytes) in [
            ("0", 0),
            ("100", 100),
            ("1k", 1000),
            ("1KB", 1024),
            ("2mb", 2 << 20),
            ("1gb", 1 << 30),
        ] {
            assert_eq!(parse_memory(text.as_bytes()), Some(bytes), "{text}");
        }
        for text in ["", "kb", "-1", "1tb", "1.5mb", "99999999999gb"] {
            assert_eq!(parse_memory(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn complaints_are_those_of_redis() {
        assert_eq!(
            complaint(Form::Flag, "maybe"),
            "argument must be 'yes' or 'no'"
        );
        let number = Form::Number { min: 0, max: 10 };
        assert_eq!(
            complaint(number, "x"),
            "argument couldn't be parsed into an integer"
        );
        assert_eq!(
            complaint(number, "11"),
            "argument must be between 0 and 10 inclusive"
        );
        let memory = Form::Memory {
            min: 1 << 20,
            max: i64::MAX,
        };
        assert_eq!(complaint(memory, "12xb"), "argument must be a memory value");
        assert_eq!(
            complaint(memory, "1"),
            "argument must be between 1048576 and 9223372036854775807 inclusive"
        );
        assert_eq!(
            complaint(Form::Choice(&["everysec", "always"]), "foo"),
            "argument(s) must be one of the following: everysec, always"
        );
    }

    #[test]
    fn words_are_quoted_when_the_parser_needs_it() {
        assert_eq!(quote(b"plain-1"), "plain-1");
        assert_eq!(quote(b""), "\"\"");
        assert_eq!(quote(b"two words"), "\"two words\"");
        assert_eq!(quote(b"a\"b\\\n\x01"), "\"a\\\"b\\\\\\n\\x01\"");
    }
}
