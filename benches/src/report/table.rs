//! The figures as Markdown, for a terminal and for the documents alike.

use std::fmt::Write;

use super::{Report, figure, millis};

impl Report<'_> {
    /// One table for each mode.
    pub(super) fn as_table(&self) -> String {
        let mut out = format!("{}\n\n", self.conditions());
        for version in &self.versions {
            let _ = writeln!(out, "* {version}");
        }
        for &mode in &self.modes {
            let _ = write!(
                out,
                "\n### `{}`\n\n\
                | work | server | per second | low to high | Alluvium is | p50 ms | p99 ms | \
                p99.9 ms | max ms | server CPU us | cores server, client | written B | disk MiB | \
                RSS MiB | of it anonymous |\n\
                |---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n",
                mode.name()
            );
            for row in self.rows.iter().filter(|row| row.mode == mode) {
                let latency = row
                    .lanes
                    .first()
                    .map_or([0; 4], |lane| lane.quantiles)
                    .map(millis);
                let ratio = match self.ratio(row) {
                    Some(ratio) if !self.is_paced(row) => format!("{ratio:.2}x"),
                    _ => String::new(),
                };
                let _ = writeln!(
                    out,
                    "| {} | {} | {} | {} to {} | {} | {:.2} | {:.2} | {:.2} | {:.2} | {} | {:.2}, {:.2} \
                    | {} | {} | {} | {} |",
                    self.case(row).label(),
                    self.kind(row).name(),
                    figure(row.rate),
                    figure(row.rate_min),
                    figure(row.rate_max),
                    ratio,
                    latency[0],
                    latency[1],
                    latency[2],
                    latency[3],
                    figure(row.cpu_us),
                    row.server_cores,
                    row.client_cores,
                    figure(row.written_per_unit),
                    figure(row.disk_mib),
                    figure(row.rss_mib),
                    figure(row.anonymous_mib),
                );
            }
        }
        self.other_latencies(&mut out);
        for failure in self.failures {
            let case = self.plan.cases[failure.case].label();
            let kind = self.plan.programs[failure.program].kind.name();
            let _ = writeln!(
                out,
                "\nFAILED: {case} {kind} {}: {}",
                failure.mode.name(),
                failure.reason
            );
        }
        out
    }

    /// The lanes beyond the first, where a case has any.
    fn other_latencies(&self, out: &mut String) {
        let rows = self.rows.iter().filter(|row| row.lanes.len() > 1);
        for (index, row) in rows.enumerate() {
            if index == 0 {
                out.push_str(
                    "\n### Latencies by command\n\n\
                    | work | mode | server | latency of | p50 ms | p99 ms | p99.9 ms | max ms |\n\
                    |---|---|---|---|--:|--:|--:|--:|\n",
                );
            }
            for lane in &row.lanes {
                let q = lane.quantiles.map(millis);
                let _ = writeln!(
                    out,
                    "| {} | {} | {} | {} | {:.2} | {:.2} | {:.2} | {:.2} |",
                    self.case(row).label(),
                    row.mode.name(),
                    self.kind(row).name(),
                    lane.name,
                    q[0],
                    q[1],
                    q[2],
                    q[3]
                );
            }
        }
    }
}
