//! Resolves a recipe and executes a build plan.

pub mod artifact;
pub mod base_oci;
pub mod bill;
pub mod build;
pub mod cache;
pub mod install;
pub mod keys;
pub mod node;
pub mod output;
pub mod outputs;
pub mod project;
pub mod release;
pub mod resolve;
pub mod store_care;
pub mod stores;
pub mod verify;
