//! `alluvium check`, `dump` and `repair` on the directory of a broker: whole, and damaged.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::SystemTime;

use alluvium_engine::storage::{RealStorage, Storage};
use alluvium_tests::{Broker, Connection};
use serde_json::Value as Json;

use crate::BROKER;

const QUESTIONS: [&str; 7] = [
    "XRANGE orders - +",
    "XRANGE other - +",
    "XPENDING orders g - + 100",
    "XINFO GROUPS orders",
    "XLEN other",
    "EXISTS gone",
    "PEXPIRETIME other",
];

/// A broker with two streams, a group with pending entries, and a checkpoint in between.
fn loaded() -> Broker {
    let broker = Broker::start(BROKER, &["--segment-size", "1048576"]);
    let mut connection = broker.connect();
    for n in 1..=200 {
        connection.ok(&format!("XADD orders {n}-0 n value-{n}"));
        connection.ok(&format!("XADD other {n}-1 n other-{n}"));
    }
    connection.ok("XADD gone 1-0 a b");
    connection.ok("DEL gone");
    connection.ok("XGROUP CREATE orders g 0");
    connection.ok("XREADGROUP GROUP g alice COUNT 50 STREAMS orders >");
    connection.ok("XCLAIM orders g bob 0 7-0 RETRYCOUNT 5 TIME 1000");
    connection.ok("XACK orders g 1-0 2-0");
    connection.ok("XDEL orders 190-0");
    connection.ok("PEXPIREAT other 4000000000000");
    connection.ok("SAVE");
    connection.ok("XREADGROUP GROUP g bob COUNT 10 STREAMS orders >");
    connection.ok("XADD orders 201-0 n value-201");
    broker
}

/// What the broker answers, but for what tells the time since.
fn answers(connection: &mut Connection) -> Vec<String> {
    let answer = |line: &&str| {
        let mut text = format!("{:?}", connection.ok(line));
        if line.starts_with("XPENDING") {
            // The third of four is how long ago.
            let rows = connection.ok(line);
            let rows = rows.items().iter();
            let known = rows.map(|row| {
                (
                    row.items()[0].clone(),
                    row.items()[1].clone(),
                    row.items()[3].int(),
                )
            });
            text = format!("{:?}", known.collect::<Vec<_>>());
        }
        text
    };
    QUESTIONS.iter().map(answer).collect()
}

fn tool(words: &[&str], dir: &Path) -> Output {
    let mut command = Command::new(BROKER);
    command
        .arg(words[0])
        .arg(dir)
        .args(&words[1..])
        .output()
        .unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn code(output: &Output) -> Option<i32> {
    output.status.code()
}

/// All files with their bytes and times.
fn contents(dir: &Path) -> BTreeMap<PathBuf, (Vec<u8>, SystemTime)> {
    let mut files = BTreeMap::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let modified = entry.metadata().unwrap().modified().unwrap();
                files.insert(path.clone(), (std::fs::read(&path).unwrap(), modified));
            }
        }
    }
    files
}

/// Flips a bit where `needle` is in the log.
fn damage(dir: &Path, needle: &[u8]) {
    for (path, (mut bytes, _)) in contents(&dir.join("log")) {
        if let Some(at) = bytes
            .windows(needle.len())
            .position(|found| found == needle)
        {
            bytes[at] ^= 1;
            std::fs::write(path, bytes).unwrap();
            return;
        }
    }
    panic!("it is not in the log");
}

/// Puts another directory in the place of the broker's, and starts it.
fn restart_on(broker: &mut Broker, dir: &Path) -> Connection {
    let original = broker.data().with_extension("original");
    RealStorage.rename(&broker.data(), &original).unwrap();
    RealStorage.rename(dir, &broker.data()).unwrap();
    broker.restart();
    broker.connect()
}

#[test]
fn a_whole_directory_passes_and_its_repair_serves_the_same() {
    let mut broker = loaded();
    let before = answers(&mut broker.connect());
    assert_eq!(
        code(&tool(&["check"], &broker.data())),
        Some(2),
        "it is in use"
    );
    broker.terminate();
    let files = contents(&broker.data());
    let checked = tool(&["check", "--json"], &broker.data());
    assert_eq!(code(&checked), Some(0), "{checked:?}");
    let report: Json = serde_json::from_str(&text(&checked)).unwrap();
    assert_eq!(report["whole"], true);
    assert_eq!(report["checkpoints"], 2);
    assert_eq!(report["state"]["entries"], 400);
    assert_eq!(report["state"]["pending"], 58);
    let to = broker.data().with_extension("repaired");
    let repaired = tool(
        &["repair", "--json", "--to", to.to_str().unwrap()],
        &broker.data(),
    );
    assert_eq!(code(&repaired), Some(0), "{repaired:?}");
    let report: Json = serde_json::from_str(&text(&repaired)).unwrap();
    assert_eq!(
        (&report["damaged"], &report["entries"]),
        (&Json::from(false), &Json::from(400))
    );
    assert!(
        contents(&broker.data()) == files,
        "nothing of the original has changed"
    );
    let mut connection = restart_on(&mut broker, &to);
    assert_eq!(answers(&mut connection), before);
    // Not an ID is given again.
    let refused = connection
        .call(&["XADD", "orders", "201-0", "a", "b"])
        .unwrap();
    assert!(
        format!("{refused:?}").contains("equal or smaller"),
        "{refused:?}"
    );
}

