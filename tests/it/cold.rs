//! What lies in sorted segments is looked up without the locks: no block is loaded under them.

use std::time::{Duration, Instant};

use alluvium_tests::{Broker, Connection, Value};

use crate::BROKER;

/// How long sorting may take, and other threads theirs.
const PATIENCE: Duration = Duration::from_secs(60);
/// Entries of the stream; two thirds of them and more get sorted.
const ENTRIES: u64 = 3000;
const SORTED: u64 = 2000;

/// A broker with a stream `s` of 1-0 to 3000-0 of which most is sorted, without room for blocks.
fn cold_broker() -> (Broker, Connection) {
    let options = ["--segment-size", "1048576", "--block-cache", "0"];
    let broker = Broker::start(BROKER, &options);
    let mut connection = broker.connect();
    connection.ok("CONFIG SET appendfsync no");
    let value = "v".repeat(4000);
    for id in 1..=ENTRIES {
        let id = format!("{id}-0");
        connection.call(&["XADD", "s", &id, "f", &value]).unwrap();
    }
    let start = Instant::now();
    while figure(&mut connection, "sorted_entries") < SORTED {
        assert!(start.elapsed() < PATIENCE, "sorting takes too long");
        std::thread::sleep(Duration::from_millis(10));
    }
    (broker, connection)
}

fn figure(connection: &mut Connection, name: &str) -> u64 {
    figure_of(connection, "alluvium", name)
}

fn figure_of(connection: &mut Connection, section: &str, name: &str) -> u64 {
    connection.info(section)[name].parse().unwrap()
}

/// The IDs, in milliseconds, of the entries in a reply to XRANGE.
fn ids(reply: &Value) -> Vec<u64> {
    let id = |entry: &Value| {
        let (ms, _) = entry.items()[0].text().split_once('-').unwrap();
        ms.parse().unwrap()
    };
    reply.items().iter().map(id).collect()
}

#[test]
fn no_block_is_loaded_under_the_locks_and_replies_are_those_of_a_warm_broker() {
    let (broker, mut connection) = cold_broker();
    // Other connections run while one looks up what is cold.
    let mut reader = broker.connect();
    let others = std::thread::spawn(move || {
        for at in 1..400 {
            let from = at * 4 % SORTED + 1;
            let found = reader.ok(&format!("XRANGE s {from} + COUNT 3"));
            assert_eq!(ids(&found), [from, from + 1, from + 2]);
        }
    });
    // A pipeline keeps its order: what waits for a block holds back what follows.
    for at in [5, 700, 1400] {
        connection.send(&["PING"]).unwrap();
        connection
            .send(&["XREVRANGE", "s", &format!("{at}"), "-", "COUNT", "2"])
            .unwrap();
        connection.send(&["ECHO", "behind"]).unwrap();
    }
    for at in [5, 700, 1400] {
        assert_eq!(connection.read().unwrap().text(), "PONG");
        assert_eq!(ids(&connection.read().unwrap()), [at, at - 1]);
        assert_eq!(connection.read().unwrap().text(), "behind");
    }
    assert_eq!(connection.ok("XDEL s 100-0 900-0 1700-0").int(), 3);
    assert_eq!(connection.ok("XDEL s 100-0 900-0 1700-0").int(), 0);
    connection.ok("XGROUP CREATE s g 199");
    let given = connection.ok("XREADGROUP GROUP g c COUNT 50 STREAMS s >");
    assert_eq!(ids(&given.items()[0].items()[1])[..2], [200, 201]);
    let again = connection.ok("XREADGROUP GROUP g c STREAMS s 210");
    assert_eq!(ids(&again.items()[0].items()[1])[0], 211);
    assert_eq!(
        connection.ok("XACKDEL s g DELREF IDS 1 200-0").items()[0].int(),
        1
    );
    let claimed = connection.ok("XCLAIM s g d 0 220-0 230-0");
    assert_eq!(ids(&claimed), [220, 230]);
    connection.ok("XREAD COUNT 1 STREAMS s 1500");
    connection.ok("XINFO GROUPS s");
    others.join().unwrap();
    assert_eq!(connection.ok("XTRIM s MINID 50").int(), 49);
    connection.ok("XADD s MAXLEN 2500 * f v");
    assert_eq!(connection.ok("XLEN s").int(), 2500);
    assert_eq!(figure(&mut connection, "block_loads_locked"), 0);
    assert!(figure(&mut connection, "block_loads_asked") > 400);
}

#[test]
fn a_waiter_is_given_what_is_cold_and_nobody_else_is() {
    let (broker, mut connection) = cold_broker();
    connection.ok("XGROUP CREATE s g 299");
    connection.ok("XREADGROUP GROUP g dead COUNT 3 STREAMS s >");
    connection.ok("XGROUP SETID s g $");
    // One claims what has been idle for a while, the other one wants what is new.
    let mut alive = broker.connect();
    let wait = "BLOCK 0 CLAIM 300 STREAMS s >";
    let wait: Vec<&str> = wait.split(' ').collect();
    let command = [
        &["XREADGROUP", "GROUP", "g", "alive", "COUNT", "2"],
        &wait[..],
    ]
    .concat();
    alive.send(&command).unwrap();
    let claimed = alive.read().unwrap();
    assert_eq!(ids(&claimed.items()[0].items()[1]), [300, 301]);
    // Moving the cursor back wakes nobody, but the next addition does.
    let mut waiter = broker.connect();
    let command = ["XREADGROUP", "GROUP", "g", "w", "COUNT", "2", "BLOCK", "0"];
    waiter
        .send(&[&command[..], &["STREAMS", "s", ">"]].concat())
        .unwrap();
    let start = Instant::now();
    while figure_of(&mut connection, "clients", "blocked_clients") < 1 {
        assert!(start.elapsed() < PATIENCE, "nobody waits");
    }
    connection.ok("XGROUP SETID s g 499");
    connection.ok("XADD s * f v");
    let given = waiter.read().unwrap();
    assert_eq!(ids(&given.items()[0].items()[1]), [500, 501]);
    assert_eq!(connection.ok("XPENDING s g").items()[0].int(), 5);
    assert_eq!(figure(&mut connection, "block_loads_locked"), 0);
}

#[test]
fn a_transaction_finds_what_is_cold_and_runs_once() {
    let (_broker, mut connection) = cold_broker();
    connection.ok("MULTI");
    connection.ok("XADD t * f v");
    connection.ok("XRANGE s 300 + COUNT 1");
    connection.ok("XDEL s 600-0");
    let replies = connection.ok("EXEC");
    assert_eq!(ids(&replies.items()[1]), [300]);
    assert_eq!(replies.items()[2].int(), 1);
    assert_eq!(connection.ok("XLEN t").int(), 1);
    // What has run cannot run again: these were loaded on the spot.
    assert!(figure(&mut connection, "block_loads_locked") > 0);
    assert_eq!(figure(&mut connection, "block_loads_asked"), 0);
}
