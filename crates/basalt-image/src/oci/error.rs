use std::io;

use basalt_types::Digest;

/// Why a layer can't be used.
#[derive(Debug, thiserror::Error)]
#[error("layer {layer} of the image can't be used: {problem}")]
pub struct LayerError {
    /// Which layer, the lowest is 1.
    pub layer: usize,
    /// What is wrong.
    pub problem: LayerProblem,
}

/// What is wrong with a layer.
#[derive(Debug, thiserror::Error)]
pub enum LayerProblem {
    /// The stream is damaged or can't be read.
    #[error("it is damaged: {0}")]
    Damaged(#[source] io::Error),
    /// Contents can't be put aside.
    #[error("its files can't be written: {0}")]
    Spool(#[source] io::Error),
    /// A tar header that is none.
    #[error("what follows `{after}` is no tar header")]
    Header {
        /// The entry before it.
        after: String,
    },
    /// A header with a number that can't be.
    #[error("`{path}` has an impossible {field}")]
    Number {
        /// The entry.
        path: String,
        /// Which number.
        field: &'static str,
    },
    /// An extended header that is none, or too long.
    #[error("the extended header before or of `{0}` is not valid")]
    Extended(String),
    /// A sparse file whose map is none.
    #[error("the sparse file `{0}` has a map that is not valid")]
    Sparse(String),
    /// A path that leads out of the tree or that no file system takes.
    #[error("it holds the path `{0}`: paths are relative, without `..`, and at most 4096 bytes long")]
    Path(String),
    /// A name that hides nothing.
    #[error("it holds the whiteout `{0}`, which names nothing")]
    Whiteout(String),
    /// The way to an entry goes through a file.
    #[error("it holds `{0}`, and a part of that path is no directory")]
    NotDirectory(String),
    /// The way to an entry goes round in a circle.
    #[error("it holds `{0}`, and that path goes through more than 40 symbolic links")]
    LinkLoop(String),
    /// Two entries of one layer under one path.
    #[error("it holds `{0}` twice")]
    Twice(String),
    /// A hard link to nothing.
    #[error("its hard link `{path}` leads to `{target}`, which is not there")]
    LinkTarget {
        /// The link.
        path: String,
        /// What it should be another name of.
        target: String,
    },
    /// A hard link to a directory.
    #[error("its hard link `{path}` leads to `{target}`, which is a directory")]
    LinkDirectory {
        /// The link.
        path: String,
        /// What it should be another name of.
        target: String,
    },
    /// A symbolic link to nothing, or one that no file system takes.
    #[error("its symbolic link `{0}` has no usable target")]
    Symlink(String),
    /// A device where none belongs.
    #[error("it holds the device `{0}`: only character devices in `/dev` belong into an image")]
    Device(String),
    /// An entry of a kind that has no place in an image.
    #[error("it holds `{path}` of the tar type `{kind}`")]
    Kind {
        /// The entry.
        path: String,
        /// The type's letter.
        kind: char,
    },
    /// Too many entries.
    #[error("the image has more entries than the {0} that are allowed")]
    Entries(usize),
    /// Too many bytes.
    #[error("the image unpacks to more than the {0} bytes that are allowed")]
    Bytes(u64),
    /// A bomb: far more bytes than were sent.
    #[error("it unpacks to {plain} bytes from {sent}, which is no honest layer")]
    Ratio {
        /// The bytes so far.
        plain: u64,
        /// From so many.
        sent: u64,
    },
    /// It is not the layer that the image's configuration names.
    #[error("it has the digest {found} when unpacked, and the image's configuration says {expected}")]
    Digest {
        /// By the configuration.
        expected: Digest,
        /// What it is.
        found: Digest,
    },
}
