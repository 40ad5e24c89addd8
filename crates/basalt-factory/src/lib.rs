//! The factory: from a recipe to an image.
//!
//! ```text
//! recipe.yaml ─parse→ Recipe ─resolve→ Lock ─plan→ BuildPlan ─execute→ disk, manifest ─report→ the person
//! ```
//!
//! [`commands`] holds one file per command of the `basalt` program, each a page that shows these verbs.
//! [`engine`] resolves and executes; the decisions it executes are made in `basalt-image`.
//! [`serve`] is the factory as a web page: it gives builds to processes of this program and keeps what they made.
//! [`base`] turns packages into a file tree inside a user namespace.
//!
//! Not here: knowledge of an on-disk format (`basalt-formats`), of Debian's rules (`basalt-debian`), or of what a
//! good tree is (`basalt-image`).

pub mod base;
pub mod commands;
pub mod engine;
pub mod error;
pub mod report;
pub mod serve;
