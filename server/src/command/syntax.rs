//! The arguments of a command, as COMMAND DOCS lists them, read from its line of documentation.
//!
//! The line is the one source: `key [COUNT count] <id | $>` says all that a client wants to know.
//! Brackets make something optional, angle brackets choose, `[x ...]` repeats what stands before
//! it, a word in capitals in front of a name belongs to it.

use crate::reply::Reply;

/// One argument, or a group of them.
#[derive(Debug, Default, PartialEq, Eq)]
struct Argument {
    name: String,
    kind: &'static str,
    token: Option<String>,
    is_optional: bool,
    is_multiple: bool,
    parts: Vec<Argument>,
}

/// Writes the arguments that the line tells of.
pub(super) fn write(reply: &mut Reply, line: &str) {
    let mut words = Words {
        rest: line,
        depth: 0,
    };
    write_all(reply, &words.sequence());
}

fn write_all(reply: &mut Reply, arguments: &[Argument]) {
    reply.array(arguments.len());
    for argument in arguments {
        let has_flags = argument.is_optional || argument.is_multiple;
        let has_parts = !argument.parts.is_empty();
        let is_key = argument.kind == "key";
        let pairs = 2 + usize::from(argument.token.is_some()) + usize::from(is_key);
        reply.map(pairs + usize::from(has_flags) + usize::from(has_parts));
        reply.bulk(b"name");
        reply.bulk(argument.name.as_bytes());
        reply.bulk(b"type");
        reply.bulk(argument.kind.as_bytes());
        if is_key {
            // Which of the command's key specifications finds it.
            let is_second = matches!(argument.name.as_str(), "newkey" | "destination");
            reply.bulk(b"key_spec_index");
            reply.int(i64::from(is_second));
        }
        if let Some(token) = &argument.token {
            reply.bulk(b"token");
            reply.bulk(token.as_bytes());
        }
        if has_flags {
            reply.bulk(b"flags");
            reply.set(usize::from(argument.is_optional) + usize::from(argument.is_multiple));
            if argument.is_optional {
                reply.simple("optional");
            }
            if argument.is_multiple {
                reply.simple("multiple");
            }
        }
        if has_parts {
            reply.bulk(b"arguments");
            write_all(reply, &argument.parts);
        }
    }
}

/// Nesting of brackets that a line may have; more is read as if it had ended.
const DEPTH_MAX: u32 = 8;

struct Words<'a> {
    rest: &'a str,
    depth: u32,
}

impl Words<'_> {
    /// Alternatives, or one sequence, up to the closing bracket or the end.
    fn group(&mut self) -> Argument {
        let mut choices = vec![self.sequence()];
        while self.take("|") {
            choices.push(self.sequence());
        }
        let mut choices: Vec<Argument> = choices.into_iter().filter_map(one).collect();
        if choices.len() == 1 {
            return choices.remove(0);
        }
        let name = choices
            .first()
            .map_or(String::new(), |choice| choice.name.clone());
        Argument {
            name,
            kind: "oneof",
            parts: choices,
            ..Argument::default()
        }
    }

    fn sequence(&mut self) -> Vec<Argument> {
        let mut found: Vec<Argument> = Vec::new();
        loop {
            self.rest = self.rest.trim_start();
            if self.depth >= DEPTH_MAX || self.rest.is_empty() || self.rest.starts_with('|') {
                return found;
            }
            if self.depth > 0 && (self.rest.starts_with(']') || self.is_closing_choice()) {
                return found;
            }
            if self.take("...") {
                if let Some(last) = found.last_mut() {
                    last.is_multiple = true;
                }
            } else if self.take("[") {
                self.optional(&mut found);
            } else if self.take("<") {
                let choice = self.nested(">");
                push(&mut found, choice);
            } else {
                let word = self.word();
                push(&mut found, word);
            }
        }
    }

    /// `>` closes a choice unless it is itself one of the words: `<id | >>`.
    fn is_closing_choice(&self) -> bool {
        self.rest.starts_with('>') && !self.rest.starts_with(">>")
    }

    fn nested(&mut self, end: &str) -> Argument {
        self.depth += 1;
        let inner = self.group();
        self.depth -= 1;
        self.rest = self.rest.trim_start();
        self.take(end);
        inner
    }

    fn optional(&mut self, found: &mut Vec<Argument>) {
        let mut inner = self.nested("]");
        let repeats = inner.is_multiple || inner.parts.last().is_some_and(|last| last.is_multiple);
        if let (true, Some(last)) = (repeats, found.last_mut())
            && (last.name == inner.name || inner.kind == "block")
        {
            last.is_multiple = true;
            return;
        }
        inner.is_optional = true;
        found.push(inner);
    }

    fn take(&mut self, text: &str) -> bool {
        match self.rest.strip_prefix(text) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn word(&mut self) -> Argument {
        let is_name = |c: char| c.is_ascii_alphanumeric() || "-_:*".contains(c);
        let end = self.rest.find(|c| !is_name(c)).unwrap_or(self.rest.len());
        let end = if end == 0 {
            self.rest.chars().next().map_or(0, char::len_utf8)
        } else {
            end
        };
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        if word.contains(|c: char| c.is_ascii_lowercase()) {
            return Argument {
                name: word.to_owned(),
                kind: kind_of(word),
                ..Argument::default()
            };
        }
        Argument {
            name: word.to_ascii_lowercase(),
            kind: "pure-token",
            token: Some(word.to_owned()),
            ..Argument::default()
        }
    }
}

