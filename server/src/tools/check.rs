//! `alluvium check DIR`: says whether a data directory is whole, and what is wrong where.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use alluvium_engine::{CheckReport, Damage, check};

use super::json::{list, named, text};
use super::progress::Teller;
use super::{shown, unusable};

const HELP: &str = "\
Verifies a data directory that no broker has open, and changes nothing in it.

usage: alluvium check [--json] [--quiet] [--progress] DIR

Every checksum of every checkpoint, log segment, sorted segment and record is verified, also where
a start would not look. Then the state is built as at a start, from each checkpoint: every entry of
every stream is read at its place, and groups, pending entries and counters are held against each
other.
Damage is named with file, offset and length, and the entries that it costs with their stream.

  --json       report as one JSON object
  --quiet      no progress, and no report when all is well
  --progress   tell how far it is, on standard error, even if that is no terminal
  --help       this text

Exit codes: 0 all is well, 1 damage, 2 wrong usage or the directory could not be read.
See also: alluvium dump shows what is in a directory, alluvium repair writes a new one from what is
valid, and docs/tools.md explains both.
";

/// Reads the words behind `alluvium check`, checks, and reports.
pub(super) fn run(words: Vec<OsString>) -> ExitCode {
    let (mut is_json, mut is_quiet, mut progress, mut dir) = (false, false, None, None);
    for word in words {
        match word.to_str() {
            Some("--help" | "-h") => {
                print!("{HELP}");
                return ExitCode::SUCCESS;
            }
            Some("--json") => is_json = true,
            Some("--quiet") => is_quiet = true,
            Some("--progress") => progress = Some(true),
            Some(option) if option.starts_with("--") => {
                return unusable("check", &format!("unknown option {option}"));
            }
            _ if dir.is_none() => dir = Some(PathBuf::from(word)),
            _ => return unusable("check", "one directory at a time"),
        }
    }
    let Some(dir) = dir else {
        return unusable("check", "which directory? Try alluvium check --help");
    };
    let mut teller = Teller::new(progress.or(is_quiet.then_some(false)));
    let report = check(&dir, &mut |progress| teller.tell(progress));
    teller.end();
    let report = match report {
        Ok(report) => report,
        Err(error) => return unusable("check", &error.to_string()),
    };
    if is_json {
        print!("{}", json(&report));
    } else if !is_quiet || !report.damage.is_empty() {
        print!("{}", words_of(&report));
    }
    ExitCode::from(u8::from(!report.damage.is_empty()))
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
    for path in &report.unfinished_files {
        let _ = writeln!(
            out,
            "unfinished   {}, which the next start removes",
            path.display()
        );
    }
    let state = report.state;
    let _ = writeln!(
        out,
        "state        {} streams, {} entries read, {} groups, {} pending entries",
        state.streams, state.entries, state.groups, state.pending
    );
    for damage in &report.damage {
        let _ = writeln!(out, "DAMAGED      {}", words_of_damage(damage));
    }
    let verdict = if report.damage.is_empty() {
        "whole"
    } else {
        "damaged"
    };
    let _ = writeln!(out, "verdict      {verdict}");
    out
}

fn words_of_damage(damage: &Damage) -> String {
    let mut out = format!("{} at offset {}", damage.path.display(), damage.offset);
    // Writing to a String does not fail.
    if damage.len > 0 {
        let _ = write!(out, ", {} bytes", damage.len);
    }
    let _ = write!(out, ": {}", damage.what);
    if let Some((db, key)) = &damage.stream {
        let _ = write!(out, " (stream {} of database {db}", shown(key));
        if damage.entries > 1 {
            let _ = write!(out, ", {} entries", damage.entries);
        }
        if let Some(id) = damage.id {
            let _ = write!(out, ", at or behind {id}");
        }
        out.push(')');
    }
    out
}

fn json(report: &CheckReport) -> String {
    let damage = report.damage.iter().map(|damage| {
        let stream = damage.stream.as_ref();
        named(&[
            ("path", text(&damage.path.to_string_lossy())),
            ("offset", damage.offset.to_string()),
            ("len", damage.len.to_string()),
            ("what", text(&damage.what)),
            ("db", stream.map_or("null".into(), |(db, _)| db.to_string())),
            (
                "stream",
                stream.map_or("null".into(), |(_, key)| super::json::bytes(key)),
            ),
            ("entries", damage.entries.to_string()),
            (
                "id",
                damage.id.map_or("null".into(), |id| text(&id.to_string())),
            ),
        ])
    });
    let paths = |paths: &[PathBuf]| list(paths.iter().map(|path| text(&path.to_string_lossy())));
    let state = report.state;
    let mut out = named(&[
        ("whole", report.damage.is_empty().to_string()),
        ("checkpoints", report.checkpoints.to_string()),
        ("segments", report.segments.to_string()),
        ("sorted", report.sorted.to_string()),
        ("sorted_entries", report.sorted_entries.to_string()),
        ("bytes", report.bytes.to_string()),
        ("frames", report.frames.to_string()),
        ("records", report.records.to_string()),
        ("torn_bytes", report.torn_bytes.to_string()),
        (
            "state",
            named(&[
                ("streams", state.streams.to_string()),
                ("entries", state.entries.to_string()),
                ("groups", state.groups.to_string()),
                ("pending", state.pending.to_string()),
            ]),
        ),
        ("unknown_files", paths(&report.unknown_files)),
        ("unfinished_files", paths(&report.unfinished_files)),
        ("damage", list(damage)),
    ]);
    out.push('\n');
    out
}
