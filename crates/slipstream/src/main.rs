//! The `slipstream` program.
fn main() {}
