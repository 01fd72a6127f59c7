//! The report in words.

use std::fmt::Write as _;

use super::super::finding::Tally;
use super::{Report, RoundReport};

/// One line on one round.
pub(in super::super) fn progress(round: &RoundReport, tally: &Tally) -> String {
    let again = if round.is_killed_again {
        ", and again in recovery"
    } else {
        ""
    };
    let restart = round.restart.map_or_else(
        || "not restarted".to_owned(),
        |time| format!("back after {:.3} s", time.as_secs_f64()),
    );
    let found: Vec<String> = tally
        .in_round(round.number)
        .map(|(kind, count)| format!("{} {count}", kind.name()))
        .collect();
    let verdict = if found.is_empty() {
        "ok".to_owned()
    } else {
        found.join(", ")
    };
    format!(
        "round {:>4}  {} after {:.2} s{again}; {} acknowledged, {} unknown; {restart}; \
         {} entries checked: {verdict}",
        round.number,
        round.fault.name(),
        round.load.as_secs_f64(),
        round.acknowledged,
        round.deeds.unknown,
        round.entries,
    )
}

/// The whole run.
pub(in super::super) fn summary(report: &Report) -> String {
    let mut out = String::new();
    let deeds = report.deeds();
    // Writing to a String does not fail.
    let _ = writeln!(out, "\nserver       {}", report.server);
    let _ = writeln!(out, "command      {}", report.command);
    let _ = writeln!(
        out,
        "rounds       {}, seed {}",
        report.rounds.len(),
        report.seed
    );
    let _ = writeln!(
        out,
        "replies      {} entries added, {} read, {} delivered, {} acked, {} claimed, \
         {} given back, {} removed, {} messages sent again; {} operations without a reply",
        deeds.added,
        deeds.read,
        deeds.delivered,
        deeds.acked,
        deeds.claimed,
        deeds.given_back,
        deeds.removed,
        deeds.repeated,
        deeds.unknown
    );
    if let Some((median, longest)) = report.restarts() {
        let (median, longest) = (median.as_secs_f64(), longest.as_secs_f64());
        let _ = writeln!(
            out,
            "recovery     median {median:.3} s, longest {longest:.3} s"
        );
    }
    for (text, count) in &report.refusals {
        let _ = writeln!(out, "refused      {count} times: {text}");
    }
    let totals = report.tally.totals();
    if totals.is_empty() {
        let _ = writeln!(out, "anomalies    none");
    }
    for (kind, count) in totals {
        let _ = writeln!(out, "\n{count:>9}  {}: {}", kind.name(), kind.meaning());
        let examples = report
            .tally
            .examples
            .iter()
            .filter(|example| example.kind == kind);
        for example in examples.take(3) {
            let words = example.words.replace('\n', "\n             ");
            let _ = writeln!(out, "           round {}: {words}", example.round);
        }
    }
    if let Some(kept) = &report.kept {
        let _ = writeln!(out, "\nkept         {}", kept.display());
    }
    if report.is_interrupted {
        let _ = writeln!(out, "\nThe run was interrupted.");
    }
    out
}