#[test]
fn of_a_damaged_directory_all_is_kept_but_what_is_lost_and_that_is_said() {
    let mut broker = loaded();
    broker.terminate();
    damage(&broker.data(), b"value-20");
    damage(&broker.data(), b"value-33");
    let files = contents(&broker.data());

    let checked = tool(&["check"], &broker.data());
    assert_eq!(code(&checked), Some(1), "{checked:?}");
    let said = text(&checked);
    assert!(
        said.contains("DAMAGED") && said.contains("stream \"orders\" of database 0"),
        "{said}"
    );
    let to = broker.data().with_extension("repaired");
    let repaired = tool(
        &["repair", "--json", "--to", to.to_str().unwrap()],
        &broker.data(),
    );
    assert_eq!(code(&repaired), Some(1), "{repaired:?}");
    let report: Json = serde_json::from_str(&text(&repaired)).unwrap();
    let lost = report["lost_entries"].as_array().unwrap();
    let between: Vec<_> = lost
        .iter()
        .map(|lost| (&lost["after"], &lost["before"]))
        .collect();
    let ids = |after: &str, before: &str| (Json::from(after), Json::from(before));
    let expected = [ids("19-0", "21-0"), ids("32-0", "34-0")];
    assert_eq!(
        between,
        expected.iter().map(|(a, b)| (a, b)).collect::<Vec<_>>(),
        "{report}"
    );
    assert!(report["damage"].as_array().unwrap().len() >= 2);
    let pending = &report["pending_without_entry"][0];
    assert_eq!(pending["ids"], Json::from(vec!["20-0", "33-0"]));
    assert!(
        contents(&broker.data()) == files,
        "nothing of the original has changed"
    );

    assert_eq!(code(&tool(&["check", "--quiet"], &to)), Some(0));
    let mut connection = restart_on(&mut broker, &to);
    assert_eq!(connection.ok("XLEN orders").int(), 198);
    assert_eq!(connection.ok("XLEN other").int(), 200);
    let pending = connection.ok("XPENDING orders g - + 100");
    assert_eq!(pending.items().len(), 58);
    let claimed = pending
        .items()
        .iter()
        .find(|row| row.items()[0].text() == "7-0")
        .unwrap();
    assert_eq!(claimed.items()[1].text(), "bob");
    assert_eq!(claimed.items()[3].int(), 5);
    connection.ok("XACK orders g 20-0");
}

#[test]
fn a_dump_shows_a_stream_in_lines_that_are_json_and_damage_with_the_rest() {
    let mut broker = loaded();
    broker.terminate();
    let dumped = tool(
        &["dump", "--json", "--stream", "orders", "--from", "199"],
        &broker.data(),
    );
    assert_eq!(code(&dumped), Some(0), "{dumped:?}");
    let said = text(&dumped);
    let items: Vec<Json> = said
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let entries: Vec<_> = items
        .iter()
        .filter(|item| item["item"] == "entry")
        .collect();
    assert_eq!(entries.len(), 3, "{said}");
    assert_eq!(entries[0]["fields"], Json::from(vec!["n", "value-199"]));
    assert!(items.iter().any(|item| item["item"] == "claimed"));
    damage(&broker.data(), b"value-33");
    let dumped = tool(&["dump", "--log"], &broker.data());
    assert_eq!(code(&dumped), Some(1));
    let said = text(&dumped);
    assert!(
        said.contains("BAD file=") && said.contains("\"value-34\""),
        "{said}"
    );
    assert!(!said.contains("value-33"));
}

#[test]
fn a_dump_ends_quietly_when_nobody_reads_on() {
    let mut broker = loaded();
    broker.terminate();
    let mut child = Command::new(BROKER)
        .arg("dump")
        .arg(broker.data())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(
        (code(&output), output.stderr.as_slice()),
        (Some(0), &b""[..])
    );
}

#[test]
fn tools_explain_themselves_and_refuse_what_they_do_not_know() {
    let none = tempfile::tempdir().unwrap();
    for name in ["check", "dump", "repair"] {
        let help = tool(&[name, "--help"], none.path());
        assert_eq!(code(&help), Some(0));
        assert!(text(&help).contains(&format!("usage: alluvium {name}")));
        assert!(text(&help).contains("Exit codes: 0"));
        let wrong = tool(&[name, "--frobnicate"], none.path());
        assert_eq!(code(&wrong), Some(2));
        let to = none.path().join("new");
        let words = match name {
            "repair" => vec![name, "--to", to.to_str().unwrap()],
            _ => vec![name],
        };
        let empty = tool(&words, none.path());
        assert_eq!(code(&empty), Some(2));
        let said = String::from_utf8(empty.stderr).unwrap();
        assert!(said.contains("no data directory"), "{said}");
        assert_eq!(std::fs::read_dir(none.path()).unwrap().count(), 0);
    }
    let told = tool(&["check", "--progress"], none.path());
    assert_eq!(code(&told), Some(2));
}
