use std::{
    collections::BTreeMap,
    io::{self, Read},
};

use basalt_formats::{
    modules::{INDEX_PATH, IndexedModule, ModuleIndex},
    tree::{Content, Device, Kind, Metadata, Node, Tree},
};

use super::{
    InitramfsError, InitramfsSource, ModulePlan, PlannedModule,
    metadata::{directory, file},
};

/// What tells programs that they run in an initramfs (initrd-release, os-release(5)).
const INITRD_RELEASE: &str =
    "ID=basalt-initramfs\nNAME=\"Basalt initramfs\"\nPRETTY_NAME=\"Basalt initramfs\"\nID_LIKE=basalt\n";

/// The directories that init mounts on.
const MOUNT_POINTS: [&str; 5] = ["/dev", "/proc", "/run", "/sys", "/sysroot"];

/// The longest module that is believed: the largest of Debian 13 has 15 MiB.
const MODULE_LIMIT: u64 = 256 << 20;

/// Builds the initramfs's file tree.
///
/// # Errors
/// When a module of the plan can't be read or decompressed.
pub fn assemble(source: &InitramfsSource<'_>, plan: &ModulePlan) -> Result<Tree, InitramfsError> {
    let mut out = Draft { tree: Tree::new(), epoch: source.epoch };
    for path in MOUNT_POINTS {
        out.put(path, 0o755, Kind::Directory(BTreeMap::new()))?;
    }
    // The kernel opens it for init's standard files before anything is mounted.
    out.put("/dev/console", 0o600, Kind::CharDevice(Device { major: 5, minor: 1 }))?;
    out.put("/etc/initrd-release", 0o644, inline(INITRD_RELEASE.as_bytes()))?;
    out.put("/init", 0o755, Kind::File(Content::inline(source.init.clone())))?;
    out.put(INDEX_PATH, 0o644, inline(index(plan).to_string().as_bytes()))?;
    for module in &plan.modules {
        let from = format!("{}/{}", directory(&plan.kernel), module.path);
        let bytes = file(source.image, &from)?.read(source.content);
        let bytes = bytes.map_err(|error| InitramfsError::Read { path: from.clone(), source: error })?;
        let bytes = decompress(&from, bytes)
            .map_err(|error| InitramfsError::Decompress { path: from.clone(), source: error })?;
        let to = format!("/lib/modules/{}/{}", plan.kernel, uncompressed_name(&module.path));
        out.put(&to, 0o644, inline(&bytes))?;
    }
    out.date_directories();
    Ok(out.tree)
}

/// The index that init reads.
pub(super) fn index(plan: &ModulePlan) -> ModuleIndex {
    let ModulePlan { kernel, modules, left_out: _ } = plan;
    let first = modules.iter().filter(|module| module.wanted && module.class.is_required());
    ModuleIndex {
        kernel: kernel.clone(),
        first: first.map(|module| module.name.clone()).collect(),
        modules: modules.iter().map(indexed).collect(),
    }
}

fn indexed(module: &PlannedModule) -> IndexedModule {
    let PlannedModule { name: _, path, class, wanted: _, needs, after, aliases } = module;
    IndexedModule {
        path: uncompressed_name(path).to_owned(),
        needs: needs.clone(),
        after: after.clone(),
        late: class.is_late(),
        aliases: aliases.clone(),
    }
}

fn uncompressed_name(path: &str) -> &str {
    [".xz", ".zst", ".gz"].iter().find_map(|suffix| path.strip_suffix(suffix)).unwrap_or(path)
}

/// The module's bytes as the kernel takes them, its appended signature included.
fn decompress(path: &str, bytes: Vec<u8>) -> io::Result<Vec<u8>> {
    let mut reader: Box<dyn Read> = if path.ends_with(".xz") {
        Box::new(liblzma::read::XzDecoder::new(&bytes[..]))
    } else if path.ends_with(".zst") {
        Box::new(zstd::Decoder::new(&bytes[..])?)
    } else if path.ends_with(".gz") {
        Box::new(flate2::read::MultiGzDecoder::new(&bytes[..]))
    } else {
        return Ok(bytes);
    };
    let mut out = Vec::new();
    if reader.by_ref().take(MODULE_LIMIT).read_to_end(&mut out)? as u64 == MODULE_LIMIT {
        return Err(io::Error::other(format!("it has more than {MODULE_LIMIT} bytes")));
    }
    Ok(out)
}

fn inline(bytes: &[u8]) -> Kind {
    Kind::File(Content::inline(bytes))
}

struct Draft {
    tree: Tree,
    epoch: i64,
}

impl Draft {
    fn put(&mut self, path: &str, mode: u16, kind: Kind) -> Result<(), InitramfsError> {
        let metadata = Metadata { mtime: self.epoch, ..Metadata::root_owned(mode) };
        let placed = self.tree.insert(path, Node { metadata, kind });
        placed.map(drop).map_err(|source| InitramfsError::Place { path: path.to_owned(), source })
    }

    /// Gives the directories that were made on the way the one time too.
    fn date_directories(&mut self) {
        let mut all = Vec::new();
        self.tree.walk(&mut |_, id| all.push(id));
        for id in all {
            self.tree.node_mut(id).metadata.mtime = self.epoch;
        }
    }
}
