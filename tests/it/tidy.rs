//! Rules of the code base that a reader can rely on because they are checked here: what each part
//! may use, where `unsafe` is, how long files and lines are, which words are not ours.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

/// From the bottom up; a module uses modules of its own rank or of lower ranks.
const ENGINE_RANKS: &[&[&str]] = &[
    &[
        "id",
        "lsn",
        "error",
        "limits",
        "options",
        "retention",
        "sync",
    ],
    &["format"],
    &["map"],
    &["storage"],
    &["log", "sorted"],
    &[
        "record",
        "entries",
        "index",
        "group",
        "producers",
        "stream",
        "names",
        "keyspace",
    ],
    &["state", "snapshot", "remains"],
    &["checkpoint"],
    // A batch is the engine's lock held: the two are one layer in two folders.
    &["batch", "engine"],
    &["check", "dump"],
    &["repair"],
    &["fuzzing"],
];

/// Where the server may touch files: its configuration, its own log and pid file, /proc, and the
/// directories of the crash tester. Never the store.
const SERVER_FILE_USERS: &[&str] = &[
    "arguments.rs",
    "parameters",
    "config.rs",
    "main.rs",
    "process.rs",
    "start.rs",
    "log.rs",
    "crashtest",
];

const LINE_LEN_MAX: usize = 100;
const PROSE_LINE_LEN_MAX: usize = 160;
/// Aim at 500.
const FILE_LINES_MAX: usize = 600;

/// Words that the glossary replaces, or that leave work undone.
const BANNED: &[(&str, &str)] = &[
    ("TODO", "an issue"),
    ("FIXME", "an issue"),
    ("XXX", "an issue"),
    ("WAL", "log"),
    ("SSTable", "sorted segment"),
    ("memtable", "index"),
    ("whitelist", "list"),
    ("blacklist", "list"),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned()
}

/// All files with one of the extensions, as paths from the root.
fn files(extensions: &[&str]) -> Vec<(String, String)> {
    let mut out = Vec::new();
    let mut folders = vec![root()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            let is_ours = !matches!(name, "target" | ".git" | "node_modules" | "__pycache__");
            if path.is_dir() && is_ours {
                folders.push(path);
            } else if path
                .extension()
                .is_some_and(|it| extensions.iter().any(|e| it == *e))
            {
                let shown = path
                    .strip_prefix(root())
                    .unwrap()
                    .to_str()
                    .unwrap()
                    .to_owned();
                out.push((shown, fs::read_to_string(&path).unwrap()));
            }
        }
    }
    assert!(!out.is_empty(), "no files with {extensions:?}");
    out.sort();
    out
}

fn code() -> Vec<(String, String)> {
    files(&["rs"])
}

fn is_test(name: &str) -> bool {
    name.ends_with("tests.rs") || name.contains("/tests/") || name.starts_with("tests/")
}

/// The part before the unit tests.
fn without_tests(text: &str) -> &str {
    text.split("#[cfg(test)]\nmod ").next().unwrap()
}

fn assert_none(rule: &str, broken: &[String]) {
    assert!(broken.is_empty(), "{rule}:\n  {}", broken.join("\n  "));
}

/// The lines of a text that `breaks`, with their place.
fn lines_that(name: &str, text: &str, breaks: impl Fn(&str) -> bool) -> Vec<String> {
    let numbered = text.lines().enumerate().filter(|(_, line)| breaks(line));
    numbered
        .map(|(at, line)| format!("{name}:{}: {}", at + 1, line.trim()))
        .collect()
}

fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with("//")
}

#[test]
fn unsafe_is_one_place() {
    let mut broken = Vec::new();
    for (name, text) in code() {
        if name != "engine/src/map.rs" && name != "tests/it/tidy.rs" {
            broken.extend(lines_that(&name, &text, |line| {
                !is_comment(line) && (line.contains("unsafe {") || line.contains("unsafe impl"))
            }));
        }
    }
    assert_none("unsafe outside engine/src/map.rs", &broken);
}

#[test]
fn engine_modules_use_only_lower_ones() {
    let rank = |module: &str| ENGINE_RANKS.iter().position(|rank| rank.contains(&module));
    let mut broken = Vec::new();
    for (name, text) in code() {
        let Some(inside) = name.strip_prefix("engine/src/") else {
            continue;
        };
        let module = inside.split(['/', '.']).next().unwrap();
        if matches!(module, "lib" | "tests") {
            continue;
        }
        let Some(own) = rank(module) else {
            broken.push(format!("{name}: the module {module} has no rank"));
            continue;
        };
        broken.extend(lines_that(&name, without_tests(&text), |line| {
            !is_comment(line)
                && line.split("crate::").skip(1).any(|used| {
                    let used = used
                        .split(|c: char| !c.is_alphanumeric() && c != '_')
                        .next();
                    used.and_then(rank).is_some_and(|used| used > own)
                })
        }));
    }
    assert_none("a module uses one above it", &broken);
}

#[test]
fn the_engine_has_no_async_and_no_network() {
    let mut broken = Vec::new();
    for (name, text) in code() {
        if name.starts_with("engine/src/") {
            broken.extend(lines_that(&name, &text, |line| {
                let words = ["async fn", "async move", "std::net", "tokio"];
                !is_comment(line) && words.iter().any(|word| line.contains(word))
            }));
        }
    }
    assert_none("async or network in the engine", &broken);
}

