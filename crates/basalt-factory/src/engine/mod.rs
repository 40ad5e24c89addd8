//! Resolves a recipe and executes a build plan.

pub mod artifact;
pub mod build;
pub mod cache;
pub mod disk;
pub mod node;
pub mod output;
pub mod project;
pub mod resolve;
pub mod stores;
