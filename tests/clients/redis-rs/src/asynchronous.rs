//! The half for tokio: multiplexed connections, and the connection manager, which reconnects.

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::try_join_all;
use redis::aio::{ConnectionManager, MultiplexedConnection};

use crate::harness::Broker;

crate::common::common_checks!(
    redis::AsyncCommands,
    redis::aio::ConnectionManager,
    query_async,
    [async],
    [.await]
);

pub async fn run(broker: &Broker, report: &mut Report) -> Checked {
    let r = &mut manager(broker).await?;
    let line: String = redis::cmd("CLIENT").arg("INFO").query_async(r).await?;
    report.who(crate::version(), &line);
    check!(report, r, "connect", connect(broker));
    common(r, report).await?;
    check!(report, r, "fan-out", fan_out(broker, r));
    let mut other = manager(broker).await?;
    check!(report, r, "watch", watch(r, &mut other));
    check!(report, r, "pub-sub", pub_sub(broker, r));
    check!(report, r, "reconnect", reconnect(broker, r));
    Ok(())
}

async fn manager(broker: &Broker) -> redis::RedisResult<ConnectionManager> {
    broker.client().get_connection_manager().await
}

async fn own(broker: &Broker) -> redis::RedisResult<MultiplexedConnection> {
    broker.client().get_multiplexed_async_connection().await
}

async fn connect(broker: &Broker) -> Checked {
    let mut r = own(broker).await?;
    redis::cmd("CLIENT")
        .arg("SETNAME")
        .arg("check")
        .query_async::<()>(&mut r)
        .await?;
    equal(
        redis::cmd("PING")
            .query_async::<String>(&mut r)
            .await?
            .as_str(),
        "PONG",
    )?;
    let name: String = redis::cmd("CLIENT")
        .arg("GETNAME")
        .query_async(&mut r)
        .await?;
    equal(name.as_str(), "check")?;
    let line: String = redis::cmd("CLIENT").arg("INFO").query_async(&mut r).await?;
    equal(line.contains(" lib-name=redis-rs "), true)?;
    let facts: redis::InfoDict = redis::cmd("INFO").query_async(&mut r).await?;
    equal(facts.get::<String>("redis_version").is_some(), true)
}

/// Waits for an entry on a connection of its own, which may wait longer than others.
async fn wait(broker: &Broker, ms: usize) -> redis::RedisResult<Option<StreamReadReply>> {
    let config = redis::AsyncConnectionConfig::new().set_response_timeout(None);
    let client = broker.client();
    let mut mine = client
        .get_multiplexed_async_connection_with_config(&config)
        .await?;
    let options = StreamReadOptions::default().block(ms);
    mine.xread_options(&["s"], &["$"], &options).await
}

async fn fan_out(broker: &Broker, r: &mut Connection) -> Checked {
    let appended = async {
        loop {
            let mut ask = redis::cmd("INFO");
            let facts: redis::InfoDict = ask.arg("clients").query_async(r).await?;
            if facts.get("blocked_clients") == Some(3) {
                return add(r, "7-1").await;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let readers = try_join_all((0..3).map(|_| wait(broker, 5000)));
    let (heard, id) = tokio::try_join!(readers, appended)?;
    for reply in heard {
        let reply = reply.ok_or("a reader heard nothing")?;
        equal(ids(&reply.keys[0].ids), [id.as_str()])?;
    }
    equal(wait(broker, 50).await?.is_none(), true)
}

async fn pub_sub(broker: &Broker, r: &mut Connection) -> Checked {
    let mut listener = broker.client().get_async_pubsub().await?;
    listener.subscribe("news").await?;
    listener.psubscribe("ne*").await?;
    equal(r.publish::<_, _, usize>("news", "hello").await?, 2)?;
    let mut messages = listener.on_message();
    for pattern in [None, Some("ne*".to_owned())] {
        let message = messages.next().await.ok_or("the subscription ended")?;
        equal(message.get_payload::<String>()?.as_str(), "hello")?;
        equal(message.get_pattern::<Option<String>>()?, pattern)?;
    }
    Ok(())
}

async fn state(r: &mut Connection) -> redis::RedisResult<String> {
    let entries: StreamRangeReply = r.xrange_all("s").await?;
    let pending: StreamPendingReply = r.xpending("s", "g").await?;
    Ok(format!("{:?} {pending:?}", ids(&entries.ids)))
}

async fn reconnect(broker: &Broker, r: &mut Connection) -> Checked {
    held(r).await?;
    let before = state(r).await?;
    broker.kill_and_restart();
    // The manager reconnects by itself; what was sent before it noticed fails.
    let mut after = state(r).await;
    for _ in 0..100 {
        if after.is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        after = state(r).await;
    }
    equal(after?, before)?;
    add(r, "5-1").await?;
    equal(read(r, "one", ">", 10).await?, ["5-1"])
}
