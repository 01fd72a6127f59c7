//! The checks that read the same with and without `await`, written once: the macro makes a module
//! of them for a connection type, with `.await` behind each command or with nothing.

macro_rules! common_checks {
    ($commands:path, $connection:ty, $query:ident, [$($asynchronous:tt)?], [$($wait:tt)*]) => {
        use redis::streams::{
            StreamAddOptions, StreamAutoClaimOptions, StreamAutoClaimReply, StreamClaimOptions,
            StreamClaimReply, StreamId, StreamInfoConsumersReply, StreamInfoGroupsReply,
            StreamInfoStreamReply, StreamMaxlen, StreamPendingCountReply, StreamPendingReply,
            StreamRangeReply, StreamReadOptions, StreamReadReply, StreamTrimOptions,
            StreamTrimStrategy, StreamTrimmingMode,
        };
        use $commands;
        use $crate::harness::{Checked, Report, equal, refused};

        type Connection = $connection;

        /// Runs one check with an empty broker before it.
        macro_rules! check {
            ($report:ident, $r:ident, $name:literal, $work:expr) => {{
                redis::cmd("FLUSHALL").$query::<()>(&mut *$r)$($wait)*?;
                let found = $work$($wait)*;
                $report.add($name, found);
            }};
        }
        pub(super) fn ids(entries: &[StreamId]) -> Vec<&str> {
            entries.iter().map(|it| it.id.as_str()).collect()
        }

        pub(super) $($asynchronous)? fn add(
            r: &mut Connection,
            id: &str,
        ) -> redis::RedisResult<String> {
            r.xadd("s", id, &[("n", id)])$($wait)*
        }

        pub(super) $($asynchronous)? fn read(
            r: &mut Connection,
            consumer: &str,
            from: &str,
            count: usize,
        ) -> redis::RedisResult<Vec<String>> {
            let options = StreamReadOptions::default().group("g", consumer).count(count);
            let reply: StreamReadReply = r.xread_options(&["s"], &[from], &options)$($wait)*?;
            let entries = reply.keys.into_iter().flat_map(|it| it.ids);
            Ok(entries.map(|it| it.id).collect())
        }

        /// A group `g` of the stream `s` whose consumer `one` holds the entries 1-1 to 4-1.
        pub(super) $($asynchronous)? fn held(r: &mut Connection) -> redis::RedisResult<()> {
            r.xgroup_create_mkstream::<_, _, _, ()>("s", "g", "0")$($wait)*?;
            for id in ["1-1", "2-1", "3-1", "4-1"] {
                add(r, id)$($wait)*?;
            }
            read(r, "one", ">", 10)$($wait)*.map(drop)
        }

        pub(super) $($asynchronous)? fn common(r: &mut Connection, report: &mut Report) -> Checked {
            check!(report, r, "produce", produce(r));
            check!(report, r, "group-read", group_read(r));
            check!(report, r, "ack", ack(r));
            check!(report, r, "pending", pending(r));
            check!(report, r, "claim", claim(r));
            check!(report, r, "autoclaim", autoclaim(r));
            check!(report, r, "trim", trim(r));
            check!(report, r, "info", info(r));
            check!(report, r, "transaction", transaction(r));
            check!(report, r, "errors", errors(r));
            Ok(())
        }

        $($asynchronous)? fn produce(r: &mut Connection) -> Checked {
            let payload: Vec<u8> = (0..=255).collect();
            let id: String = r.xadd("s", "*", &[("data", &payload)])$($wait)*?;
            equal(r.xlen::<_, usize>("s")$($wait)*?, 1)?;
            let found: StreamRangeReply = r.xrange_all("s")$($wait)*?;
            equal(ids(&found.ids), [id.as_str()])?;
            equal(found.ids[0].get::<Vec<u8>>("data"), Some(payload))?;
            let read: StreamReadReply = r.xread(&["s"], &["0"])$($wait)*?;
            equal(ids(&read.keys[0].ids), [id.as_str()])?;
            let mut pipe = redis::pipe();
            for i in 1..=100 {
                pipe.xadd("many", format!("{i}-1"), &[("n", i)]).ignore();
            }
            pipe.$query::<()>(r)$($wait)*?;
            let last: StreamRangeReply = r.xrevrange_count("many", "+", "-", 1)$($wait)*?;
            equal(last.ids[0].get::<i64>("n"), Some(100))
        }

        $($asynchronous)? fn group_read(r: &mut Connection) -> Checked {
            r.xgroup_create_mkstream::<_, _, _, ()>("s", "g", "$")$($wait)*?;
            for i in 1..=6 {
                add(r, &format!("{i}-1"))$($wait)*?;
            }
            equal(read(r, "one", ">", 2)$($wait)*?, ["1-1", "2-1"])?;
            equal(read(r, "two", ">", 10)$($wait)*?, ["3-1", "4-1", "5-1", "6-1"])?;
            equal(read(r, "one", "0", 10)$($wait)*?, ["1-1", "2-1"])
        }

        $($asynchronous)? fn ack(r: &mut Connection) -> Checked {
            held(r)$($wait)*?;
            equal(r.xack::<_, _, _, usize>("s", "g", &["1-1", "3-1"])$($wait)*?, 2)?;
            equal(r.xack::<_, _, _, usize>("s", "g", &["1-1"])$($wait)*?, 0)?;
            let left: StreamPendingReply = r.xpending("s", "g")$($wait)*?;
            equal(left.count(), 2)
        }

        $($asynchronous)? fn pending(r: &mut Connection) -> Checked {
            held(r)$($wait)*?;
            let StreamPendingReply::Data(all) = r.xpending("s", "g")$($wait)*? else {
                return Err("nothing is pending".into());
            };
            equal((all.count, all.start_id.as_str(), all.end_id.as_str()), (4, "1-1", "4-1"))?;
            equal((all.consumers[0].name.as_str(), all.consumers[0].pending), ("one", 4))?;
            let rows: StreamPendingCountReply = r.xpending_count("s", "g", "(1-1", "+", 1)$($wait)*?;
            let row = &rows.ids[0];
            equal((row.id.as_str(), row.consumer.as_str(), row.times_delivered), ("2-1", "one", 1))
        }

        $($asynchronous)? fn claim(r: &mut Connection) -> Checked {
            held(r)$($wait)*?;
            let claimed: StreamClaimReply = r.xclaim("s", "g", "two", 0, &["1-1"])$($wait)*?;
            equal(claimed.ids[0].get::<String>("n").as_deref(), Some("1-1"))?;
            let justid = StreamClaimOptions::default().with_justid();
            let ids: Vec<String> =
                r.xclaim_options("s", "g", "two", 0, &["2-1"], justid)$($wait)*?;
            equal(ids, ["2-1"])?;
            let none: StreamClaimReply = r.xclaim("s", "g", "two", 60_000, &["3-1"])$($wait)*?;
            equal(none.ids.len(), 0)
        }

        $($asynchronous)? fn autoclaim(r: &mut Connection) -> Checked {
            held(r)$($wait)*?;
            r.xdel::<_, _, ()>("s", &["2-1"])$($wait)*?;
            let options = StreamAutoClaimOptions::default;
            let first: StreamAutoClaimReply =
                r.xautoclaim_options("s", "g", "two", 0, "0-0", options().count(3))$($wait)*?;
            equal(first.next_stream_id.as_str(), "4-1")?;
            equal(ids(&first.claimed), ["1-1", "3-1"])?;
            equal(first.deleted_ids, ["2-1"])?;
            let rest: StreamAutoClaimReply =
                r.xautoclaim_options("s", "g", "two", 0, "4-1", options().with_justid())$($wait)*?;
            equal(rest.next_stream_id.as_str(), "0-0")?;
            equal(ids(&rest.claimed), ["4-1"])
        }

        $($asynchronous)? fn trim(r: &mut Connection) -> Checked {
            let options = StreamAddOptions::default()
                .trim(StreamTrimStrategy::maxlen(StreamTrimmingMode::Exact, 15));
            for i in 1..=20 {
                r.xadd_options::<_, _, _, ()>("s", format!("{i}-1"), &[("n", i)], &options)
                    $($wait)*?;
            }
            let from = StreamTrimOptions::minid(StreamTrimmingMode::Exact, "10-1");
            equal(r.xtrim_options::<_, usize>("s", &from)$($wait)*?, 4)?;
            equal(r.xdel::<_, _, usize>("s", &["20-1"])$($wait)*?, 1)?;
            equal(r.xtrim::<_, usize>("s", StreamMaxlen::Equals(7))$($wait)*?, 3)?;
            equal(r.xlen::<_, usize>("s")$($wait)*?, 7)
        }

        $($asynchronous)? fn info(r: &mut Connection) -> Checked {
            held(r)$($wait)*?;
            let stream: StreamInfoStreamReply = r.xinfo_stream("s")$($wait)*?;
            let shown = (stream.length, stream.last_generated_id.as_str(), stream.groups);
            equal(shown, (4, "4-1", 1))?;
            equal(stream.first_entry.get::<String>("n").as_deref(), Some("1-1"))?;
            let groups: StreamInfoGroupsReply = r.xinfo_groups("s")$($wait)*?;
            let group = &groups.groups[0];
            equal((group.name.as_str(), group.pending, group.lag), ("g", 4, Some(0)))?;
            let consumers: StreamInfoConsumersReply = r.xinfo_consumers("s", "g")$($wait)*?;
            let consumer = &consumers.consumers[0];
            equal((consumer.name.as_str(), consumer.pending), ("one", 4))
        }

        $($asynchronous)? fn transaction(r: &mut Connection) -> Checked {
            let mut step = redis::pipe();
            step.atomic().xadd("s", "1-1", &[("n", 1)]).xlen("s");
            let replies: (String, usize) = step.$query(r)$($wait)*?;
            equal(replies, ("1-1".to_owned(), 1))
        }

        /// A watched key that `other` changes breaks the transaction of `r`.
        pub(super) $($asynchronous)? fn watch(
            r: &mut Connection,
            other: &mut Connection,
        ) -> Checked {
            redis::cmd("WATCH").arg("s").$query::<()>(r)$($wait)*?;
            add(other, "1-1")$($wait)*?;
            let mut step = redis::pipe();
            step.atomic().xlen("s");
            let broken: Option<(usize,)> = step.$query(r)$($wait)*?;
            equal(broken, None)
        }

        $($asynchronous)? fn errors(r: &mut Connection) -> Checked {
            held(r)$($wait)*?;
            let again = r.xgroup_create::<_, _, _, ()>("s", "g", "$")$($wait)*;
            refused(again, "BUSYGROUP", "Consumer Group name already exists")?;
            let nobody = r.xpending::<_, _, StreamPendingReply>("s", "none")$($wait)*;
            refused(nobody, "NOGROUP", "No such key 's'")?;
            let late = add(r, "3-1")$($wait)*;
            refused(late, "ERR", "The ID specified in XADD is equal or smaller")?;
            let other = redis::cmd("GET").arg("s").$query::<Option<String>>(r)$($wait)*;
            refused(other, "WRONGTYPE", "Operation against a key")
        }
    };
}
pub(crate) use common_checks;
