//! Who waits, for how long, in which order, and what ends the wait.

use std::time::{Duration, Instant};

use crate::client::{Client, Stage};

const NOGROUP: &str =
    "-NOGROUP No such key 's' or consumer group 'g' in XREADGROUP with GROUP option|";

fn blocked(client: &mut Client) -> [String; 3] {
    [
        "blocked_clients",
        "total_blocking_keys",
        "total_blocking_keys_on_nokey",
    ]
    .map(|name| client.info(name))
}

#[test]
fn waiters_are_served_in_the_order_in_which_they_blocked() {
    let stage = Stage::new();
    let mut client = stage.client();
    client.ask("XGROUP CREATE s g $ MKSTREAM", "+OK|");
    let mut waiters = Vec::new();
    for number in 1..=4 {
        let mut waiter = stage.client();
        waiter.say(&format!(
            "XREADGROUP GROUP g c{number} COUNT 1 BLOCK 0 STREAMS s >"
        ));
        client.wait_for("blocked_clients", &number.to_string());
        waiters.push(waiter);
    }
    assert_eq!(blocked(&mut client), ["4", "1", "1"]);
    client.say("MULTI\r\nXADD s 1-1 a b\r\nXADD s 1-2 a b\r\nXADD s 1-3 a b\r\nEXEC");
    for (number, waiter) in waiters.iter_mut().enumerate().take(3) {
        let id = number + 1;
        waiter.expect(&format!("*1|*2|$1|s|*1|*2|$3|1-{id}|*2|$1|a|$1|b|"));
    }
    waiters[3].expect_silence();
    drop(client);
    let mut client = stage.client();
    assert_eq!(blocked(&mut client), ["1", "1", "1"]);
    waiters[0].say("XREADGROUP GROUP g c1 COUNT 1 BLOCK 0 STREAMS s >");
    client.wait_for("blocked_clients", "2");
    client.ask("XADD s 1-4 a b", "$3|1-4|");
    waiters[3].expect("*1|*2|$1|s|*1|*2|$3|1-4|*2|$1|a|$1|b|");
    waiters[0].expect_silence();
}

#[test]
fn a_waiter_that_gets_nothing_keeps_its_deadline() {
    let stage = Stage::new();
    let mut client = stage.client();
    client.ask("XGROUP CREATE s g $ MKSTREAM", "+OK|");
    let (mut first, mut second) = (stage.client(), stage.client());
    let began = Instant::now();
    first.say("XREADGROUP GROUP g a BLOCK 0 STREAMS s >");
    client.wait_for("blocked_clients", "1");
    second.say("XREADGROUP GROUP g b BLOCK 1000 STREAMS s >");
    client.wait_for("blocked_clients", "2");
    std::thread::sleep(Duration::from_millis(500));
    client.ask("XADD s 1-1 a b", "$3|1-1|");
    first.expect("*1|*2|$1|s|*1|*2|$3|1-1|*2|$1|a|$1|b|");
    second.expect("*-1|");
    let took = began.elapsed();
    assert!(
        (Duration::from_millis(990)..Duration::from_millis(1400)).contains(&took),
        "{took:?}"
    );
    assert_eq!(blocked(&mut client), ["0", "0", "0"]);
}

#[test]
fn removal_wakes_readers_of_groups_only() {
    let stage = Stage::new();
    let mut client = stage.client();
    for removal in [
        "DEL s",
        "UNLINK s",
        "FLUSHALL",
        "FLUSHDB",
        "RENAME s t",
        "XGROUP DESTROY s g",
        "PEXPIRE s 20",
        "SWAPDB 0 1",
    ] {
        client.ask("FLUSHALL", "+OK|");
        client.ask("XGROUP CREATE s g $ MKSTREAM", "+OK|");
        let (mut group, mut reader) = (stage.client(), stage.client());
        group.say("XREADGROUP GROUP g c BLOCK 0 STREAMS s >");
        client.wait_for("blocked_clients", "1");
        reader.say("XREAD BLOCK 0 STREAMS s $");
        client.wait_for("blocked_clients", "2");
        client.say(removal);
        client.line();
        group.expect(NOGROUP);
        reader.expect_silence();
        assert_eq!(blocked(&mut client), ["1", "1", "0"], "{removal}");
        drop(reader);
        client.wait_for("blocked_clients", "0");
    }
}

#[test]
fn data_that_comes_by_other_ways_wakes_readers() {
    let stage = Stage::new();
    let mut client = stage.client();
    let mut reader = stage.client();
    reader.say("XREAD BLOCK 0 STREAMS s 0");
    client.wait_for("blocked_clients", "1");
    client.say("XADD t 1-1 a b\r\nRENAME t s");
    client.expect("$3|1-1|+OK|");
    reader.expect("*1|*2|$1|s|*1|*2|$3|1-1|*2|$1|a|$1|b|");
    reader.say("SELECT 5\r\nXREAD BLOCK 0 STREAMS s 0");
    reader.expect("+OK|");
    client.wait_for("blocked_clients", "1");
    client.ask("SWAPDB 0 5", "+OK|");
    reader.expect("*1|*2|$1|s|*1|*2|$3|1-1|*2|$1|a|$1|b|");
}

#[test]
fn every_stream_of_a_read_is_read_from_its_own_id() {
    let stage = Stage::new();
    let mut client = stage.client();
    client.say("XADD a 1-1 f v\r\nXADD b 1-1 f v\r\nXADD b 1-2 f v");
    client.expect("$3|1-1|$3|1-1|$3|1-2|");
    let entry = |id: &str| format!("*1|*2|$3|{id}|*2|$1|f|$1|v|");
    let both = format!("*2|*2|$1|a|{}*2|$1|b|{}", entry("1-1"), entry("1-2"));
    client.ask("XREAD STREAMS a b 0 1-1", &both);
    client.ask("XREAD COUNT 9223372036854775807 STREAMS a b 0 1-1", &both);
}

