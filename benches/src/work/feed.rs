//! Filling a server before the measuring: one connection, deep pipeline, every reply checked.

use super::FIRST_MS;
use crate::client::Client;
use crate::servers::Server;
use crate::wire::{HOLE_DIGITS, Template};

/// Adds `count` entries with IDs from `FIRST_MS` on.
pub(crate) fn fill(server: &Server, key: &[u8], count: u64, size: usize) -> Result<(), String> {
    let id = [&[b'#'; HOLE_DIGITS][..], b"-0"].concat();
    add(server, (key, &id), count, size)
}

/// Adds `count` entries with the IDs that the server gives.
pub(super) fn fill_now(server: &Server, key: &[u8], count: u64, size: usize) -> Result<(), String> {
    add(server, (key, b"*"), count, size)
}

fn add(server: &Server, (key, id): (&[u8], &[u8]), count: u64, size: usize) -> Result<(), String> {
    let template = Template::new(&[b"XADD", key, id, b"field", &vec![b'x'; size]]);
    let write = |out: &mut Vec<u8>, number| template.write(out, &[FIRST_MS + number]);
    Client::connect(server)?.pour(count, write, || Ok(()))
}

/// Delivers all entries to one consumer that never acknowledges.
pub(crate) fn deliver_all(
    server: &Server,
    key: &[u8],
    group: &[u8],
    count: u64,
) -> Result<(), String> {
    let mut client = Client::connect(server)?;
    let words: [&[u8]; 9] = [
        b"XREADGROUP",
        b"GROUP",
        group,
        b"lost",
        b"COUNT",
        b"1000",
        b"STREAMS",
        key,
        b">",
    ];
    let mut delivered = 0;
    while delivered < count {
        let batch = client.call(&words, |mut walk| walk.stream(|_, _| ()))?;
        if batch == 0 {
            return Err(format!("{delivered} of {count} entries were delivered"));
        }
        delivered += batch;
    }
    Ok(())
}
