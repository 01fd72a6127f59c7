//! The log, segment by segment.

use std::path::Path;

use super::record::{kind, values};
use super::{Dump, Value};
use crate::engine::LOG;
use crate::format::frame::{self, Frame};
use crate::format::record::Record;
use crate::log::Segment;
use crate::log::scan::{Bytes, Piece};
use crate::log::segment::{Flaw, parse_name};
use crate::{Error, Lsn, Result};

impl Dump<'_> {
    pub(super) fn log(&mut self) -> Result<()> {
        let is_segment = |name: &str| parse_name(name).is_some();
        let mut expected = None;
        for path in super::names::files(self.storage, &self.dir.join(LOG), &is_segment)? {
            if self.is_over {
                break;
            }
            let segment = match Segment::open(self.storage, &path) {
                Ok(segment) => segment,
                Err(Error::Corrupt { offset, what, .. }) => {
                    self.bad(&path, (offset, 0), what);
                    match Segment::open_remains(self.storage, &path)? {
                        Some(cut) if cut.flaw() == Some(Flaw::Cut) => cut,
                        _ => continue,
                    }
                }
                Err(error) => return Err(error),
            };
            let gap = segment
                .first_lsn()
                .since(expected.unwrap_or(segment.first_lsn()));
            if gap > 0 && self.names.needs_before(segment.first_lsn()) {
                self.bad(&path, (0, gap), "log is missing before this segment");
            }
            expected = Some(segment.end_lsn());
            self.segment(&path, &segment)?;
        }
        Ok(())
    }

    fn segment(&mut self, path: &Path, segment: &Segment) -> Result<()> {
        let range = &self.options.lsn;
        if segment.end_lsn().0 <= range.start || segment.first_lsn().0 >= range.end {
            return Ok(());
        }
        let file = path.to_string_lossy();
        let values = vec![
            ("file", Value::Text(&file)),
            ("lsn", Value::Number(segment.first_lsn().0)),
            ("len", Value::Number(segment.len())),
            ("identity", Value::Number(segment.identity())),
        ];
        self.item("segment", 0, values);
        let mut buffer = Vec::new();
        segment.read_uncached(segment.frames_lsn(), u64::MAX, &mut buffer)?;
        let bytes = Bytes {
            raw: &buffer,
            lsn: segment.frames_lsn(),
            identity: segment.identity(),
        };
        for piece in bytes.pieces() {
            match piece {
                Piece::Frame(lsn, frame) => self.frame(segment, lsn, &frame),
                // Zeros at the end are what is not written yet.
                Piece::Gap(gap) if gap.is_last && gap.len == 0 => {}
                Piece::Gap(gap) => {
                    let offset = gap.lsn.since(segment.first_lsn());
                    self.bad(path, (offset, gap.len), gap.what);
                }
            }
            if self.is_over {
                break;
            }
        }
        Ok(())
    }

    fn frame(&mut self, segment: &Segment, lsn: Lsn, frame: &Frame<'_>) {
        let is_shown = self.options.lsn.contains(&lsn.0);
        let offset = lsn.since(segment.first_lsn());
        if is_shown && self.names.wants_all() {
            let flags = [
                (frame::CONTINUES, "continues"),
                (frame::RESUMES, "resumes"),
                (frame::SEALS, "seals"),
                (frame::VOIDS, "voids"),
            ];
            let flags = flags.iter().filter(|(flag, _)| frame.has(*flag));
            let values = vec![
                ("lsn", Value::Number(lsn.0)),
                ("offset", Value::Number(offset)),
                ("payload", Value::Number(frame.payload.len() as u64)),
                (
                    "flags",
                    Value::List(flags.map(|(_, name)| Value::Text(name)).collect()),
                ),
                ("durable", Value::Number(frame.durable.0)),
            ];
            self.item("frame", 1, values);
        }
        let mut rest = frame.payload;
        while !rest.is_empty() && !self.is_over {
            let bytes = rest;
            let behind = (frame::HEADER_LEN + frame.payload.len() - rest.len()) as u64;
            let Some(record) = Record::take(&mut rest) else {
                let place = (offset + behind, bytes.len() as u64);
                let what = "expected a record, found bytes of no known kind";
                self.bad(segment.path(), place, what);
                return;
            };
            self.names.learn(&record);
            if is_shown {
                let bytes = &bytes[..bytes.len() - rest.len()];
                self.record(
                    segment,
                    (lsn.plus(behind), offset + behind),
                    (&record, bytes),
                );
            }
        }
    }

    fn record(
        &mut self,
        segment: &Segment,
        (lsn, offset): (Lsn, u64),
        (record, bytes): (&Record<'_>, &[u8]),
    ) {
        let stream = match record {
            Record::Stream { stream, .. } => Some(*stream),
            _ => None,
        };
        if stream.is_some_and(|stream| !self.names.wants(stream)) {
            return;
        }
        let known = stream.and_then(|stream| self.names.get(stream)).cloned();
        let mut all = vec![
            ("lsn", Value::Number(lsn.0)),
            ("offset", Value::Number(offset)),
        ];
        if let Some(stream) = stream {
            all.push(("stream", Value::Number(stream)));
            let name = known
                .as_ref()
                .map_or(Value::None, |(_, key)| Value::Bytes(key));
            all.push(("name", name));
        }
        match values(record, (bytes, lsn)) {
            Ok((id, _)) if id.is_some_and(|id| !self.wants_id(id)) => {}
            Ok((_, values)) => {
                all.extend(values);
                self.item(kind(record), 2, all);
            }
            Err(what) => self.bad(segment.path(), (offset, bytes.len() as u64), what),
        }
    }
}
