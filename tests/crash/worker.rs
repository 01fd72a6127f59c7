//! One connection that works on a stream of its own and remembers what was acknowledged.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use alluvium_tests::{Connection, Value};

use crate::Random;
use crate::model::{Model, Step};

/// At most so many commands are on their way at once.
const PIPELINE_MAX: u64 = 12;
const LENGTH_MAX: usize = 300;

pub(crate) struct Worker {
    stream: String,
    random: Random,
    /// After all that was acknowledged.
    model: Model,
    /// Sent and not answered when the broker was killed, in order.
    unanswered: Vec<Step>,
}

impl Worker {
    pub(crate) fn new(number: usize, random: Random) -> Worker {
        let stream = format!("stream-{number}");
        Worker {
            stream,
            random,
            model: Model::new(),
            unanswered: Vec::new(),
        }
    }

    pub(crate) fn prepare(&mut self, connection: &mut Connection) {
        connection.ok(&format!("XGROUP CREATE {} g 0 MKSTREAM", self.stream));
    }

    /// Works until the broker is gone; the number of acknowledged commands.
    pub(crate) fn run(&mut self, port: u16, is_killed: &AtomicBool) -> usize {
        let Ok(mut connection) = Connection::open(port) else {
            return 0;
        };
        let mut acknowledged = 0;
        let start = Instant::now();
        while let Ok(count) = self.batch(&mut connection) {
            acknowledged += count;
        }
        // Only a killed broker may have ended this.
        while !is_killed.load(Ordering::SeqCst) {
            assert!(
                start.elapsed() < Duration::from_secs(10),
                "the connection broke by itself"
            );
            thread::sleep(Duration::from_millis(1));
        }
        acknowledged
    }

    fn batch(&mut self, connection: &mut Connection) -> io::Result<usize> {
        let mut ahead = self.model.clone();
        for _ in 0..=self.random.below(PIPELINE_MAX) {
            let step = self.choose();
            let sent: io::Result<()> = self
                .commands(&ahead, &step)
                .iter()
                .try_for_each(|line| connection.send(line));
            ahead.apply(&step);
            // A step of which only a part was sent is one that may or may not happen.
            self.unanswered.push(step);
            sent?;
        }
        let mut acknowledged = 0;
        while let Some(step) = self.unanswered.first().cloned() {
            for _ in 0..if matches!(step, Step::AddThree) { 5 } else { 1 } {
                let reply = connection.read()?;
                assert!(!matches!(reply, Value::Error(_)), "{step:?}: {reply:?}");
            }
            self.unanswered.remove(0);
            self.model.apply(&step);
            acknowledged += 1;
        }
        Ok(acknowledged)
    }

    fn choose(&mut self) -> Step {
        let consumer = self.random.below(3);
        match self.random.below(20) {
            0..=7 => Step::Add,
            8 | 9 => Step::AddThree,
            10..=13 => {
                let count = usize::try_from(self.random.below(8)).unwrap() + 1;
                Step::Deliver { consumer, count }
            }
            14 => Step::Reread { consumer },
            15..=17 => Step::Ack {
                count: usize::try_from(self.random.below(9)).unwrap() + 1,
            },
            18 => Step::Claim { consumer },
            _ => Step::Trim { length: LENGTH_MAX },
        }
    }

    /// The command lines of a step, given the state in which it will run.
    fn commands(&self, before: &Model, step: &Step) -> Vec<Vec<String>> {
        let stream = &self.stream;
        let add = |number: u64| format!("XADD {stream} {number}-1 number {number}");
        let lines = match step {
            Step::Add => vec![add(before.next)],
            Step::AddThree => {
                let adds = (0..3).map(|ahead| add(before.next + ahead));
                let open = std::iter::once("MULTI".to_owned());
                open.chain(adds)
                    .chain(std::iter::once("EXEC".to_owned()))
                    .collect()
            }
            Step::Deliver { consumer, count } => {
                vec![format!(
                    "XREADGROUP GROUP g c{consumer} COUNT {count} STREAMS {stream} >"
                )]
            }
            Step::Reread { consumer } => {
                vec![format!("XREADGROUP GROUP g c{consumer} STREAMS {stream} 0")]
            }
            Step::Ack { count } => {
                let ids: String = ids(&before.first_pending(*count));
                vec![format!("XACK {stream} g{ids}")]
            }
            Step::Claim { consumer } => {
                let ids = ids(&before.first_pending(1));
                vec![format!("XCLAIM {stream} g c{consumer} 0{ids}")]
            }
            Step::Trim { length } => vec![format!("XTRIM {stream} MAXLEN = {length}")],
        };
        lines
            .iter()
            .map(|line| line.split(' ').map(str::to_owned).collect())
            .collect()
    }

    /// The broker must know all that was acknowledged, and of the rest a beginning.
    pub(crate) fn check(&mut self, connection: &mut Connection) {
        let found = self.found(connection);
        let mut candidate = self.model.clone();
        let unanswered = std::mem::take(&mut self.unanswered);
        let mut steps = unanswered.iter();
        while candidate != found {
            let Some(step) = steps.next() else {
                panic!(
                    "{}: acknowledged {:?}\nunanswered {unanswered:?}\nfound {found:?}",
                    self.stream, self.model
                );
            };
            candidate.apply(step);
        }
        self.model = candidate;
    }

    fn found(&self, connection: &mut Connection) -> Model {
        let stream = &self.stream;
        let entries = connection.ok(&format!("XRANGE {stream} - +"));
        let numbers: Vec<u64> = entries.items().iter().map(number_of).collect();
        for (entry, number) in entries.items().iter().zip(&numbers) {
            assert_eq!(entry.items()[1].items()[1].text(), number.to_string());
        }
        assert!(
            numbers.is_sorted_by(|a, b| a + 1 == *b),
            "{stream} has holes: {numbers:?}"
        );
        let info = connection.ok(&format!("XINFO STREAM {stream}"));
        let next = id_of(&field(&info, "last-generated-id")) + 1;
        let groups = connection.ok(&format!("XINFO GROUPS {stream}"));
        Model {
            first: numbers.first().copied().unwrap_or(next),
            next,
            cursor: id_of(&field(&groups.items()[0], "last-delivered-id")),
            pending: self.pending(connection),
        }
    }

    fn pending(&self, connection: &mut Connection) -> BTreeMap<u64, (u64, u64)> {
        let rows = connection.ok(&format!("XPENDING {} g - + 1000000", self.stream));
        let row = |row: &Value| {
            let [id, consumer, _idle, count] = row.items() else {
                panic!("{row:?}")
            };
            let consumer = consumer.text()[1..].parse().unwrap();
            (id_of(id), (consumer, u64::try_from(count.int()).unwrap()))
        };
        rows.items().iter().map(row).collect()
    }
}

/// As arguments; an ID that exists nowhere where there is none.
fn ids(numbers: &[u64]) -> String {
    if numbers.is_empty() {
        return " 0-1".to_owned();
    }
    let mut ids = String::new();
    for number in numbers {
        ids.push(' ');
        ids.push_str(&number.to_string());
        ids.push_str("-1");
    }
    ids
}

fn number_of(entry: &Value) -> u64 {
    id_of(&entry.items()[0])
}

fn id_of(id: &Value) -> u64 {
    id.text().split('-').next().unwrap().parse().unwrap()
}

fn field(map: &Value, name: &str) -> Value {
    let items = map.items();
    let at = items
        .iter()
        .position(|item| *item == Value::Bulk(name.into()))
        .unwrap();
    items[at + 1].clone()
}
