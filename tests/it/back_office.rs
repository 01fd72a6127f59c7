//! Three workers share the events of one producer. One worker dies in the middle of its work, the
//! broker is killed in the middle of everything; each event is handled and acknowledged in the end.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use alluvium_tests::{Broker, Connection, Value};

use crate::BROKER;

const EVENTS: usize = 10_000;
const WORKER_DIES_AT: usize = 2_000;
const BROKER_DIES_AT: usize = 5_000;
const PATIENCE: Duration = Duration::from_secs(120);

/// What the office knows, apart from what the broker knows.
#[derive(Default)]
struct Office {
    port: u16,
    /// Event number by entry ID, for each time that an event was handled.
    handled: Mutex<Vec<(String, usize)>>,
    handled_count: AtomicUsize,
    all_produced: AtomicBool,
    is_second_dead: AtomicBool,
    /// Entries that came to somebody a second time, with their delivery count then.
    redelivered: Mutex<BTreeMap<String, i64>>,
    is_done: AtomicBool,
}

impl Office {
    fn handled(&self) -> MutexGuard<'_, Vec<(String, usize)>> {
        self.handled.lock().unwrap()
    }

    /// A connection, as soon as there is a broker to connect to.
    fn connect(&self) -> Connection {
        let start = Instant::now();
        loop {
            if let Ok(mut connection) = Connection::open(self.port)
                && connection
                    .call(&["PING"])
                    .is_ok_and(|reply| !reply.is_error(""))
            {
                return connection;
            }
            assert!(start.elapsed() < PATIENCE, "no broker came back");
            thread::sleep(Duration::from_millis(10));
        }
    }

    fn produce(&self) {
        let mut connection = self.connect();
        for number in 0..EVENTS {
            let number = number.to_string();
            // An unanswered XADD may have happened: the event then exists twice, never not at all.
            while connection
                .call(&["XADD", "events", "*", "number", &number])
                .is_err()
            {
                connection = self.connect();
            }
        }
        self.all_produced.store(true, Ordering::SeqCst);
    }

    fn work(&self, name: &str) {
        let mut connection = self.connect();
        // What was delivered to this name before, then what is new.
        let mut from = "0";
        while !self.is_done.load(Ordering::SeqCst) {
            match self.take_and_settle(&mut connection, name, from) {
                Ok(0) => from = ">",
                Ok(_) if from == ">" && name == "second" && self.is_time_to_die() => {
                    return self.die_holding_entries(&mut connection, name);
                }
                Ok(_) => {}
                Err(_) => {
                    connection = self.connect();
                    from = "0";
                }
            }
            if name == "first" && self.is_second_dead.load(Ordering::SeqCst) {
                // An error here is a killed broker; the next turn of the loop reconnects.
                let _claimed = self.take_over_from_second(&mut connection);
            }
        }
    }

    fn is_time_to_die(&self) -> bool {
        self.handled_count.load(Ordering::SeqCst) > WORKER_DIES_AT
    }

    /// Reads up to ten entries, handles them and acknowledges them; how many there were.
    fn take_and_settle(
        &self,
        connection: &mut Connection,
        name: &str,
        from: &str,
    ) -> std::io::Result<usize> {
        let reply = connection.call(&[
            "XREADGROUP",
            "GROUP",
            "office",
            name,
            "COUNT",
            "10",
            "BLOCK",
            "50",
            "STREAMS",
            "events",
            from,
        ])?;
        let entries = entries_of(&reply);
        if from != ">" {
            self.note_redelivered(connection, &entries)?;
        }
        for (id, number) in &entries {
            self.handle(id, *number);
            connection.call(&["XACK", "events", "office", id])?;
        }
        Ok(entries.len())
    }

    fn handle(&self, id: &str, number: usize) {
        self.handled().push((id.to_owned(), number));
        self.handled_count.fetch_add(1, Ordering::SeqCst);
    }

    fn note_redelivered(
        &self,
        connection: &mut Connection,
        entries: &[(String, usize)],
    ) -> std::io::Result<()> {
        for (id, _) in entries {
            let row = connection.call(&["XPENDING", "events", "office", id, id, "1"])?;
            let count = row.items()[0].items()[3].int();
            self.redelivered.lock().unwrap().insert(id.clone(), count);
        }
        Ok(())
    }

    /// The second worker reads a batch, handles half of it, and is never heard of again.
    fn die_holding_entries(&self, connection: &mut Connection, name: &str) {
        let held = connection
            .call(&[
                "XREADGROUP",
                "GROUP",
                "office",
                name,
                "COUNT",
                "10",
                "BLOCK",
                "5000",
                "STREAMS",
                "events",
                ">",
            ])
            .expect("the broker is not killed before this worker is");
        let held = entries_of(&held);
        assert!(!held.is_empty(), "there was work to die over");
        for (id, number) in &held[..held.len() / 2] {
            self.handle(id, *number);
        }
        self.is_second_dead.store(true, Ordering::SeqCst);
    }

    fn take_over_from_second(&self, connection: &mut Connection) -> std::io::Result<()> {
        let pending =
            connection.call(&["XPENDING", "events", "office", "-", "+", "100", "second"])?;
        for row in pending.items() {
            let id = row.items()[0].text();
            let claimed = connection.call(&["XCLAIM", "events", "office", "first", "0", id])?;
            let entries: Vec<_> = claimed.items().iter().map(entry_of).collect();
            self.note_redelivered(connection, &entries)?;
            for (id, number) in &entries {
                self.handle(id, *number);
                connection.call(&["XACK", "events", "office", id])?;
            }
        }
        Ok(())
    }

    /// Whether nothing is left to produce, to deliver or to acknowledge.
    fn is_day_over(&self, connection: &mut Connection) -> bool {
        let groups = connection.ok("XINFO GROUPS events");
        let group = groups.items()[0].items();
        let field = |name: &str| {
            let at = group
                .iter()
                .position(|item| *item == Value::Bulk(name.into()))
                .unwrap();
            group[at + 1].clone()
        };
        self.all_produced.load(Ordering::SeqCst)
            && field("pending") == Value::Int(0)
            && field("lag") == Value::Int(0)
    }
}

