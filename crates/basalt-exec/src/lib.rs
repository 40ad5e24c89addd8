//! The door to the host: subprocesses, files, sandbox, block devices, device-mapper, mounts.

pub mod addresses;
pub mod block;
pub mod console;
pub mod dm;
pub mod esp;
pub mod loop_device;
pub mod module;
pub mod mount;
pub mod reboot;
pub mod tpm;
pub mod uevent;
pub mod watchdog;

pub mod command;
pub mod files;
pub mod idmap;
pub mod sandbox;
pub mod walk;
