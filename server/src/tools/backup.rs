//! `alluvium backup`: asks a running broker for a backup and waits for it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, IsTerminal};
use std::process::ExitCode;
use std::time::Duration;

use super::client::{Client, Reply};
use super::{UNUSABLE, json_text};

const HELP: &str = "\
Asks a running broker for a consistent copy of its data, and waits until it is on the disk.

usage: alluvium backup [options] [NAME]

The broker makes it below its backup-dir, which is backup in its data directory unless it was told
otherwise. NAME is made of letters, digits, dots, dashes and underscores; without it the time is the
name. A broker that is started on the copy (alluvium --dir COPY) has all that was acknowledged
before this command was sent. Files that are not written again are links where backup-dir is on the
file system of the data: copy the backup to another disk to be safe from the failure of this one.

  --host HOST   the broker's host, 127.0.0.1 unless given
  --port PORT   its port, 6379 unless given
  --user NAME   who to be, with --pass
  --pass TEXT   the password; or in the environment, as REDISCLI_AUTH
  --json        report as one JSON object
  --quiet       no progress, and no report when all is well
  --help        this text

Ending this command does not end the backup.

Exit codes: 0 the backup is there, 1 the broker refused or failed to make it, 2 wrong usage or the
broker cannot be reached.
";

/// How long the broker may take to answer.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often the broker is asked how far it is; from the first on, each pause is longer.
const PAUSES: [Duration; 2] = [Duration::from_millis(10), Duration::from_millis(500)];

#[derive(Debug)]
struct Asked {
    host: String,
    port: u16,
    user: Option<String>,
    password: Option<String>,
    is_json: bool,
    is_quiet: bool,
    name: Option<String>,
}

/// Why there is no backup.
#[derive(Debug)]
enum Failure {
    /// The broker said so.
    Refused(String),
    /// It could not be asked.
    Unreachable(String),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Unreachable(format!("no reply from the broker: {error}"))
    }
}

/// Reads the words behind `alluvium backup`, asks, waits, and reports.
pub(super) fn run(words: Vec<OsString>) -> ExitCode {
    let asked = match parse(words) {
        Ok(Some(asked)) => asked,
        Ok(None) => {
            print!("{HELP}");
            return ExitCode::SUCCESS;
        }
        Err(complaint) => return fail(UNUSABLE, &complaint),
    };
    match back_up(&asked) {
        Ok(made) => {
            if asked.is_json {
                print!("{}", json(&made));
            } else if !asked.is_quiet {
                print!("{}", words_of(&made));
            }
            ExitCode::SUCCESS
        }
        Err(Failure::Refused(why)) => fail(1, &why),
        Err(Failure::Unreachable(why)) => fail(UNUSABLE, &why),
    }
}

fn fail(code: u8, what: &str) -> ExitCode {
    eprintln!("alluvium backup: {what}");
    ExitCode::from(code)
}

/// What was asked for; nothing if that is help.
fn parse(words: Vec<OsString>) -> Result<Option<Asked>, String> {
    let mut asked = Asked {
        host: "127.0.0.1".to_owned(),
        port: 6379,
        user: None,
        password: std::env::var("REDISCLI_AUTH").ok(),
        is_json: false,
        is_quiet: false,
        name: None,
    };
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        let word = text(word)?;
        let mut value = || {
            let value = words.next().ok_or(format!("{word} wants a value"))?;
            text(value)
        };
        match word.as_str() {
            "--help" | "-h" => return Ok(None),
            "--host" => asked.host = value()?,
            "--port" => {
                let port = value()?;
                asked.port = port.parse().map_err(|_| format!("{port} is no port"))?;
            }
            "--user" => asked.user = Some(value()?),
            "--pass" => asked.password = Some(value()?),
            "--json" => asked.is_json = true,
            "--quiet" => asked.is_quiet = true,
            option if option.starts_with('-') => return Err(format!("unknown option {option}")),
            _ if asked.name.is_none() => asked.name = Some(word),
            _ => return Err("one name at a time".to_owned()),
        }
    }
    if asked.user.is_some() && asked.password.is_none() {
        return Err("--user needs a password".to_owned());
    }
    Ok(Some(asked))
}

fn text(word: OsString) -> Result<String, String> {
    let is_no_text = |word: OsString| format!("{} is not UTF-8", word.display());
    word.into_string().map_err(is_no_text)
}

/// What INFO says of a backup that is there.
type Made = BTreeMap<String, String>;

