//! What operators and their tools rely on: parameters, figures, connections, messages.

use std::time::{Duration, Instant};

use alluvium_tests::{Broker, Connection, Value};

use crate::BROKER;

/// A broker that obeys DEBUG, and a connection to it.
fn broker() -> (Broker, Connection) {
    let broker = Broker::start(BROKER, &["--enable-debug-command", "yes"]);
    let connection = broker.connect();
    (broker, connection)
}

fn refusal(connection: &mut Connection, args: &[&str]) -> String {
    match connection.call(args).unwrap() {
        Value::Error(text) => text,
        other => panic!("{args:?} was not refused: {other:?}"),
    }
}

/// Waits until a claim comes true.
fn eventually(what: &str, mut claim: impl FnMut() -> bool) {
    let start = Instant::now();
    while !claim() {
        assert!(start.elapsed() < Duration::from_secs(20), "{what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn every_parameter_that_is_listed_can_be_set_back() {
    let (_broker, mut connection) = broker();
    let listed = connection.ok("CONFIG GET *").items().to_vec();
    assert!(listed.len() > 100);
    for pair in listed.chunks(2) {
        let reply = connection
            .call(&["CONFIG", "SET", pair[0].text(), pair[1].text()])
            .unwrap();
        assert_eq!(reply.text(), "OK", "{pair:?}");
    }
    assert_eq!(connection.ok("CONFIG GET *").items(), listed);
}

#[test]
fn config_set_changes_all_or_nothing() {
    let (_broker, mut connection) = broker();
    let text = refusal(
        &mut connection,
        &["CONFIG", "SET", "timeout", "7", "maxclients", "x"],
    );
    assert_eq!(
        text,
        "ERR CONFIG SET failed (possibly related to argument 'maxclients') - \
         argument couldn't be parsed into an integer"
    );
    assert_eq!(connection.ok("CONFIG GET timeout").items()[1].text(), "0");
    let text = refusal(
        &mut connection,
        &["CONFIG", "SET", "timeout", "7", "nosuch", "1"],
    );
    assert_eq!(
        text,
        "ERR Unknown option or number of arguments for CONFIG SET - 'nosuch'"
    );
    let text = refusal(&mut connection, &["CONFIG", "SET", "port", "1"]);
    assert!(text.ends_with("- can't set immutable config"), "{text}");
    connection.ok("CONFIG SET timeout 7 maxclients 100");
    assert_eq!(
        connection.ok("CONFIG GET timeout maxclients").items().len(),
        4
    );
}

#[test]
fn rewritten_configuration_is_read_at_the_next_start() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("alluvium.conf");
    std::fs::write(&file, "# mine\ntimeout 5\n").unwrap();
    let include = ["--include", file.to_str().unwrap()];
    let mut broker = Broker::start(BROKER, &include);
    let mut connection = broker.connect();
    connection.ok("CONFIG SET timeout 9 slowlog-max-len 3");
    connection.ok("CONFIG REWRITE");
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.starts_with("# mine\ntimeout 9\n"), "{text}");
    drop(connection);
    broker.kill();
    broker.restart();
    let shown = broker.connect().ok("CONFIG GET timeout slowlog-max-len");
    let values: Vec<&str> = shown.items().iter().map(Value::text).collect();
    assert!(values.contains(&"9") && values.contains(&"3"), "{values:?}");
}

#[test]
fn info_counts_who_waits_for_what() {
    let (broker, mut connection) = broker();
    connection.ok("XGROUP CREATE s g $ MKSTREAM");
    let mut reader = broker.connect();
    reader
        .send(&["XREAD", "BLOCK", "0", "STREAMS", "a", "b", "$", "$"])
        .unwrap();
    let mut worker = broker.connect();
    let words = "XREADGROUP GROUP g c BLOCK 0 STREAMS s >";
    worker.send(&words.split(' ').collect::<Vec<_>>()).unwrap();
    eventually("both wait", || {
        connection.info("clients")["blocked_clients"] == "2"
    });
    let fields = connection.info("clients");
    assert_eq!(fields["total_blocking_keys"], "3");
    assert_eq!(fields["total_blocking_keys_on_nokey"], "1");
    connection.ok("XADD a 1-1 f v");
    assert_eq!(reader.read().unwrap().items().len(), 1);
    connection.ok("DEL s");
    assert!(worker.read().unwrap().is_error("NOGROUP"));
    let fields = connection.info("clients");
    assert_eq!(fields["blocked_clients"], "0");
    assert_eq!(fields["total_blocking_keys"], "0");
    assert_eq!(fields["total_blocking_keys_on_nokey"], "0");
}

