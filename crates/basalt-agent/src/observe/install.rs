//! The machine as an installation is planned from: its disks, and what of the running system is installed.

mod disks;
mod running;

#[cfg(test)]
mod tests;

pub(crate) use disks::disks;
pub(crate) use running::{Running, RunningError, running};
