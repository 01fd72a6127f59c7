//! The figures as JSON, for other programs and for comparing with another day.

use serde_json::{Value, json};

use super::{QUANTILES, Report, Row};
use crate::suites;

impl Report<'_> {
    /// Everything that the table holds, the distributions and the course over time.
    pub(super) fn as_json(&self) -> String {
        let programs = self.plan.programs.iter().zip(&self.versions);
        let servers: Vec<Value> = programs
            .map(|(program, version)| {
                json!({ "server": program.kind.name(), "version": version, "extra": program.extra })
            })
            .collect();
        let failures: Vec<Value> = self
            .failures
            .iter()
            .map(|failure| {
                json!({
                    "case": self.plan.cases[failure.case].label(),
                    "server": self.plan.programs[failure.program].kind.name(),
                    "mode": failure.mode.name(),
                    "reason": failure.reason,
                })
            })
            .collect();
        let rows: Vec<Value> = self.rows.iter().map(|row| self.row_json(row)).collect();
        let all = json!({
            "machine": self.machine,
            "rounds": self.plan.rounds,
            "seconds": self.plan.span.measure.as_secs_f64(),
            "servers": servers,
            "results": rows,
            "failures": failures,
        });
        format!("{all:#}\n")
    }

    fn row_json(&self, row: &Row) -> Value {
        let lanes: Vec<Value> = row
            .lanes
            .iter()
            .map(|lane| {
                let mut value = json!({ "latency_of": lane.name });
                for ((name, _), ns) in QUANTILES.iter().zip(lane.quantiles) {
                    value[format!("{name}_ns")] = json!(ns);
                }
                value
            })
            .collect();
        let slices: Vec<Value> = row
            .slices
            .iter()
            .map(|s| json!([s.units, s.p99_ns, s.max_ns]))
            .collect();
        json!({
            "case": self.case(row).label(),
            "unit": self.case(row).work.unit(),
            "server": self.kind(row).name(),
            "mode": row.mode.name(),
            "rounds": row.rounds,
            "per_second": row.rate,
            "per_second_min": row.rate_min,
            "per_second_max": row.rate_max,
            "commands_per_second": row.commands_per_second,
            "alluvium_ratio": self.ratio(row),
            "alluvium_ratio_target": suites::target(self.case(row), row.mode),
            "server_cpu_us_per_unit": row.cpu_us,
            "server_cores": row.server_cores,
            "client_cores": row.client_cores,
            "written_bytes_per_unit": row.written_per_unit,
            "disk_mib": row.disk_mib,
            "rss_mib": row.rss_mib,
            "anonymous_mib": row.anonymous_mib,
            "latencies": lanes,
            "tenths_of_a_second_units_p99_max": slices,
        })
    }
}
