//! `alluvium dump DIR`: what is in a data directory, for people and for scripts.

use std::ffi::OsString;
use std::io::{self, BufWriter, ErrorKind, Write};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::process::ExitCode;

use alluvium_engine::{DumpOptions, DumpReport, EntryId, Item, Value, dump};

use super::json;
use super::{shown, unusable};

const HELP: &str = "\
Shows what is in a data directory that no broker has open, and changes nothing in it.

usage: alluvium dump [options] DIR

The log comes first, segment by segment: frames with their position (LSN), offset and flags, and
the records in them. Then the sorted segments, with all that was sorted into them, deleted or not.
Then the checkpoints: streams with their counters, runs in sorted segments, nodes in the log,
groups, consumers and pending entries. Bytes that are damaged are shown as such, and the dump goes
on behind them.

  --stream NAME      only streams that bear or bore this name
  --db N             only streams of this database
  --from ID          only entries, and pending ones, from this ID on (MS or MS-SEQ)
  --lsn FROM..TO     only frames that begin in this range of the log; either may be left out
  --log              only the log
  --sorted           only the sorted segments
  --checkpoints      only the checkpoints
  --json             one JSON object a line: \"item\" says what it is; bytes that are no UTF-8 are
                     {\"hex\": \"...\"}
  --help             this text

Exit codes: 0 all was shown, 1 some of it is damaged, 2 wrong usage or the directory could not be
read. If nobody reads on (head, less), the dump ends quietly.
";

/// What the command line says.
#[derive(Default)]
struct Request {
    dir: Option<PathBuf>,
    options: DumpOptions,
    is_json: bool,
    is_help: bool,
}

/// Reads the words behind `alluvium dump`, and shows what is there.
pub(super) fn run(words: Vec<OsString>) -> ExitCode {
    let request = match Request::parse(words) {
        Ok(request) => request,
        Err(error) => return unusable("dump", &error),
    };
    if request.is_help {
        print!("{HELP}");
        return ExitCode::SUCCESS;
    }
    let Some(dir) = &request.dir else {
        return unusable("dump", "which directory? Try alluvium dump --help");
    };
    let mut out = BufWriter::with_capacity(64 << 10, io::stdout().lock());
    let mut failed = None;
    let dumped = dump(dir, &request.options, &mut |item| {
        let written = if request.is_json {
            write_json(&mut out, item)
        } else {
            write_text(&mut out, item)
        };
        written.map_or_else(
            |error| {
                failed = Some(error);
                ControlFlow::Break(())
            },
            ControlFlow::Continue,
        )
    });
    let flushed = failed.map_or_else(|| out.flush(), Err);
    match (dumped, flushed) {
        (Err(error), _) => unusable("dump", &error.to_string()),
        (Ok(_), Err(error)) if error.kind() == ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        (Ok(_), Err(error)) => unusable("dump", &format!("write to standard output: {error}")),
        (Ok(DumpReport { bad, .. }), Ok(())) => ExitCode::from(u8::from(bad > 0)),
    }
}

impl Request {
    fn parse(words: Vec<OsString>) -> Result<Self, String> {
        let mut request = Self::default();
        let (mut log, mut sorted, mut checkpoints) = (false, false, false);
        let mut words = words.into_iter();
        while let Some(word) = words.next() {
            let mut value = |name: &str| words.next().ok_or(format!("{name} needs a value"));
            match word.to_str() {
                Some("--help" | "-h") => request.is_help = true,
                Some("--json") => request.is_json = true,
                Some("--log") => log = true,
                Some("--sorted") => sorted = true,
                Some("--checkpoints") => checkpoints = true,
                Some("--stream") => {
                    let name = value("--stream")?;
                    request.options.stream = Some(name.into_encoded_bytes());
                }
                Some("--db") => request.options.db = Some(parsed("--db", value("--db")?)?),
                Some("--from") => request.options.from = Some(id(value("--from")?)?),
                Some("--lsn") => request.options.lsn = range(value("--lsn")?)?,
                Some(option) if option.starts_with("--") => {
                    return Err(format!("unknown option {option}"));
                }
                _ if request.dir.is_none() => request.dir = Some(PathBuf::from(word)),
                _ => return Err("one directory at a time".to_owned()),
            }
        }
        let all = !(log || sorted || checkpoints);
        request.options.log = log || all;
        request.options.sorted = sorted || all;
        request.options.checkpoints = checkpoints || all;
        Ok(request)
    }
}

fn parsed<T: std::str::FromStr>(name: &str, word: OsString) -> Result<T, String> {
    let word = word.into_string().unwrap_or_default();
    let number = word.parse();
    number.map_err(|_| format!("{name} needs a number, not \"{word}\""))
}

fn id(word: OsString) -> Result<EntryId, String> {
    let word = word.into_string().unwrap_or_default();
    let (ms, seq) = word.split_once('-').unwrap_or((&word, "0"));
    match (ms.parse(), seq.parse()) {
        (Ok(ms), Ok(seq)) => Ok(EntryId::new(ms, seq)),
        _ => Err(format!("--from needs an ID, MS or MS-SEQ, not \"{word}\"")),
    }
}

fn range(word: OsString) -> Result<std::ops::Range<u64>, String> {
    let word = word.into_string().unwrap_or_default();
    let bound = |text: &str, missing| match text {
        "" => Some(missing),
        text => text.parse().ok(),
    };
    let halves = word.split_once("..");
    halves
        .and_then(|(from, to)| Some(bound(from, 0)?..bound(to, u64::MAX)?))
        .ok_or(format!("--lsn needs FROM..TO, not \"{word}\""))
}

fn write_text(out: &mut impl Write, item: &Item<'_>) -> io::Result<()> {
    let indent = "  ".repeat(item.depth);
    let kind = if item.kind == "bad" { "BAD" } else { item.kind };
    write!(out, "{indent}{kind}")?;
    for (name, value) in &item.values {
        write!(out, " {name}=")?;
        write_value(out, value)?;
    }
    writeln!(out)
}

fn write_value(out: &mut impl Write, value: &Value<'_>) -> io::Result<()> {
    match value {
        Value::Number(number) => write!(out, "{number}"),
        Value::Flag(flag) => write!(out, "{flag}"),
        Value::Id(id) => write!(out, "{id}"),
        Value::Text(text) if text.contains(' ') => write!(out, "({text})"),
        Value::Text(text) => write!(out, "{text}"),
        Value::Bytes(bytes) => out.write_all(shown(bytes).as_bytes()),
        Value::List(items) => {
            write!(out, "[")?;
            for (at, item) in items.iter().enumerate() {
                write!(out, "{}", if at > 0 { " " } else { "" })?;
                write_value(out, item)?;
            }
            write!(out, "]")
        }
        Value::Named(values) => {
            write!(out, "{{")?;
            for (at, (name, value)) in values.iter().enumerate() {
                write!(out, "{}{name}=", if at > 0 { " " } else { "" })?;
                write_value(out, value)?;
            }
            write!(out, "}}")
        }
        _ => write!(out, "-"),
    }
}

fn write_json(out: &mut impl Write, item: &Item<'_>) -> io::Result<()> {
    write!(out, "{{\"item\": {}", json::text(item.kind))?;
    for (name, value) in &item.values {
        write!(out, ", {}: {}", json::text(name), json_of(value))?;
    }
    writeln!(out, "}}")
}

fn json_of(value: &Value<'_>) -> String {
    match value {
        Value::Number(number) => number.to_string(),
        Value::Flag(flag) => flag.to_string(),
        Value::Id(id) => json::text(&id.to_string()),
        Value::Text(text) => json::text(text),
        Value::Bytes(bytes) => json::bytes(bytes),
        Value::List(items) => json::list(items.iter().map(json_of)),
        Value::Named(values) => {
            let values = values.iter().map(|(name, value)| (*name, json_of(value)));
            json::named(&values.collect::<Vec<_>>())
        }
        _ => "null".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Request, String> {
        Request::parse(words.iter().map(OsString::from).collect())
    }

    #[test]
    fn words_become_options() {
        let words = [
            "--stream", "a", "d", "--from", "5-2", "--lsn", "..9", "--log", "--db", "3",
        ];
        let Request { dir, options, .. } = parse(&words).unwrap();
        assert_eq!(dir, Some(PathBuf::from("d")));
        assert_eq!(options.stream.as_deref(), Some(&b"a"[..]));
        assert_eq!(
            (options.from, options.db),
            (Some(EntryId::new(5, 2)), Some(3))
        );
        assert_eq!(options.lsn, 0..9);
        assert!(options.log && !options.sorted && !options.checkpoints);
        for wrong in [
            &["--from", "x"][..],
            &["--lsn", "3"],
            &["--db", "-1"],
            &["--stream"],
            &["--all"],
            &["a", "b"],
        ] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn items_are_lines_of_text_or_json() {
        let item = Item {
            kind: "entry",
            depth: 2,
            values: vec![
                ("id", Value::Id(EntryId::new(1, 2))),
                (
                    "fields",
                    Value::List(vec![Value::Bytes(b"a b"), Value::Bytes(b"\xff\n")]),
                ),
                ("expiry_ms", Value::None),
                ("held", Value::Named(vec![("n", Value::Number(3))])),
            ],
        };
        let mut out = Vec::new();
        write_text(&mut out, &item).unwrap();
        write_json(&mut out, &item).unwrap();
        let expected = concat!(
            r#"    entry id=1-2 fields=["a b" "\xff\n"] expiry_ms=- held={n=3}"#,
            "\n",
            r#"{"item": "entry", "id": "1-2", "fields": ["a b", {"hex": "ff0a"}], "#,
            r#""expiry_ms": null, "held": {"n": 3}}"#,
            "\n"
        );
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
