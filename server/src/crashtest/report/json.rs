//! The report for scripts: one JSON object.

use std::fmt::Write as _;

use super::{Deeds, Report, RoundReport};
use crate::tools::json_text as text;

/// The whole run.
pub(in super::super) fn json(report: &Report) -> String {
    let totals: Vec<String> = report
        .tally
        .totals()
        .into_iter()
        .map(|(kind, count)| {
            let meaning = text(kind.meaning());
            format!(
                "    {{\"kind\": \"{}\", \"count\": {count}, \"meaning\": {meaning}}}",
                kind.name()
            )
        })
        .collect();
    let examples: Vec<String> = report
        .tally
        .examples
        .iter()
        .map(|example| {
            format!(
                "    {{\"kind\": \"{}\", \"round\": {}, \"words\": {}}}",
                example.kind.name(),
                example.round,
                text(&example.words)
            )
        })
        .collect();
    let refusals: Vec<String> = report
        .refusals
        .iter()
        .map(|(error, count)| format!("    {}: {count}", text(error)))
        .collect();
    let rounds: Vec<String> = report
        .rounds
        .iter()
        .map(|round| one_round(report, round))
        .collect();
    let kept = report
        .kept
        .as_ref()
        .map(|path| text(&path.to_string_lossy()));
    let mut out = String::from("{\n");
    // Writing to a String does not fail.
    let _ = writeln!(out, "  \"server\": {},", text(&report.server));
    let _ = writeln!(out, "  \"command\": {},", text(&report.command));
    let _ = writeln!(out, "  \"seed\": {},", report.seed);
    let _ = writeln!(out, "  \"failed\": {},", report.is_failed);
    let _ = writeln!(out, "  \"interrupted\": {},", report.is_interrupted);
    let _ = writeln!(
        out,
        "  \"first_start_ms\": {},",
        report.first_start.as_millis()
    );
    let _ = writeln!(
        out,
        "  \"kept\": {},",
        kept.unwrap_or_else(|| "null".to_owned())
    );
    let _ = writeln!(out, "  \"replies\": {},", deeds(report.deeds()));
    let _ = writeln!(out, "  \"refusals\": {},", block('{', &refusals, '}'));
    let _ = writeln!(out, "  \"anomalies\": {},", block('[', &totals, ']'));
    let _ = writeln!(out, "  \"examples\": {},", block('[', &examples, ']'));
    let _ = writeln!(out, "  \"rounds\": {}", block('[', &rounds, ']'));
    out.push_str("}\n");
    out
}

fn one_round(report: &Report, round: &RoundReport) -> String {
    let found: Vec<String> = report
        .tally
        .in_round(round.number)
        .map(|(kind, count)| format!("\"{}\": {count}", kind.name()))
        .collect();
    let restart = round
        .restart
        .map_or_else(|| "null".to_owned(), |t| t.as_millis().to_string());
    format!(
        "    {{\"round\": {}, \"fault\": \"{}\", \"killed_again\": {}, \"began_ms\": {}, \
         \"load_ms\": {}, \"restart_ms\": {restart}, \"replies\": {}, \"entries\": {}, \
         \"anomalies\": {{{}}}}}",
        round.number,
        round.fault.name(),
        round.is_killed_again,
        round.began.as_millis(),
        round.load.as_millis(),
        deeds(round.deeds),
        round.entries,
        found.join(", ")
    )
}

fn deeds(deeds: Deeds) -> String {
    format!(
        "{{\"added\": {}, \"read\": {}, \"delivered\": {}, \"acked\": {}, \"claimed\": {}, \
         \"given_back\": {}, \"removed\": {}, \"repeated\": {}, \"unknown\": {}}}",
        deeds.added,
        deeds.read,
        deeds.delivered,
        deeds.acked,
        deeds.claimed,
        deeds.given_back,
        deeds.removed,
        deeds.repeated,
        deeds.unknown
    )
}

fn block(open: char, items: &[String], close: char) -> String {
    if items.is_empty() {
        return format!("{open}{close}");
    }
    format!("{open}\n{}\n  {close}", items.join(",\n"))
}
