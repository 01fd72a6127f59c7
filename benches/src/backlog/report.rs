//! The figures of a backlog as a table and as JSON, each beside its target.

use std::fmt::Write;

use serde_json::{Value, json};

use super::figures::{FIGURES, Figure, OTHER};
use super::{Finding, Outcome, Plan};
use crate::machine;
use crate::report::{Told, count, figure};
use crate::servers::{Kind, Program};

/// The figures of one run.
pub(crate) struct Report<'a> {
    plan: &'a Plan,
    outcome: &'a Outcome,
}

/// One figure at one size.
struct Line<'a> {
    figure: &'static Figure,
    at: u64,
    findings: Vec<&'a Finding>,
    is_met: Option<bool>,
}

impl<'a> Report<'a> {
    pub(crate) fn new(plan: &'a Plan, outcome: &'a Outcome) -> Self {
        Self { plan, outcome }
    }

    fn find(&self, name: &str, at: u64, kind: Kind) -> Option<&'a Finding> {
        let findings = &self.outcome.findings;
        findings
            .iter()
            .find(|f| f.figure == name && f.at == at && f.kind == kind)
    }

    /// In the order of the table, sizes from small to large.
    fn lines(&self) -> Vec<Line<'a>> {
        let mut lines = Vec::new();
        for figure in FIGURES {
            let of = self
                .outcome
                .findings
                .iter()
                .filter(|f| f.figure == figure.name);
            let mut sizes: Vec<u64> = of.map(|f| f.at).collect();
            sizes.sort_unstable();
            sizes.dedup();
            lines.extend(sizes.into_iter().map(|at| self.line(figure, at)));
        }
        lines
    }

    fn line(&self, figure: &'static Figure, at: u64) -> Line<'a> {
        let kinds = Kind::ALL.into_iter();
        let findings: Vec<_> = kinds
            .filter_map(|kind| self.find(figure.name, at, kind))
            .collect();
        let own = findings.iter().find(|f| f.kind == Kind::Alluvium);
        let is_met = own.and_then(|own| {
            let other = |name: &str| self.find(name, at, OTHER).map(|f| f.value);
            figure.target.is_met(figure, own.value, other)
        });
        Line {
            figure,
            at,
            findings,
            is_met,
        }
    }

    fn kinds(&self) -> Vec<Kind> {
        self.plan
            .programs
            .iter()
            .map(|program| program.kind)
            .collect()
    }

    fn conditions(&self) -> String {
        format!(
            "{}; `everysec`; entries of 100 bytes, JSON, no two alike;\n\
            at {} of the size that the targets are for.",
            machine::describe(&self.plan.dir),
            self.plan.scale
        )
    }
}

impl Told for Report<'_> {
    fn table(&self) -> String {
        let mut out = format!("{}\n\n", self.conditions());
        for program in &self.plan.programs {
            let _ = writeln!(out, "* {}", program.version());
        }
        out.push_str("\n| what | entries or streams |");
        for kind in self.kinds() {
            let _ = write!(out, " {} |", kind.name());
        }
        out.push_str(" target | met |\n|---|--:|");
        out.push_str(&"--:|".repeat(self.kinds().len()));
        out.push_str("---|---|\n");
        for line in self.lines() {
            let at = count(line.at);
            let _ = write!(out, "| {} | {at} |", line.figure.about);
            for kind in self.kinds() {
                let found = line.findings.iter().find(|f| f.kind == kind);
                let text = found.map(|f| format!("{} {}", figure(f.value), line.figure.unit));
                let _ = write!(out, " {} |", text.unwrap_or_default().trim_end());
            }
            let met = line
                .is_met
                .map_or("", |met| if met { "yes" } else { "**no**" });
            let _ = writeln!(
                out,
                " {} | {met} |",
                line.figure.target.text(line.figure.unit)
            );
        }
        for failure in &self.outcome.failures {
            let _ = writeln!(out, "\nFAILED: {failure}");
        }
        out
    }

    fn json(&self) -> String {
        let rows: Vec<Value> = self
            .lines()
            .iter()
            .map(|line| {
                let values = line.findings.iter();
                let values: serde_json::Map<String, Value> = values
                    .map(|f| (f.kind.name().to_owned(), json!(f.value)))
                    .collect();
                json!({
                    "figure": line.figure.name,
                    "what": line.figure.about,
                    "unit": line.figure.unit,
                    "at": line.at,
                    "values": values,
                    "target": line.figure.target.text(line.figure.unit),
                    "met": line.is_met,
                })
            })
            .collect();
        let all = json!({
            "machine": machine::describe(&self.plan.dir),
            "scale": self.plan.scale,
            "servers": self.plan.programs.iter().map(Program::version).collect::<Vec<_>>(),
            "results": rows,
            "failures": self.outcome.failures,
        });
        format!("{all:#}\n")
    }

    fn section(&self, name: &str) -> Option<String> {
        (name == "backlog").then(|| self.table())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    #[test]
    fn targets_are_judged_against_what_valkey_has() {
        let program = |kind| Program {
            kind,
            path: PathBuf::from("/bin/true"),
            extra: Vec::new(),
        };
        let plan = Plan {
            programs: vec![program(Kind::Alluvium), program(Kind::Valkey)],
            rows: Vec::new(),
            scale: 1.0,
            dir: std::env::temp_dir(),
        };
        let find = |figure, kind, value| Finding {
            figure,
            at: 7,
            kind,
            value,
        };
        let findings = vec![
            find("stream.disk", Kind::Alluvium, 50.0),
            find("stream.disk", Kind::Valkey, 100.0),
            find("stream.memory", Kind::Alluvium, 101.0),
        ];
        let outcome = Outcome {
            findings,
            failures: vec!["row: why".to_owned()],
        };
        let report = Report::new(&plan, &outcome);
        let table = report.table();
        assert!(
            table.contains("| 50.0 MB | 100 MB | at most 0.6 of Valkey's | yes |"),
            "{table}"
        );
        assert!(
            table.contains("| 101 MB |  | at most 100 MB | **no** |"),
            "{table}"
        );
        assert!(table.contains("FAILED: row: why"), "{table}");
        let json: Value = serde_json::from_str(&report.json()).unwrap();
        assert_eq!(json["results"][1]["met"], true);
    }
}
