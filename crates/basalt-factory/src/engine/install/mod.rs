//! Writing a disk image onto a disk, from any Linux.
//!
//! `ImageFacts + TargetFacts → plan → WritePlan` (or every refusal) `→ execute`
//!
//! The image's first MiB, which has its partition table, is written last: a disk that was cut in the middle starts nothing.
//! Where the image has holes the disk gets zeros: a file system that was written for an empty disk counts on them.

mod execute;
mod observe;
mod plan;

#[cfg(test)]
mod tests;

pub use execute::{ExecuteError, execute};
pub use observe::{ObserveError, image, target};
pub use plan::{ImageFacts, Refusal, Span, TargetFacts, TargetKind, WritePlan, WriteStep, plan};
