//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use crate::cases::{self, Case};
use crate::drive::Span;
use crate::run::Plan;
use crate::servers::{Kind, Mode, Program};

pub(crate) const HELP: &str = "\
Compares stream servers side by side: starts them, drives them, interleaves the rounds.

usage: alluvium-bench [--suite NAME | --case CASE]... [options]

  --suite NAME           first, table, more, sweeps or full (first, if nothing is said)
  --case CASE            one case, such as xadd:pipeline=16:size=1024:clients=10; may be repeated.
                         Work: xadd group fanout delivery range scan mixed claim restart.
                         Parameters: clients pipeline size keys maxlen count backlog rate
  --servers LIST         of alluvium,valkey,redis; all that are found, if nothing is said
  --modes LIST           of always,everysec,none; always,everysec if nothing is said
  --alluvium PATH        the program; also --valkey PATH, --redis PATH
  --alluvium-arg ARG     one more argument for it; also --valkey-arg, --redis-arg; may be repeated
  --rounds N             rounds of each case (5)
  --seconds S            measured seconds of a round (2)
  --warmup S             seconds before that (0.5)
  --dir DIR              where data directories are made (the system's temporary directory)
  --json FILE            writes all figures as JSON
  --html FILE            writes a page with plots that needs no network
  --list                 shows the suites and their cases
";

/// What the command line asks for.
pub(crate) enum Request {
    Help,
    List,
    Run(Box<Order>),
}

/// A plan, and where its results go besides the table.
pub(crate) struct Order {
    pub(crate) plan: Plan,
    pub(crate) json: Option<PathBuf>,
    pub(crate) html: Option<PathBuf>,
}

/// The flags as they were given.
struct Flags {
    cases: Vec<Case>,
    servers: Option<String>,
    modes: String,
    paths: Vec<(Kind, PathBuf)>,
    extra: Vec<(Kind, String)>,
    rounds: usize,
    span: Span,
    dir: PathBuf,
    json: Option<PathBuf>,
    html: Option<PathBuf>,
}

impl Default for Flags {
    fn default() -> Self {
        let span = Span {
            warmup: Duration::from_millis(500),
            measure: Duration::from_secs(2),
        };
        Self {
            cases: Vec::new(),
            servers: None,
            modes: "always,everysec".to_owned(),
            paths: Vec::new(),
            extra: Vec::new(),
            rounds: 5,
            span,
            dir: std::env::temp_dir(),
            json: None,
            html: None,
        }
    }
}

/// Reads the arguments behind the program's name.
pub(crate) fn parse(mut args: impl Iterator<Item = String>) -> Result<Request, String> {
    let mut flags = Flags::default();
    while let Some(flag) = args.next() {
        match flag.as_str() {
            "--help" | "-h" => return Ok(Request::Help),
            "--list" => return Ok(Request::List),
            _ => {
                let value = args.next().ok_or_else(|| format!("{flag} needs a value"))?;
                flags.set(&flag, value)?;
            }
        }
    }
    flags.order().map(|order| Request::Run(Box::new(order)))
}

fn seconds(text: &str) -> Result<Duration, String> {
    let value: f64 = text.parse().map_err(|e| format!("{text}: {e}"))?;
    Duration::try_from_secs_f64(value).map_err(|e| format!("{text}: {e}"))
}

impl Flags {
    fn set(&mut self, flag: &str, value: String) -> Result<(), String> {
        match flag {
            "--suite" => self.cases.extend(cases::suite(&value)?),
            "--case" => self.cases.push(Case::parse(&value)?),
            "--servers" => self.servers = Some(value),
            "--modes" => self.modes = value,
            "--rounds" => {
                self.rounds = value
                    .parse()
                    .map_err(|e| format!("--rounds {value}: {e}"))?;
            }
            "--seconds" => self.span.measure = seconds(&value)?,
            "--warmup" => self.span.warmup = seconds(&value)?,
            "--dir" => self.dir = value.into(),
            "--json" => self.json = Some(value.into()),
            "--html" => self.html = Some(value.into()),
            other => {
                let name = other.trim_start_matches("--");
                if let Some(kind) = Kind::ALL.into_iter().find(|k| k.name() == name) {
                    self.paths.push((kind, value.into()));
                } else if let Some(kind) = Kind::ALL
                    .into_iter()
                    .find(|k| name.strip_suffix("-arg") == Some(k.name()))
                {
                    self.extra.push((kind, value));
                } else {
                    return Err(format!("unknown option {other}"));
                }
            }
        }
        Ok(())
    }

    fn program(&self, kind: Kind) -> Option<Program> {
        let given = self
            .paths
            .iter()
            .rev()
            .find(|(k, _)| *k == kind)
            .map(|(_, p)| p.clone());
        let extra = self
            .extra
            .iter()
            .filter(|(k, _)| *k == kind)
            .map(|(_, a)| a.clone());
        let path = given.or_else(|| kind.discover())?;
        Some(Program {
            kind,
            path,
            extra: extra.collect(),
        })
    }

    fn programs(&self) -> Result<Vec<Program>, String> {
        let Some(list) = &self.servers else {
            return Ok(Kind::ALL
                .into_iter()
                .filter_map(|kind| self.program(kind))
                .collect());
        };
        let named = list.split(',').map(|name| {
            let kind = Kind::ALL.into_iter().find(|k| k.name() == name);
            let kind = kind.ok_or_else(|| format!("unknown server {name}"))?;
            self.program(kind)
                .ok_or_else(|| format!("{name} is not found; give --{name} PATH"))
        });
        named.collect()
    }

    fn order(mut self) -> Result<Order, String> {
        if self.cases.is_empty() {
            self.cases = cases::suite("first")?;
        }
        let modes: Result<Vec<Mode>, String> = self
            .modes
            .split(',')
            .map(|name| {
                let mode = Mode::ALL.into_iter().find(|m| m.name() == name);
                mode.ok_or_else(|| format!("unknown mode {name}"))
            })
            .collect();
        let programs = self.programs()?;
        if programs.is_empty() {
            return Err("no server is found".to_owned());
        }
        let plan = Plan {
            programs,
            modes: modes?,
            cases: self.cases,
            rounds: self.rounds.max(1),
            span: self.span,
            dir: self.dir,
        };
        Ok(Order {
            plan,
            json: self.json,
            html: self.html,
        })
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
        let Ok(Request::Run(order)) = parse(arguments(text)) else {
            panic!("the command line is not understood");
        };
        assert_eq!(order.plan.cases.len(), 1);
        assert_eq!(order.plan.programs[0].extra, ["--x"]);
        assert_eq!(order.plan.modes, [Mode::None]);
        assert_eq!(order.plan.span.measure, Duration::from_millis(500));
        assert_eq!(order.json, Some(PathBuf::from("out.json")));
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
        ] {
            assert!(parse(arguments(text)).is_err(), "{text}");
        }
    }
}
