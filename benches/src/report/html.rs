//! The figures as one page: plots for sweeps, distributions and the course over time, then the
//! table.

use std::fmt::Write;

use super::svg::{Axes, Line, escape, plot};
use super::{Report, Row, figure, float, millis, slice_second};
use crate::cases::{Case, Work};
use crate::servers::{Kind, Mode};

const STYLE: &str = "\
body{font:15px/1.5 system-ui,sans-serif;max-width:1120px;margin:2em auto;padding:0 1em;\
color:#1c2328}\
table{border-collapse:collapse;font-size:13px}\
td,th{padding:2px 8px;border-bottom:1px solid #dde3e8;text-align:right}\
td:first-child,td:nth-child(2),td:nth-child(3){text-align:left}\
.plots{display:grid;grid-template-columns:repeat(auto-fit,minmax(420px,1fr));gap:18px}\
svg text{font:11px system-ui,sans-serif;fill:#49555e}\
svg .t{font-weight:600;font-size:13px;fill:#1c2328}\
svg .g{stroke:#dde3e8}\
.k{display:inline-block;width:26px;height:0;border-top:3px solid;margin:0 6px 4px 14px}\
.bar{height:12px;border-radius:2px}";

/// Takes the figure of a plot out of a row.
type Pick = fn(&Row) -> f64;

fn color(kind: Kind) -> &'static str {
    match kind {
        Kind::Alluvium => "#0b7a75",
        Kind::Valkey => "#6a4fbf",
        Kind::Redis => "#c0392b",
    }
}