/// Adds an argument; a name behind a word in capitals takes that as its token.
fn push(found: &mut Vec<Argument>, mut next: Argument) {
    if let Some(last) = found.pop_if(|last| {
        last.kind == "pure-token"
            && next.token.is_none()
            && last.name.starts_with(|c: char| c.is_ascii_alphabetic())
    }) {
        next.token = last.token;
    }
    found.push(next);
}

/// A sequence as one argument.
fn one(mut sequence: Vec<Argument>) -> Option<Argument> {
    if sequence.len() <= 1 {
        return sequence.pop();
    }
    let name = sequence
        .first()
        .map_or(String::new(), |first| first.name.clone());
    Some(Argument {
        name,
        kind: "block",
        parts: sequence,
        ..Argument::default()
    })
}

fn kind_of(name: &str) -> &'static str {
    match name {
        "key" | "newkey" | "source" | "destination" => "key",
        "pattern" => "pattern",
        "count" | "milliseconds" | "seconds" | "ms" | "min-idle-time" | "threshold" | "db"
        | "index1" | "index2" | "cursor" | "numreplicas" | "numlocal" | "timeout" | "client-id"
        | "entries-read" | "entries-added" | "destination-db" => "integer",
        "unix-time-seconds" | "unix-time-milliseconds" | "unix-time-ms" => "unix-time",
        _ => "string",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Arguments as text: `name:kind`, `TOKEN=`, `?` optional, `+` multiple, parts in parentheses.
    fn shown(arguments: &[Argument]) -> String {
        let all = arguments.iter().map(|argument| {
            let token = argument
                .token
                .as_ref()
                .map_or(String::new(), |token| format!("{token}="));
            let parts = if argument.parts.is_empty() {
                String::new()
            } else {
                format!("({})", shown(&argument.parts))
            };
            let optional = if argument.is_optional { "?" } else { "" };
            let multiple = if argument.is_multiple { "+" } else { "" };
            format!(
                "{token}{}:{}{parts}{optional}{multiple}",
                argument.name, argument.kind
            )
        });
        all.collect::<Vec<_>>().join(" ")
    }

    fn parsed(line: &str) -> String {
        let mut words = Words {
            rest: line,
            depth: 0,
        };
        shown(&words.sequence())
    }

    #[test]
    fn lines_of_documentation_are_read() {
        for (line, arguments) in [
            ("", ""),
            ("key", "key:key"),
            ("key [key ...]", "key:key+"),
            (
                "key start end [COUNT count]",
                "key:key start:string end:string COUNT=count:integer?",
            ),
            (
                "[ASYNC | SYNC]",
                "async:oneof(ASYNC=async:pure-token SYNC=sync:pure-token)?",
            ),
            (
                "key group <id | $> [MKSTREAM]",
                "key:key group:string id:oneof(id:string $=$:pure-token) MKSTREAM=mkstream:pure-token?",
            ),
            (
                "STREAMS key [key ...] <id | >> [<id | >> ...]",
                "STREAMS=key:key+ id:oneof(id:string >=>:pure-token)+",
            ),
            (
                "field value [field value ...]",
                "field:string value:string+",
            ),
        ] {
            assert_eq!(parsed(line), arguments, "{line}");
        }
    }

    #[test]
    fn every_line_is_read_to_its_end() {
        for command in crate::command::Table::shared().all() {
            let mut words = Words {
                rest: command.spec.syntax,
                depth: 0,
            };
            let arguments = words.sequence();
            assert_eq!(words.rest, "", "{}", command.full_name());
            assert_eq!(arguments.is_empty(), command.spec.syntax.is_empty());
        }
    }
}
