//! From the command line and a configuration file to a [`Config`], the way redis-server does it:
//!
//! ```text
//!   alluvium [file] [--name value [value ...]] ...
//! ```
//!
//! The file is in the syntax of redis.conf. Options stand for lines behind the end of the file. A
//! directive that means nothing to this broker is remembered by its name and otherwise passed over,
//! so that a file made for Redis works; a value that a parameter cannot take ends the start.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fmt::{self, Write as _};
use std::fs;
use std::io::{self, Read};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use crate::parameters::{Config, Parameter, TABLE};
use crate::resp::decode::split_line;

/// Files that may include each other.
const INCLUDES_MAX: usize = 16;

/// What the command line asks for.
#[derive(Debug)]
pub enum Invocation {
    /// To run.
    Run(Box<Start>),
    /// `--help`.
    Help,
    /// `--version`.
    Version,
}

/// How to start.
#[derive(Debug, Default)]
pub struct Start {
    /// All parameters.
    pub config: Config,
    /// Directives that were given and mean nothing here.
    pub ignored: BTreeSet<String>,
    includes: usize,
}

/// Why the configuration cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A file could not be read.
    #[error("the configuration file {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A line or an option is wrong.
    #[error("{place}: {directive}: {complaint}")]
    Directive {
        /// `file, line n` or `command line`.
        place: String,
        /// The directive with its values.
        directive: String,
        /// What is wrong with it.
        complaint: String,
    },
    /// An option has no name in front of it.
    #[error("unexpected argument {0:?}; options look like --port 6379")]
    Argument(String),
}

impl Invocation {
    /// Reads the command line, without the program's name.
    ///
    /// # Errors
    ///
    /// A file that cannot be read, a value that a parameter cannot take.
    pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, ConfigError> {
        let arguments: Vec<Vec<u8>> = arguments.into_iter().map(OsStringExt::into_vec).collect();
        let mut start = Start::default();
        let mut rest = arguments.as_slice();
        match rest.first().map(Vec::as_slice) {
            Some(b"--help" | b"-h") => return Ok(Self::Help),
            Some(b"--version" | b"-v") => return Ok(Self::Version),
            Some(file) if !file.starts_with(b"--") => {
                start.read_file(file)?;
                rest = &rest[1..];
            }
            _ => {}
        }
        while let [option, after @ ..] = rest {
            let Some(name) = option.strip_prefix(b"--") else {
                let shown = String::from_utf8_lossy(option).into_owned();
                return Err(ConfigError::Argument(shown));
            };
            let is_value = |word: &&Vec<u8>| !word.starts_with(b"--");
            let count = after.iter().take_while(is_value).count();
            let words: Vec<Vec<u8>> = std::iter::once(name.to_vec())
                .chain(after[..count].iter().cloned())
                .collect();
            start.apply(COMMAND_LINE, &words)?;
            rest = &after[count..];
        }
        Ok(Self::Run(Box::new(start)))
    }
}

impl Start {
    /// Says, in one line, which directives mean nothing here.
    pub fn warn(&self) {
        if !self.ignored.is_empty() {
            let names: Vec<&str> = self.ignored.iter().map(String::as_str).collect();
            let names = names.join(", ");
            crate::log::warning(format_args!("without effect in this broker: {names}"));
        }
    }

    fn read_file(&mut self, name: &[u8]) -> Result<(), ConfigError> {
        let path = PathBuf::from(OsString::from_vec(name.to_vec()));
        let failed = |source| ConfigError::Read {
            path: path.clone(),
            source,
        };
        let text = if name == b"-" {
            let mut text = Vec::new();
            io::stdin().read_to_end(&mut text).map_err(failed)?;
            text
        } else {
            if self.config.file.is_none() {
                self.config.file = Some(path.canonicalize().map_err(failed)?);
            }
            fs::read(&path).map_err(failed)?
        };
        self.apply_text(&path, &text)
    }

    fn apply_text(&mut self, path: &Path, text: &[u8]) -> Result<(), ConfigError> {
        for (number, line) in text.split(|byte| *byte == b'\n').enumerate() {
            let line = line.trim_ascii();
            if line.is_empty() || line.starts_with(b"#") {
                continue;
            }
            let place = format!("{}, line {}", path.display(), number + 1);
            let Some(words) = split_line(line) else {
                return Err(wrong(&place, line, "the quotes are not balanced"));
            };
            self.apply(&place, &words)?;
        }
        Ok(())
    }

    fn apply(&mut self, place: &str, words: &[Vec<u8>]) -> Result<(), ConfigError> {
        let [name, values @ ..] = words else {
            return Ok(());
        };
        if name.eq_ignore_ascii_case(b"include")
            && let [file] = values
        {
            self.includes += 1;
            if self.includes > INCLUDES_MAX {
                return Err(wrong(place, file, "too many files include each other"));
            }
            return self.read_file(file);
        }
        let Some(parameter) = Parameter::named(name) else {
            if place == COMMAND_LINE {
                // In a file it may be meant for Redis; here it is a slip, and what was meant
                // would silently not happen.
                return Err(wrong(place, name, "no such parameter"));
            }
            self.ignored
                .insert(String::from_utf8_lossy(name).to_ascii_lowercase());
            return Ok(());
        };
        let values: Vec<&[u8]> = values.iter().map(Vec::as_slice).collect();
        if parameter.has_no_effect() || parameter.has_one_value() {
            self.ignored.insert(parameter.name.to_owned());
            // It would be shown if it could be taken.
            let _ = parameter.set_words(&mut self.config, &values);
            return Ok(());
        }
        parameter
            .set_words(&mut self.config, &values)
            .map_err(|complaint| wrong(place, &words.join(&b' '), &complaint))
    }
}

