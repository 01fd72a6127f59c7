//! Black-box tests of the engine and the broker; see `it/` and `clients/`.
