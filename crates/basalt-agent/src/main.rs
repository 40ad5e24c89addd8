//! The node daemon and command line: the `basalt-agent` program.
fn main() {}