fn back_up(asked: &Asked) -> Result<Made, Failure> {
    let mut client = Client::connect_to(&asked.host, asked.port, PATIENCE)
        .map_err(|error| Failure::Unreachable(format!("{}:{}: {error}", asked.host, asked.port)))?;
    if let Some(password) = &asked.password {
        let mut auth: Vec<&[u8]> = vec![b"AUTH"];
        auth.extend(asked.user.as_ref().map(String::as_bytes));
        auth.push(password.as_bytes());
        call(&mut client, &auth)?;
    }
    let mut command: Vec<&[u8]> = vec![b"ALLUVIUM", b"BACKUP"];
    command.extend(asked.name.as_ref().map(String::as_bytes));
    let name = call(&mut client, &command)?;
    let has_progress = !asked.is_quiet && !asked.is_json && io::stderr().is_terminal();
    let mut pause = PAUSES[0];
    loop {
        let info = fields(&call(&mut client, &[b"INFO", b"persistence"])?);
        let says = |field: &str| info.get(field).map_or("", String::as_str);
        let is_current = says("backup_in_progress") == "1" && says("backup_current_name") == name;
        if !is_current {
            if has_progress {
                eprintln!();
            }
            return match says("backup_last_status") {
                "ok" if says("backup_last_name") == name => Ok(info),
                "err" if says("backup_last_name") == name => {
                    Err(Failure::Refused(says("backup_last_error").to_owned()))
                }
                _ => Err(Failure::Unreachable(format!(
                    "the broker knows nothing of the backup {name} any more"
                ))),
            };
        }
        if has_progress {
            let number = |field| says(field).parse().unwrap_or(0);
            let (done, total) = (
                number("backup_current_bytes"),
                number("backup_current_bytes_total"),
            );
            eprint!("\r{} of {}  ", size(done), size(total));
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(PAUSES[1]);
    }
}

/// The text of the reply to a command.
fn call(client: &mut Client, args: &[&[u8]]) -> Result<String, Failure> {
    match client.call(args)? {
        Reply::Error(error) => Err(Failure::Refused(error)),
        reply => Ok(String::from_utf8_lossy(reply.bytes().unwrap_or_default()).into_owned()),
    }
}

/// The lines `name:value` of INFO.
fn fields(info: &str) -> BTreeMap<String, String> {
    let lines = info.lines().filter_map(|line| line.split_once(':'));
    lines
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

fn words_of(made: &Made) -> String {
    let says = |field: &str| made.get(field).map_or("", String::as_str);
    let bytes = |field| says(field).parse().unwrap_or(0);
    format!(
        "backup       {}\nposition     LSN {}\nsize         {}, {} of it shared with the data \
         directory\n",
        says("backup_last_path"),
        says("backup_last_lsn"),
        size(bytes("backup_last_bytes")),
        size(bytes("backup_last_linked_bytes"))
    )
}

fn json(made: &Made) -> String {
    let says = |field: &str| made.get(field).map_or("", String::as_str);
    let number = |field: &str| says(field).parse::<u64>().unwrap_or(0);
    format!(
        "{{\"name\": {}, \"path\": {}, \"lsn\": {}, \"bytes\": {}, \"linked_bytes\": {}}}\n",
        json_text(says("backup_last_name")),
        json_text(says("backup_last_path")),
        number("backup_last_lsn"),
        number("backup_last_bytes"),
        number("backup_last_linked_bytes")
    )
}

/// Bytes for people.
fn size(bytes: u64) -> String {
    let mib = (bytes * 10) >> 20;
    format!("{}.{} MiB", mib / 10, mib % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(words: &[&str]) -> Result<Option<Asked>, String> {
        parse(words.iter().map(OsString::from).collect())
    }

    #[test]
    fn words_are_read() {
        let words = [
            "--host", "h", "--port", "7000", "--pass", "p", "--json", "one",
        ];
        let asked = parsed(&words).unwrap().unwrap();
        assert_eq!((asked.host.as_str(), asked.port), ("h", 7000));
        assert_eq!(asked.password.as_deref(), Some("p"));
        assert_eq!(asked.name.as_deref(), Some("one"));
        assert!(asked.is_json && !asked.is_quiet);
        assert!(parsed(&["--help"]).unwrap().is_none());
        for wrong in [&["--port", "x"][..], &["--port"], &["--all"], &["a", "b"]] {
            assert!(parsed(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_report_says_the_same_in_words_and_in_json() {
        let info = "# Persistence\r\nbackup_last_name:one\r\nbackup_last_path:/b/one\r\n\
                    backup_last_lsn:4711\r\nbackup_last_bytes:67108864\r\n\
                    backup_last_linked_bytes:1048576\r\n";
        let made = fields(info);
        assert_eq!(
            words_of(&made),
            "backup       /b/one\nposition     LSN 4711\nsize         64.0 MiB, 1.0 MiB of it \
             shared with the data directory\n"
        );
        assert_eq!(
            json(&made),
            "{\"name\": \"one\", \"path\": \"/b/one\", \"lsn\": 4711, \"bytes\": 67108864, \
             \"linked_bytes\": 1048576}\n"
        );
    }
}
