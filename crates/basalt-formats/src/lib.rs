//! Bytes to values and back: GPT, FAT, EROFS, dm-verity, PE/UKI, cpio, kernel command lines, boot entries; and to the
//! containers that disks travel in.
//!
//! Every writer takes a value and gives bytes (or positioned writes to a [`WriteAt`]); every reader takes bytes (or a
//! [`ReadAt`]) and gives a value or an error that names the field. Readers never panic, never loop and never allocate
//! by a number that the input alone decides.
//!
//! Not here: opening a file, a clock, randomness, the environment. Each GUID, time and salt is an input.

pub mod bootentry;
pub mod chunks;
pub mod cmdline;
pub mod cpio;
pub mod erofs;
pub mod fat;
pub mod gce;
pub mod gpt;
pub mod iso9660;
pub mod modules;
pub mod pe;
pub mod qcow2;
pub mod tar;
pub mod tpm;
pub mod tree;
pub mod uki;
pub mod verity;
pub mod vhd;
pub mod virtual_disk;
pub mod vmdk;

mod blocks;
mod deflate;
mod io;

pub use io::{ReadAt, WriteAt};
