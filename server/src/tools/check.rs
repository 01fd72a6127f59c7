//! `alluvium check DIR`: says whether a data directory is whole, and what is wrong where.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use alluvium_engine::{CheckReport, check};

use super::{UNUSABLE, json_text};

const HELP: &str = "\
Verifies a data directory that no broker has open, and changes nothing in it.

usage: alluvium check [--json] [--quiet] DIR

Every checksum of every checkpoint, log segment and sorted segment is verified, also where a start
would not look; then the state is built as at a start, and every entry of every stream is read.

  --json     report as one JSON object
  --quiet    no progress, and no report when all is well
  --help     this text

Exit codes: 0 all is well, 1 damage, 2 wrong usage or the directory could not be read.
";

/// Reads the words behind `alluvium check`, checks, and reports.
pub(super) fn run(words: Vec<OsString>) -> ExitCode {
    let (mut is_json, mut is_quiet, mut dir) = (false, false, None);
    for word in words {
        match word.to_str() {
            Some("--help" | "-h") => {
                print!("{HELP}");
                return ExitCode::SUCCESS;
            }
            Some("--json") => is_json = true,
            Some("--quiet") => is_quiet = true,
            Some(option) if option.starts_with("--") => {
                return unusable(&format!("unknown option {option}"));
            }
            _ if dir.is_none() => dir = Some(PathBuf::from(word)),
            _ => return unusable("one directory at a time"),
        }
    }
    let Some(dir) = dir else {
        return unusable("which directory? Try alluvium check --help");
    };
    let has_progress = !is_quiet && !is_json && std::io::stderr().is_terminal();
    let report = check(&dir, &mut |path| {
        if has_progress {
            eprintln!("reading {}", path.display());
        }
    });
    let report = match report {
        Ok(report) => report,
        Err(error) => return unusable(&error.to_string()),
    };
    if is_json {
        print!("{}", json(&report));
    } else if !is_quiet || !report.damage.is_empty() {
        print!("{}", words_of(&report));
    }
    ExitCode::from(u8::from(!report.damage.is_empty()))
}

fn unusable(what: &str) -> ExitCode {
    eprintln!("alluvium check: {what}");
    ExitCode::from(UNUSABLE)
}

fn words_of(report: &CheckReport) -> String {
    let mut out = String::new();
    // Writing to a String does not fail.
    let _ = writeln!(
        out,
        "read         {} checkpoints, {} log segments, {} sorted segments, {} bytes",
        report.checkpoints, report.segments, report.sorted, report.bytes
    );
    let _ = writeln!(
        out,
        "log          {} frames, {} records",
        report.frames, report.records
    );
    if report.sorted > 0 {
        let _ = writeln!(out, "sorted       {} entries", report.sorted_entries);
    }
    if report.torn_bytes > 0 {
        let _ = writeln!(
            out,
            "torn tail    {} bytes that a start will cut: writes that nobody was told of",
            report.torn_bytes
        );
    }
    for path in &report.unknown_files {
        let _ = writeln!(out, "unknown      {}", path.display());
    }
    if let Some(state) = report.state {
        let _ = writeln!(
            out,
            "state        {} streams, {} entries read, {} groups, {} pending entries",
            state.streams, state.entries, state.groups, state.pending
        );
    }
    for damage in &report.damage {
        let _ = writeln!(
            out,
            "DAMAGED      {} at offset {}: {}",
            damage.path.display(),
            damage.offset,
            damage.what
        );
    }
    let verdict = if report.damage.is_empty() {
        "whole"
    } else {
        "damaged"
    };
    let _ = writeln!(out, "verdict      {verdict}");
    out
}

fn json(report: &CheckReport) -> String {
    let damage: Vec<String> = report
        .damage
        .iter()
        .map(|damage| {
            format!(
                "{{\"path\": {}, \"offset\": {}, \"what\": {}}}",
                json_text(&damage.path.to_string_lossy()),
                damage.offset,
                json_text(&damage.what)
            )
        })
        .collect();
    let unknown: Vec<String> = report
        .unknown_files
        .iter()
        .map(|path| json_text(&path.to_string_lossy()))
        .collect();
    let state = report.state.map_or_else(
        || "null".to_owned(),
        |state| {
            format!(
                "{{\"streams\": {}, \"entries\": {}, \"groups\": {}, \"pending\": {}}}",
                state.streams, state.entries, state.groups, state.pending
            )
        },
    );
    format!(
        "{{\"whole\": {}, \"checkpoints\": {}, \"segments\": {}, \"sorted\": {}, \
         \"sorted_entries\": {}, \"bytes\": {}, \"frames\": {}, \
         \"records\": {}, \"torn_bytes\": {}, \"state\": {state}, \"unknown_files\": [{}], \
         \"damage\": [{}]}}\n",
        report.damage.is_empty(),
        report.checkpoints,
        report.segments,
        report.sorted,
        report.sorted_entries,
        report.bytes,
        report.frames,
        report.records,
        report.torn_bytes,
        unknown.join(", "),
        damage.join(", ")
    )
}
