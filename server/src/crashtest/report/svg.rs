//! The picture: a row for each round, on a common scale of time.
//!
//! ```text
//!  round 7   |##### load #####|X|== recovery ==|          12 345 acknowledged   ok
//! ```

use std::fmt::Write as _;

use super::super::options::Fault;
use super::{Report, RoundReport};

const WIDTH: f64 = 1240.0;
const ROW: f64 = 18.0;
const TOP: f64 = 92.0;
const LEFT: f64 = 64.0;
/// Width of the part that is a scale of time.
const SCALE: f64 = 480.0;
const TEXT_AT: f64 = LEFT + SCALE + 16.0;
/// Kinds of anomalies that a row names; the tooltip names all.
const KINDS_IN_ROW: usize = 3;

/// Draws the run.
pub(in super::super) fn svg(report: &Report) -> String {
    let longest = report.rounds.iter().map(seconds_of).fold(0.001, f64::max);
    let (mut rows, mut y) = (String::new(), TOP);
    for round in &report.rounds {
        row(&mut rows, report, round, (y, SCALE / longest));
        y += ROW;
    }
    let height = y + 40.0;
    let totals = report.tally.totals();
    let verdict = if totals.is_empty() {
        "no anomalies".to_owned()
    } else {
        let found = totals
            .iter()
            .map(|(kind, count)| format!("{} {count}", kind.name()));
        found.collect::<Vec<_>>().join(", ")
    };
    let class = if totals.is_empty() { "good" } else { "bad" };
    let mut out = String::new();
    // Writing to a String does not fail.
    let _ = writeln!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" \
         viewBox=\"0 0 {WIDTH} {height}\">"
    );
    out.push_str(STYLE);
    let _ = writeln!(
        out,
        "<rect class=\"paper\" width=\"{WIDTH}\" height=\"{height}\"/>"
    );
    let title = format!("Crash test of {}", report.server);
    let line = |y: f64, class: &str, words: &str| {
        format!(
            "<text x=\"16\" y=\"{y}\" class=\"{class}\">{}</text>\n",
            escaped(words)
        )
    };
    out.push_str(&line(26.0, "title", &title));
    out.push_str(&line(46.0, "small", &report.command));
    out.push_str(&line(66.0, class, &verdict));
    out.push_str(&rows);
    scale(&mut out, longest, y);
    out.push_str("</svg>\n");
    out
}

const STYLE: &str = "<style>
text { font: 12px sans-serif; fill: #333 }
.title { font-size: 16px; font-weight: bold }
.small { font-size: 11px; fill: #777 }
.good { fill: #2b7a4b }
.bad { fill: #c0302b; font-weight: bold }
.paper { fill: #fff }
.load { fill: #8fbf9f }
.recovery { fill: #e2a94f }
.kill { stroke: #c0302b; stroke-width: 2 }
.stop { stroke: #333; stroke-width: 2 }
.pause { stroke: #5470c6; stroke-width: 2; stroke-dasharray: 3 2 }
.axis { stroke: #bbb }
</style>
";

fn seconds_of(round: &RoundReport) -> f64 {
    round.load.as_secs_f64() + round.restart.unwrap_or_default().as_secs_f64()
}

/// `place` is the row's top and the width of a second.
fn row(out: &mut String, report: &Report, round: &RoundReport, place: (f64, f64)) {
    let (y, unit) = place;
    let load = round.load.as_secs_f64() * unit;
    let restart = round.restart.unwrap_or_default().as_secs_f64() * unit;
    let (fault_at, low, high) = (LEFT + load, y - 2.0, y + 14.0);
    let class = match round.fault {
        Fault::Kill => "kill",
        Fault::Stop => "stop",
        Fault::Pause => "pause",
    };
    let found: Vec<String> = report
        .tally
        .in_round(round.number)
        .map(|(kind, count)| format!("{} {count}", kind.name()))
        .collect();
    let all = escaped(&found.join(", "));
    let mut shown = found[..found.len().min(KINDS_IN_ROW)].join(", ");
    if found.len() > KINDS_IN_ROW {
        shown.push_str(", ...");
    }
    let again = if round.is_killed_again { ", twice" } else { "" };
    let recovered = round.restart.map_or_else(String::new, |time| {
        format!(", back in {} ms{again}", time.as_millis())
    });
    let words = format!("{} acknowledged{recovered}", round.acknowledged);
    let baseline = y + 10.0;
    let _ = writeln!(
        out,
        "<g><title>{all}</title><text x=\"16\" y=\"{baseline}\" class=\"small\">{number}</text>\
         <rect class=\"load\" x=\"{LEFT}\" y=\"{y}\" width=\"{load:.1}\" height=\"12\"/>\
         <rect class=\"recovery\" x=\"{fault_at:.1}\" y=\"{y}\" width=\"{restart:.1}\" height=\"12\"/>\
         <line class=\"{class}\" x1=\"{fault_at:.1}\" y1=\"{low}\" x2=\"{fault_at:.1}\" y2=\"{high}\"/>\
         <text x=\"{TEXT_AT}\" y=\"{baseline}\" class=\"small\">{words}\
         <tspan class=\"bad\" dx=\"8\">{shown}</tspan></text></g>",
        number = round.number,
    );
}

fn scale(out: &mut String, longest: f64, y: f64) {
    let right = LEFT + SCALE;
    let (below, text) = (y + 6.0, y + 20.0);
    let _ = writeln!(
        out,
        "<line class=\"axis\" x1=\"{LEFT}\" y1=\"{below}\" x2=\"{right}\" y2=\"{below}\"/>\
         <text x=\"{LEFT}\" y=\"{text}\" class=\"small\">0 s: green is load, yellow recovery until \
         the first PONG; the line is SIGKILL (red), SIGTERM (black), a pause (blue)</text>\
         <text x=\"{right}\" y=\"{text}\" class=\"small\" text-anchor=\"end\">{longest:.2} s</text>"
    );
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::super::super::finding::Kind;
    use super::*;

    #[test]
    fn losses_are_marked_and_words_escaped() {
        let mut report = Report::new(1, "sh -c 'server <{port}>'".to_owned());
        report.rounds.push(RoundReport {
            number: 1,
            ..RoundReport::default()
        });
        report.tally.round = 1;
        report.tally.add(Kind::Lost, String::new);
        let picture = svg(&report);
        assert!(picture.contains("lost 1"));
        assert!(picture.contains("&lt;{port}&gt;"));
        assert!(!picture.contains("no anomalies"));
    }
}
