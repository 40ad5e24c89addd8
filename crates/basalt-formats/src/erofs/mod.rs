//! EROFS, Linux's read-only file system: a tree becomes an image, an image becomes a tree.
//!
//! ```text
//! let packed = pack(&tree, &content, &options, &donors, &sink)?;   // compresses and writes data; plans the rest
//! let index = packed.finish(&tree, &content, &sink)?;               // metadata, superblock; what a later image reuses
//! let (tree, files) = unpack(file, 0)?;                             // a tree, and a store that decompresses
//!
//! let layout = Layout::plan(&tree, &options)?;   // not compressed: pure, every position, and so the image's size
//! layout.write(&content, &sink)?;                // one pass, each block once, in parallel
//! let tree = Image::open(&file)?.tree(0)?;       // file data stays where it is: Source::Stored
//! ```
//!
//! Guarantees: the same tree and options give the same bytes, whatever the order in its arena, the number of threads and
//! the donors; what is written reads back equal. A hostile image gives an error that names the node; it can't cause a
//! panic, an endless loop or an allocation beyond a small multiple of the image's size.
//!
//! Not here: chunk-based data, LZMA, several devices (refused with a typed error), holes (written as zeros), opening a
//! file.
//!
//! Source: Linux `fs/erofs/erofs_fs.h`, `Documentation/filesystems/erofs.rst`; see `docs/formats/erofs.md`.

mod codec;
mod conveyor;
mod crc32c;
mod cut;
mod decode;
mod directory;
mod error;
mod features;
mod format;
mod known;
mod lookup;
mod map;
mod pack;
mod plan;
mod read;
mod slots;
mod squeeze;
mod survey;
mod unpack;
mod window;
mod write;
mod xattr;

pub use codec::{Algorithm, Compression, CompressionProblem};
pub use decode::DecodeError;
pub use directory::DirectoryProblem;
pub use error::{NodeProblem, PlanError, ReadError, WriteError};
pub use format::{DataLayout, Superblock, SuperblockError};
pub use known::{Donor, Index, IndexError};
pub use lookup::ClusterError;
pub use pack::{PackOptions, Packed, pack};
pub use plan::{Layout, Options};
pub use read::Image;
pub use unpack::{Unpacked, unpack};
pub use xattr::{XattrDamage, XattrProblem};