fn entry_of(entry: &Value) -> (String, usize) {
    let [id, fields] = entry.items() else {
        panic!("expected an ID and fields, found {entry:?}")
    };
    (
        id.text().to_owned(),
        fields.items()[1].text().parse().unwrap(),
    )
}

/// The entries of the one stream in a reply of XREADGROUP.
fn entries_of(reply: &Value) -> Vec<(String, usize)> {
    let Some(stream) = reply.items().first() else {
        return Vec::new();
    };
    stream.items()[1].items().iter().map(entry_of).collect()
}

fn wait_for(what: &str, is_true: impl Fn() -> bool) {
    let start = Instant::now();
    while !is_true() {
        assert!(start.elapsed() < PATIENCE, "waited in vain for {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn every_event_is_handled_and_acked_though_a_worker_and_the_broker_die() {
    let mut broker = Broker::start(BROKER, &["--appendfsync", "always"]);
    broker
        .connect()
        .ok("XGROUP CREATE events office 0 MKSTREAM");
    let office = Office {
        port: broker.port(),
        ..Office::default()
    };
    thread::scope(|scope| {
        scope.spawn(|| office.produce());
        for name in ["first", "second", "third"] {
            let office = &office;
            scope.spawn(move || office.work(name));
        }
        wait_for("half of the work", || {
            office.is_second_dead.load(Ordering::SeqCst)
                && office.handled_count.load(Ordering::SeqCst) > BROKER_DIES_AT
        });
        broker.kill();
        broker.restart();
        let mut connection = broker.connect();
        let start = Instant::now();
        while !office.is_day_over(&mut connection) {
            assert!(start.elapsed() < PATIENCE, "the day does not end");
            thread::sleep(Duration::from_millis(20));
        }
        office.is_done.store(true, Ordering::SeqCst);
    });
    check_the_books(&broker, &office);
}

fn check_the_books(broker: &Broker, office: &Office) {
    let handled = office.handled();
    let numbers: BTreeSet<usize> = handled.iter().map(|(_, number)| *number).collect();
    assert!(
        numbers.into_iter().eq(0..EVENTS),
        "an event was never handled"
    );
    let mut connection = broker.connect();
    let stored = connection.ok("XRANGE events - +");
    let handled_ids: BTreeSet<&str> = handled.iter().map(|(id, _)| id.as_str()).collect();
    for entry in stored.items() {
        assert!(
            handled_ids.contains(entry.items()[0].text()),
            "unhandled entry {entry:?}"
        );
    }
    assert_eq!(
        handled_ids.len(),
        stored.items().len(),
        "an acknowledged entry is missing"
    );
    assert_eq!(
        connection.ok("XPENDING events office").items()[0],
        Value::Int(0)
    );
    let redelivered = office.redelivered.lock().unwrap();
    assert!(
        !redelivered.is_empty(),
        "the dead worker's entries went to nobody"
    );
    for (id, count) in redelivered.iter() {
        assert!(
            *count >= 2,
            "{id} came again and is not marked: delivered {count} times"
        );
    }
}
