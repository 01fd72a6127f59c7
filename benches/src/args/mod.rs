//! The command line.

mod help;

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::backlog::{self, Row};
use crate::cases::Case;
use crate::drive::Span;
use crate::report::sections;
use crate::run;
use crate::servers::{Kind, Mode, Program};
use crate::suites;

/// What the command line asks for.
pub(crate) enum Request {
    Help(&'static str),
    List,
    Compare(Box<run::Plan>, Output),
    Backlog(Box<backlog::Plan>, Output),
}

/// Where results go besides the terminal.
#[derive(Default)]
pub(crate) struct Output {
    pub(crate) json: Option<PathBuf>,
    pub(crate) html: Option<PathBuf>,
    pub(crate) markdown: Vec<PathBuf>,
}

/// The flags as they were given.
struct Flags {
    is_backlog: bool,
    cases: Vec<Case>,
    servers: Option<String>,
    modes: Vec<Mode>,
    rows: Vec<Row>,
    scale: f64,
    paths: Vec<(Kind, PathBuf)>,
    extra: Vec<(Kind, String)>,
    rounds: usize,
    span: Span,
    dir: PathBuf,
    output: Output,
}

/// The scale of a first look.
const SCALE: f64 = 0.05;

impl Flags {
    fn new(is_backlog: bool) -> Self {
        let span = Span {
            warmup: Duration::from_millis(500),
            measure: Duration::from_secs(2),
        };
        Self {
            is_backlog,
            cases: Vec::new(),
            servers: None,
            modes: vec![Mode::Always, Mode::EverySecond],
            rows: Row::ALL.to_vec(),
            scale: SCALE,
            paths: Vec::new(),
            extra: Vec::new(),
            rounds: 5,
            span,
            dir: std::env::temp_dir(),
            output: Output::default(),
        }
    }
}

/// Reads the arguments behind the program's name.
pub(crate) fn parse(args: impl Iterator<Item = String>) -> Result<Request, String> {
    let mut args = args.peekable();
    let is_backlog = args.next_if(|word| word == "backlog").is_some();
    let mut flags = Flags::new(is_backlog);
    while let Some(flag) = args.next() {
        match flag.as_str() {
            "--help" | "-h" if is_backlog => return Ok(Request::Help(help::BACKLOG)),
            "--help" | "-h" => return Ok(Request::Help(help::COMPARE)),
            "--list" if !is_backlog => return Ok(Request::List),
            "--full" if is_backlog => flags.scale = 1.0,
            _ => {
                let value = args.next().ok_or_else(|| format!("{flag} needs a value"))?;
                let set = flags.set(&flag, value)?;
                set.ok_or_else(|| format!("unknown option {flag}; --help shows all"))?;
            }
        }
    }
    flags.request()
}

fn seconds(text: &str) -> Result<Duration, String> {
    let value: f64 = text.parse().map_err(|e| format!("{text}: {e}"))?;
    Duration::try_from_secs_f64(value).map_err(|e| format!("{text}: {e}"))
}

/// The values of a list with commas.
fn list<T>(text: &str, named: impl Fn(&str) -> Result<T, String>) -> Result<Vec<T>, String> {
    text.split(',').map(named).collect()
}

impl Row {
    fn named(name: &str) -> Result<Self, String> {
        let row = Self::ALL.into_iter().find(|row| row.name() == name);
        row.ok_or_else(|| format!("unknown row {name}"))
    }
}

/// What a document needs to take results, before anything is measured.
fn document(path: PathBuf) -> Result<PathBuf, String> {
    let fail = |reason: &dyn std::fmt::Display| format!("{}: {reason}", path.display());
    let text = std::fs::read_to_string(&path).map_err(|e| fail(&e))?;
    if sections::names(&text).is_empty() {
        return Err(fail(&"it has no section for figures"));
    }
    Ok(path)
}

impl Flags {
    /// Takes one flag; `None` if there is none of that name.
    fn set(&mut self, flag: &str, value: String) -> Result<Option<()>, String> {
        match flag {
            "--servers" => self.servers = Some(value),
            "--dir" => self.dir = value.into(),
            "--json" => self.output.json = Some(value.into()),
            "--markdown" => self.output.markdown.push(document(value.into())?),
            _ if self.is_backlog && self.set_backlog(flag, &value)?.is_some() => {}
            _ if !self.is_backlog && self.set_compare(flag, &value)?.is_some() => {}
            other => return Ok(self.set_program(other, value)),
        }
        Ok(Some(()))
    }

    fn set_backlog(&mut self, flag: &str, value: &str) -> Result<Option<()>, String> {
        match flag {
            "--rows" => self.rows = list(value, Row::named)?,
            "--scale" => {
                self.scale = value.parse().map_err(|e| format!("--scale {value}: {e}"))?;
                if !(self.scale > 0.0 && self.scale <= 100.0) {
                    return Err(format!("--scale {value}: above 0 and at most 100"));
                }
            }
            _ => return Ok(None),
        }
        Ok(Some(()))
    }

