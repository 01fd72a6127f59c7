//! Which connections CLIENT LIST and CLIENT KILL mean, and the line that describes one.

use std::fmt::Write as _;

use super::arg::int_within;
use crate::client::Client;
use crate::refusal::Refusal;

/// All conditions that are set must hold.
#[derive(Debug, Default)]
pub(super) struct Filter {
    pub(super) ids: Option<Vec<i64>>,
    kind: Option<Kind>,
    address: Option<String>,
    local_address: Option<String>,
    age_secs_min: Option<i64>,
}

/// The classes of connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Normal,
    Subscribed,
    /// Masters and replicas: there are none.
    Replication,
}

impl Filter {
    /// The old form of CLIENT KILL.
    pub(super) fn at_address(address: &[u8]) -> Filter {
        let address = Some(String::from_utf8_lossy(address).into_owned());
        Filter {
            address,
            ..Filter::default()
        }
    }

    /// The options of CLIENT KILL, and whether the connection that asks is spared.
    pub(super) fn for_kill(options: &[&[u8]]) -> Result<(Filter, bool), Refusal> {
        let mut filter = Filter::default();
        let mut skips_own = true;
        if !options.len().is_multiple_of(2) {
            return Err(Refusal::SYNTAX);
        }
        for pair in options.chunks_exact(2) {
            let text = || Some(String::from_utf8_lossy(pair[1]).into_owned());
            match pair[0].to_ascii_lowercase().as_slice() {
                b"id" => {
                    let refusal = Refusal::new("ERR client-id should be greater than 0");
                    let id = int_within(pair[1], 1..=i64::MAX, refusal)?;
                    filter.ids.get_or_insert_default().push(id);
                }
                b"maxage" => {
                    let refusal = Refusal::new("ERR maxage should be greater than 0");
                    filter.age_secs_min = Some(int_within(pair[1], 1..=i64::MAX, refusal)?);
                }
                b"type" => filter.set_kind(pair[1])?,
                b"addr" => filter.address = text(),
                b"laddr" => filter.local_address = text(),
                b"user" if pair[1] == b"default" => {}
                b"user" => {
                    return Err(Refusal::quoting(&[b"ERR No such user '", pair[1], b"'"]));
                }
                b"skipme" if pair[1].eq_ignore_ascii_case(b"yes") => skips_own = true,
                b"skipme" if pair[1].eq_ignore_ascii_case(b"no") => skips_own = false,
                _ => return Err(Refusal::SYNTAX),
            }
        }
        Ok((filter, skips_own))
    }

    /// The class by its name.
    pub(super) fn set_kind(&mut self, name: &[u8]) -> Result<(), Refusal> {
        self.kind = Some(match name.to_ascii_lowercase().as_slice() {
            b"normal" => Kind::Normal,
            b"pubsub" => Kind::Subscribed,
            b"master" | b"replica" | b"slave" => Kind::Replication,
            _ => {
                return Err(Refusal::quoting(&[
                    b"ERR Unknown client type '",
                    name,
                    b"'",
                ]));
            }
        });
        Ok(())
    }

    /// Whether all conditions hold for a client.
    pub(super) fn matches(&self, client: &Client, now_ms: u64) -> bool {
        let kind = if client.is_subscribed() {
            Kind::Subscribed
        } else {
            Kind::Normal
        };
        let id = i64::try_from(client.id).unwrap_or(i64::MAX);
        let age = i64::try_from(now_ms.saturating_sub(client.connected_ms) / 1000);
        let is_at = |wanted: &Option<String>, address: std::net::SocketAddr| {
            wanted
                .as_ref()
                .is_none_or(|wanted| *wanted == address.to_string())
        };
        self.ids.as_ref().is_none_or(|ids| ids.contains(&id))
            && self.kind.is_none_or(|wanted| wanted == kind)
            && is_at(&self.address, client.address)
            && is_at(&self.local_address, client.local_address)
            && self
                .age_secs_min
                .is_none_or(|min| age.unwrap_or(i64::MAX) >= min)
    }
}

/// The line of CLIENT LIST, with its end.
pub(super) fn describe(client: &Client, now_ms: u64) -> String {
    let seconds_since = |then_ms: u64| now_ms.saturating_sub(then_ms) / 1000;
    let transaction = client.transaction.as_ref();
    let queued = transaction.map_or(-1, |queue| i64::try_from(queue.queued.len()).unwrap_or(0));
    let queued_bytes = transaction.map_or(0, |queue| queue.bytes);
    let buffers = client.query_buffer_capacity + queued_bytes + client.output_len;
    let mut line = String::with_capacity(400);
    write!(
        line,
        "id={} addr={} laddr={} fd=-1 name={} age={} idle={} flags={} db={} sub={} psub={} ssub=0 \
         multi={queued} qbuf={} qbuf-free={} argv-mem=0 multi-mem={queued_bytes} rbs=0 \
         rbp=0 obl=0 oll=0 omem={} tot-mem={} events={} cmd={} user=default redir=-1 resp={} \
         lib-name={} lib-ver={}",
        client.id,
        client.address,
        client.local_address,
        String::from_utf8_lossy(&client.name),
        seconds_since(client.connected_ms),
        seconds_since(client.active_ms),
        flags(client),
        client.db,
        client.channels.len(),
        client.patterns.len(),
        client.query_buffer_len,
        client
            .query_buffer_capacity
            .saturating_sub(client.query_buffer_len),
        client.output_len,
        buffers + size_of::<Client>(),
        if client.output_len > 0 { "rw" } else { "r" },
        client
            .last_command
            .map_or("NULL", |command| command.full_name()),
        client.protocol.number(),
        String::from_utf8_lossy(&client.lib_name),
        String::from_utf8_lossy(&client.lib_version),
    )
    .expect("a String takes all that is written");
    line.push('\n');
    line
}

fn flags(client: &Client) -> String {
    let all = [
        (client.is_monitor, 'O'),
        (client.is_subscribed(), 'P'),
        (client.transaction.is_some(), 'x'),
        (client.blocked.is_some(), 'b'),
        (client.is_dirty, 'd'),
        (client.closes_after_reply, 'c'),
        (client.is_killed, 'A'),
        (client.no_evict, 'e'),
        (client.no_touch, 'T'),
    ];
    let set: String = all
        .iter()
        .filter(|(is_set, _)| *is_set)
        .map(|(_, flag)| flag)
        .collect();
    if set.is_empty() { "N".to_owned() } else { set }
}
