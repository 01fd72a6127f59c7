//! Writing a payload: the export of a stream, in the oldest layout that has a place for all of it,
//! or in an older one, for an older server, which leaves out the rest.
//!
//! A logical node becomes a listpack, in which deleted entries are counted and take a few bytes, so
//! that the stream is trimmed in the same places wherever it is restored. Nothing is compressed.

use std::ops::ControlFlow;

use alluvium_engine::{
    EntryId, Error, Export, Fields, GroupParts, PendingParts, ProducersParts, StreamParts,
};

use super::codec::{malformed, put_fixed_id, put_id, put_length, put_text};
use super::layout::{STREAM, STREAM_2, STREAM_3, STREAM_4, STREAM_5};
use super::{CRC, GIVEN_BACK_VERSION, NOBODY, Result, node};

/// The most bytes of a payload, as of any string that clients and servers take.
pub(crate) const PAYLOAD_LEN_MAX: usize = 512 << 20;

/// Writes the payload of a stream in a layout of the given version of Redis's format at most.
pub(crate) fn write(export: &Export, version_max: u16) -> Result<Vec<u8>> {
    let (layout, version) = layout_for(&export.parts, version_max);
    let mut out = vec![layout];
    put_length(&mut out, export.nodes.len() as u64);
    put_nodes(&mut out, export)?;
    let parts = &export.parts;
    put_length(&mut out, export.entries.len() as u64);
    put_id(&mut out, parts.last_id);
    if layout >= STREAM_2 {
        put_id(&mut out, export.first_id);
        put_id(&mut out, parts.max_deleted_id);
        put_length(&mut out, parts.entries_added);
    }
    put_length(&mut out, parts.groups.len() as u64);
    for group in &parts.groups {
        put_group(&mut out, layout, group);
        check_len(out.len())?;
    }
    if layout >= STREAM_4 {
        put_producers(&mut out, parts.producers.as_ref());
        check_len(out.len())?;
    }
    out.extend_from_slice(&version.to_le_bytes());
    let crc = CRC.checksum(&out);
    out.extend_from_slice(&crc.to_le_bytes());
    Ok(out)
}

/// The layout for a stream, and the version that it came with.
fn layout_for(parts: &StreamParts, version_max: u16) -> (u8, u16) {
    let has_given_back = |group: &GroupParts| !group.given_back.is_empty();
    let needed = if parts.groups.iter().any(has_given_back) {
        GIVEN_BACK_VERSION
    } else if parts.producers.is_some() {
        13
    } else {
        11
    };
    match needed.min(version_max) {
        ..10 => (STREAM, 9),
        10 => (STREAM_2, 10),
        11..13 => (STREAM_3, 11),
        13 => (STREAM_4, 13),
        GIVEN_BACK_VERSION.. => (STREAM_5, GIVEN_BACK_VERSION),
    }
}

fn check_len(len: usize) -> Result<()> {
    if len <= PAYLOAD_LEN_MAX {
        return Ok(());
    }
    Err(Error::TooLarge {
        what: "payload of the stream",
        size: len as u64,
        limit: PAYLOAD_LEN_MAX as u64,
    })
}

fn put_nodes(out: &mut Vec<u8>, export: &Export) -> Result<()> {
    let mut sizes = export.nodes.iter();
    let (mut writer, mut left, mut missing) = (node::Writer::default(), 0, 0);
    let mut put = |id: EntryId, fields: Option<Fields<'_>>| {
        let unexpected = || malformed("an entry that is in no node");
        let fields = fields.ok_or_else(unexpected)?;
        if left == 0 {
            let size = sizes.next().ok_or_else(unexpected)?;
            left = size.live;
            missing = size.added - size.live;
            let counts = (size.live as usize, missing as usize);
            writer.begin(id, counts, fields.clone());
        }
        writer.entry(id, fields);
        check_len(out.len() + writer.len())?;
        left -= 1;
        if left == 0 {
            (0..missing).for_each(|_| writer.deleted());
            check_len(out.len() + writer.len())?;
            put_length(out, 16);
            put_fixed_id(out, writer.id());
            put_text(out, writer.end());
        }
        Ok(())
    };
    let mut outcome = Ok(());
    export.entries.visit(0, &mut |id, fields| {
        outcome = put(id, fields);
        if outcome.is_ok() {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        }
    })?;
    outcome
}

fn put_group(out: &mut Vec<u8>, layout: u8, group: &GroupParts) {
    put_text(out, &group.name);
    put_id(out, group.cursor.id);
    if layout >= STREAM_2 {
        put_length(out, group.cursor.entries_read.unwrap_or(u64::MAX));
    }
    let has_place = layout >= STREAM_5;
    let given_back = group.given_back.iter().filter(|_| has_place);
    let given_back = given_back.map(|&(id, delivery_count)| PendingParts {
        id,
        delivered_ms: 0,
        delivery_count,
        consumer: NOBODY,
    });
    let mut pending: Vec<PendingParts> = group.pending.iter().copied().chain(given_back).collect();
    pending.sort_by_key(|held| held.id);
    put_length(out, pending.len() as u64);
    for held in &pending {
        put_fixed_id(out, held.id);
        put_time(out, Some(held.delivered_ms));
        put_length(out, held.delivery_count);
    }
    // By consumer, and still by ID: the sort is stable.
    pending.sort_by_key(|held| held.consumer);
    put_length(out, group.consumers.len() as u64);
    for (consumer, number) in group.consumers.iter().zip(0..) {
        put_text(out, &consumer.name);
        put_time(out, Some(consumer.seen_ms));
        if layout >= STREAM_3 {
            put_time(out, consumer.active_ms);
        }
        let from = pending.partition_point(|held| held.consumer < number);
        let to = pending.partition_point(|held| held.consumer <= number);
        put_length(out, (to - from) as u64);
        for held in &pending[from..to] {
            put_fixed_id(out, held.id);
        }
    }
    if has_place {
        put_length(out, group.given_back.len() as u64);
        for (id, _) in &group.given_back {
            put_fixed_id(out, *id);
        }
    }
}

fn put_producers(out: &mut Vec<u8>, parts: Option<&ProducersParts>) {
    let ordinary = ProducersParts::default();
    let parts = parts.unwrap_or(&ordinary);
    put_length(out, u64::from(parts.settings.seconds));
    put_length(out, u64::from(parts.settings.count_max));
    put_length(out, parts.producers.len() as u64);
    for producer in &parts.producers {
        put_text(out, &producer.name);
        put_length(out, producer.sent.len() as u64);
        for sent in &producer.sent {
            put_text(out, &sent.iid);
            put_id(out, sent.id);
        }
    }
    put_length(out, parts.added);
    put_length(out, parts.repeated);
}

/// A time in milliseconds; -1 stands for never.
fn put_time(out: &mut Vec<u8>, time_ms: Option<u64>) {
    let time_ms = time_ms.map_or(-1, |time_ms| i64::try_from(time_ms).unwrap_or(i64::MAX));
    out.extend_from_slice(&time_ms.to_le_bytes());
}