#[test]
fn the_server_opens_no_file_of_the_store() {
    let mut broken = Vec::new();
    for (name, text) in code() {
        let Some(inside) = name.strip_prefix("server/src/") else {
            continue;
        };
        if SERVER_FILE_USERS.iter().any(|user| inside.contains(user)) {
            continue;
        }
        broken.extend(lines_that(&name, without_tests(&text), |line| {
            !is_comment(line)
                && ["std::fs", "tokio::fs", "File::"]
                    .iter()
                    .any(|w| line.contains(w))
        }));
    }
    assert_none("the server uses files outside its configuration", &broken);
}

#[test]
fn lines_are_short_and_code_is_ascii() {
    let mut broken = Vec::new();
    for (name, text) in code() {
        broken.extend(lines_that(&name, &text, |line| {
            // A string may be longer, as rustfmt leaves it.
            let is_string = line.contains('"') || line.ends_with('\\');
            line.len() > LINE_LEN_MAX && !is_string || !line.is_ascii()
        }));
    }
    for (name, text) in files(&["md", "sh"]) {
        broken.extend(lines_that(&name, &text, |line| {
            line.chars().count() > PROSE_LINE_LEN_MAX && !line.starts_with('|')
        }));
    }
    assert_none("a line is too long, or not ASCII", &broken);
}

#[test]
fn files_are_short_and_begin_with_their_idea() {
    let mut broken = Vec::new();
    for (name, text) in code() {
        let lines = without_tests(&text).lines().count();
        if lines > FILE_LINES_MAX && !is_test(&name) {
            broken.push(format!(
                "{name} has {lines} lines, at most {FILE_LINES_MAX}"
            ));
        }
        if !text.starts_with("//!") {
            broken.push(format!("{name} does not begin with its idea"));
        }
    }
    assert_none("a file is too long, or says nothing of itself", &broken);
}

#[test]
fn words_have_one_meaning() {
    let mut broken = Vec::new();
    for (name, text) in files(&["rs", "md", "py", "sh", "js"]) {
        // The glossary and this list name the words that they replace.
        if name == "tests/it/tidy.rs" || name == "docs/glossary.md" {
            continue;
        }
        for (word, instead) in BANNED {
            let found = lines_that(&name, &text, |line| {
                line.split(|c: char| !c.is_alphanumeric())
                    .any(|it| it == *word)
            });
            broken.extend(found.into_iter().map(|it| format!("{it} (say: {instead})")));
        }
    }
    assert_none("a word that is not ours", &broken);
}

/// What looks like a path of this repository in a line of prose.
fn paths_in(line: &str) -> Vec<&str> {
    let starts = ["docs/", "engine/", "server/", "tests/", "benches/", ".ci/"];
    let words = line.split(['`', '(', ')', ' ', '"', ',']);
    let is_path = |word: &&str| {
        starts.iter().any(|start| word.starts_with(start)) && !word.contains(['*', '<', '{'])
    };
    words
        .filter(is_path)
        .map(|word| word.trim_end_matches(['.', ':', ';', '/']))
        .collect()
}

#[test]
fn paths_named_in_docs_exist() {
    let mut broken = Vec::new();
    for (name, text) in files(&["md", "rs", "sh"]) {
        for line in text.lines() {
            for path in paths_in(line) {
                let path = path.split('#').next().unwrap();
                if name != "tests/it/tidy.rs" && !root().join(path).exists() {
                    broken.push(format!("{name} names {path}"));
                }
            }
        }
    }
    assert_none("a path that does not exist", &broken);
}

/// The page whose numbered claims tests name.
const CLAIMS: &str = "docs/durability.md";
/// What stands before the numbers in the doc comment of a test.
const CITES: &str = "/// Durability: ";

/// `P1` and the like.
fn is_claim(word: &str) -> bool {
    let (letter, number) = word.split_at(word.len().min(1));
    !number.is_empty()
        && ["A", "P", "R", "C", "F", "U"].contains(&letter)
        && number.bytes().all(|byte| byte.is_ascii_digit())
}

#[test]
fn every_claim_of_durability_is_tried_by_a_test_and_every_claim_tried_is_there() {
    let page = fs::read_to_string(root().join(CLAIMS)).unwrap();
    let bold = page.split("**").skip(1).step_by(2);
    let made: Vec<&str> = bold.filter(|word| is_claim(word)).collect();
    assert!(made.len() > 30, "{made:?}");
    let mut broken = Vec::new();
    let mut tried = HashSet::new();
    for (name, text) in code() {
        let lines = text
            .lines()
            .filter_map(|line| line.trim().strip_prefix(CITES));
        for word in lines.flat_map(|line| line.split([',', ' ', '.'])) {
            if is_claim(word) {
                tried.insert(word.to_owned());
                if !made.contains(&word) {
                    broken.push(format!("{name} names {word}, which is not in {CLAIMS}"));
                }
            }
        }
    }
    for (at, claim) in made.iter().enumerate() {
        if made[..at].contains(claim) {
            broken.push(format!("{CLAIMS} says {claim} twice"));
        }
        // What is assumed, or what nobody can tell, cannot be tried.
        if !claim.starts_with(['A', 'U']) && !tried.contains(*claim) {
            broken.push(format!("{CLAIMS} says {claim}, and no test tries it"));
        }
    }
    assert_none("claims and tests differ", &broken);
}
