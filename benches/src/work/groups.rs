//! Workers of a consumer group: read and acknowledge, and claim from each other.

use super::{GROUP, KEY};
use crate::drive::{Actor, Moment, Step};
use crate::meter::Meter;
use crate::wire::{Walk, request};

/// Reads a batch of new entries, acknowledges it, and so on: two round trips a batch.
pub(super) struct Worker {
    read: Vec<u8>,
    /// The IDs of the batch that is to be acknowledged, as bulk strings.
    ids: Vec<u8>,
    id_count: u64,
    is_acking: bool,
    is_over: bool,
    /// Whether to wait when there is nothing new; if not, that is the end.
    waits: bool,
    /// Lanes of the reads and of the acks.
    lanes: [usize; 2],
}

impl Worker {
    pub(super) fn boxed(
        count: u64,
        index: usize,
        waits: bool,
        lanes: [usize; 2],
    ) -> Box<dyn Actor> {
        let consumer = format!("worker-{index}");
        let count = count.to_string();
        let mut args: Vec<&[u8]> = vec![
            b"XREADGROUP",
            b"GROUP",
            GROUP,
            consumer.as_bytes(),
            b"COUNT",
            count.as_bytes(),
        ];
        if waits {
            args.extend([&b"BLOCK"[..], b"100"]);
        }
        args.extend([&b"STREAMS"[..], KEY, b">"]);
        let mut read = Vec::new();
        request(&mut read, &args);
        Box::new(Self {
            read,
            ids: Vec::new(),
            id_count: 0,
            is_acking: false,
            is_over: false,
            waits,
            lanes,
        })
    }

    fn delivered(&mut self, reply: &[u8]) -> Result<(), String> {
        let Self { ids, .. } = self;
        ids.clear();
        self.id_count = Walk::new(reply)?.stream(|id, _| {
            // Every ID here is shorter than 100 bytes: two digits of length or one.
            if id.len() >= 10 {
                ids.extend_from_slice(&[b'$', ascii(id.len() / 10), ascii(id.len() % 10)]);
            } else {
                ids.extend_from_slice(&[b'$', ascii(id.len())]);
            }
            ids.extend_from_slice(b"\r\n");
            ids.extend_from_slice(id);
            ids.extend_from_slice(b"\r\n");
        })?;
        self.is_over = self.id_count == 0 && !self.waits;
        self.is_acking = self.id_count > 0;
        Ok(())
    }
}

fn ascii(digit: usize) -> u8 {
    b'0' + u8::try_from(digit).unwrap_or(0)
}

impl Actor for Worker {
    fn next(&mut self, out: &mut Vec<u8>, _now: u64) -> Step {
        if self.is_over {
            return Step::Done;
        }
        if self.is_acking {
            out.extend_from_slice(format!("*{}\r\n", 3 + self.id_count).as_bytes());
            for word in [b"XACK", KEY, GROUP] {
                out.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
                out.extend_from_slice(word);
                out.extend_from_slice(b"\r\n");
            }
            out.extend_from_slice(&self.ids);
        } else {
            out.extend_from_slice(&self.read);
        }
        Step::Send(1)
    }

    fn reply(&mut self, reply: &[u8], moment: Moment, meter: &mut Meter) -> Result<(), String> {
        if self.is_acking {
            let acked = Walk::new(reply)?.int()?;
            if acked != self.id_count {
                return Err(format!("{acked} of {} entries were pending", self.id_count));
            }
            self.is_acking = false;
            meter.latency(self.lanes[1], moment.latency());
            meter.done(if self.waits { 1 } else { acked });
            return Ok(());
        }
        self.delivered(reply)?;
        // A read that waited for entries says nothing about the server.
        if self.id_count > 0 && !self.waits {
            meter.latency(self.lanes[0], moment.latency());
        }
        meter.done(u64::from(self.waits));
        Ok(())
    }
}

/// Claims everything that is pending, whoever has it, round and round.
pub(super) struct Claimer {
    head: Vec<u8>,
    cursor: Vec<u8>,
    tail: Vec<u8>,
}

impl Claimer {
    pub(super) fn boxed(count: u64, index: usize) -> Box<dyn Actor> {
        let consumer = format!("claimer-{index}");
        let mut head = Vec::new();
        let words: [&[u8]; 5] = [b"XAUTOCLAIM", KEY, GROUP, consumer.as_bytes(), b"0"];
        request(&mut head, &words);
        // Three more arguments follow: the cursor, COUNT and its number.
        head.splice(..4, b"*8\r\n".iter().copied());
        let mut tail = Vec::new();
        request(&mut tail, &[b"COUNT", count.to_string().as_bytes()]);
        tail.drain(..4);
        Box::new(Self {
            head,
            cursor: b"0-0".to_vec(),
            tail,
        })
    }
}

impl Actor for Claimer {
    fn next(&mut self, out: &mut Vec<u8>, _now: u64) -> Step {
        out.extend_from_slice(&self.head);
        out.extend_from_slice(format!("${}\r\n", self.cursor.len()).as_bytes());
        out.extend_from_slice(&self.cursor);
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(&self.tail);
        Step::Send(1)
    }

    fn reply(&mut self, reply: &[u8], moment: Moment, meter: &mut Meter) -> Result<(), String> {
        let mut walk = Walk::new(reply)?;
        walk.array()?;
        self.cursor.clear();
        self.cursor.extend_from_slice(walk.bulk()?);
        let claimed = walk.array()?.unwrap_or(0);
        meter.latency(0, moment.latency());
        meter.done(claimed);
        Ok(())
    }
}
