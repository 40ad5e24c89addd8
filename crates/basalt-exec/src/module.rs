//! Loading a kernel module from a file.

use std::{
    ffi::CString,
    fs::File,
    io,
    path::{Path, PathBuf},
};

use rustix::io::Errno;

/// What became of a request to load a module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loaded {
    /// The kernel took it.
    Now,
    /// The kernel had it already.
    Before,
    /// Its driver says that this machine has nothing for it (`ENODEV`): usual for what is tied to a processor.
    NothingToDrive,
}

/// Why a module could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum ModuleError {
    /// The file can't be opened.
    #[error("can't open the kernel module {path}")]
    Open {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The kernel does not take it: a missing symbol, another kernel's module, no valid signature.
    #[error("the kernel refuses the module {path}")]
    Refused {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
}

/// Loads the uncompressed module in `path` with the given parameters, written as on a kernel command line.
///
/// The kernel checks the signature that the file ends with. This waits until the module has started; the driver in
/// it may find its devices later.
///
/// # Errors
/// When the file can't be opened or the kernel refuses it.
pub fn load_module(path: &Path, parameters: &CString) -> Result<Loaded, ModuleError> {
    let file = File::open(path).map_err(|source| ModuleError::Open { path: path.to_owned(), source })?;
    match rustix::system::finit_module(&file, parameters, 0) {
        Ok(()) => Ok(Loaded::Now),
        Err(Errno::EXIST) => Ok(Loaded::Before),
        Err(Errno::NODEV) => Ok(Loaded::NothingToDrive),
        Err(errno) => Err(ModuleError::Refused { path: path.to_owned(), source: errno.into() }),
    }
}
