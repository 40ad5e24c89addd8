//! Resolves a recipe and executes a build plan.

pub mod cache;
