//! The node programs that travel inside an image, and the package that carries them.
//!
//! `basalt-init` goes into the initramfs, `basalt-agent` and its units into a Debian package that we make here: so
//! dpkg knows every file of the image, and Debian's kernel packages, which want an initramfs generator, have one.

use std::{
    env, fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use basalt_debian::build::{self, File, FileKind};
use basalt_image::esp;
use basalt_node::package;
use basalt_types::{Architecture, Digest};

use crate::error::{CommandError, CommandResult, Kind, OrFail as _};

/// The programs and the package made of them.
#[derive(Debug, Clone)]
pub struct NodeParts {
    /// The static init program.
    pub init: Arc<[u8]>,
    /// The control paragraph of the package.
    pub control: String,
    /// The package's file.
    pub archive: Vec<u8>,
}

/// The name of our package.
pub const PACKAGE: &str = "basalt-node";

/// When everything in our package was last changed: a constant, so that the same programs make the same package.
const PACKAGE_EPOCH: u64 = 0;

impl NodeParts {
    /// Finds the programs and packs them.
    ///
    /// # Errors
    /// When they are not installed.
    pub fn observe(architecture: Architecture) -> CommandResult<Self> {
        let folders = folders();
        let init = find(&folders, "basalt-init", is_static)?;
        let agent = find(&folders, "basalt-agent", is_static)?;
        let control = control(architecture);
        let mut files: Vec<File> = package::files()
            .into_iter()
            .map(|file| File {
                path: file.path,
                kind: FileKind::Regular { mode: file.mode, bytes: file.bytes },
            })
            .collect();
        files.push(File {
            path: package::AGENT.into(),
            kind: FileKind::Regular { mode: 0o755, bytes: agent },
        });
        let guard = esp::guard_in_image(architecture).trim_start_matches('/').to_owned();
        let bytes = find(&folders, &esp::guard_name(architecture), is_efi_program)?;
        files.push(File { path: guard, kind: FileKind::Regular { mode: 0o644, bytes } });
        let archive = build::build(&control, &files, PACKAGE_EPOCH).or_fail(Kind::Bug)?;
        Ok(Self { init: init.into(), control, archive })
    }

    /// The digest of all that comes with the program and not with the recipe.
    pub fn digest(&self) -> Digest {
        let Self { init, control: _, archive } = self;
        Digest::of(format!("{} {}", Digest::of(init), Digest::of(archive)).as_bytes())
    }
}

/// The package stands in for Debian's own initramfs generators, which kernel packages depend on and an image with our
/// initramfs must not have.
fn control(architecture: Architecture) -> String {
    format!(
        "Package: {PACKAGE}\n\
         Version: {}\n\
         Architecture: {architecture}\n\
         Maintainer: The Basalt project <basalt@localhost>\n\
         Section: admin\n\
         Priority: optional\n\
         Provides: linux-initramfs-tool\n\
         Conflicts: initramfs-tools, dracut, tiny-initramfs, booster\n\
         Description: node programs of a Basalt image\n \
         Reports on and provisions the machine, and stands for the initramfs that is\n \
         made when the image is built.\n",
        env!("CARGO_PKG_VERSION"),
    )
}

/// Where the programs may be: what the environment says, else beside this program as it is installed.
fn folders() -> Vec<PathBuf> {
    if let Some(folder) = env::var_os("BASALT_NODE_DIR") {
        return vec![PathBuf::from(folder)];
    }
    let program = env::current_exe().unwrap_or_default();
    vec![program.parent().unwrap_or(Path::new("/")).join("../lib/basalt")]
}

fn find(folders: &[PathBuf], name: &str, fits: fn(&[u8]) -> bool) -> CommandResult<Vec<u8>> {
    for folder in folders {
        let path = folder.join(name);
        if path.is_file() {
            let program = fs::read(&path).map_err(|source| {
                CommandError::new(Kind::Host, crate::commands::FileError::new(&path, source))
            })?;
            return match fits(&program) {
                true => Ok(program),
                false => Err(CommandError::new(
                    Kind::Host,
                    format!("{} is no program that a machine can start", path.display()),
                )
                .hint(
                    "it must be static, for the initramfs has no libraries: build it with `cargo xtask dist`",
                )),
            };
        }
    }
    let places: Vec<String> = folders.iter().map(|folder| folder.display().to_string()).collect();
    Err(CommandError::new(Kind::Host, format!("the node program {name} is not in {}", places.join(" or ")))
        .hint("from a source tree, `cargo xtask dist` builds it")
        .hint("elsewhere, set BASALT_NODE_DIR to the folder that holds basalt-init, basalt-agent and basalt-guardx64.efi"))
}

/// Whether this is a PE program: it begins with the signature of MS-DOS (Microsoft, PE Format, "MS-DOS Stub").
fn is_efi_program(program: &[u8]) -> bool {
    program.starts_with(b"MZ")
}

/// Whether a 64-bit ELF program asks for no interpreter: it has no program header of type `PT_INTERP` (3; System V ABI,
/// chapter 5).
fn is_static(program: &[u8]) -> bool {
    let half = |at: usize| Some(u16::from_le_bytes(program.get(at..at + 2)?.try_into().ok()?));
    let long = |at: usize| Some(u64::from_le_bytes(program.get(at..at + 8)?.try_into().ok()?));
    let headers = || {
        let (start, size, count) = (usize::try_from(long(32)?).ok()?, half(54)?, half(56)?);
        let types = (0..usize::from(count)).map(|index| half(start.checked_add(index * usize::from(size))?));
        types.collect::<Option<Vec<u16>>>()
    };
    program.starts_with(b"\x7fELF") && headers().is_some_and(|types| !types.contains(&3))
}
