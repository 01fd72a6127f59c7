//! Glob patterns as KEYS, SCAN MATCH and PSUBSCRIBE read them.
//!
//! `*` any run of bytes, `?` one byte, `[abc]`, `[a-z]` and `[^a]` one byte of (or not of) a class,
//! `\` takes the next byte literally. A class that is never closed ends with the pattern. Except
//! for `*` every element takes exactly one byte, so only the last `*` seen ever needs to be tried
//! again: the cost is at most pattern length times text length, whatever the pattern.

/// Whether `text` as a whole matches `pattern`.
///
/// As in Redis an empty text matches only the empty pattern, not even `*`; KEYS and SCAN treat the
/// pattern `*` as "all keys" before they ask.
pub(crate) fn matches(pattern: &[u8], text: &[u8]) -> bool {
    if text.is_empty() {
        return pattern.is_empty();
    }
    let (mut at, mut seen) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while seen < text.len() {
        if pattern.get(at) == Some(&b'*') {
            at += 1;
            retry = Some((at, seen));
            continue;
        }
        if let Some(next) = match_one(&pattern[at..], text[seen]) {
            at += next;
            seen += 1;
            continue;
        }
        let Some((star, from)) = retry else {
            return false;
        };
        retry = Some((star, from + 1));
        (at, seen) = (star, from + 1);
    }
    pattern[at..].iter().all(|&byte| byte == b'*')
}

/// Matches one byte against the first element of `pattern`, which is not `*`; returns the length
/// of that element.
fn match_one(pattern: &[u8], byte: u8) -> Option<usize> {
    match *pattern {
        [] => None,
        [b'?', ..] => Some(1),
        [b'[', ref class @ ..] => match_class(class, byte).map(|len| len + 1),
        [b'\\', literal, ..] => (literal == byte).then_some(2),
        [literal, ..] => (literal == byte).then_some(1),
    }
}

/// Matches one byte against what stands behind a `[`; returns the length up to and with the `]`.
fn match_class(class: &[u8], byte: u8) -> Option<usize> {
    let negated = class.first() == Some(&b'^');
    let mut at = usize::from(negated);
    let mut found = false;
    loop {
        match class[at..] {
            [] => break,
            [b'\\', literal, ..] => {
                found |= literal == byte;
                at += 2;
            }
            [b']', ..] => {
                at += 1;
                break;
            }
            [a, b'-', b, ..] => {
                found |= (a.min(b)..=a.max(b)).contains(&byte);
                at += 3;
            }
            [literal, ..] => {
                found |= literal == byte;
                at += 1;
            }
        }
    }
    (found != negated).then_some(at)
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn patterns_match_as_redis_says() {
        for (pattern, text, expected) in [
            ("a*", "a", true),
            ("a*", "abc", true),
            ("*a*b*", "xxaxxbxx", true),
            ("*a*b", "xxaxxbxx", false),
            ("**", "x", true),
            ("*", "", false),
            ("", "", true),
            ("", "a", false),
            ("a?c", "abc", true),
            ("a?", "a", false),
            ("h[ae]llo", "hello", true),
            ("h[ae]llo", "hillo", false),
            ("h[^e]llo", "hallo", true),
            ("h[^e]llo", "hello", false),
            ("h[a-c]llo", "hbllo", true),
            ("h[c-a]llo", "hbllo", true),
            ("h[a-]llo", "hbllo", false),
            ("[a-", "-", true),
            ("[a-", "b", false),
            ("[]", "a", false),
            ("[^]", "a", true),
            ("[a", "a", true),
            ("[", "a", false),
            ("\\*", "*", true),
            ("\\*", "a", false),
            ("a\\", "a\\", true),
            ("[\\]]", "]", true),
            ("a*c*e", "abcde", true),
            ("a[b*", "ab", true),
            ("abc", "ab", false),
            ("ab**", "ab", true),
            ("A", "a", false),
        ] {
            assert_eq!(
                matches(pattern.as_bytes(), text.as_bytes()),
                expected,
                "{pattern} {text}"
            );
        }
    }

    #[test]
    fn many_stars_stay_cheap() {
        let pattern = "a*".repeat(200) + "b";
        let text = "a".repeat(20_000);
        assert!(!matches(pattern.as_bytes(), text.as_bytes()));
    }
}
