//! The factory: the `basalt` program.
fn main() {}
