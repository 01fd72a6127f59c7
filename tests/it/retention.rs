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
