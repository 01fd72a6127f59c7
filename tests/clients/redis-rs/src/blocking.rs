//! The blocking half: `redis::Connection`. A connection that was lost stays lost; the client makes
//! another.

use std::thread;
use std::time::Duration;

use crate::harness::Broker;

crate::common::common_checks!(redis::Commands, redis::Connection, query, [], []);

pub fn run(broker: &Broker, report: &mut Report) -> Checked {
    let r = &mut broker.client().get_connection()?;
    let line: String = redis::cmd("CLIENT").arg("INFO").query(r)?;
    report.who(crate::version(), &line);
    check!(report, r, "connect", connect(r));
    common(r, report)?;
    check!(report, r, "fan-out", fan_out(broker, r));
    check!(
        report,
        r,
        "watch",
        watch(r, &mut broker.client().get_connection()?)
    );
    check!(report, r, "pub-sub", pub_sub(broker, r));
    check!(report, r, "reconnect", reconnect(broker, r));
    Ok(())
}

fn connect(r: &mut Connection) -> Checked {
    redis::cmd("CLIENT")
        .arg("SETNAME")
        .arg("check")
        .query::<()>(r)?;
    equal(redis::cmd("PING").query::<String>(r)?.as_str(), "PONG")?;
    equal(
        redis::cmd("CLIENT")
            .arg("GETNAME")
            .query::<String>(r)?
            .as_str(),
        "check",
    )?;
    let line: String = redis::cmd("CLIENT").arg("INFO").query(r)?;
    equal(line.contains(" lib-name=redis-rs "), true)?;
    let facts: redis::InfoDict = redis::cmd("INFO").query(r)?;
    equal(facts.get::<String>("redis_version").is_some(), true)
}

fn fan_out(broker: &Broker, r: &mut Connection) -> Checked {
    let readers: Vec<_> = (0..3)
        .map(|_| {
            let client = broker.client();
            thread::spawn(move || -> redis::RedisResult<StreamReadReply> {
                let options = StreamReadOptions::default().block(5000);
                client
                    .get_connection()?
                    .xread_options(&["s"], &["$"], &options)
            })
        })
        .collect();
    while redis::cmd("INFO")
        .arg("clients")
        .query::<redis::InfoDict>(r)?
        .get("blocked_clients")
        != Some(3)
    {
        thread::sleep(Duration::from_millis(5));
    }
    add(r, "7-1")?;
    for reader in readers {
        let heard = reader.join().map_err(|_| "a reader panicked")??;
        equal(ids(&heard.keys[0].ids), ["7-1"])?;
    }
    let options = StreamReadOptions::default().block(50);
    let none: Option<StreamReadReply> = r.xread_options(&["s"], &["$"], &options)?;
    equal(none.is_none(), true)
}

fn pub_sub(broker: &Broker, r: &mut Connection) -> Checked {
    let mut connection = broker.client().get_connection()?;
    let mut listener = connection.as_pubsub();
    listener.subscribe("news")?;
    listener.psubscribe("ne*")?;
    equal(r.publish::<_, _, usize>("news", "hello")?, 2)?;
    for pattern in [None, Some("ne*".to_owned())] {
        let message = listener.get_message()?;
        equal(message.get_payload::<String>()?.as_str(), "hello")?;
        equal(message.get_pattern::<Option<String>>()?, pattern)?;
    }
    Ok(())
}

fn state(r: &mut Connection) -> redis::RedisResult<String> {
    let entries: StreamRangeReply = r.xrange_all("s")?;
    let pending: StreamPendingReply = r.xpending("s", "g")?;
    Ok(format!("{:?} {pending:?}", ids(&entries.ids)))
}

fn reconnect(broker: &Broker, r: &mut Connection) -> Checked {
    held(r)?;
    let before = state(r)?;
    broker.kill_and_restart();
    let lost = state(r).err().ok_or("the connection outlived its broker")?;
    equal(lost.is_connection_dropped(), true)?;
    *r = broker.client().get_connection()?;
    equal(state(r)?, before)?;
    add(r, "5-1")?;
    equal(read(r, "one", ">", 10)?, ["5-1"])
}
