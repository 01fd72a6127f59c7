//! Requests in every shape, limits, and what a client may not do.

use std::io::Write as _;
use std::net::Shutdown;

use crate::client::Stage;

#[test]
fn arrays_and_inline_commands_are_served_in_order() {
    let stage = Stage::new();
    let mut client = stage.client();
    client.send(
        "*1\r\n$4\r\nPING\r\nECHO \"a\\x41 b\"\r\n*2\r\n$4\r\necho\r\n$0\r\n\r\n\r\n*0\r\nping\n",
    );
    client.expect("+PONG|$4|aA b|$0||+PONG|");
}

#[test]
fn a_request_may_come_byte_by_byte() {
    let stage = Stage::new();
    let mut client = stage.client();
    for byte in b"*5\r\n$4\r\nXADD\r\n$1\r\ns\r\n$3\r\n1-1\r\n$1\r\nf\r\n$3\r\na\r\n\r\n" {
        client.send([*byte]);
    }
    client.expect("$3|1-1|");
    client.ask("XRANGE s - +", "*1|*2|$3|1-1|*2|$1|f|$3|a\r\n|");
}

#[test]
fn protocol_errors_are_named_and_end_the_connection() {
    let stage = Stage::new();
    for (bytes, words) in [
        ("*x\r\n", "invalid multibulk length"),
        ("*1\r\n$9999999999\r\n", "invalid bulk length"),
        ("*1\r\n+OK\r\n", "expected '$', got '+'"),
        ("ECHO \"a\r\n", "unbalanced quotes in request"),
    ] {
        let mut client = stage.client();
        client.send(format!("PING\r\n{bytes}PING\r\n"));
        client.expect(&format!("+PONG|-ERR Protocol error: {words}|"));
        client.expect_end();
    }
    let mut client = stage.client();
    client.send("x".repeat(70_000));
    client.expect("-ERR Protocol error: too big inline request|");
}

#[test]
fn unknown_commands_and_wrong_arity_are_refused_in_redis_words() {
    let stage = Stage::new();
    let mut client = stage.client();
    client.ask(
        "foo bar baz",
        "-ERR unknown command 'foo', with args beginning with: 'bar' 'baz' |",
    );
    client.ask("echo", "-ERR wrong number of arguments for 'echo' command|");
    client.ask(
        "xgroup create a",
        "-ERR wrong number of arguments for 'xgroup\x01create' command|",
    );
}

#[test]
fn strangers_are_told_to_authenticate() {
    let stage = Stage::with(|config| config.requirepass = b"secret".to_vec());
    let mut client = stage.client();
    client.ask("PING", "-NOAUTH Authentication required.|");
    client.ask(
        "AUTH wrong",
        "-WRONGPASS invalid username-password pair or user is disabled.|",
    );
    client.send("AUTH secret\r\nPING\r\n");
    client.expect("+OK|+PONG|");
    let mut stranger = stage.client();
    stranger.send("*11\r\n");
    stranger.expect("-ERR Protocol error: unauthenticated multibulk length|");
    stranger.expect_end();
    let mut client = stage.client();
    client.say("HELLO 3 AUTH default secret SETNAME me");
    client.expect("%7|");
}

#[test]
fn a_pipeline_longer_than_all_buffers_is_sent_before_any_reply_is_read() {
    let stage = Stage::new();
    let mut client = stage.client();
    let argument = "x".repeat(1000);
    let request = format!("*2\r\n$4\r\nECHO\r\n$1000\r\n{argument}\r\n");
    let count = 40_000;
    client.send(request.repeat(count));
    let reply = format!("$1000\r\n{argument}\r\n");
    for _ in 0..count {
        assert_eq!(client.read(reply.len()), reply.as_bytes());
    }
}

#[test]
fn large_arguments_pass() {
    let stage = Stage::new();
    let mut client = stage.client();
    let argument = "y".repeat(5 << 20);
    client.send(format!(
        "*2\r\n$4\r\nECHO\r\n${}\r\n{argument}\r\n",
        argument.len()
    ));
    client.expect(&format!("${}|{argument}|", argument.len()));
}

#[test]
fn a_request_beyond_the_query_buffer_ends_the_connection() {
    let stage = Stage::with(|config| config.client_query_buffer_limit = 1 << 20);
    let mut client = stage.client();
    client.send("*2\r\n$4\r\nECHO\r\n$3000000\r\n");
    client.send(vec![b'z'; (1 << 20) + 4096]);
    client.expect_end();
}

#[test]
fn long_ranges_are_streamed_whole() {
    let stage = Stage::new();
    let mut client = stage.client();
    let value = "v".repeat(3000);
    let count = 500;
    for id in 1..=count {
        client.send(format!("XADD s {id} f {value}\r\n"));
    }
    for id in 1..=count {
        let id = format!("{id}-0");
        client.expect(&format!("${}|{id}|", id.len()));
    }
    client.say("XRANGE s - +\r\nPING");
    client.expect(&format!("*{count}|"));
    for id in 1..=count {
        let id = format!("{id}-0");
        client.expect(&format!("*2|${}|{id}|*2|$1|f|$3000|{value}|", id.len()));
    }
    client.expect("+PONG|");
}

#[test]
fn replies_can_be_switched_off_and_skipped() {
    let stage = Stage::new();
    let mut client = stage.client();
    client.say("CLIENT REPLY SKIP\r\nECHO a\r\nECHO b");
    client.expect("$1|b|");
    client.say("CLIENT REPLY OFF\r\nECHO a\r\nfoo\r\nCLIENT REPLY ON\r\nECHO c");
    client.expect("+OK|$1|c|");
}

#[test]
fn a_client_may_close_its_half_after_a_request() {
    let stage = Stage::new();
    let mut stream = std::net::TcpStream::connect(stage.broker.address()).unwrap();
    stream.write_all(b"PING\r\n").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut reply = String::new();
    std::io::Read::read_to_string(&mut stream, &mut reply).unwrap();
    assert_eq!(reply, "+PONG\r\n");
}

#[test]
fn messages_reach_subscribers_and_the_publisher_itself() {
    let stage = Stage::new();
    let (mut one, mut two) = (stage.client(), stage.client());
    one.ask("SUBSCRIBE news", "*3|$9|subscribe|$4|news|:1|");
    one.ask(
        "GET x",
        "-ERR Can't execute 'get': only (P\x01S)SUBSCRIBE / (P\x01S)UNSUBSCRIBE / PING / QUIT / \
         RESET are allowed in this context|",
    );
    two.say("HELLO 3");
    while two.line() != "*0" {}
    two.ask("SUBSCRIBE news", ">3|$9|subscribe|$4|news|:1|");
    two.ask("PUBLISH news hi", ":2|>3|$7|message|$4|news|$2|hi|");
    one.expect("*3|$7|message|$4|news|$2|hi|");
    one.ask("RESET", "+RESET|");
    one.ask("PING", "+PONG|");
}
