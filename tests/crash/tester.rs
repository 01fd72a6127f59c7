//! The crash tester on the broker: it finds nothing in any sync policy and after any fault, and it
//! does find what is lost when a server forgets all that it knew.

use std::path::Path;
use std::process::{Command, Output};

use alluvium_tests::Broker;

use crate::BROKER;

/// Runs the tester on `command`; the report is in JSON.
fn crashtest(options: &[&str], command: &[&str]) -> Output {
    let home = tempfile::tempdir().expect("a directory for what the tester keeps");
    Command::new(BROKER)
        .args(["crashtest", "--json", "-"])
        .args(options)
        .arg("--")
        .args(command)
        .env("TMPDIR", home.path())
        .output()
        .expect("the tester runs")
}

fn finds_nothing(policy: &str) {
    let options = [
        "--rounds",
        "5",
        "--seconds",
        "0.4",
        "--fault",
        "kill,kill,stop,pause",
    ];
    let broker = [
        BROKER,
        "--port",
        "{port}",
        "--dir",
        "{dir}",
        "--appendfsync",
        policy,
    ];
    let output = crashtest(&options, &broker);
    let report = String::from_utf8_lossy(&output.stdout);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(report.contains("\"anomalies\": []"), "{report}");
    assert!(!report.contains("\"added\": 0"), "{report}");
}

#[test]
fn the_crash_tester_finds_nothing_under_always() {
    finds_nothing("always");
}

#[test]
fn the_crash_tester_finds_nothing_under_everysec() {
    finds_nothing("everysec");
}

#[test]
fn the_crash_tester_finds_nothing_under_no() {
    finds_nothing("no");
}

#[test]
fn the_crash_tester_finds_what_a_forgetful_server_loses() {
    let forgetful = "rm -rf \"$2\"/*; exec \"$0\" --port \"$1\" --dir \"$2\"";
    let command = ["sh", "-c", forgetful, BROKER, "{port}", "{dir}"];
    let output = crashtest(&["--rounds", "2", "--seconds", "0.4"], &command);
    let report = String::from_utf8_lossy(&output.stdout);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    for kind in ["\"lost\"", "\"group-lost\""] {
        assert!(report.contains(&format!("\"kind\": {kind}")), "{report}");
    }
    assert!(!report.contains("\"kept\": null"), "{report}");
}

#[test]
fn the_crash_tester_says_why_a_server_does_not_start() {
    let output = crashtest(&[], &["sh", "-c", "echo no disk here; exit 3", "{port}"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(
        said.contains("exit status: 3") && said.contains("no disk here"),
        "{said}"
    );
}

#[test]
fn a_killed_broker_leaves_a_directory_that_check_finds_whole() {
    let mut broker = Broker::start(BROKER, &["--appendfsync", "always"]);
    let in_use = check(&broker.data());
    assert_eq!(in_use.status.code(), Some(2), "{in_use:?}");
    for n in 0..20 {
        broker
            .connect()
            .call(&["XADD", "orders", "*", "n", &n.to_string()])
            .expect("a reply");
    }
    broker.kill();
    let whole = check(&broker.data());
    assert_eq!(whole.status.code(), Some(0), "{whole:?}");
    let report = String::from_utf8_lossy(&whole.stdout);
    assert!(report.contains("\"entries\": 20"), "{report}");
    let segment = broker.data().join("log/0000000000000000.seg");
    let mut bytes = std::fs::read(&segment).expect("the first segment");
    bytes[4096 + 40] ^= 1;
    std::fs::write(&segment, bytes).expect("the first segment");
    let damaged = check(&broker.data());
    assert_eq!(damaged.status.code(), Some(1), "{damaged:?}");
    assert!(String::from_utf8_lossy(&damaged.stdout).contains("0000000000000000.seg"));
}

fn check(dir: &Path) -> Output {
    let mut command = Command::new(BROKER);
    command
        .args(["check", "--json"])
        .arg(dir)
        .output()
        .expect("the tool runs")
}
