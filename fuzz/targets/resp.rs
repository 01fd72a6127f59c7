//! Requests of a client: whole or in pieces, they decode the same, and nothing is out of bounds.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[allow(dead_code)]
#[path = "../../server/src/resp/decode.rs"]
mod decode;

use decode::{Decoder, Limits, ProtocolError};

type Decoded = (Vec<Vec<Vec<u8>>>, Result<(), ProtocolError>);

fuzz_target!(init: alluvium_fuzz::plant("resp"), |data: &[u8]| {
    let Some((&[mode, step], data)) = data.split_first_chunk::<2>() else {
        return;
    };
    let limits = Limits {
        bulk_len_max: 512 << 20,
        is_authenticated: mode % 2 == 1,
    };
    let whole = decode(data, data.len().max(1), limits);
    let pieces = decode(data, usize::from(step) + 1, limits);
    assert_eq!(whole, pieces);
});

/// Decodes what comes in pieces of `step` bytes.
fn decode(data: &[u8], step: usize, limits: Limits) -> Decoded {
    let (mut decoder, mut input, mut requests) = (Decoder::default(), Vec::new(), Vec::new());
    for piece in data.chunks(step) {
        input.extend_from_slice(piece);
        let decoded = decoder.decode(&mut input, limits, usize::MAX);
        while let Some(spans) = decoder.take() {
            requests.push(
                spans
                    .iter()
                    .map(|span| input[span.clone()].to_vec())
                    .collect(),
            );
        }
        if decoded.is_err() {
            return (requests, decoded);
        }
        input.drain(..decoder.compact());
        assert!(decoder.wanted(input.len()) <= 1 << 30);
    }
    (requests, Ok(()))
}
