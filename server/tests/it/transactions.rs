//! MULTI and WATCH.

use crate::client::Stage;

#[test]
fn queued_commands_run_as_one() {
    let stage = Stage::new();
    let mut client = stage.client();
    client.ask("MULTI", "+OK|");
    client.ask("XADD s 1-1 a b", "+QUEUED|");
    client.ask("XADD s 1-1 a b", "+QUEUED|");
    client.ask("XLEN s", "+QUEUED|");
    client.ask("SELECT 3", "+QUEUED|");
    client.ask("XLEN s", "+QUEUED|");
    client.ask(
        "EXEC",
        "*5|$3|1-1|-ERR The ID specified in XADD is equal or smaller than the target stream top \
         item|:1|+OK|:0|",
    );
    client.ask("EXEC", "-ERR EXEC without MULTI|");
    client.ask("DISCARD", "-ERR DISCARD without MULTI|");
}

#[test]
fn a_refused_command_breaks_the_transaction() {
    let stage = Stage::new();
    let mut client = stage.client();
    for refused in ["foo", "XADD s", "SAVE", "xgroup foo"] {
        client.ask("MULTI", "+OK|");
        client.ask("XADD s * a b", "+QUEUED|");
        client.say(refused);
        assert!(client.line().starts_with("-ERR"));
        client.ask(
            "EXEC",
            "-EXECABORT Transaction discarded because of previous errors.|",
        );
    }
    client.ask("XLEN s", ":0|");
    client.ask("MULTI", "+OK|");
    client.ask("MULTI", "-ERR MULTI calls can not be nested|");
    client.ask("WATCH a", "-ERR WATCH inside MULTI is not allowed|");
    client.ask("EXEC", "*0|");
}

#[test]
fn a_touched_watch_makes_exec_do_nothing() {
    let stage = Stage::new();
    let (mut client, mut other) = (stage.client(), stage.client());
    let change = |other: &mut crate::client::Client, line: &str| {
        other.say(line);
        if other.line().starts_with('$') {
            other.line();
        }
    };
    for (before, touch, is_touched) in [
        ("PING", "XADD s 1-1 a b", true),
        ("PING", "XLEN s", false),
        ("PING", "DEL s", true),
        ("PING", "DEL s", false),
        ("XADD s 1-1 a b", "XADD other 1-1 a b", false),
        ("PING", "FLUSHALL", true),
        ("PING", "FLUSHALL", false),
        ("XADD s 1-1 a b", "SWAPDB 0 1", true),
        ("PING", "SWAPDB 0 2", false),
        ("XADD s 1-1 a b", "RENAME s t", true),
        ("PING", "RENAME t s", true),
        ("PING", "PEXPIRE s 1", true),
    ] {
        change(&mut other, before);
        client.ask("WATCH s", "+OK|");
        change(&mut other, touch);
        client.ask("MULTI", "+OK|");
        client.ask("PING", "+QUEUED|");
        client.say("EXEC");
        assert_eq!(
            client.line(),
            if is_touched { "*-1" } else { "*1" },
            "{touch}"
        );
        if !is_touched {
            client.expect("+PONG|");
        }
        client.ask("UNWATCH", "+OK|");
    }
}

#[test]
fn a_watched_key_that_expires_is_touched() {
    let stage = Stage::new();
    let mut client = stage.client();
    client.ask("XADD s 1-1 a b", "$3|1-1|");
    client.ask("PEXPIRE s 30", ":1|");
    client.ask("WATCH s", "+OK|");
    std::thread::sleep(std::time::Duration::from_millis(50));
    client.say("MULTI\r\nPING\r\nEXEC");
    client.expect("+OK|+QUEUED|*-1|");
    client.ask("WATCH s", "+OK|");
    client.say("MULTI\r\nPING\r\nEXEC");
    client.expect("+OK|+QUEUED|*1|+PONG|");
}

#[test]
fn waiters_see_a_transaction_whole() {
    let stage = Stage::new();
    let (mut waiter, mut client) = (stage.client(), stage.client());
    waiter.say("XREAD BLOCK 0 STREAMS s $");
    client.wait_for("blocked_clients", "1");
    client.say("MULTI\r\nXADD s 1-1 a b\r\nXADD s 1-2 a b\r\nEXEC");
    client.expect("+OK|+QUEUED|+QUEUED|*2|$3|1-1|$3|1-2|");
    waiter.expect("*1|*2|$1|s|*2|*2|$3|1-1|*2|$1|a|$1|b|*2|$3|1-2|*2|$1|a|$1|b|");
    waiter.say("XREAD BLOCK 0 STREAMS s $");
    client.wait_for("blocked_clients", "1");
    client.say("MULTI\r\nXADD t 1-1 a b\r\nXADD s 1-3 a b\r\nDEL s\r\nEXEC");
    client.expect("+OK|+QUEUED|+QUEUED|+QUEUED|*3|$3|1-1|$3|1-3|:1|");
    waiter.expect_silence();
    client.wait_for("blocked_clients", "1");
}
