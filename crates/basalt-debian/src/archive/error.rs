use std::io;

use basalt_types::Digest;

/// Why a package file can't be used.
#[derive(Debug, thiserror::Error)]
#[error("`{package}` {problem}")]
pub struct ArchiveError {
    /// The package file, as it was named to us.
    pub package: String,
    /// What is wrong.
    #[source]
    pub problem: ArchiveProblem,
}

/// What is wrong with a package file.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveProblem {
    /// It does not begin as an ar archive.
    #[error("is not a Debian package: it does not begin with `!<arch>`")]
    Magic,
    /// It has another format version than 2.
    #[error("has package format `{0}`, only 2.x is known")]
    Version(String),
    /// A member's header is not one.
    #[error("has a damaged member header at `{0}`")]
    Header(String),
    /// Another member was to come here (deb(5) fixes the order).
    #[error("has the member `{found}` where `{expected}.*` belongs")]
    Member {
        /// The name without its compression suffix.
        expected: &'static str,
        /// The name that was there.
        found: String,
    },
    /// The member is compressed in a way we don't read.
    #[error("has the member `{0}`, whose compression is not supported (known: none, gz, xz, zst)")]
    Compression(String),
    /// It is shorter or longer than the index says.
    #[error("has {found} bytes, {expected} were expected: the download is incomplete or wrong")]
    Size {
        /// What the index says.
        expected: u64,
        /// How many there are.
        found: u64,
    },
    /// Its bytes are not those that the index names.
    #[error("is corrupt: its digest is {found}, {expected} was expected")]
    Digest {
        /// What the index says.
        expected: Digest,
        /// What it is.
        found: Digest,
    },
    /// A compressed stream or tar archive in it is damaged, or reading failed.
    #[error("can't be read: {0}")]
    Damaged(#[source] io::Error),
    /// A path leaves the tree.
    #[error("holds the path `{0}`, which leads out of the tree")]
    Path(String),
    /// A control file with a directory in its name.
    #[error("holds the control file `{0}`, which is not a plain name")]
    ControlName(String),
    /// A device, pipe or something else that no package may hold.
    #[error("holds `{path}` of tar type `{kind}`: packages hold files, directories and links only")]
    Kind {
        /// Its path.
        path: String,
        /// The tar type flag.
        kind: char,
    },
    /// A number in a tar header is out of its range.
    #[error("holds `{path}` with an impossible {field}")]
    Number {
        /// Its path.
        path: String,
        /// Which number.
        field: &'static str,
    },
}
