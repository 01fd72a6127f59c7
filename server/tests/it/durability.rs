//! What WAIT and WAITAOF say about the disk.

use crate::client::{Client, Stage};

fn is_all_durable(client: &mut Client) -> bool {
    client.info("lsn_durable") == client.info("lsn_appended")
}

#[test]
fn waitaof_waits_for_the_disk_whatever_the_policy() {
    let stage = Stage::new();
    let mut client = stage.client();
    for (number, policy) in ["no", "everysec", "always"].into_iter().enumerate() {
        client.ask(&format!("CONFIG SET appendfsync {policy}"), "+OK|");
        client.ask(
            &format!("XADD s 1-{} a b", number + 1),
            &format!("$3|1-{}|", number + 1),
        );
        client.ask("WAITAOF 1 0 0", "*2|:1|:0|");
        assert!(is_all_durable(&mut client), "{policy}");
        client.ask("WAITAOF 0 0 0", "*2|:1|:0|");
        client.ask("WAITAOF 1 0 5000", "*2|:1|:0|");
    }
}

#[test]
fn without_a_wait_the_disk_is_not_promised() {
    let stage = Stage::new();
    let (mut client, mut other) = (stage.client(), stage.client());
    client.ask("CONFIG SET appendfsync no", "+OK|");
    client.ask("XADD s 1-1 a b", "$3|1-1|");
    client.ask("WAITAOF 0 0 0", "*2|:0|:0|");
    // Who has written nothing, and seen nothing, waits for nothing.
    other.ask("WAITAOF 1 0 0", "*2|:1|:0|");
    assert!(!is_all_durable(&mut client));
    other.ask("XLEN s", ":1|");
    other.ask("WAITAOF 0 0 0", "*2|:0|:0|");
    other.ask("WAITAOF 1 0 0", "*2|:1|:0|");
    assert!(is_all_durable(&mut client));
}

#[test]
fn a_transaction_does_not_wait_for_itself() {
    let stage = Stage::new();
    let mut client = stage.client();
    client.say("MULTI\r\nWAITAOF 1 0 0\r\nXADD s 1-1 a b\r\nWAITAOF 1 0 0\r\nWAIT 0 0\r\nEXEC");
    client.expect("+OK|+QUEUED|+QUEUED|+QUEUED|+QUEUED|*4|*2|:1|:0|$3|1-1|*2|:0|:0|:0|");
    client.ask("WAITAOF 1 0 0", "*2|:1|:0|");
}

#[test]
fn there_are_no_replicas_to_wait_for() {
    let stage = Stage::new();
    let mut client = stage.client();
    client.ask("XADD s 1-1 a b", "$3|1-1|");
    client.ask("WAIT 3 0", ":0|");
    client.ask("WAITAOF 1 2 0", "*2|:1|:0|");
    client.ask("WAIT x 0", "-ERR value is not an integer or out of range|");
    client.ask("WAIT 0 -1", "-ERR timeout is negative|");
    client.ask(
        "WAITAOF 1 0 x",
        "-ERR timeout is not an integer or out of range|",
    );
    client.ask(
        "WAITAOF 2 0 0",
        "-ERR value is out of range, value must between 0 and 1|",
    );
    client.ask(
        "WAITAOF 1 -1 0",
        "-ERR value is out of range, must be positive|",
    );
}
