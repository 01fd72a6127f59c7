//! A backup of a broker that works on meanwhile: what is in it, and that each lives on by itself.

use std::path::Path;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use alluvium_tests::{Broker, Connection};

use crate::BROKER;

/// Small segments, so that a backup has many of them.
const OPTIONS: [&str; 2] = ["--segment-size", "1048576"];

fn backup(port: u16, words: &[&str]) -> Output {
    let port = port.to_string();
    let options = ["backup", "--port", &port];
    let mut command = Command::new(BROKER);
    command.env_remove("REDISCLI_AUTH");
    command.args(options).args(words).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

fn length(connection: &mut Connection, key: &str) -> i64 {
    connection.ok(&format!("XLEN {key}")).int()
}

fn is_whole(dir: &Path) -> bool {
    let mut check = Command::new(BROKER);
    check
        .args(["check", "--quiet"])
        .arg(dir)
        .status()
        .unwrap()
        .success()
}

/// Adds pairs of entries, each in one transaction, hands them out and acks every second one.
fn load(port: u16, is_over: &AtomicBool, acked: &AtomicI64) {
    let mut connection = Connection::open(port).unwrap();
    let value = "v".repeat(5000);
    while !is_over.load(Ordering::SeqCst) {
        connection.ok("MULTI");
        connection.ok(&format!("XADD left * f {value}"));
        connection.ok(&format!("XADD right * f {value}"));
        connection.ok("EXEC");
        acked.fetch_add(1, Ordering::SeqCst);
        let read = connection.ok("XREADGROUP GROUP g c COUNT 1 STREAMS left >");
        let entry = &read.items()[0].items()[1].items()[0];
        let id = entry.items()[0].text().to_owned();
        if acked.load(Ordering::SeqCst) % 2 == 0 {
            connection.ok(&format!("XACK left g {id}"));
        }
    }
}

/// Both streams have as many entries, at least `acked`; the group has what is pending.
fn assert_consistent(broker: &Broker, acked: i64) {
    let mut connection = broker.connect();
    let entries = length(&mut connection, "left");
    assert_eq!(length(&mut connection, "right"), entries);
    assert!(entries >= acked, "{entries} of {acked} entries");
    let read = connection.ok("XRANGE left - +");
    assert_eq!(i64::try_from(read.items().len()), Ok(entries));
    let pending = connection.ok("XPENDING left g").items()[0].int();
    assert!(pending > 0 && pending < entries, "{pending} of {entries}");
}

#[test]
fn a_backup_under_load_starts_with_all_that_was_acknowledged_before() {
    let places = [
        tempfile::tempdir().unwrap(),
        tempfile::tempdir_in("/dev/shm").unwrap(),
    ];
    for (place, is_linked) in places.into_iter().zip([true, false]) {
        let mut options = OPTIONS.to_vec();
        options.extend(["--backup-dir", place.path().to_str().unwrap()]);
        let mut broker = Broker::start(BROKER, &options);
        broker.connect().ok("XGROUP CREATE left g 0 MKSTREAM");
        let (is_over, acked) = (AtomicBool::new(false), AtomicI64::new(0));
        let before = std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| load(broker.port(), &is_over, &acked));
            }
            while acked.load(Ordering::SeqCst) < 300 {
                std::thread::yield_now();
            }
            let before = acked.load(Ordering::SeqCst);
            let made = backup(broker.port(), &["--json", "data"]);
            is_over.store(true, Ordering::SeqCst);
            assert!(made.status.success(), "{}", said(&made));
            assert!(
                said(&made).contains("\"name\": \"data\""),
                "{}",
                said(&made)
            );
            before
        });
        let mut connection = broker.connect();
        assert_eq!(connection.info("persistence")["backup_last_status"], "ok");
        let linked: u64 = connection.info("persistence")["backup_last_linked_bytes"]
            .parse()
            .unwrap();
        assert_eq!(linked > 0, is_linked, "{linked} bytes are linked");
        assert!(is_whole(&place.path().join("data")));

        let mut copy = Broker::start_in(BROKER, &OPTIONS, place);
        assert_consistent(&copy, before);
        let of_broker = length(&mut connection, "left");
        let of_copy = length(&mut copy.connect(), "left");
        // What one of them does, dies of and recovers from is nothing to the other.
        copy.connect().ok("XADD left * only copy");
        connection.ok("XADD left * only original");
        copy.kill();
        broker.kill();
        copy.restart();
        broker.restart();
        copy.connect().ok("FLUSHALL");
        copy.connect().ok("SAVE");
        assert_eq!(length(&mut broker.connect(), "left"), of_broker + 1);
        assert!(of_copy <= of_broker);
        assert!(broker.terminate().success());
        assert!(is_whole(&broker.data()));
        copy.kill();
        copy.restart();
        assert_eq!(length(&mut copy.connect(), "left"), 0);
    }
}

#[test]
fn what_cannot_be_backed_up_is_told_with_the_reason() {
    let broker = Broker::start(BROKER, &[]);
    let mut connection = broker.connect();
    connection.ok("CONFIG SET requirepass secret");
    let refused = backup(broker.port(), &["one"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(said(&refused).contains("NOAUTH"), "{}", said(&refused));
    let refused = backup(broker.port(), &["--pass", "wrong", "one"]);
    assert!(said(&refused).contains("WRONGPASS"), "{}", said(&refused));
    for name in ["../one", "/tmp/one", ".one"] {
        let refused = backup(broker.port(), &["--pass", "secret", name]);
        assert_eq!(refused.status.code(), Some(1));
        assert!(
            said(&refused).contains("a backup is named by"),
            "{}",
            said(&refused)
        );
    }
    let made = backup(
        broker.port(),
        &["--user", "default", "--pass", "secret", "one"],
    );
    assert!(made.status.success(), "{}", said(&made));
    assert!(
        said(&made).contains("/data/backup/one\n"),
        "{}",
        said(&made)
    );
    let again = backup(broker.port(), &["--pass", "secret", "one"]);
    assert_eq!(again.status.code(), Some(1));
    assert!(said(&again).contains("exists"), "{}", said(&again));
    assert_eq!(connection.info("persistence")["backup_last_status"], "err");
    // Without a name it is called after the time.
    let made = backup(broker.port(), &["--pass", "secret"]);
    assert!(made.status.success(), "{}", said(&made));
    assert!(said(&made).contains("Z\nposition"), "{}", said(&made));

    assert_eq!(backup(1, &[]).status.code(), Some(2));
    assert_eq!(backup(broker.port(), &["--all"]).status.code(), Some(2));
    let help = backup(broker.port(), &["--help"]);
    assert!(help.status.success() && said(&help).contains("Exit codes"));
}
