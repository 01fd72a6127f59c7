#!/usr/bin/env bash
# Fuzzes the decoders and recovery: fuzz/run.sh [SECONDS [TARGET...]], 8 seconds for each of all targets by default.
# Needs stable Rust, a C++ compiler for libFuzzer, and crates.io; what it found before is kept under the target
# directory and is where it goes on. Fails on a crash, a hang, and memory beyond the limits; says where the input is.
set -euo pipefail
cd "$(dirname "$0")"
seconds=${1:-8}
[ $# -gt 1 ] && targets=("${@:2}") || targets=(resp restore frames records entries checkpoints snapshots directories)

host=$(rustc -vV | sed -n 's/^host: //p')
out=$(cargo metadata --format-version 1 --no-deps | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')
# What cargo-fuzz passes, without a sanitizer: those need a nightly compiler, and there is no `unsafe` to find.
RUSTFLAGS="--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4"
RUSTFLAGS+=" -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table"
RUSTFLAGS+=" -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1"
export RUSTFLAGS
cargo build --release --locked --quiet --target "$host"

mkdir -p "$out/fuzz/found"
failed=0
for target in "${targets[@]}"; do
    corpus=$out/fuzz/corpus/$target
    log=$out/fuzz/$target.log
    mkdir -p "$corpus"
    if ALLUVIUM_SEEDS=$corpus "$out/$host/release/$target" -max_total_time="$seconds" -timeout=20 -max_len=8192 \
        -rss_limit_mb=2048 -malloc_limit_mb=1024 -print_final_stats=1 -artifact_prefix="$out/fuzz/found/$target-" \
        "$corpus" >"$log" 2>&1; then
        echo "$target: $(sed -n 's/.*number_of_executed_units: *//p' "$log") inputs, $(ls "$corpus" | wc -l) kept"
    else
        failed=1
        echo "$target: FAILED"
        tail -n 40 "$log"
    fi
done
exit $failed