#[test]
fn info_counts_errors_and_calls_exactly() {
    let (_broker, mut connection) = broker();
    connection.ok("CONFIG RESETSTAT");
    connection.ok("XADD s 1-1 f v");
    refusal(&mut connection, &["XADD", "s", "1-1", "f", "v"]);
    refusal(&mut connection, &["XADD", "s"]);
    refusal(
        &mut connection,
        &["XREADGROUP", "GROUP", "g", "c", "STREAMS", "s", ">"],
    );
    refusal(&mut connection, &["NOSUCHCOMMAND"]);
    let fields = connection.info("");
    assert_eq!(fields["errorstat_ERR"], "count=3");
    assert_eq!(fields["errorstat_NOGROUP"], "count=1");
    assert_eq!(fields["total_error_replies"], "4");
    assert!(
        fields["cmdstat_xadd"].starts_with("calls=2,"),
        "{}",
        fields["cmdstat_xadd"]
    );
    assert!(fields["cmdstat_xadd"].ends_with("rejected_calls=1,failed_calls=1"));
    assert!(fields["cmdstat_xreadgroup"].ends_with("rejected_calls=0,failed_calls=1"));
    assert_eq!(fields["db0"], "keys=1,expires=0,avg_ttl=0");
}

#[test]
fn changes_are_counted_since_the_last_save() {
    let (_broker, mut connection) = broker();
    let changes = |connection: &mut Connection| -> u64 {
        connection.info("persistence")["rdb_changes_since_last_save"]
            .parse()
            .unwrap()
    };
    connection.ok("SAVE");
    assert_eq!(changes(&mut connection), 0);
    connection.ok("XADD s 1-1 f v");
    connection.ok("XLEN s");
    assert_eq!(changes(&mut connection), 1);
    assert_eq!(connection.ok("BGSAVE").text(), "Background saving started");
    eventually("the checkpoint is taken", || {
        connection.info("persistence")["rdb_bgsave_in_progress"] == "0"
    });
    assert_eq!(changes(&mut connection), 0);
    assert!(connection.ok("LASTSAVE").int() > 1_600_000_000);
}

#[test]
fn client_unblock_ends_a_wait_as_it_is_told() {
    let (broker, mut connection) = broker();
    let mut reader = broker.connect();
    let id = reader.ok("CLIENT ID").int().to_string();
    for (how, is_error) in [("TIMEOUT", false), ("ERROR", true)] {
        reader
            .send(&["XREAD", "BLOCK", "0", "STREAMS", "s", "$"])
            .unwrap();
        eventually("it waits", || {
            connection
                .call(&["CLIENT", "UNBLOCK", &id, how])
                .unwrap()
                .int()
                == 1
        });
        let reply = reader.read().unwrap();
        if is_error {
            assert_eq!(
                reply,
                Value::Error("UNBLOCKED client unblocked via CLIENT UNBLOCK".to_owned())
            );
        } else {
            assert_eq!(reply, Value::NullArray);
        }
    }
    assert_eq!(
        connection.call(&["CLIENT", "UNBLOCK", &id]).unwrap().int(),
        0
    );
}

#[test]
fn client_kill_ends_those_who_are_meant() {
    let (broker, mut connection) = broker();
    let mut victim = broker.connect();
    let mut other = broker.connect();
    let id = victim.ok("CLIENT ID").int().to_string();
    let line = connection.ok(&format!("CLIENT LIST ID {id}"));
    assert!(
        line.text().starts_with(&format!("id={id} addr=127.0.0.1:")),
        "{line:?}"
    );
    assert_eq!(connection.ok(&format!("CLIENT KILL ID {id}")).int(), 1);
    assert!(victim.read().is_err());
    assert_eq!(other.ok("PING").text(), "PONG");
    assert_eq!(
        refusal(&mut connection, &["CLIENT", "KILL", "1.2.3.4:5"]),
        "ERR No such client"
    );
}

#[test]
fn a_pause_for_writers_lets_readers_through() {
    let (_broker, mut connection) = broker();
    connection.ok("CLIENT PAUSE 200 WRITE");
    let start = Instant::now();
    assert_eq!(connection.ok("XLEN s").int(), 0);
    connection.ok("XADD s 1-1 f v");
    assert!(start.elapsed() >= Duration::from_millis(190));
}

