//! What streams let go by themselves, in a running broker.

use std::time::{Duration, Instant};

use alluvium_tests::{Broker, Connection};

use crate::BROKER;

/// How long it may take until something goes.
const PATIENCE: Duration = Duration::from_secs(20);

/// Waits until a stream has that length.
fn wait_for_length(connection: &mut Connection, key: &str, length: i64) {
    let start = Instant::now();
    loop {
        let found = connection.ok(&format!("XLEN {key}")).int();
        if found == length {
            return;
        }
        assert!(start.elapsed() < PATIENCE, "{key} has {found} entries");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Adds entries that are as old as can be.
fn add(connection: &mut Connection, key: &str, ids: std::ops::RangeInclusive<u64>) {
    for id in ids {
        connection.ok(&format!("XADD {key} {id}-0 f v"));
    }
}

#[test]
fn what_is_too_old_goes_and_watchers_and_listeners_learn_of_it() {
    let broker = Broker::start(BROKER, &["--notify-keyspace-events", "Kt"]);
    let (mut a, mut listener) = (broker.connect(), broker.connect());
    add(&mut a, "k", 1..=3);
    a.ok("XADD k * f v");
    a.ok("WATCH k");
    listener.ok("SUBSCRIBE __keyspace@0__:k");
    let mut b = broker.connect();
    b.ok("XCFGSET k RETENTION-AGE 3600000");
    wait_for_length(&mut b, "k", 1);
    assert_eq!(listener.read().unwrap().items()[2].text(), "xtrim");
    a.ok("MULTI");
    a.ok("XLEN k");
    let reply = a.call(&["EXEC"]).unwrap();
    assert!(reply.items().is_empty(), "{reply:?}");
    let info = b.ok("INFO alluvium");
    assert!(info.text().contains("\r\nretained_entries:3\r\n"));
}

#[test]
fn defaults_hold_for_streams_without_settings_and_may_change() {
    let mut broker = Broker::start(BROKER, &["--stream-retention-length", "5"]);
    let mut connection = broker.connect();
    add(&mut connection, "a", 1..=9);
    assert_eq!(connection.ok("XLEN a").int(), 5);
    connection.ok("XADD b 1-0 f v");
    connection.ok("XCFGSET b RETENTION-LENGTH 0 RETENTION-ACKED YES");
    add(&mut connection, "b", 2..=9);
    connection.ok("CONFIG SET stream-retention-length 2");
    wait_for_length(&mut connection, "a", 2);
    assert_eq!(connection.ok("XLEN b").int(), 9);
    connection.ok("XGROUP CREATE b g 0");
    connection.ok("XREADGROUP GROUP g c COUNT 4 STREAMS b >");
    connection.ok("XACK b g 1-0 2-0 4-0");
    // What is not acknowledged is older than seven days, and goes as well.
    wait_for_length(&mut connection, "b", 0);
    connection.ok("XCFGSET b RETENTION-ACKED-MAX-AGE 0");
    add(&mut connection, "b", 10..=19);
    connection.ok("XREADGROUP GROUP g c COUNT 4 STREAMS b >");
    connection.ok("XACK b g 10-0 11-0 13-0");
    wait_for_length(&mut connection, "b", 8);
    broker.kill();
    broker.restart();
    let mut connection = broker.connect();
    connection.ok("XACK b g 12-0");
    wait_for_length(&mut connection, "b", 6);
    wait_for_length(&mut connection, "a", 2);
}

/// Bytes of the files of the store.
fn used(broker: &Broker) -> u64 {
    let dirs = ["log", "sorted", "checkpoint"].map(|dir| broker.data().join(dir));
    let files = dirs.iter().flat_map(|dir| std::fs::read_dir(dir).unwrap());
    // A file may go while its directory is read.
    let len = |file: std::io::Result<std::fs::DirEntry>| file.unwrap().metadata().ok();
    files.filter_map(len).map(|file| file.len()).sum()
}

#[test]
fn a_quota_refuses_what_adds_data_until_there_is_room() {
    const QUOTA: u64 = 16 << 20;
    let options = ["--disk-quota", "16mb", "--segment-size", "1mb"];
    let broker = Broker::start(BROKER, &options);
    let mut connection = broker.connect();
    connection.ok("CONFIG SET appendfsync no");
    let value = "v".repeat(100_000);
    let add = |connection: &mut Connection| {
        let reply = connection.call(&["XADD", "k", "*", "f", &value]).unwrap();
        if reply.is_error("DISKFULL") {
            let text = reply.text();
            assert!(text.contains("reached disk-quota"), "{text}");
            return false;
        }
        assert!(!reply.is_error(""), "{reply:?}");
        true
    };
    let mut added = 0;
    while add(&mut connection) {
        added += 1;
        assert!(added * 100_000 < QUOTA, "nothing was refused");
    }
    assert!(used(&broker) <= QUOTA);
    let info = connection.ok("INFO alluvium").text().to_owned();
    assert!(info.contains("\r\ndisk_quota:16777216\r\n"), "{info}");
    assert!(info.contains("\r\ndisk_full:1\r\n"), "{info}");
    // What frees space goes on, and makes room.
    connection.ok("XCFGSET k RETENTION-LENGTH 10");
    wait_for_length(&mut connection, "k", 10);
    let start = Instant::now();
    while !add(&mut connection) {
        assert!(start.elapsed() < PATIENCE, "nothing is accepted");
        std::thread::sleep(Duration::from_millis(10));
    }
    // From now on retention keeps the stream below the quota.
    let mut added = 0;
    while added < 400 {
        added += u32::from(add(&mut connection));
        assert!(start.elapsed() < 10 * PATIENCE, "{added} were accepted");
    }
    assert_eq!(connection.ok("XLEN k").int(), 10);
    connection.ok("CONFIG SET disk-quota 1mb");
    while add(&mut connection) {
        assert!(start.elapsed() < 10 * PATIENCE, "nothing is refused");
    }
    connection.ok("CONFIG SET disk-quota 0");
    while !add(&mut connection) {
        assert!(start.elapsed() < 10 * PATIENCE, "nothing is accepted");
    }
}

#[test]
fn xinfo_shows_the_bytes_that_are_bounded() {
    let broker = Broker::start(BROKER, &[]);
    let mut connection = broker.connect();
    connection.ok("XADD k 1-0 f v");
    connection.ok("XCFGSET k RETENTION-BYTES 5000");
    let used = |connection: &mut Connection| {
        let info = connection.ok("XINFO STREAM k");
        let [.., bound, bytes, name, used] = info.items() else {
            panic!("{info:?}");
        };
        assert_eq!((bound.text(), bytes.int()), ("retention-bytes", 5000));
        assert_eq!(name.text(), "retention-bytes-used");
        used.int()
    };
    let of_one = used(&mut connection);
    assert!((10..100).contains(&of_one), "{of_one}");
    add(&mut connection, "k", 2..=9);
    let of_nine = used(&mut connection);
    assert!(
        (9 * of_one - 9..=9 * of_one + 9).contains(&of_nine),
        "{of_nine} of {of_one} each"
    );
}
