//! A node of a stream: up to some hundred entries in a listpack, told apart from a master entry.
//!
//! ```text
//! master   live count, deleted count, field count, fields..., 0
//! entry    flags, ms and sequence above those of the node's ID,
//!          SAMEFIELDS: the values of the master's fields; else field count, field, value, ...
//!          number of elements of this entry, for those who read backwards
//! ```
//!
//! A deleted entry stays in its place with the flag DELETED.

use alluvium_engine::{EntryId, Fields, Piece};

use super::Result;
use super::codec::malformed;
use super::listpack::{Builder, Element, Elements};

const DELETED: i64 = 1;
const SAME_FIELDS: i64 = 2;
/// Elements in front of an entry's fields: flags, ms, sequence.
const HEAD_COUNT: usize = 3;
/// The most fields of an entry: as many as a command has arguments.
const FIELDS_MAX: usize = 1 << 20;

/// Hands the entries of a node to `visitor`; how many there are.
pub(super) fn visit(
    id: EntryId,
    listpack: &[u8],
    visitor: &mut dyn FnMut(Piece<'_>) -> Result<()>,
) -> Result<u64> {
    let mut elements = Elements::new(listpack)?;
    let (live, deleted) = (elements.count()?, elements.count()?);
    let field_count = field_count(&mut elements)?;
    let mut fields = Vec::new();
    for _ in 0..field_count {
        fields.push(elements.next()?);
    }
    if elements.integer()? != 0 {
        return Err(malformed("a master entry without its end"));
    }
    let (mut visited, mut texts) = (0, Texts::default());
    for _ in 0..live + deleted {
        let flags = read_entry(&mut elements, id, &fields, &mut texts)?;
        if flags & DELETED == 0 {
            texts.visit(visited == 0, visitor)?;
            visited += 1;
        }
    }
    elements.end()?;
    if visited != live {
        return Err(malformed("another number of deleted entries"));
    }
    // A node whose entries are all deleted is removed by whoever writes it.
    if live > 0 && deleted > 0 {
        let missing = u32::try_from(deleted).map_err(|_| malformed("a count that cannot be"))?;
        visitor(Piece::Missing(missing))?;
    }
    Ok(visited as u64)
}

fn field_count(elements: &mut Elements<'_>) -> Result<usize> {
    let count = elements.count()?;
    if count > FIELDS_MAX {
        return Err(malformed("more fields than an entry can have"));
    }
    Ok(count)
}

/// Reads an entry into `texts`; its flags.
fn read_entry<'a>(
    elements: &mut Elements<'a>,
    node: EntryId,
    fields: &[Element<'a>],
    texts: &mut Texts<'a>,
) -> Result<i64> {
    let flags = elements.integer()?;
    if flags & !(DELETED | SAME_FIELDS) != 0 {
        return Err(malformed("an entry with unknown flags"));
    }
    let (ms, seq) = (elements.integer()?, elements.integer()?);
    texts.id = EntryId::new(
        node.ms.wrapping_add(ms.cast_unsigned()),
        node.seq.wrapping_add(seq.cast_unsigned()),
    );
    texts.clear();
    let count = if flags & SAME_FIELDS != 0 {
        for field in fields {
            texts.push(*field);
            texts.push(elements.next()?);
        }
        HEAD_COUNT + fields.len()
    } else {
        let pairs = field_count(elements)?;
        for _ in 0..2 * pairs {
            texts.push(elements.next()?);
        }
        HEAD_COUNT + 1 + 2 * pairs
    };
    if elements.count()? != count {
        return Err(malformed("an entry of another number of elements"));
    }
    Ok(flags)
}

/// The ID and the fields and values of one entry. Integers are made texts, which lie in `decimals`.
#[derive(Debug, Default)]
struct Texts<'a> {
    id: EntryId,
    elements: Vec<Element<'a>>,
    decimals: Vec<u8>,
    /// Where in `decimals` each integer's text ends.
    ends: Vec<usize>,
}

