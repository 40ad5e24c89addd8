//! The initramfs program.
fn main() {}
