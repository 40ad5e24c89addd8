/// What `basalt init` writes: a recipe that works, with every key explained and shown with its default.
///
/// A test reads it with each `#key` uncommented and compares with the defaults, so it can't drift.
pub const TEMPLATE: &str = include_str!("template.yaml");
