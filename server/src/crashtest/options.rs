//! The command line of `alluvium crashtest`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use super::finding::Kind;

/// What `--help` prints.
pub(super) const HELP: &str = include_str!("help.txt");

/// How a round ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    Kill,
    Stop,
    Pause,
}

impl Fault {
    pub(super) fn name(self) -> &'static str {
        match self {
            Fault::Kill => "kill",
            Fault::Stop => "stop",
            Fault::Pause => "pause",
        }
    }
}

/// What to do.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Options {
    pub(super) rounds: usize,
    pub(super) seconds: f64,
    pub(super) faults: Vec<Fault>,
    pub(super) producers: u32,
    pub(super) consumers: u32,
    pub(super) streams: u32,
    pub(super) rate: u32,
    pub(super) payload_max: usize,
    pub(super) meanwhile: Option<String>,
    pub(super) seed: Option<u64>,
    pub(super) port: Option<u16>,
    pub(super) dir: Option<PathBuf>,
    pub(super) keep: bool,
    /// Consumers do not read their own pending entries again.
    pub(super) no_history: bool,
    pub(super) start_max: Duration,
    pub(super) allowed: Vec<Kind>,
    pub(super) json: Option<PathBuf>,
    pub(super) svg: Option<PathBuf>,
    pub(super) quiet: bool,
    pub(super) command: Vec<String>,
}

/// What the words ask for.
#[derive(Debug, PartialEq)]
pub(super) enum Request {
    Help,
    Run(Box<Options>),
}

impl Default for Options {
    fn default() -> Self {
        Self {
            rounds: 20,
            seconds: 1.0,
            faults: vec![Fault::Kill],
            producers: 6,
            consumers: 4,
            streams: 4,
            rate: 20_000,
            payload_max: 200,
            meanwhile: None,
            seed: None,
            port: None,
            dir: None,
            keep: false,
            no_history: false,
            start_max: Duration::from_secs(60),
            allowed: Vec::new(),
            json: None,
            svg: None,
            quiet: false,
            command: Vec::new(),
        }
    }
}

impl Options {
    /// Reads the words behind `alluvium crashtest`.
    pub(super) fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Request, String> {
        let mut options = Options::default();
        let words = words
            .into_iter()
            .map(OsString::into_string)
            .collect::<Result<Vec<_>, _>>();
        let words = words.map_err(|word| format!("{} is not UTF-8", word.display()))?;
        let mut words = words.into_iter();
        while let Some(word) = words.next() {
            let (name, mut inline) = match word.split_once('=') {
                Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
                None => (word.clone(), None),
            };
            match name.as_str() {
                "--" => {
                    options.command = words.by_ref().collect();
                    break;
                }
                "--help" | "-h" => return Ok(Request::Help),
                "--keep" => options.keep = true,
                "--no-history" => options.no_history = true,
                "--quiet" => options.quiet = true,
                name if name.starts_with("--") => {
                    let value = inline.take().or_else(|| words.next());
                    let value = value.ok_or_else(|| format!("{name} needs a value"))?;
                    options.set(name, &value)?;
                }
                _ => return Err(format!("unexpected '{word}': COMMAND stands behind --")),
            }
            if inline.is_some() {
                return Err(format!("{name} takes no value"));
            }
        }
        options.validate()?;
        Ok(Request::Run(Box::new(options)))
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        match name {
            "--rounds" => self.rounds = number(name, value, 1, 1_000_000)?,
            "--seconds" => self.seconds = seconds(name, value, 0.01)?.as_secs_f64(),
            "--fault" => self.faults = list(value, fault)?,
            "--producers" => self.producers = number(name, value, 1, 256)?,
            "--consumers" => self.consumers = number(name, value, 0, 256)?,
            "--streams" => self.streams = number(name, value, 1, 1000)?,
            "--rate" => self.rate = number(name, value, 0, 10_000_000)?,
            "--payload" => self.payload_max = number(name, value, 0, 1 << 20)?,
            "--meanwhile" => self.meanwhile = Some(value.to_owned()),
            "--seed" => self.seed = Some(number(name, value, 0, u64::MAX)?),
            "--port" => self.port = Some(number(name, value, 1, u16::MAX)?),
            "--dir" => self.dir = Some(PathBuf::from(value)),
            "--start-timeout" => self.start_max = seconds(name, value, 0.1)?,
            "--allow" => self.allowed = list(value, kind)?,
            "--json" => self.json = Some(PathBuf::from(value)),
            "--svg" => self.svg = Some(PathBuf::from(value)),
            _ => return Err(format!("unknown option {name}")),
        }
        Ok(())
    }

