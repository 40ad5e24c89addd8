//! For tests only: a shell on a machine's console, a browser, the shared test image, a local mirror, other people's tools.
//!
//! ```text
//! let image = basalt_testkit::test_image();                          built once by `cargo xtask test`
//! let mut machine = basalt_vm::boot(&Machine::uefi(image.disk()))?;
//! let mut shell = Shell::login(&mut machine, &image.login())?;
//! assert_eq!(shell.check("findmnt -no FSTYPE /")?.trim(), "erofs");
//! ```
//!
//! Something that a test needs and that is missing fails the test with the command that provides it; nothing is ever
//! skipped. Those functions panic, because that is how a test fails, and because this crate is linked into tests and
//! `xtask` only.

mod browser;
mod fixtures;
mod http;
mod mirror;
mod registry;
mod release;
mod running;
mod screen;
mod shell;
mod trixie;

pub use browser::Browser;
pub use fixtures::{Login, TestImage, basalt_program, patience, require_tool, run_tool, test_image};
pub use http::{Fault, StaticServer};
pub use mirror::{Archive, CachingMirror};
pub use registry::{Door, Registry};
pub use release::{Factory, UNSIGNED_INDEX, VERSIONS, second_release};
pub use running::root_shell;
pub use screen::Screen;
pub use shell::{Output, Shell, ShellError};
pub use trixie::Trixie;

#[cfg(test)]
mod tests;