#[test]
fn messages_reach_channels_and_patterns() {
    let (broker, mut connection) = broker();
    connection.ok("CONFIG SET notify-keyspace-events KEt");
    let mut listener = broker.connect();
    let reply = listener.ok("SUBSCRIBE news");
    assert_eq!(reply.items()[2].int(), 1);
    listener.ok("PSUBSCRIBE __key*__:*");
    let text = refusal(&mut listener, &["XLEN", "s"]);
    assert_eq!(
        text,
        "ERR Can't execute 'xlen': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET \
         are allowed in this context"
    );
    assert_eq!(connection.ok("PUBLISH news hello").int(), 1);
    assert_eq!(listener.read().unwrap().items()[2].text(), "hello");
    connection.ok("XADD s 1-1 f v");
    let texts = |value: &Value| -> Vec<String> {
        value
            .items()
            .iter()
            .map(|item| item.text().to_owned())
            .collect()
    };
    let event = listener.read().unwrap();
    assert_eq!(texts(&event)[2..], ["__keyspace@0__:s", "xadd"]);
    let event = listener.read().unwrap();
    assert_eq!(texts(&event)[2..], ["__keyevent@0__:xadd", "s"]);
    let numbers = connection.ok("PUBSUB NUMSUB news none");
    assert_eq!((numbers.items()[1].int(), numbers.items()[3].int()), (1, 0));
    assert_eq!(connection.ok("PUBSUB NUMPAT").int(), 1);
}

#[test]
fn monitor_shows_a_transaction_in_its_order() {
    let (broker, mut connection) = broker();
    let mut monitor = broker.connect();
    monitor.ok("MONITOR");
    connection.ok("MULTI");
    connection.ok("XADD s 1-1 f v");
    connection.ok("EXEC");
    for words in [
        "\"MULTI\"",
        "\"XADD\" \"s\" \"1-1\" \"f\" \"v\"",
        "\"EXEC\"",
    ] {
        let line = monitor.read().unwrap();
        assert!(line.text().ends_with(words), "{line:?} instead of {words}");
    }
}

#[test]
fn debug_reload_keeps_everything() {
    let (_broker, mut connection) = broker();
    connection.ok("XADD s 1-1 f v");
    connection.ok("XGROUP CREATE s g 0");
    connection.ok("XREADGROUP GROUP g c STREAMS s >");
    let before = connection.ok("XINFO STREAM s FULL");
    connection.ok("DEBUG RELOAD");
    connection.ok("DEBUG LOADAOF");
    assert_eq!(connection.ok("XINFO STREAM s FULL"), before);
}

#[test]
fn debug_is_refused_unless_it_is_enabled() {
    let broker = Broker::start(BROKER, &[]);
    let text = refusal(&mut broker.connect(), &["DEBUG", "SLEEP", "0"]);
    assert!(text.starts_with("ERR DEBUG command not allowed."), "{text}");
}

#[test]
fn slow_commands_and_latencies_are_noted() {
    let (_broker, mut connection) = broker();
    connection.ok("CONFIG SET slowlog-log-slower-than 20000 latency-monitor-threshold 20");
    connection.ok("DEBUG SLEEP 0.03");
    let entries = connection.ok("SLOWLOG GET");
    let newest = entries.items()[0].items();
    assert!(newest[2].int() >= 30_000);
    assert_eq!(newest[3].items()[1].text(), "SLEEP");
    let latest = connection.ok("LATENCY LATEST");
    assert_eq!(latest.items()[0].items()[0].text(), "command");
    assert!(latest.items()[0].items()[2].int() >= 30);
    assert_eq!(connection.ok("LATENCY RESET").int(), 1);
    connection.ok("SLOWLOG RESET");
    assert_eq!(connection.ok("SLOWLOG LEN").int(), 0);
}

#[test]
fn commands_describe_themselves() {
    let (_broker, mut connection) = broker();
    let count = connection.ok("COMMAND COUNT").int();
    assert_eq!(
        i64::try_from(connection.ok("COMMAND").items().len()).unwrap(),
        count
    );
    let docs = connection.ok("COMMAND DOCS xadd xgroup|create");
    assert_eq!(docs.items().len(), 4);
    let keys = connection.ok("COMMAND GETKEYS XREAD COUNT 2 STREAMS a b 0 0");
    let keys: Vec<&str> = keys.items().iter().map(Value::text).collect();
    assert_eq!(keys, ["a", "b"]);
    let named = connection.ok("COMMAND LIST FILTERBY PATTERN xread*");
    assert_eq!(named.items().len(), 2);
}
