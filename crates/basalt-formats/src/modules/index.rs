use std::{fmt, str::FromStr};

/// Where the index is in the initramfs.
pub const INDEX_PATH: &str = "/lib/modules/index";

const MAGIC: &str = "basalt-modules 1 ";

/// The kernel modules of one initramfs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ModuleIndex {
    /// The kernel release the modules are for, as `uname -r` prints it.
    pub kernel: String,
    /// The names of the modules to load before looking at any device, in load order.
    pub first: Vec<String>,
    /// Every module, by path.
    pub modules: Vec<IndexedModule>,
}

/// One module file and when to load it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IndexedModule {
    /// The file below `/lib/modules/<kernel>/`, such as `kernel/drivers/block/virtio_blk.ko`.
    pub path: String,
    /// The names of the modules to load before this one, in load order; theirs are among them.
    pub needs: Vec<String>,
    /// The names of the modules to load after this one.
    pub after: Vec<String>,
    /// Only worth loading when the disk did not appear without it.
    pub late: bool,
    /// Patterns of the devices it drives, and other names it answers to.
    pub aliases: Vec<String>,
}

/// Why a text is not a [`ModuleIndex`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IndexError {
    /// The first line is not the format's.
    #[error("the module index begins with `{0}`, not with `basalt-modules 1` and a kernel release")]
    Magic(String),
    /// A line has an unknown first word.
    #[error("line {line} of the module index, `{text}`, begins with no known word")]
    Word {
        /// Counted from 1.
        line: usize,
        /// What it says.
        text: String,
    },
    /// A line belongs to a module, and none was named before it.
    #[error("line {line} of the module index comes before the first `module` line")]
    Orphan {
        /// Counted from 1.
        line: usize,
    },
    /// A path could lead out of the modules' directory.
    #[error(
        "line {line} of the module index has the path `{path}`, which is not below the modules' directory"
    )]
    Path {
        /// Counted from 1.
        line: usize,
        /// What it says.
        path: String,
    },
}

/// The name the kernel gives to the module in this file: the file's name without `.ko` and what follows, with `_`
/// for `-` (`KBUILD_MODNAME` is a C identifier).
pub fn module_name(path: &str) -> String {
    let file = path.rsplit_once('/').map_or(path, |(_, file)| file);
    file.split_once(".ko").map_or(file, |(stem, _)| stem).replace('-', "_")
}

impl ModuleIndex {
    /// The module with this name.
    pub fn module(&self, name: &str) -> Option<&IndexedModule> {
        self.modules.iter().find(|module| module_name(&module.path) == name)
    }
}

impl fmt::Display for ModuleIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kernel, first, modules } = self;
        writeln!(f, "{MAGIC}{kernel}")?;
        words(f, "first", first)?;
        for IndexedModule { path, needs, after, late, aliases } in modules {
            writeln!(f, "module {path}")?;
            words(f, "needs", needs)?;
            words(f, "after", after)?;
            if *late {
                writeln!(f, "late")?;
            }
            for alias in aliases {
                writeln!(f, "alias {alias}")?;
            }
        }
        Ok(())
    }
}

fn words(f: &mut fmt::Formatter<'_>, word: &str, names: &[String]) -> fmt::Result {
    if names.is_empty() {
        return Ok(());
    }
    writeln!(f, "{word} {}", names.join(" "))
}

impl FromStr for ModuleIndex {
    type Err = IndexError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut lines = text.lines().enumerate().map(|(index, line)| (index + 1, line));
        let first = lines.next().map_or("", |(_, line)| line);
        let kernel = first.strip_prefix(MAGIC).ok_or_else(|| IndexError::Magic(first.to_owned()))?;
        let mut index = Self { kernel: kernel.to_owned(), ..Self::default() };
        for (line, text) in lines {
            let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
            match word {
                "first" => index.first = split(rest),
                "module" => index.modules.push(begin(line, rest)?),
                "needs" => current(&mut index, line)?.needs = split(rest),
                "after" => current(&mut index, line)?.after = split(rest),
                "late" => current(&mut index, line)?.late = true,
                "alias" => current(&mut index, line)?.aliases.push(rest.to_owned()),
                _other => return Err(IndexError::Word { line, text: text.to_owned() }),
            }
        }
        Ok(index)
    }
}

fn begin(line: usize, path: &str) -> Result<IndexedModule, IndexError> {
    let inside = |part: &str| !matches!(part, "" | "." | "..");
    if !path.split('/').all(inside) {
        return Err(IndexError::Path { line, path: path.to_owned() });
    }
    Ok(IndexedModule { path: path.to_owned(), ..IndexedModule::default() })
}

fn current(index: &mut ModuleIndex, line: usize) -> Result<&mut IndexedModule, IndexError> {
    index.modules.last_mut().ok_or(IndexError::Orphan { line })
}

fn split(names: &str) -> Vec<String> {
    names.split_ascii_whitespace().map(str::to_owned).collect()
}
