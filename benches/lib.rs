//! Benchmarks of the engine and the broker; see `README.md`.
