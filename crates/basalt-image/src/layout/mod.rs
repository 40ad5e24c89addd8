//! The disk layout: one planner for the builder's raw image and for the machine's first boot.
//!
//! content + request → [`LayoutSpec`] (in the image) → [`plan_image`]: ESP and slot A, made by the builder
//!                                                   → [`plan_growth`]: slot B, recovery and data, added by the machine
//!
//! Both place partitions with [`Arranger`], so a disk that was written whole and one that grew are the same.
//!
//! Invariants: a partition that is there never moves and never shrinks; only the data partition, which is last, grows.
//!
//! Not here: the bytes of a table (`basalt_formats::gpt`), randomness, what a partition holds.

mod arrange;
mod growth;
mod image;
mod role;
mod spec;

#[cfg(test)]
mod tests;

pub use arrange::{Arranger, Extent};
pub use growth::{Added, DataGrowth, GrowthIds, GrowthNote, GrowthPlan, GrowthRefusal, NoSeed, plan_growth};
pub use image::{ImageIds, ImagePlan, plan_image, verity_ids};
pub use role::{LIVE_ESP, LIVE_ROOT, LIVE_VERITY, PARTIAL_PREFIX, Role, State, System};
pub use spec::{Content, LayoutRefusal, LayoutSpec};

/// What an image says of itself in `/usr/lib/basalt/image.json`.
pub type ImageInfo = basalt_spec::ImageInfo<LayoutSpec>;