    fn validate(&self) -> Result<(), String> {
        if self.command.is_empty() {
            return Err("the command to start is missing: put it behind --".to_owned());
        }
        let has_port = self.command.iter().any(|word| word.contains("{port}"));
        if !has_port && self.port.is_none() {
            return Err("the command needs {port} in it, or name its port with --port".to_owned());
        }
        Ok(())
    }

    /// Whether the report in JSON takes standard output.
    pub(super) fn has_json_on_stdout(&self) -> bool {
        self.json
            .as_ref()
            .is_some_and(|path| path.as_os_str() == "-")
    }
}

fn number<T>(name: &str, value: &str, low: T, high: T) -> Result<T, String>
where
    T: std::str::FromStr + Copy + PartialOrd + std::fmt::Display,
{
    let number = value.parse().ok().filter(|n| (&low..=&high).contains(&n));
    number.ok_or_else(|| format!("{name} takes a number from {low} to {high}, not '{value}'"))
}

fn seconds(name: &str, value: &str, low: f64) -> Result<Duration, String> {
    let seconds = value.parse().ok().filter(|s| (low..=86_400.0).contains(s));
    seconds
        .map(Duration::from_secs_f64)
        .ok_or_else(|| format!("{name} takes seconds from {low} to 86400, not '{value}'"))
}

fn list<T>(value: &str, one: fn(&str) -> Result<T, String>) -> Result<Vec<T>, String> {
    value.split(',').map(one).collect()
}

fn fault(name: &str) -> Result<Fault, String> {
    [Fault::Kill, Fault::Stop, Fault::Pause]
        .into_iter()
        .find(|fault| fault.name() == name)
        .ok_or_else(|| format!("--fault takes kill, stop and pause, not '{name}'"))
}

fn kind(name: &str) -> Result<Kind, String> {
    Kind::from_name(name).ok_or_else(|| {
        let names: Vec<&str> = Kind::ALL.iter().map(|kind| kind.name()).collect();
        format!(
            "unknown kind '{name}' in --allow; there are: {}",
            names.join(", ")
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Request, String> {
        Options::parse(line.split_whitespace().map(OsString::from))
    }

    fn options(line: &str) -> Options {
        match parse(line).unwrap() {
            Request::Run(options) => *options,
            Request::Help => panic!("{line} asks for help"),
        }
    }

    #[test]
    fn all_behind_the_dashes_is_the_command() {
        let options = options("--rounds 3 --seconds=0.5 -- server --port {port} --rounds 9 -- x");
        assert_eq!((options.rounds, options.seconds), (3, 0.5));
        assert_eq!(
            options.command.join(" "),
            "server --port {port} --rounds 9 -- x"
        );
    }

    #[test]
    fn lists_are_read() {
        let options = options("--fault stop,kill --allow lost,count-lost -- s {port}");
        assert_eq!(options.faults, [Fault::Stop, Fault::Kill]);
        assert_eq!(options.allowed, [Kind::Lost, Kind::CountLost]);
    }

    #[test]
    fn mistakes_are_named() {
        let cases = [
            ("", "missing"),
            ("-- server", "{port}"),
            ("--rounds 0 -- s {port}", "1 to 1000000"),
            ("--seconds nan -- s {port}", "seconds"),
            ("--fault drown -- s {port}", "drown"),
            ("--allow everything -- s {port}", "pending-lost"),
            ("--nonsense 1 -- s {port}", "--nonsense"),
            ("--seed", "needs a value"),
            ("--keep=1 -- s {port}", "takes no value"),
            ("server {port}", "behind --"),
        ];
        for (line, expected) in cases {
            let error = parse(line).unwrap_err();
            assert!(error.contains(expected), "{line}: {error}");
        }
    }

    #[test]
    fn help_names_every_option_and_kind_of_server() {
        assert_eq!(parse("--help"), Ok(Request::Help));
        for name in [
            "--meanwhile",
            "--allow",
            "valkey-server",
            "redis-server",
            "always",
            "everysec",
        ] {
            assert!(HELP.contains(name), "{name}");
        }
    }
}