/// The only entry of a reply to CLAIM, and for how long it had been pending how often.
fn expect_claimed(waiter: &mut Client, id: &str) -> (u64, u64) {
    waiter.expect(&format!("*1|*2|$1|s|*1|*4|$3|{id}|*2|$1|a|$1|b|"));
    let mut number = || waiter.line()[1..].parse().unwrap();
    (number(), number())
}

#[test]
fn who_waits_to_claim_is_woken_when_entries_grow_old() {
    let stage = Stage::new();
    let mut client = stage.client();
    client.ask("XGROUP CREATE s g $ MKSTREAM", "+OK|");
    let (mut waiter, mut impatient) = (stage.client(), stage.client());
    waiter.say("XREADGROUP GROUP g y BLOCK 0 CLAIM 400 STREAMS s >");
    client.wait_for("blocked_clients", "1");
    let began = Instant::now();
    impatient.say("XREADGROUP GROUP g z BLOCK 100 CLAIM 60000 STREAMS s >");
    client.wait_for("blocked_clients", "2");
    // Only when it is delivered to another one there is something that will grow old.
    client.say("MULTI\r\nXADD s 1-1 a b\r\nXREADGROUP GROUP g x STREAMS s >\r\nEXEC");
    client.expect("+OK|+QUEUED|+QUEUED|*2|$3|1-1|*1|*2|$1|s|*1|*2|$3|1-1|*2|$1|a|$1|b|");
    let delivered = Instant::now();
    impatient.expect("*-1|");
    assert!(began.elapsed() >= Duration::from_millis(80));
    let (idle_ms, deliveries) = expect_claimed(&mut waiter, "1-1");
    assert!(delivered.elapsed() >= Duration::from_millis(380));
    assert!(idle_ms >= 400 && deliveries == 1);
}

#[test]
fn what_is_given_back_goes_to_who_waits_to_claim() {
    let stage = Stage::new();
    let mut client = stage.client();
    client.ask("XADD s 1-1 a b", "$3|1-1|");
    client.ask("XGROUP CREATE s g 0", "+OK|");
    client.ask(
        "XREADGROUP GROUP g x STREAMS s >",
        "*1|*2|$1|s|*1|*2|$3|1-1|*2|$1|a|$1|b|",
    );
    let (mut waiter, mut reader) = (stage.client(), stage.client());
    reader.say("XREADGROUP GROUP g z BLOCK 0 STREAMS s >");
    waiter.say("XREADGROUP GROUP g y BLOCK 0 CLAIM 60000 STREAMS s >");
    client.wait_for("blocked_clients", "2");
    client.ask("XNACK s g FAIL IDS 1 1-1", ":1|");
    let (_, deliveries) = expect_claimed(&mut waiter, "1-1");
    assert_eq!(deliveries, 1);
    reader.expect_silence();
}

#[test]
fn waits_end_on_request_and_with_the_connection() {
    let stage = Stage::new();
    let mut client = stage.client();
    let mut waiter = stage.client();
    waiter.say("CLIENT ID");
    let id = waiter.line()[1..].to_owned();
    waiter.say("XREAD BLOCK 0 STREAMS a b a $ $ $\r\nPING");
    client.wait_for("blocked_clients", "1");
    assert_eq!(blocked(&mut client), ["1", "2", "0"]);
    client.ask(&format!("CLIENT UNBLOCK {id}"), ":1|");
    waiter.expect("*-1|+PONG|");
    client.ask(&format!("CLIENT UNBLOCK {id}"), ":0|");
    waiter.say("XREAD BLOCK 0 STREAMS a $");
    client.wait_for("blocked_clients", "1");
    client.ask(&format!("CLIENT UNBLOCK {id} ERROR"), ":1|");
    waiter.expect("-UNBLOCKED client unblocked via CLIENT UNBLOCK|");
    waiter.say("XREAD BLOCK 0 STREAMS a $");
    client.wait_for("blocked_clients", "1");
    drop(waiter);
    client.wait_for("blocked_clients", "0");
    assert_eq!(blocked(&mut client), ["0", "0", "0"]);
    let mut waiter = stage.client();
    waiter.say("CLIENT ID");
    let id = waiter.line()[1..].to_owned();
    waiter.say("XREAD BLOCK 0 STREAMS a $");
    client.wait_for("blocked_clients", "1");
    client.ask(&format!("CLIENT KILL ID {id}"), ":1|");
    waiter.expect_end();
}

#[test]
fn nothing_waits_inside_a_transaction() {
    let stage = Stage::new();
    let mut client = stage.client();
    client.say("MULTI\r\nXREAD BLOCK 0 STREAMS s $\r\nEXEC");
    client.expect("+OK|+QUEUED|*1|*-1|");
}

#[test]
fn a_pause_holds_commands_back() {
    let stage = Stage::new();
    let (mut client, mut other) = (stage.client(), stage.client());
    client.ask("CLIENT PAUSE 60000 WRITE", "+OK|");
    other.ask("XLEN s", ":0|");
    other.say("XADD s 1-1 a b\r\nXLEN s");
    other.expect_silence();
    client.ask("XLEN s", ":0|");
    client.ask("CLIENT UNPAUSE", "+OK|");
    other.expect("$3|1-1|:1|");
    client.ask("CLIENT PAUSE 100 ALL", "+OK|");
    let began = Instant::now();
    client.ask("PING", "+PONG|");
    assert!(began.elapsed() >= Duration::from_millis(80));
}
