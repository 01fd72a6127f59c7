//! Which arguments of a command are keys, and what the command does to them.

use super::{Command, KeySpec, flag};

/// The positions of the keys among the arguments (the name is number 0); `None` if the arguments
/// do not have the form that the command wants.
pub(super) fn keys_of(spec: KeySpec, args: &[&[u8]]) -> Option<Vec<usize>> {
    match spec {
        KeySpec::None => Some(Vec::new()),
        KeySpec::Range { first, last, step } => {
            let first = usize::try_from(first).ok()?;
            let last = match usize::try_from(last) {
                Ok(last) => last,
                Err(_) => args
                    .len()
                    .checked_sub(usize::try_from(last.unsigned_abs()).ok()?)?,
            };
            let step = usize::try_from(step).ok().filter(|step| *step > 0)?;
            if last >= args.len() {
                return None;
            }
            Some((first..=last).step_by(step).collect())
        }
        KeySpec::Streams => {
            let word = args
                .iter()
                .skip(1)
                .position(|word| word.eq_ignore_ascii_case(b"streams"))?;
            let first = word + 2;
            let rest = args.len() - first;
            // A list without an ID for each key is the command's own business to refuse.
            (rest >= 2).then(|| (first..first + rest / 2).collect())
        }
    }
}

/// What a command does to its keys, in the words of Redis' key specifications.
pub(super) fn access(command: &Command) -> &'static [&'static str] {
    match command.full_name() {
        "move" => &["RW", "access", "update"],
        "copy" => &["RO", "access"],
        "del" | "unlink" => &["RM", "delete"],
        "xackdel" => &["RW", "update", "delete"],
        "xdel" | "xdelex" | "xtrim" | "xautoclaim" | "xgroup|destroy" | "xgroup|delconsumer" => {
            &["RW", "delete"]
        }
        "xgroup|create" | "xgroup|createconsumer" => &["RW", "insert"],
        "rename" | "renamenx" => &["RW", "access", "delete"],
        "exists" | "type" | "touch" | "xlen" | "object|encoding" | "object|freq"
        | "object|idletime" | "object|refcount" | "memory|usage" | "watch" => &["RO"],
        name if name != "xreadgroup" && command.spec.has(flag::WRITE) => &["RW", "update"],
        _ => &["RO", "access"],
    }
}

/// What a command that has two keys with a role each does to the second one.
pub(super) fn access_to_second(command: &Command) -> Option<&'static [&'static str]> {
    match command.full_name() {
        "rename" | "copy" => Some(&["OW", "update"]),
        "renamenx" => Some(&["OW", "insert"]),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(spec: KeySpec, line: &str) -> Option<Vec<usize>> {
        keys_of(
            spec,
            &line.split(' ').map(str::as_bytes).collect::<Vec<_>>(),
        )
    }

    #[test]
    fn keys_are_found_where_the_specification_says() {
        let all = KeySpec::Range {
            first: 1,
            last: -1,
            step: 1,
        };
        assert_eq!(keys(KeySpec::FIRST, "xadd a * f v"), Some(vec![1]));
        assert_eq!(keys(all, "del a b c"), Some(vec![1, 2, 3]));
        assert_eq!(keys(KeySpec::at(2), "xgroup create"), None);
        assert_eq!(
            keys(KeySpec::Streams, "xread COUNT 2 STREAMS a b 0 0"),
            Some(vec![4, 5])
        );
        assert_eq!(keys(KeySpec::Streams, "xread streams a"), None);
        assert_eq!(keys(KeySpec::Streams, "xread streams"), None);
        assert_eq!(keys(KeySpec::Streams, "xread"), None);
    }
}
