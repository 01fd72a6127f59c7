//! Writing a sorted segment: runs come one after the other, and their entries in order.
//!
//! The file is written under a name of its own, and gets its final one only when it is complete and
//! synced; the directory is synced before anybody is told. The tables are kept in memory until the
//! end, which bounds how much goes into one file.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{UNFINISHED, name};
use crate::error::io_error;
use crate::format::sorted::{
    self as format, BLOCK_RAW_LEN, BlockDraft, BlockRow, Footer, Header, NodeRow, Row, RunRow,
};
use crate::storage::{Storage, StorageFile, whole, write_all_at};
use crate::{EntryId, Lsn, Result};

/// Bytes are gathered up to this many before they are written.
const WRITE_LEN: usize = 1 << 20;

/// A sorted segment that is being written.
pub(crate) struct Builder<'a> {
    storage: &'a dyn Storage,
    dir: &'a Path,
    path: PathBuf,
    file: Arc<dyn StorageFile>,
    id: u64,
    buffer: Vec<u8>,
    written: u64,
    footer: Footer,
    runs: Vec<u8>,
    blocks: Vec<u8>,
    nodes: Vec<u8>,
    run: RunRow,
    node: Option<NodeRow>,
    draft: BlockDraft,
    block_first: EntryId,
    raw: Vec<u8>,
    raw_len: u64,
}

impl<'a> Builder<'a> {
    /// Begins the file with that header in `dir`.
    pub(crate) fn create(storage: &'a dyn Storage, dir: &'a Path, header: Header) -> Result<Self> {
        let id = header.id;
        let path = dir.join(format!("{id:016x}{UNFINISHED}"));
        let file = whole::create(storage, &path)?;
        Ok(Self {
            storage,
            dir,
            path,
            file,
            id,
            buffer: format::header(header),
            written: 0,
            footer: Footer::default(),
            runs: Vec::new(),
            blocks: Vec::new(),
            nodes: Vec::new(),
            run: RunRow::default(),
            node: None,
            draft: BlockDraft::default(),
            block_first: EntryId::MIN,
            raw: Vec::new(),
            raw_len: 0,
        })
    }

    /// Runs that have begun.
    pub(crate) fn runs(&self) -> u32 {
        self.footer.runs + u32::from(self.run.entries > 0)
    }

    /// Entries so far.
    pub(crate) fn entries(&self) -> u64 {
        self.footer.entries + u64::from(self.run.entries)
    }

    /// Bytes of the bodies so far.
    pub(crate) fn raw_len(&self) -> u64 {
        self.raw_len
    }

    /// The entries that follow are those of `stream`.
    pub(crate) fn begin_run(&mut self, stream: u64) -> Result<()> {
        self.end_run()?;
        self.run = RunRow {
            stream,
            first_block: self.footer.blocks,
            first_node: self.footer.nodes,
            ..RunRow::default()
        };
        Ok(())
    }

    /// The entries that follow are in that node, which may be the one that those before are in.
    pub(crate) fn begin_node(&mut self, last_id: EntryId, base: Lsn, added: u32) {
        let same = self.node.take_if(|node| node.base == base.0);
        let ordinal = same.map_or(self.run.entries, |node| node.ordinal);
        self.end_node();
        self.node = Some(NodeRow {
            last_id,
            base: base.0,
            ordinal,
            added,
        });
    }

    fn end_node(&mut self) {
        if let Some(node) = self
            .node
            .take()
            .filter(|node| node.ordinal < self.run.entries)
        {
            self.nodes.extend(node.encode(self.id, self.footer.nodes));
            self.footer.nodes += 1;
        }
    }

    /// Adds an entry.
    pub(crate) fn entry(&mut self, id: EntryId, body: &[u8]) -> Result<()> {
        assert!(
            self.run.entries == 0 || id > self.run.last_id,
            "the entries of a run come in order"
        );
        if self.draft.count() > 0 && self.draft.len() + body.len() > BLOCK_RAW_LEN {
            self.end_block()?;
        }
        if self.draft.count() == 0 {
            self.block_first = id;
        }
        if self.run.entries == 0 {
            self.run.first_id = id;
        }
        self.draft.push(id, body);
        self.run.last_id = id;
        self.run.entries += 1;
        self.raw_len += body.len() as u64;
        Ok(())
    }

    fn end_block(&mut self) -> Result<()> {
        let count = self.draft.count();
        if count == 0 {
            return Ok(());
        }
        self.raw.clear();
        self.draft.take(&mut self.raw);
        let (start, offset) = (self.buffer.len(), self.written + self.buffer.len() as u64);
        format::put_block(&mut self.buffer, self.id, offset, &self.raw);
        let len = u32::try_from(self.buffer.len() - start).expect("blocks are below BLOCK_RAW_MAX");
        let row = BlockRow {
            first_id: self.block_first,
            offset,
            len,
            ordinal: self.run.entries - count,
        };
        self.blocks.extend(row.encode(self.id, self.footer.blocks));
        self.footer.blocks += 1;
        self.flush(WRITE_LEN)
    }

    fn end_run(&mut self) -> Result<()> {
        self.end_block()?;
        self.end_node();
        let mut run = std::mem::take(&mut self.run);
        if run.entries > 0 {
            run.blocks = self.footer.blocks - run.first_block;
            run.nodes = self.footer.nodes - run.first_node;
            self.runs.extend(run.encode(self.id, self.footer.runs));
            self.footer.runs += 1;
            self.footer.entries += u64::from(run.entries);
        }
        Ok(())
    }

    /// Writes what has gathered if it is at least `len`.
    fn flush(&mut self, len: usize) -> Result<()> {
        if self.buffer.len() >= len {
            write_all_at(&*self.file, self.written, &self.buffer)
                .map_err(|error| io_error("write", &self.path, error))?;
            self.written += self.buffer.len() as u64;
            self.buffer.clear();
        }
        Ok(())
    }

    /// Completes the file and gives it its name: where it is then.
    pub(crate) fn finish(&mut self) -> Result<PathBuf> {
        self.end_run()?;
        self.footer.tables_at = self.written + self.buffer.len() as u64;
        for table in [&self.runs, &self.blocks, &self.nodes] {
            self.buffer.extend_from_slice(table);
        }
        self.buffer.extend(self.footer.encode(self.id));
        self.flush(0)?;
        self.file
            .sync()
            .map_err(|error| io_error("sync", &self.path, error))?;
        let path = self.dir.join(name(self.id));
        whole::publish(self.storage, &self.path, &path)?;
        Ok(path)
    }

    /// Gives up: the unfinished file is removed.
    pub(crate) fn abandon(self) -> Result<()> {
        whole::unlink(self.storage, &self.path)
    }
}
