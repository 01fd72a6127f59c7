//! How a broker starts and ends: what it refuses, what it says, what it leaves behind.

use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use alluvium_tests::{Broker, Connection, Value};

use crate::BROKER;

/// Runs the broker with these options until it ends by itself.
fn run(options: &[&str]) -> Output {
    let home = tempfile::tempdir().unwrap();
    let child = Command::new(BROKER)
        .current_dir(&home)
        .args(options)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let id = child.id().to_string();
    let watchdog = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_secs(20));
        // Only a broker that does not end is still there.
        let _late = Command::new("kill")
            .args(["-9", &id])
            .stderr(Stdio::null())
            .status();
    });
    let output = child.wait_with_output().unwrap();
    drop(watchdog);
    output
}

fn text(output: &Output) -> String {
    let both = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    String::from_utf8(both).unwrap()
}

/// All that XINFO tells of a stream, without the times.
fn known_of(connection: &mut Connection, stream: &str) -> String {
    let mut full = connection.ok(&format!("XINFO STREAM {stream} FULL COUNT 0"));
    forget_times(&mut full);
    format!("{full:?}")
}

fn forget_times(value: &mut Value) {
    let Value::Array(items) = value else { return };
    for at in 0..items.len() {
        let is_time = ["seen-time", "active-time"]
            .iter()
            .any(|it| items[at] == bulk(it));
        if is_time {
            items[at + 1] = Value::Null;
        }
        forget_times(&mut items[at]);
    }
}

fn bulk(text: &str) -> Value {
    Value::Bulk(text.into())
}

#[test]
fn a_second_broker_on_the_same_directory_is_refused() {
    let broker = Broker::start(BROKER, &[]);
    let output = run(&["--port", "0", "--dir", broker.data().to_str().unwrap()]);
    assert!(!output.status.success());
    assert!(text(&output).contains("LOCK"), "{}", text(&output));
    assert_eq!(broker.connect().ok("PING").text(), "PONG");
}

/// A thread that cannot be made when a command needs it would take the command with it.
#[test]
fn all_threads_exist_from_the_start() {
    let broker = Broker::start(BROKER, &[]);
    let threads = || {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", broker.process()));
        tasks.expect("the broker runs").count()
    };
    let mut connection = broker.connect();
    let at_start = threads();
    connection.ok(&format!("XADD s * field {}", "x".repeat(100_000)));
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let mut connection = broker.connect();
                for _ in 0..20 {
                    // A dump is made by a thread that may block.
                    assert!(matches!(connection.ok("DUMP s"), Value::Bulk(_)));
                }
            });
        }
    });
    connection.ok("BGSAVE");
    assert_eq!(threads(), at_start);
}

#[test]
fn a_public_address_needs_a_password() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().to_str().unwrap();
    let output = run(&["--port", "0", "--bind", "0.0.0.0", "--dir", dir]);
    assert!(!output.status.success());
    assert!(text(&output).contains("requirepass"), "{}", text(&output));
}

#[test]
fn help_and_version_are_told_without_a_store() {
    let help = run(&["--help"]);
    assert!(help.status.success());
    assert!(text(&help).contains("--appendfsync"), "{}", text(&help));
    let version = run(&["--version"]);
    assert!(version.status.success());
    assert!(
        text(&version).contains(env!("CARGO_PKG_VERSION")),
        "{}",
        text(&version)
    );
}

#[test]
fn a_wrong_value_is_refused() {
    let output = run(&["--appendfsync", "sometimes"]);
    assert!(!output.status.success());
    assert!(text(&output).contains("appendfsync"), "{}", text(&output));
}

#[test]
fn a_configuration_file_is_read_and_the_command_line_wins() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("redis.conf");
    let lines = "# as for redis\nappendfsync no\nstream-node-max-entries 7\nmaxmemory 1gb\n\
                 activedefrag no\n";
    std::fs::write(&file, lines).unwrap();
    let broker = Broker::start(
        BROKER,
        &[file.to_str().unwrap(), "--appendfsync", "everysec"],
    );
    let mut connection = broker.connect();
    let value = |reply: Value| reply.items()[1].text().to_owned();
    assert_eq!(value(connection.ok("CONFIG GET appendfsync")), "everysec");
    assert_eq!(
        value(connection.ok("CONFIG GET stream-node-max-entries")),
        "7"
    );
    let said = broker.said();
    assert!(said.contains("activedefrag"), "{said}");
}

