//! All commands by name: found without allocating, whatever the case of the letters.
//!
//! Open addressing over a power of two of slots, at most half full; the hash folds the case, so a
//! look-up reads the name once. Every command and subcommand has a number, its place in `commands`,
//! under which its statistics are kept.

use std::sync::LazyLock;

use super::{
    Spec, absent, client, config, connection, debug, deletions, dump, expiry, groups, info,
    introspection, keys, latency, nack, object, once, others, own, pending, pubsub, reads, server,
    slowlog, streams, transaction, trim, xinfo,
};

/// A command or subcommand at its place in the table.
pub(crate) struct Command {
    pub(crate) spec: &'static Spec,
    /// The container, for a subcommand.
    pub(crate) parent: Option<&'static Spec>,
    full_name: Box<str>,
    index: usize,
    /// Index of the first subcommand; they follow each other in the order of the spec.
    subcommands_from: usize,
}

impl Command {
    /// `xadd`, or `xgroup|create` for a subcommand.
    pub(crate) fn full_name(&self) -> &str {
        &self.full_name
    }

    /// The command's number, dense from 0.
    pub(crate) fn index(&self) -> usize {
        self.index
    }

    /// Whether a call with that many arguments (the name counts) is well-formed.
    pub(crate) fn accepts(&self, arguments: usize) -> bool {
        let wanted = self.spec.arity.unsigned_abs() as usize;
        if self.spec.arity < 0 {
            arguments >= wanted
        } else {
            arguments == wanted
        }
    }
}

/// Every command that the broker knows.
pub(crate) struct Table {
    commands: Vec<Command>,
    /// Indices of top-level commands plus one; 0 is empty.
    slots: Box<[u16]>,
    top_level: usize,
}

static TABLE: LazyLock<Table> = LazyLock::new(|| {
    Table::build(&[
        connection::SPECS,
        transaction::SPECS,
        streams::SPECS,
        once::SPECS,
        deletions::SPECS,
        trim::SPECS,
        reads::SPECS,
        groups::SPECS,
        pending::SPECS,
        nack::SPECS,
        xinfo::SPECS,
        keys::SPECS,
        expiry::SPECS,
        dump::SPECS,
        object::SPECS,
        others::SPECS,
        client::SPECS,
        config::SPECS,
        info::SPECS,
        introspection::SPECS,
        slowlog::SPECS,
        latency::SPECS,
        pubsub::SPECS,
        server::SPECS,
        own::SPECS,
        absent::SPECS,
        debug::SPECS,
    ])
});

impl Table {
    /// The one table.
    pub(crate) fn shared() -> &'static Table {
        &TABLE
    }

    fn build(families: &[&'static [Spec]]) -> Self {
        let mut commands: Vec<Command> = Vec::new();
        for spec in families.iter().flat_map(|family| family.iter()) {
            commands.push(Command {
                spec,
                parent: None,
                full_name: spec.name.into(),
                index: commands.len(),
                subcommands_from: 0,
            });
        }
        let top_level = commands.len();
        for at in 0..top_level {
            let parent = commands[at].spec;
            commands[at].subcommands_from = commands.len();
            for spec in parent.subcommands {
                let full_name = format!("{}|{}", parent.name, spec.name).into();
                let index = commands.len();
                commands.push(Command {
                    spec,
                    parent: Some(parent),
                    full_name,
                    index,
                    subcommands_from: 0,
                });
            }
        }
        let slots = place(&commands[..top_level]);
        Self {
            commands,
            slots,
            top_level,
        }
    }

    /// The top-level command of that name.
    pub(crate) fn find(&'static self, name: &[u8]) -> Option<&'static Command> {
        let mask = self.slots.len() - 1;
        let mut at = hash(name) & mask;
        loop {
            let index = usize::from(self.slots[at]).checked_sub(1)?;
            let command = &self.commands[index];
            if command.spec.name.as_bytes().eq_ignore_ascii_case(name) {
                return Some(command);
            }
            at = (at + 1) & mask;
        }
    }

    /// The subcommand of that name.
    pub(crate) fn find_sub(
        &'static self,
        command: &'static Command,
        name: &[u8],
    ) -> Option<&'static Command> {
        self.subcommands(command)
            .iter()
            .find(|sub| sub.spec.name.as_bytes().eq_ignore_ascii_case(name))
    }

    /// The subcommands of a command, none for most.
    pub(crate) fn subcommands(&'static self, command: &'static Command) -> &'static [Command] {
        let from = command.subcommands_from;
        &self.commands[from..from + command.spec.subcommands.len()]
    }

    /// The top-level commands in table order.
    pub(crate) fn top_level(&'static self) -> &'static [Command] {
        &self.commands[..self.top_level]
    }

    /// Commands and subcommands by their number.
    pub(crate) fn all(&'static self) -> &'static [Command] {
        &self.commands
    }
}

fn place(commands: &[Command]) -> Box<[u16]> {
    let mut slots = vec![0_u16; (commands.len() * 2).next_power_of_two().max(2)];
    let mask = slots.len() - 1;
    for command in commands {
        let mut at = hash(command.spec.name.as_bytes()) & mask;
        while slots[at] != 0 {
            at = (at + 1) & mask;
        }
        slots[at] = u16::try_from(command.index + 1).expect("fewer than 65 535 commands");
    }
    slots.into()
}

/// FNV-1a over the bytes with the letters' case bit set: names of the same letters collide anyway.
fn hash(name: &[u8]) -> usize {
    let mut hash = 0x811c_9dc5_u32;
    for byte in name {
        hash = (hash ^ u32::from(byte | 0x20)).wrapping_mul(0x0100_0193);
    }
    (hash ^ (hash >> 15)) as usize
}

#[cfg(test)]
mod tests {
    use super::Table;

    #[test]
    fn every_command_is_found_in_any_case() {
        let table = Table::shared();
        for command in table.top_level() {
            let upper = command.spec.name.to_ascii_uppercase();
            let found = table
                .find(upper.as_bytes())
                .expect("the command is in the table");
            assert_eq!(found.full_name(), command.full_name(), "listed twice");
        }
        assert!(table.find(b"").is_none());
        assert!(table.find(b"no-such-command").is_none());
    }
}