    fn set_compare(&mut self, flag: &str, value: &str) -> Result<Option<()>, String> {
        match flag {
            "--suite" => self.cases.extend(suites::suite(value)?),
            "--case" => self.cases.push(Case::parse(value)?),
            "--modes" => self.modes = list(value, Mode::named)?,
            "--rounds" => {
                self.rounds = value
                    .parse()
                    .map_err(|e| format!("--rounds {value}: {e}"))?;
            }
            "--seconds" => self.span.measure = seconds(value)?,
            "--warmup" => self.span.warmup = seconds(value)?,
            "--html" => self.output.html = Some(value.into()),
            _ => return Ok(None),
        }
        Ok(Some(()))
    }

    fn set_program(&mut self, flag: &str, value: String) -> Option<()> {
        let flag = flag.strip_prefix("--")?;
        let name = flag.strip_suffix("-arg").unwrap_or(flag);
        let kind = Kind::ALL.into_iter().find(|kind| kind.name() == name)?;
        if name == flag {
            self.paths.push((kind, value.into()));
        } else {
            self.extra.push((kind, value));
        }
        Some(())
    }

    fn program(&self, kind: Kind) -> Option<Program> {
        let mut given = self.paths.iter().rev();
        let given = given
            .find(|(k, _)| *k == kind)
            .map(|(_, path)| path.clone());
        let extra = self.extra.iter().filter(|(k, _)| *k == kind);
        let path = given.or_else(|| kind.discover())?;
        Some(Program {
            kind,
            path,
            extra: extra.map(|(_, argument)| argument.clone()).collect(),
        })
    }

    fn programs(&self) -> Result<Vec<Program>, String> {
        let Some(names) = &self.servers else {
            let found: Vec<_> = Kind::ALL
                .into_iter()
                .filter_map(|kind| self.program(kind))
                .collect();
            return if found.is_empty() {
                Err("no server is found".to_owned())
            } else {
                Ok(found)
            };
        };
        list(names, |name| {
            let kind = Kind::ALL.into_iter().find(|kind| kind.name() == name);
            let kind = kind.ok_or_else(|| format!("unknown server {name}"))?;
            let program = self.program(kind);
            program.ok_or_else(|| format!("{name} is not found; give --{name} PATH"))
        })
    }

    fn request(mut self) -> Result<Request, String> {
        let programs = self.programs()?;
        if !Path::is_dir(&self.dir) {
            return Err(format!("{} is not a directory", self.dir.display()));
        }
        if self.is_backlog {
            let plan = backlog::Plan {
                programs,
                rows: self.rows,
                scale: self.scale,
                dir: self.dir,
            };
            return Ok(Request::Backlog(Box::new(plan), self.output));
        }
        if self.cases.is_empty() {
            self.cases = suites::suite("first")?;
        }
        let plan = run::Plan {
            programs,
            modes: self.modes,
            cases: self.cases,
            rounds: self.rounds.max(1),
            span: self.span,
            dir: self.dir,
        };
        Ok(Request::Compare(Box::new(plan), self.output))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(text: &str) -> impl Iterator<Item = String> + use<'_> {
        text.split(' ').map(str::to_owned)
    }

    #[test]
    fn a_full_command_line_is_understood() {
        let text = "--case xadd:size=16 --servers redis --redis /bin/true --redis-arg --x --modes none \
            --rounds 3 --seconds 0.5 --json out.json";
        let Ok(Request::Compare(plan, output)) = parse(arguments(text)) else {
            panic!("the command line is not understood");
        };
        assert_eq!(plan.cases.len(), 1);
        assert_eq!(plan.programs[0].extra, ["--x"]);
        assert_eq!(plan.modes, [Mode::None]);
        assert_eq!(plan.span.measure, Duration::from_millis(500));
        assert_eq!(output.json, Some(PathBuf::from("out.json")));
    }

    #[test]
    fn a_backlog_is_understood() {
        let text = "backlog --rows streams,pending --full --servers redis --redis /bin/true";
        let Ok(Request::Backlog(plan, _)) = parse(arguments(text)) else {
            panic!("the command line is not understood");
        };
        assert_eq!(plan.rows, [Row::Streams, Row::Pending]);
        assert!((plan.scale - 1.0).abs() < 1e-9);
    }

    #[test]
    fn help_names_every_option_case_suite_and_row() {
        for (suite, _) in suites::SUITES {
            assert!(help::COMPARE.contains(suite), "{suite}");
        }
        for row in Row::ALL {
            assert!(help::BACKLOG.contains(row.name()), "{}", row.name());
        }
        for mode in Mode::ALL {
            assert!(help::COMPARE.contains(mode.name()), "{}", mode.name());
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for text in [
            "--suite x",
            "--modes x",
            "--servers x",
            "--what 1",
            "--rounds",
            "--seconds -1",
            "--scale 1",
            "--dir /nowhere",
            "--markdown /dev/null",
            "backlog --suite first",
            "backlog --rows x",
            "backlog --scale 0",
        ] {
            assert!(parse(arguments(text)).is_err(), "{text}");
        }
    }
}