impl Report<'_> {
    /// The page; it refers to nothing outside of itself.
    pub(crate) fn html(&self) -> String {
        let mut out = format!(
            "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">\
            <meta name=\"viewport\" content=\"width=device-width\"><title>Streams side by side</title>\
            <style>{STYLE}</style><h1>Streams side by side</h1><p>{}</p><p>",
            escape(&self.conditions())
        );
        for (program, version) in self.plan.programs.iter().zip(&self.versions) {
            let _ = write!(
                out,
                "<span class=\"k\" style=\"border-color:{}\"></span>{}",
                color(program.kind),
                escape(version)
            );
        }
        out.push_str("</p>");
        for &mode in &self.modes {
            let _ = write!(out, "<h2>{}</h2>", mode.name());
            self.bars(&mut out, mode);
        }
        out.push_str("<h2>Sweeps</h2><div class=\"plots\">");
        self.sweeps(&mut out);
        out.push_str("</div><h2>Latency distributions</h2><div class=\"plots\">");
        self.each_case(&mut out, Self::distribution);
        out.push_str("</div><h2>Latency over time, first round</h2><div class=\"plots\">");
        self.each_case(&mut out, Self::over_time);
        out.push_str("</div><h2>All figures</h2>");
        self.rows_html(&mut out);
        out.push_str("</html>\n");
        out
    }

    /// Throughput as bars, each case scaled by its own fastest server.
    fn bars(&self, out: &mut String, mode: Mode) {
        out.push_str("<table>");
        for (index, case) in self.plan.cases.iter().enumerate() {
            if case.sweep.is_some() {
                continue;
            }
            let is_of = |row: &&Row| row.case == index && row.mode == mode && !self.is_paced(row);
            let rows = || self.rows.iter().filter(is_of);
            let top = rows().map(|row| row.rate).fold(0.0, f64::max);
            for row in rows() {
                let _ = write!(
                    out,
                    "<tr><td>{}</td><td>{}</td><td style=\"width:420px\"><div class=\"bar\" \
                    style=\"width:{:.1}%;background:{}\"></div></td><td>{} {}/s</td></tr>",
                    escape(&case.label()),
                    self.kind(row).name(),
                    row.rate / top * 100.0,
                    color(self.kind(row)),
                    figure(row.rate),
                    case.work.unit()
                );
            }
        }
        out.push_str("</table>");
    }

    fn line(&self, program: usize, points: Vec<(f64, f64)>) -> Line {
        let kind = self.plan.programs[program].kind;
        Line {
            name: kind.name().to_owned(),
            color: color(kind),
            is_dashed: false,
            points,
        }
    }

    /// Throughput and processor time along each parameter that was varied.
    fn sweeps(&self, out: &mut String) {
        let mut seen: Vec<(Work, &str)> = Vec::new();
        for case in &self.plan.cases {
            let Some(sweep) = case.sweep else { continue };
            if seen.contains(&(case.work, sweep)) {
                continue;
            }
            seen.push((case.work, sweep));
            for &mode in &self.modes {
                self.sweep(out, case, mode);
            }
        }
    }

    fn sweep(&self, out: &mut String, case: &Case, mode: Mode) {
        let is_of = |row: &&Row| {
            let other = self.case(row);
            (other.work, other.sweep, row.mode) == (case.work, case.sweep, mode)
        };
        let figures: [(&str, Pick); 4] = [
            ("a second", |row| row.rate),
            ("server CPU us", |row| row.cpu_us),
            ("p99 ms", |row| {
                row.lanes
                    .first()
                    .map_or(0.0, |lane| millis(lane.quantiles[1]))
            }),
            ("anonymous memory, MiB", |row| row.anonymous_mib),
        ];
        let sweep = case.sweep.unwrap_or_default();
        for (what, pick) in figures {
            let lines: Vec<Line> = (0..self.plan.programs.len())
                .map(|program| {
                    let rows = self
                        .rows
                        .iter()
                        .filter(is_of)
                        .filter(|r| r.program == program);
                    let place = |row: &Row| float(self.case(row).place().unwrap_or(1));
                    self.line(program, rows.map(|row| (place(row), pick(row))).collect())
                })
                .collect();
            let unit = case.work.unit();
            let name = case.label();
            let name = name.split(':').next().unwrap_or_default();
            let title = format!("{name}, {}: {unit} by {sweep}", mode.name());
            let axes = Axes {
                title: &title,
                x: sweep,
                y: what,
                is_x_log: true,
                is_y_log: false,
                x_marks: Vec::new(),
            };
            out.push_str(&plot(&axes, &lines));
        }
    }

    /// One plot for each case that is no point of a sweep, and each mode.
    fn each_case(&self, out: &mut String, draw: fn(&Self, &[&Row], &str) -> String) {
        for (index, case) in self.plan.cases.iter().enumerate() {
            if case.sweep.is_some() || case.work == Work::Restart {
                continue;
            }
            for &mode in &self.modes {
                let is_of = |row: &&Row| row.case == index && row.mode == mode;
                let rows: Vec<&Row> = self.rows.iter().filter(is_of).collect();
                let title = format!("{}, {}", case.label(), mode.name());
                out.push_str(&draw(self, &rows, &title));
            }
        }
    }

    /// Latency by percentile, all rounds, the axis stretched towards the slow end.
    fn distribution(&self, rows: &[&Row], title: &str) -> String {
        let shares = [
            0.0, 0.25, 0.5, 0.75, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999, 0.9995, 0.9999,
        ];
        let mut lines = Vec::new();
        for row in rows {
            for (index, lane) in row.lanes.iter().enumerate() {
                let point = |q: &f64| (1.0 / (1.0 - q), millis(lane.all.value_at_quantile(*q)));
                let mut line = self.line(row.program, shares.iter().map(point).collect());
                line.name = format!("{} {}", line.name, lane.name);
                line.is_dashed = index > 0;
                lines.push(line);
            }
        }
        let marks = [
            (1.0, "0"),
            (2.0, "50"),
            (10.0, "90"),
            (100.0, "99"),
            (1e3, "99.9"),
            (1e4, "99.99"),
        ];
        let axes = Axes {
            title,
            x: "percentile",
            y: "ms",
            is_x_log: true,
            is_y_log: true,
            x_marks: marks.map(|(at, text)| (at, text.to_owned())).into(),
        };
        plot(&axes, &lines)
    }

    /// The highest latency of each tenth of a second.
    fn over_time(&self, rows: &[&Row], title: &str) -> String {
        let lines: Vec<Line> = rows
            .iter()
            .map(|row| {
                let slices = row.slices.iter().enumerate();
                let points = slices
                    .map(|(i, s)| (slice_second(i), millis(s.max_ns)))
                    .collect();
                self.line(row.program, points)
            })
            .collect();
        let axes = Axes {
            title,
            x: "s",
            y: "highest latency in 0.1 s, ms",
            is_x_log: false,
            is_y_log: true,
            x_marks: Vec::new(),
        };
        plot(&axes, &lines)
    }

    fn rows_html(&self, out: &mut String) {
        out.push_str(
            "<table><tr><th>work</th><th>mode</th><th>server</th><th>a second</th><th>Alluvium is</th>\
            <th>p50 ms</th><th>p99</th><th>p99.9</th><th>max</th><th>server CPU us</th>\
            <th>written B</th><th>disk MiB</th>\
            <th>RSS MiB</th><th>anonymous</th></tr>",
        );
        for row in &self.rows {
            let latency = row
                .lanes
                .first()
                .map_or([0; 4], |lane| lane.quantiles)
                .map(millis);
            let ratio = self
                .ratio(row)
                .map_or(String::new(), |ratio| format!("{ratio:.2}x"));
            let _ = write!(
                out,
                "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{ratio}</td><td>{:.2}</td><td>{:.2}\
                </td><td>{:.2}</td><td>{:.2}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
                escape(&self.case(row).label()),
                row.mode.name(),
                self.kind(row).name(),
                figure(row.rate),
                latency[0],
                latency[1],
                latency[2],
                latency[3],
                figure(row.cpu_us),
                figure(row.written_per_unit),
                figure(row.disk_mib),
                figure(row.rss_mib),
                figure(row.anonymous_mib)
            );
        }
        out.push_str("</table>");
    }
}
