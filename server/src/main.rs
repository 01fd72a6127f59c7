//! The broker's command line.

fn main() {}
