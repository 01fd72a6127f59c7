//! The list in `docs/commands.md` and the table in `docs/operations.md`, made from the tables in
//! the code.
//!
//! A test fails when a page is not what the code says; with `UPDATE=1` in the environment it
//! writes the page instead.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

use super::{Command, Group, Table};
use crate::parameters::{Change, Config, TABLE};

const GROUPS: &[(Group, &str)] = &[
    (Group::Stream, "Streams"),
    (Group::Generic, "Keys"),
    (Group::Connection, "Connections"),
    (Group::Transactions, "Transactions"),
    (Group::PubSub, "Publish and subscribe"),
    (Group::Server, "Server"),
    (Group::Scripting, "Scripts and functions"),
    (Group::String, "Strings"),
];

fn commands() -> String {
    let mut page = String::new();
    for (group, title) in GROUPS {
        let table = Table::shared();
        let mut commands: Vec<&'static Command> = table
            .top_level()
            .iter()
            .filter(|command| command.spec.group == *group && !command.spec.summary.is_empty())
            .collect();
        commands.sort_by_key(|command| command.full_name());
        write!(page, "\n### {title}\n\n").unwrap();
        for command in commands {
            let subcommands = table.subcommands(command);
            if subcommands.is_empty() || command.spec.arity == -1 {
                entry(&mut page, command);
            }
            let mut subcommands: Vec<_> = subcommands.iter().collect();
            subcommands.sort_by_key(|subcommand| subcommand.full_name());
            for subcommand in subcommands {
                if subcommand.spec.name != "help" {
                    entry(&mut page, subcommand);
                }
            }
        }
    }
    page
}

fn entry(page: &mut String, command: &Command) {
    let spec = command.spec;
    let name = command.full_name().replace('|', " ").to_ascii_uppercase();
    let usage = format!("{name} {}", spec.syntax);
    let end = if spec.summary.ends_with('.') { "" } else { "." };
    let complexity = spec.complexity.trim_end_matches('.');
    let text = format!("{}{end} Since {}; {complexity}.", spec.summary, spec.since);
    let usage = wrap(&format!("`{}`", usage.trim_end()), "  ");
    writeln!(page, "* {}\n{}", usage.trim_start(), wrap(&text, "  ")).unwrap();
}

/// Breaks a text into lines of at most 100 columns.
fn wrap(text: &str, indent: &str) -> String {
    let mut lines = vec![indent.to_owned()];
    for word in text.split_whitespace() {
        let line = lines.last_mut().unwrap();
        if line.len() + word.len() >= 100 {
            lines.push(format!("{indent}{word}"));
        } else {
            if line.len() > indent.len() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines.join("\n")
}

/// The parameters, those that do something in one table and those that do not in a list.
fn parameters() -> String {
    let defaults = Config::default();
    let mut part = String::from("| parameter | default | changes | meaning |\n|---|---|---|---|\n");
    for parameter in TABLE.iter().filter(|parameter| !parameter.has_no_effect()) {
        let changes = match parameter.change {
            Change::AnyTime => "at any time",
            Change::AtStart => "at start",
        };
        let default = String::from_utf8(parameter.show(&defaults)).unwrap();
        let default = if default.is_empty() {
            "empty".to_owned()
        } else {
            format!("`{default}`")
        };
        writeln!(
            part,
            "| `{}` | {default} | {changes} | {} |",
            parameter.name, parameter.meaning
        )
        .unwrap();
    }
    let without = TABLE.iter().filter(|parameter| parameter.has_no_effect());
    let names: Vec<String> = without
        .map(|parameter| format!("`{}`", parameter.name))
        .collect();
    let kept = format!(
        "Kept without effect, so that files and scripts made for Redis go on working: {}.",
        names.join(", ")
    );
    format!("{part}\n{}\n", wrap(&kept, ""))
}

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../docs")
        .join(name)
}

/// Checks, or writes, the part of a page between two marks.
fn check(page: &str, part: &str, wanted: &str) {
    let (begin, end) = (
        format!("<!-- {part} -->\n"),
        format!("<!-- end of {part} -->\n"),
    );
    let present = fs::read_to_string(path(page)).unwrap();
    let (before, rest) = present.split_once(&begin).unwrap();
    let (_, after) = rest.split_once(&end).unwrap();
    let wanted = format!("{before}{begin}{wanted}{end}{after}");
    if present == wanted {
        return;
    }
    assert!(
        env::var_os("UPDATE").is_some(),
        "docs/{page} is not what the code says; UPDATE=1 cargo test -p alluvium documentation"
    );
    fs::write(path(page), wanted).unwrap();
}

#[test]
fn commands_page_is_what_the_table_says() {
    check("commands.md", "commands", &commands());
}

#[test]
fn parameters_table_is_what_the_code_says() {
    check("operations.md", "parameters", &parameters());
}

#[test]
fn every_command_is_documented() {
    for command in Table::shared().all() {
        let (name, spec) = (command.full_name(), command.spec);
        assert!(!spec.summary.is_empty(), "{name} lacks a summary");
        assert!(
            !spec.since.is_empty() && !spec.complexity.is_empty(),
            "{name}"
        );
        // QUIT takes arguments and ignores them.
        let takes_arguments = (spec.arity < 0 && name != "quit") || {
            let own_words = name.matches('|').count() + 1;
            spec.arity.unsigned_abs() as usize > own_words
        };
        let is_container = !spec.subcommands.is_empty();
        assert_eq!(
            takes_arguments && !is_container,
            !spec.syntax.is_empty() && !is_container,
            "{name}: the syntax does not fit the arity {}",
            spec.arity
        );
    }
}