/// The place of a directive that is no line of a file.
const COMMAND_LINE: &str = "command line";

fn wrong(place: &str, directive: &[u8], complaint: &str) -> ConfigError {
    ConfigError::Directive {
        place: place.to_owned(),
        directive: String::from_utf8_lossy(directive).into_owned(),
        complaint: complaint.to_owned(),
    }
}

/// What `--version` prints.
#[must_use]
pub fn version() -> String {
    format!(
        "alluvium {} (replies as Redis 8.10)",
        env!("CARGO_PKG_VERSION")
    )
}

/// What `--help` prints.
#[must_use]
pub fn help() -> String {
    let mut text = String::from(HELP);
    let defaults = Config::default();
    for parameter in TABLE.iter().filter(|parameter| !parameter.has_no_effect()) {
        let default = String::from_utf8_lossy(&parameter.show(&defaults)).into_owned();
        let default = if default.is_empty() {
            "\"\"".to_owned()
        } else {
            default
        };
        push_line(&mut text, format_args!("  {} {default}", parameter.name));
        for line in wrap(parameter.meaning, 72) {
            push_line(&mut text, format_args!("      {line}"));
        }
    }
    text
}

const HELP: &str = "\
Alluvium: a durable stream broker that speaks Redis Streams.

Usage: alluvium [file] [--parameter value ...]

  alluvium
      Listen on 127.0.0.1:6379, keep the data in ./alluvium-data, acknowledge
      what is on the disk.
  alluvium --port 7000 --dir /var/lib/alluvium
      Listen on another port, keep the data elsewhere.
  alluvium --bind 0.0.0.0 --requirepass secret
      Serve other machines. Without a password this is refused, unless
      --protected-mode no.
  alluvium --appendfsync everysec
      Acknowledge what is written; a power cut may take the last second.
  alluvium /etc/redis/redis.conf --port 7000
      Read a file in the syntax of redis.conf first.
  alluvium backup [NAME]
      Have a running broker make a consistent copy of its data.
  alluvium check DIR
      Verify a data directory that no broker has open.
  alluvium crashtest -- COMMAND...
      Kill and restart a stream server and say what it lost.
  alluvium --help, alluvium --version

Then: redis-cli XADD orders '*' user-id jake tx-amount 1000

SIGTERM, SIGINT or the command SHUTDOWN end the broker in order: it answers
what runs, syncs, takes a checkpoint and exits with code 0.

Parameters and their defaults, for the file, the command line and CONFIG SET:

";

fn push_line(text: &mut String, line: fmt::Arguments<'_>) {
    writeln!(text, "{line}").expect("a String takes all that is written");
}

/// Breaks a text into lines at its spaces.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines.last_mut().expect("there is a line from the start");
        if !line.is_empty() && line.len() + 1 + word.len() > width {
            lines.push(word.to_owned());
        } else {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use alluvium_engine::SyncPolicy;

    fn parse(arguments: &[&str]) -> Result<Start, ConfigError> {
        match Invocation::parse(arguments.iter().map(OsString::from))? {
            Invocation::Run(start) => Ok(*start),
            other => panic!("expected to run, found {other:?}"),
        }
    }

    #[test]
    fn options_follow_the_file_and_win() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a.conf");
        let text = "# a comment\n\nport 7001\nbind 127.0.0.1 ::1\nrequirepass \"a b\"\n\
                    appendfsync everysec\nsave 60 1\nsome-module-option 1\nmaxmemory 100mb\n";
        fs::write(&file, text).unwrap();
        let start = parse(&[file.to_str().unwrap(), "--port", "7002", "--dir", "/x"]).unwrap();
        assert_eq!(start.config.port, 7002);
        assert_eq!(start.config.bind, ["127.0.0.1", "::1"]);
        assert_eq!(start.config.requirepass, b"a b");
        assert_eq!(start.config.appendfsync, SyncPolicy::EverySecond);
        assert_eq!(start.config.dir, Path::new("/x"));
        assert!(start.ignored.contains("some-module-option"));
        assert!(start.ignored.contains("save") && start.ignored.contains("maxmemory"));
        assert_eq!(start.config.file, Some(file.canonicalize().unwrap()));
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a.conf");
        fs::write(&file, "port 1\nport abc\n").unwrap();
        let error = parse(&[file.to_str().unwrap()]).unwrap_err().to_string();
        assert!(error.contains("a.conf, line 2: port abc: "), "{error}");
        let error = parse(&["--appendfsync", "maybe"]).unwrap_err().to_string();
        assert!(
            error.starts_with("command line: appendfsync maybe: "),
            "{error}"
        );
        let error = parse(&["--prot", "7000"]).unwrap_err().to_string();
        assert!(error.starts_with("command line: prot: "), "{error}");
        assert!(matches!(
            parse(&["--port", "1", "-x"]),
            Err(ConfigError::Directive { .. })
        ));
        assert!(matches!(
            parse(&["/does/not/exist"]),
            Err(ConfigError::Read { .. })
        ));
        fs::write(&file, format!("include {}\n", file.display())).unwrap();
        assert!(matches!(
            parse(&[file.to_str().unwrap()]),
            Err(ConfigError::Directive { .. })
        ));
    }

    #[test]
    fn help_names_every_parameter_that_has_an_effect() {
        let help = help();
        for parameter in TABLE.iter().filter(|parameter| !parameter.has_no_effect()) {
            assert!(
                help.contains(&format!("  {} ", parameter.name)),
                "{}",
                parameter.name
            );
        }
        assert!(help.lines().all(|line| line.len() <= 100));
    }
}
