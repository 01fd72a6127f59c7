//! Things that have a name and a number: the groups of a stream, the consumers of a group.
//!
//! The log speaks of numbers, commands of names, listings want the order of the names' bytes. So
//! the table is an array by number, with holes, and the numbers sorted by name. A number is used
//! again after its thing is removed: records of one stream are replayed in order, so it is never
//! ambiguous.

/// How far a number may lie behind the last: a checkpoint has holes where things were removed.
const GAP_MAX: usize = 1 << 20;

/// A table of named things.
#[derive(Clone, Debug)]
pub(crate) struct Names<T> {
    slots: Vec<Option<Named<T>>>,
    /// Numbers of the things, ordered by name.
    order: Vec<u32>,
}

#[derive(Clone, Debug)]
struct Named<T> {
    name: Box<[u8]>,
    thing: T,
}

impl<T> Default for Names<T> {
    fn default() -> Self {
        Self {
            slots: Vec::new(),
            order: Vec::new(),
        }
    }
}

impl<T> Names<T> {
    pub(crate) fn len(&self) -> usize {
        self.order.len()
    }

    /// The number of the thing of that name.
    pub(crate) fn find(&self, name: &[u8]) -> Option<u32> {
        self.search(name).ok().map(|at| self.order[at])
    }

    fn search(&self, name: &[u8]) -> Result<usize, usize> {
        self.order
            .binary_search_by(|&number| self.name(number).cmp(name))
    }

    /// The name of a thing that exists.
    pub(crate) fn name(&self, number: u32) -> &[u8] {
        self.slot(number).map_or(&[], |named| &named.name)
    }

    fn slot(&self, number: u32) -> Option<&Named<T>> {
        self.slots.get(number as usize)?.as_ref()
    }

    pub(crate) fn get(&self, number: u32) -> Option<&T> {
        self.slot(number).map(|named| &named.thing)
    }

    pub(crate) fn get_mut(&mut self, number: u32) -> Option<&mut T> {
        self.slots
            .get_mut(number as usize)?
            .as_mut()
            .map(|named| &mut named.thing)
    }

    /// The lowest number that is free.
    pub(crate) fn free_number(&self) -> u32 {
        let hole = self.slots.iter().position(Option::is_none);
        u32::try_from(hole.unwrap_or(self.slots.len())).unwrap_or(u32::MAX)
    }

    /// Adds a thing; false if its name or number is taken, or the number is far behind the last.
    pub(crate) fn insert(&mut self, number: u32, name: &[u8], thing: T) -> bool {
        let Err(at) = self.search(name) else {
            return false;
        };
        let index = number as usize;
        if index > self.slots.len() + GAP_MAX || self.slot(number).is_some() {
            return false;
        }
        if index >= self.slots.len() {
            self.slots.resize_with(index + 1, || None);
        }
        self.slots[index] = Some(Named {
            name: name.into(),
            thing,
        });
        self.order.insert(at, number);
        true
    }

    /// Removes a thing.
    pub(crate) fn remove(&mut self, number: u32) -> Option<T> {
        let at = self.search(&self.slot(number)?.name).ok()?;
        self.order.remove(at);
        let named = self.slots[number as usize].take();
        while let Some(None) = self.slots.last() {
            self.slots.pop();
        }
        named.map(|named| named.thing)
    }

    /// All things with number and name, ordered by name.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &[u8], &T)> {
        self.order.iter().filter_map(|&number| {
            self.slot(number)
                .map(|named| (number, &*named.name, &named.thing))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Names;

    #[test]
    fn listings_follow_the_bytes_of_the_names_and_numbers_are_used_again() {
        let mut names = Names::default();
        for name in ["b", "a", "c"] {
            assert!(names.insert(names.free_number(), name.as_bytes(), name));
        }
        assert!(!names.insert(names.free_number(), b"a", "again"));
        assert!(!names.insert(u32::MAX, b"gap", "gap"));
        let listed: Vec<_> = names
            .iter()
            .map(|(number, name, _)| (number, name))
            .collect();
        assert_eq!(listed, [(1, &b"a"[..]), (0, b"b"), (2, b"c")]);

        assert_eq!(names.find(b"b"), Some(0));
        assert_eq!(names.remove(0), Some("b"));
        assert_eq!(
            (names.find(b"b"), names.remove(0), names.free_number()),
            (None, None, 0)
        );
        assert_eq!((names.get(1), names.len()), (Some(&"a"), 2));
        assert_eq!(names.remove(2), Some("c"));
        assert_eq!(names.free_number(), 0);
    }
}
