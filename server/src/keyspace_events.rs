//! Which keyspace events are published: the letters of `notify-keyspace-events`.
//!
//! An event is published when its class and at least one of the two channel kinds are on:
//! `__keyspace@<db>__:<key>` carries the event, `__keyevent@<db>__:<event>` carries the key.

/// A set of event classes and channel kinds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EventClasses(u16);

/// The letters in the order in which they are shown; the first [`IN_ALL`] of them are what `A`
/// means.
const LETTERS: &[u8] = b"g$lshzxetdnKEm";
const IN_ALL: u32 = 10;

impl EventClasses {
    /// Events that any type of key can have: deletion, renaming, expiry being set.
    pub(crate) const GENERIC: EventClasses = EventClasses::of(b'g');
    /// Keys that expired.
    pub(crate) const EXPIRED: EventClasses = EventClasses::of(b'x');
    /// Events of streams.
    pub(crate) const STREAM: EventClasses = EventClasses::of(b't');
    /// Keys that came to be.
    pub(crate) const NEW: EventClasses = EventClasses::of(b'n');
    /// Keys that were looked for and not found.
    pub(crate) const MISSED: EventClasses = EventClasses::of(b'm');
    /// Events go to the channel of the key.
    pub(crate) const KEYSPACE: EventClasses = EventClasses::of(b'K');
    /// Keys go to the channel of the event.
    pub(crate) const KEYEVENT: EventClasses = EventClasses::of(b'E');

    const fn of(letter: u8) -> EventClasses {
        let mut position = 0;
        while LETTERS[position] != letter {
            position += 1;
        }
        EventClasses(1 << position)
    }

    const fn all() -> u16 {
        (1 << IN_ALL) - 1
    }

    /// Whether all of `other` is in here.
    pub(crate) fn contains(self, other: EventClasses) -> bool {
        self.0 & other.0 == other.0
    }

    /// Reads the letters; `None` if one is unknown.
    pub(crate) fn parse(letters: &[u8]) -> Option<EventClasses> {
        let mut classes = 0;
        for letter in letters {
            classes |= match LETTERS.iter().position(|known| known == letter) {
                Some(position) => 1 << position,
                None if *letter == b'A' => EventClasses::all(),
                None => return None,
            };
        }
        Some(EventClasses(classes))
    }

    /// The letters, the shortest way.
    pub(crate) fn letters(self) -> String {
        let mut letters = String::new();
        let mut rest = self.0;
        if rest & EventClasses::all() == EventClasses::all() {
            letters.push('A');
            rest &= !EventClasses::all();
        }
        for (position, letter) in LETTERS.iter().enumerate() {
            if rest & (1 << position) != 0 {
                letters.push(char::from(*letter));
            }
        }
        letters
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_are_shown_in_canonical_order() {
        for (given, shown) in [
            ("KEA", "AKE"),
            ("xgK", "gxK"),
            ("Elsm", "lsEm"),
            ("g$lshzxetd", "A"),
            ("AKEm", "AKEm"),
            ("", ""),
        ] {
            let classes = EventClasses::parse(given.as_bytes()).unwrap();
            assert_eq!(classes.letters(), shown, "{given}");
        }
        assert_eq!(EventClasses::parse(b"Kq"), None);
    }

    #[test]
    fn all_does_not_include_new_and_missed_keys() {
        let all = EventClasses::parse(b"A").unwrap();
        assert!(all.contains(EventClasses::STREAM) && all.contains(EventClasses::EXPIRED));
        assert!(!all.contains(EventClasses::NEW) && !all.contains(EventClasses::MISSED));
        assert!(!all.contains(EventClasses::KEYSPACE));
    }
}