#[test]
fn sigterm_ends_in_order_and_loses_nothing() {
    let mut broker = Broker::start(BROKER, &["--appendfsync", "no"]);
    let mut connection = broker.connect();
    connection.ok("XGROUP CREATE s g 0 MKSTREAM");
    for number in 0..100 {
        connection.ok(&format!("XADD s {}-1 number {number}", number + 1));
    }
    connection.ok("XREADGROUP GROUP g c COUNT 10 STREAMS s >");
    connection.ok("XACK s g 1-1 2-1");
    let before = known_of(&mut connection, "s");
    assert_eq!(broker.terminate().code(), Some(0));
    broker.restart();
    assert_eq!(known_of(&mut broker.connect(), "s"), before);
    assert_eq!(broker.shut_down().code(), Some(0));
}

#[test]
fn what_info_shows_before_a_kill_it_shows_after_it() {
    let mut broker = Broker::start(BROKER, &["--appendfsync", "no"]);
    let mut connection = broker.connect();
    for stream in ["s", "t"] {
        connection.ok(&format!("XGROUP CREATE {stream} g 0 MKSTREAM"));
        connection.ok(&format!("XGROUP CREATE {stream} h $ ENTRIESREAD 3"));
        for number in 1..=250 {
            connection.ok(&format!("XADD {stream} {number}-{number} number {number}"));
        }
        for line in [
            "XREADGROUP GROUP g one COUNT 20 STREAMS KEY >",
            "XREADGROUP GROUP g two COUNT 20 STREAMS KEY >",
            "XREADGROUP GROUP g two STREAMS KEY 0",
            "XREADGROUP GROUP h idle COUNT 5 NOACK STREAMS KEY >",
            "XCLAIM KEY g one 0 25-25 26-26 RETRYCOUNT 9",
            "XACK KEY g 1-1 2-2 30-30",
            "XDEL KEY 5-5 6-6 250-250",
            "XAUTOCLAIM KEY g three 0 0 COUNT 3",
            "XTRIM KEY MAXLEN ~ 150",
            "XTRIM KEY MINID 120",
            "XGROUP SETID KEY h 200-200 ENTRIESREAD 200",
            "XGROUP CREATECONSUMER KEY h never",
            "XSETID KEY 400-1 ENTRIESADDED 500 MAXDELETEDID 300-1",
        ] {
            connection.ok(&line.replace("KEY", stream));
        }
    }
    connection.ok("RENAME t u");
    connection.ok("COPY u v");
    connection.ok("EXPIRE v 10000");
    let names = ["s", "u", "v"];
    let before = names.map(|name| known_of(&mut connection, name));
    broker.kill();
    broker.restart();
    let mut connection = broker.connect();
    assert_eq!(names.map(|name| known_of(&mut connection, name)), before);
    assert_eq!(connection.ok("DBSIZE").int(), 3);
    assert!((9_900..=10_000).contains(&connection.ok("TTL v").int()));
}

#[test]
fn a_start_says_what_was_recovered_and_where_it_listens() {
    let mut broker = Broker::start(BROKER, &[]);
    broker.connect().ok("XADD s 1-1 f v");
    broker.kill();
    broker.restart();
    let said = broker.said();
    assert!(said.contains(&broker.port().to_string()), "{said}");
    assert!(said.contains("always"), "{said}");
    assert!(said.contains("recovered"), "{said}");
}

#[test]
fn a_restart_does_not_read_all_data() {
    let mut broker = Broker::start(BROKER, &["--appendfsync", "no"]);
    let mut connection = broker.connect();
    let value = "v".repeat(1000);
    for number in 0..60_000 {
        connection
            .send(&["XADD", "s", &format!("{}-1", number + 1), "f", &value])
            .unwrap();
        if number % 100 == 99 {
            for _ in 0..100 {
                connection.read().unwrap();
            }
        }
    }
    connection.ok("SAVE");
    broker.kill();
    let start = Instant::now();
    broker.restart();
    assert!(
        start.elapsed() < Duration::from_secs(3),
        "took {:?}",
        start.elapsed()
    );
    assert_eq!(broker.connect().ok("XLEN s").int(), 60_000);
}

#[test]
fn every_listed_parameter_can_be_set_back() {
    let broker = Broker::start(BROKER, &[]);
    let mut connection = broker.connect();
    let listed = connection.ok("CONFIG GET *");
    assert!(
        listed.items().len() > 40,
        "only {} words",
        listed.items().len()
    );
    for pair in listed.items().chunks(2) {
        let [name, value] = [pair[0].text(), pair[1].text()];
        let reply = connection.call(&["CONFIG", "SET", name, value]).unwrap();
        assert_eq!(
            reply,
            Value::Simple("OK".into()),
            "CONFIG SET {name} {value:?}"
        );
    }
    assert_eq!(connection.ok("CONFIG GET *"), listed);
}
