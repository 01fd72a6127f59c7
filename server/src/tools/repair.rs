//! `alluvium repair DIR --to NEWDIR`: a new data directory from what is valid in a damaged one.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use alluvium_engine::{EntryId, RepairReport, repair};

use super::json::{bytes, list, named, text};
use super::progress::Teller;
use super::{shown, unusable};

const HELP: &str = "\
Writes a new data directory from what is valid in one that no broker has open, and says what is
lost. Not a byte of the original is changed; keep it as evidence until all is well.

usage: alluvium repair [--json] [--quiet] [--progress] DIR --to NEWDIR

All that is valid is kept: entries with their IDs, streams with their databases, expiries and
counters, groups, consumers, and what is pending with its delivery counts and times. A transaction
of which a part is damaged is left out as a whole. What has lost its name is kept under the name
alluvium:lost:...; docs/durability.md lists what else is assumed.

NEWDIR must not exist, or be empty, and not lie in DIR. It gets its name when it is complete,
durable, and has passed its check; until then it is NEWDIR.unfinished. It takes as much room as
the entries that are kept, and some log segments more.

  --to NEWDIR  where to write
  --json       report as one JSON object
  --quiet      no progress, and no report when nothing is damaged
  --progress   tell how far it is, on standard error, even if that is no terminal
  --help       this text

Exit codes: 0 nothing was damaged, 1 something was, and NEWDIR holds the rest, 2 wrong usage, or
NEWDIR could not be written: it was not made.
";

/// What the command line says.
#[derive(Default)]
struct Request {
    dir: Option<PathBuf>,
    to: Option<PathBuf>,
    is_json: bool,
    is_quiet: bool,
    progress: Option<bool>,
    is_help: bool,
}

/// Reads the words behind `alluvium repair`, repairs, and reports.
pub(super) fn run(words: Vec<OsString>) -> ExitCode {
    let request = match Request::parse(words) {
        Ok(request) => request,
        Err(error) => return unusable("repair", &error),
    };
    if request.is_help {
        print!("{HELP}");
        return ExitCode::SUCCESS;
    }
    let (Some(dir), Some(to)) = (&request.dir, &request.to) else {
        return unusable(
            "repair",
            "from where, and to where? Try alluvium repair --help",
        );
    };
    let mut teller = Teller::new(request.progress);
    let report = repair(dir, to, &mut |progress| teller.tell(progress));
    teller.end();
    let report = match report {
        Ok(report) => report,
        Err(error) => return unusable("repair", &error.to_string()),
    };
    if request.is_json {
        print!("{}", json(&report));
    } else if !request.is_quiet || report.is_damaged() {
        print!("{}", words_of(&report));
    }
    ExitCode::from(u8::from(report.is_damaged()))
}

impl Request {
    fn parse(words: Vec<OsString>) -> Result<Self, String> {
        let mut request = Self::default();
        let mut words = words.into_iter();
        while let Some(word) = words.next() {
            match word.to_str() {
                Some("--help" | "-h") => request.is_help = true,
                Some("--json") => request.is_json = true,
                Some("--quiet") => (request.is_quiet, request.progress) = (true, Some(false)),
                Some("--progress") => request.progress = Some(true),
                Some("--to") => {
                    let to = words.next().ok_or("--to needs a directory")?;
                    request.to = Some(PathBuf::from(to));
                }
                Some(option) if option.starts_with("--") => {
                    return Err(format!("unknown option {option}"));
                }
                _ if request.dir.is_none() => request.dir = Some(PathBuf::from(word)),
                _ => return Err("one directory at a time; the new one comes behind --to".into()),
            }
        }
        Ok(request)
    }
}

fn words_of(report: &RepairReport) -> String {
    let mut out = String::new();
    // Writing to a String does not fail.
    let state = report.state;
    let _ = writeln!(
        out,
        "kept         {} streams, {} entries, {} groups, {} pending entries",
        state.streams, state.entries, state.groups, state.pending
    );
    if report.torn_bytes > 0 {
        let _ = writeln!(
            out,
            "torn tail    {} bytes left out: writes that nobody was told of",
            report.torn_bytes
        );
    }
    for damage in &report.damage {
        let _ = writeln!(
            out,
            "DAMAGED      {} at offset {}, {} bytes: {}",
            damage.path.display(),
            damage.offset,
            damage.len,
            damage.what
        );
    }
    for lost in &report.lost_entries {
        let between = |id: Option<EntryId>, none: &str| id.map_or(none.into(), |id| id.to_string());
        let _ = writeln!(
            out,
            "LOST         {} entries of {} in database {}, between {} and {}",
            lost.count,
            shown(&lost.key),
            lost.db,
            between(lost.after, "its beginning"),
            between(lost.before, "its end")
        );
    }
    for lost in &report.lost_pending {
        let _ = writeln!(
            out,
            "PENDING      {} entries of {} in database {} are pending in group {} and are not there",
            lost.ids.len(),
            shown(&lost.key),
            lost.db,
            shown(&lost.group)
        );
    }
    for mended in &report.mended {
        let _ = writeln!(
            out,
            "ASSUMED      {} in database {}: {} ({} times)",
            shown(&mended.key),
            mended.db,
            mended.what,
            mended.count
        );
    }
    let verdict = if report.is_damaged() {
        "damaged; the new directory holds the rest, and passed its check"
    } else {
        "nothing was damaged; the new directory holds all, and passed its check"
    };
    let _ = writeln!(out, "verdict      {verdict}");
    out
}

fn json(report: &RepairReport) -> String {
    let id = |id: Option<EntryId>| id.map_or("null".to_owned(), |id| text(&id.to_string()));
    let damage = report.damage.iter().map(|damage| {
        named(&[
            ("path", text(&damage.path.to_string_lossy())),
            ("offset", damage.offset.to_string()),
            ("len", damage.len.to_string()),
            ("what", text(&damage.what)),
        ])
    });
    let lost = report.lost_entries.iter().map(|lost| {
        named(&[
            ("db", lost.db.to_string()),
            ("stream", bytes(&lost.key)),
            ("count", lost.count.to_string()),
            ("after", id(lost.after)),
            ("before", id(lost.before)),
        ])
    });
    let pending = report.lost_pending.iter().map(|lost| {
        named(&[
            ("db", lost.db.to_string()),
            ("stream", bytes(&lost.key)),
            ("group", bytes(&lost.group)),
            ("ids", list(lost.ids.iter().map(|&lost| id(Some(lost))))),
        ])
    });
    let mended = report.mended.iter().map(|mended| {
        named(&[
            ("db", mended.db.to_string()),
            ("stream", bytes(&mended.key)),
            ("what", text(mended.what)),
            ("count", mended.count.to_string()),
        ])
    });
    let state = report.state;
    let mut out = named(&[
        ("damaged", report.is_damaged().to_string()),
        ("streams", state.streams.to_string()),
        ("entries", state.entries.to_string()),
        ("groups", state.groups.to_string()),
        ("pending", state.pending.to_string()),
        ("torn_bytes", report.torn_bytes.to_string()),
        ("damage", list(damage)),
        ("lost_entries", list(lost)),
        ("pending_without_entry", list(pending)),
        ("assumed", list(mended)),
    ]);
    out.push('\n');
    out
}
