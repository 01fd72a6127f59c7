//! The figures as the documents show them: one line for a case and mode, Alluvium on the left,
//! Valkey on the right.

use std::fmt::Write;

use super::{Report, Row, figure, millis};
use crate::cases::Case;
use crate::servers::{Kind, Mode};
use crate::suites;

impl Report<'_> {
    fn program(&self, kind: Kind) -> Option<usize> {
        self.plan
            .programs
            .iter()
            .position(|program| program.kind == kind)
    }

    /// The table of a suite, if all of it was measured on Alluvium and Valkey.
    pub(super) fn as_section(&self, name: &str) -> Option<String> {
        let own = self.program(Kind::Alluvium)?;
        let other = self.program(Kind::Valkey)?;
        let mut out = format!("{}.\n{}.\n\n", self.conditions(), self.versions.join("; "));
        out.push_str(
            "| work | mode | counted | Alluvium | Valkey | ratio | target | p50 ms | p99 ms | p99.9 ms | \
            max ms | server CPU us | written B | disk MiB | anonymous MiB |\n\
            |---|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n",
        );
        let mut verdicts = Verdicts::default();
        for case in suites::suite(name).ok()? {
            let is_same = |it: &&Case| it.label() == case.label() && it.sweep == case.sweep;
            let index = self.plan.cases.iter().position(|it| is_same(&it))?;
            for &mode in case.modes(&self.plan.modes) {
                let (left, right) = (self.find(index, own, mode)?, self.find(index, other, mode));
                self.published(&mut out, left, right);
                if let Some(right) = right {
                    verdicts.judge(&case, left, right);
                }
            }
        }
        verdicts.write(&mut out);
        Some(out)
    }

    fn published(&self, out: &mut String, left: &Row, right: Option<&Row>) {
        let case = self.case(left);
        let ratio = right
            .filter(|_| !self.is_paced(left))
            .map(|right| left.rate / right.rate);
        let ratio = ratio.map_or(String::new(), |ratio| format!("**{ratio:.2}x**"));
        let target = suites::target(case, left.mode);
        let target = target.map_or(String::new(), |target| format!("{target:.1}x"));
        let both = |pick: &dyn Fn(&Row) -> String| match right {
            Some(right) => format!("{} / {}", pick(left), pick(right)),
            None => pick(left),
        };
        let _ = write!(
            out,
            "| {} | `{}` | {}/s | {} | {} | {ratio} | {target} |",
            suites::title(case),
            left.mode.name(),
            case.work.unit(),
            figure(left.rate),
            right.map_or(String::new(), |right| figure(right.rate)),
        );
        for quantile in 0..4 {
            let at = |row: &Row| {
                row.lanes
                    .first()
                    .map_or(0.0, |lane| millis(lane.quantiles[quantile]))
            };
            let _ = write!(out, " {} |", both(&|row| figure(at(row))));
        }
        let picks: [fn(&Row) -> f64; 4] = [
            |row| row.cpu_us,
            |row| row.written_per_unit,
            |row| row.disk_mib,
            |row| row.anonymous_mib,
        ];
        for pick in picks {
            let _ = write!(out, " {} |", both(&|row| figure(pick(row))));
        }
        out.push('\n');
    }
}

/// Which targets were reached, and where Alluvium's slow replies are slower than Valkey's.
#[derive(Default)]
struct Verdicts {
    reached: usize,
    missed: Vec<String>,
    slower: Vec<String>,
}

impl Verdicts {
    fn judge(&mut self, case: &Case, left: &Row, right: &Row) {
        let name = format!("{} under `{}`", suites::title(case), left.mode.name());
        let ratio = left.rate / right.rate;
        match suites::target(case, left.mode) {
            Some(target) if ratio >= target => self.reached += 1,
            Some(target) => self
                .missed
                .push(format!("{name} ({ratio:.2}x of {target:.1}x)")),
            None => {}
        }
        if left.mode == Mode::Moonshot {
            return;
        }
        let lanes = left.lanes.first().zip(right.lanes.first());
        for (at, what) in [(1, "p99"), (2, "p99.9")] {
            let slower = lanes.filter(|(own, other)| own.quantiles[at] > other.quantiles[at]);
            if let Some((own, other)) = slower {
                let (own, other) = (millis(own.quantiles[at]), millis(other.quantiles[at]));
                let text = format!("{name} ({what}: {} ms, {} ms)", figure(own), figure(other));
                self.slower.push(text);
            }
        }
    }

    fn write(&self, out: &mut String) {
        let count = self.reached + self.missed.len();
        if count > 0 {
            let _ = writeln!(out, "\n{} of {count} targets are reached.", self.reached);
        }
        list(out, "Missed", &self.missed);
        list(
            out,
            "Slow replies are slower than Valkey's in",
            &self.slower,
        );
    }
}

fn list(out: &mut String, what: &str, items: &[String]) {
    if !items.is_empty() {
        let _ = writeln!(out, "\n{what}:\n\n* {}", items.join("\n* "));
    }
}