impl<'a> Texts<'a> {
    fn clear(&mut self) {
        self.elements.clear();
        self.decimals.clear();
        self.ends.clear();
    }

    fn push(&mut self, element: Element<'a>) {
        if let Element::Integer(integer) = element {
            let decimal = itoa::Buffer::new().format(integer).as_bytes().to_vec();
            self.decimals.extend_from_slice(&decimal);
            self.ends.push(self.decimals.len());
        }
        self.elements.push(element);
    }

    fn visit(
        &self,
        starts_node: bool,
        visitor: &mut dyn FnMut(Piece<'_>) -> Result<()>,
    ) -> Result<()> {
        let (mut ends, mut start) = (self.ends.iter(), 0);
        let text = |element: &Element<'a>| match *element {
            Element::String(text) => text,
            Element::Integer(_) => {
                let end = *ends.next().expect("an end for each integer");
                &self.decimals[std::mem::replace(&mut start, end)..end]
            }
        };
        let fields: Vec<&[u8]> = self.elements.iter().map(text).collect();
        visitor(Piece::Entry {
            id: self.id,
            starts_node,
            fields: &fields,
        })
    }
}

/// Writes a node.
#[derive(Debug, Default)]
pub(super) struct Writer {
    listpack: Builder,
    id: EntryId,
    last: EntryId,
    /// The master's fields, one behind the other, and where each ends.
    names: Vec<u8>,
    ends: Vec<usize>,
}

impl Writer {
    /// Starts a node whose first entry is given next.
    pub(super) fn begin(
        &mut self,
        id: EntryId,
        (live, deleted): (usize, usize),
        first: Fields<'_>,
    ) {
        (self.id, self.last) = (id, id);
        self.names.clear();
        self.ends.clear();
        let listpack = &mut self.listpack;
        listpack.begin();
        listpack.count(live);
        listpack.count(deleted);
        listpack.count(first.len() / 2);
        for field in first.step_by(2) {
            listpack.string(field);
            self.names.extend_from_slice(field);
            self.ends.push(self.names.len());
        }
        listpack.integer(0);
    }

    /// Appends an entry.
    pub(super) fn entry(&mut self, id: EntryId, fields: Fields<'_>) {
        let count = fields.len() / 2;
        if self.has_fields_of(fields.clone()) {
            self.head(SAME_FIELDS, id);
            for value in fields.skip(1).step_by(2) {
                self.listpack.string(value);
            }
            self.listpack.count(HEAD_COUNT + count);
        } else {
            self.head(0, id);
            self.listpack.count(count);
            for text in fields {
                self.listpack.string(text);
            }
            self.listpack.count(HEAD_COUNT + 1 + 2 * count);
        }
    }

    /// Appends a deleted entry. Nobody knows what it was: it has no fields, and the ID of the entry
    /// in front of it.
    pub(super) fn deleted(&mut self) {
        self.head(DELETED, self.last);
        self.listpack.count(0);
        self.listpack.count(HEAD_COUNT + 1);
    }

    fn head(&mut self, flags: i64, id: EntryId) {
        self.last = id;
        self.listpack.integer(flags);
        let ms = id.ms.wrapping_sub(self.id.ms);
        let seq = id.seq.wrapping_sub(self.id.seq);
        self.listpack.integer(ms.cast_signed());
        self.listpack.integer(seq.cast_signed());
    }

    fn has_fields_of(&self, fields: Fields<'_>) -> bool {
        let mut start = 0;
        let names = self.ends.iter().map(|&end| {
            let name = &self.names[start..end];
            start = end;
            name
        });
        names.eq(fields.step_by(2))
    }

    /// The ID of the node.
    pub(super) fn id(&self) -> EntryId {
        self.id
    }

    /// Length so far.
    pub(super) fn len(&self) -> usize {
        self.listpack.len()
    }

    /// Ends the node; its listpack.
    pub(super) fn end(&mut self) -> &[u8] {
        self.listpack.end()
    }
}
