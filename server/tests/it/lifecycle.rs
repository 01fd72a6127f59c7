//! Start and end.

use std::time::Duration;

use alluvium::{Broker, Config, StartError};

use crate::client::{Client, Stage, start};

#[test]
fn an_orderly_end_keeps_everything() {
    let Stage { dir, broker } = Stage::new();
    let mut client = Client::connect(&broker);
    client.ask("XADD s 1-1 a b", "$3|1-1|");
    let mut waiter = Client::connect(&broker);
    waiter.say("XREAD BLOCK 0 STREAMS s $");
    client.wait_for("blocked_clients", "1");
    broker.stop().unwrap();
    client.expect_end();
    waiter.expect_end();
    let broker = start(&dir, |_| {});
    let mut client = Client::connect(&broker);
    client.ask("XRANGE s - +", "*1|*2|$3|1-1|*2|$1|a|$1|b|");
    client.say("SHUTDOWN");
    client.expect_end();
    broker.wait().unwrap();
}

#[test]
fn what_was_pipelined_before_the_end_is_there_after_it() {
    let Stage { dir, broker } = Stage::with(|config| {
        config.appendfsync = alluvium::SyncPolicy::EverySecond;
    });
    let mut client = Client::connect(&broker);
    for id in 1..=1000 {
        client.send(format!("XADD s {id} a b\r\n"));
    }
    for id in 1..=1000 {
        let id = format!("{id}-0");
        client.expect(&format!("${}|{id}|", id.len()));
    }
    broker.stop().unwrap();
    let broker = start(&dir, |_| {});
    Client::connect(&broker).ask("XLEN s", ":1000|");
}

#[test]
fn one_directory_has_one_broker() {
    let stage = Stage::new();
    let mut config = Config::default();
    config.dir = stage.dir.path().join("data");
    config.port = 0;
    assert!(matches!(
        Broker::start(config),
        Err(StartError::Open { .. })
    ));
}

#[test]
fn an_open_door_without_a_lock_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let config = || {
        let mut config = Config::default();
        config.dir = dir.path().join("data");
        config.port = 0;
        config.bind = vec!["0.0.0.0".to_owned()];
        config
    };
    assert!(matches!(
        Broker::start(config()),
        Err(StartError::Unprotected { .. })
    ));
    let mut trusting = config();
    trusting.protected_mode = false;
    Broker::start(trusting).unwrap().stop().unwrap();
    let mut locked = config();
    locked.requirepass = b"secret".to_vec();
    Broker::start(locked).unwrap().stop().unwrap();
}

#[test]
fn connections_beyond_the_limit_are_told_so() {
    let stage = Stage::with(|config| config.maxclients = 2);
    let (mut one, mut two) = (stage.client(), stage.client());
    one.ask("PING", "+PONG|");
    two.ask("PING", "+PONG|");
    let mut three = stage.client();
    three.expect("-ERR max number of clients reached|");
    three.expect_end();
    drop(two);
    let mut waited = Duration::ZERO;
    while one.info("connected_clients") != "1" {
        std::thread::sleep(Duration::from_millis(10));
        waited += Duration::from_millis(10);
        assert!(waited < Duration::from_secs(10));
    }
    stage.client().ask("PING", "+PONG|");
}

#[test]
fn idle_clients_are_sent_away_if_asked() {
    let stage = Stage::with(|config| config.timeout = 1);
    let mut client = stage.client();
    client.ask("PING", "+PONG|");
    client.expect_end();
}

#[test]
fn keys_expire_by_themselves() {
    let stage = Stage::new();
    let mut client = stage.client();
    client.ask("XADD s 1-1 a b", "$3|1-1|");
    client.ask("PEXPIRE s 20", ":1|");
    let mut looks = 0;
    loop {
        client.say("DBSIZE");
        if client.line() == ":0" {
            break;
        }
        std::thread::sleep(Duration::from_millis(20));
        looks += 1;
        assert!(looks < 500);
    }
    assert_eq!(client.info("expired_keys"), "1");
}
