//! What does a request cost to decode: a pipeline that came whole, and one that came in pieces?
//!
//! The decoder is a part of the server that uses no other part, so it is built in here.

#![allow(
    dead_code,
    unused_imports,
    reason = "the server uses more of it, its tests do, and other benchmarks more of `common`"
)]

mod common;

#[path = "../../server/src/resp/decode.rs"]
mod decode;

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput};
use decode::{Decoder, Limits};

const LIMITS: Limits = Limits {
    bulk_len_max: 512 << 20,
    is_authenticated: true,
};

fn xadd(size: usize, count: usize) -> Vec<u8> {
    let head = "*5\r\n$4\r\nXADD\r\n$12\r\nbench:stream\r\n$1\r\n*\r\n$5\r\nfield\r\n";
    let value = "x".repeat(size);
    format!("{head}${size}\r\n{value}\r\n")
        .repeat(count)
        .into_bytes()
}

fn xack(ids: usize) -> Vec<u8> {
    let head = format!(
        "*{}\r\n$4\r\nXACK\r\n$12\r\nbench:stream\r\n$7\r\nworkers\r\n",
        3 + ids
    );
    let ids = "$15\r\n1700000000000-0\r\n".repeat(ids);
    (head + &ids).into_bytes()
}

/// Takes all requests out of bytes that come in pieces; how many there were.
fn take_all(bytes: &[u8], piece: usize, input: &mut Vec<u8>) -> usize {
    let (mut decoder, mut count) = (Decoder::default(), 0);
    for piece in bytes.chunks(piece) {
        input.extend_from_slice(piece);
        let result = decoder.decode(input, LIMITS, usize::MAX);
        result.expect("the requests are well formed");
        while let Some(spans) = decoder.take() {
            black_box(spans);
            count += 1;
        }
        input.drain(..decoder.compact());
    }
    count
}

fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decode");
    for (name, bytes, count) in [
        ("XADD of 100 bytes", xadd(100, 1), 1),
        ("16 XADD of 100 bytes", xadd(100, 16), 16),
        ("XADD of 64 KiB", xadd(1 << 16, 1), 1),
        ("XACK of 100 IDs", xack(100), 1),
    ] {
        for piece in [usize::MAX, 1000] {
            let how = if piece == usize::MAX {
                "whole"
            } else {
                "in pieces of 1000 bytes"
            };
            let mut input = Vec::new();
            group.throughput(Throughput::Elements(count as u64));
            group.bench_function(BenchmarkId::new(name, how), |bencher| {
                bencher.iter(|| assert_eq!(take_all(&bytes, piece, &mut input), count));
            });
        }
    }
    group.finish();
}

fn main() {
    let mut criterion = common::criterion();
    bench(&mut criterion);
    criterion.final_summary();
}
