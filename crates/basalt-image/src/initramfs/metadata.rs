//! What depmod(8) wrote about a kernel's modules: `modules.dep`, `.alias`, `.softdep` and `.builtin`, the text forms
//! of modules.dep(5) and modprobe.d(5).

use std::collections::{BTreeMap, BTreeSet};

use basalt_formats::{
    modules::{glob_matches, module_name},
    tree::{Content, Kind, ReadContent, Tree},
};

use super::InitramfsError;

/// A kernel's modules as depmod describes them. Names are the kernel's own, with `_` for `-`.
#[derive(Debug, Default)]
pub(super) struct Metadata {
    /// The file of each module, below the modules' directory.
    pub(super) paths: BTreeMap<String, String>,
    /// All that a module needs, the deepest last, as `modules.dep` lists them.
    pub(super) hard: BTreeMap<String, Vec<String>>,
    /// What should be loaded before a module.
    pub(super) soft_before: BTreeMap<String, Vec<String>>,
    /// What should be loaded after a module.
    pub(super) soft_after: BTreeMap<String, Vec<String>>,
    /// Pattern and module, in the order of the file.
    pub(super) aliases: Vec<(String, String)>,
    /// What is in the kernel itself.
    pub(super) built_in: BTreeSet<String>,
}

/// Where a kernel's modules are in an image.
pub(super) fn directory(kernel: &str) -> String {
    format!("/usr/lib/modules/{kernel}")
}

/// The file at `path`, links followed.
pub(super) fn file<'a>(image: &'a Tree, path: &str) -> Result<&'a Content, InitramfsError> {
    let missing = |source| InitramfsError::Missing { path: path.to_owned(), source };
    match &image.node(image.resolve(path).map_err(missing)?).kind {
        Kind::File(content) => Ok(content),
        Kind::Directory(_)
        | Kind::Symlink(_)
        | Kind::CharDevice(_)
        | Kind::BlockDevice(_)
        | Kind::Fifo
        | Kind::Socket => Err(InitramfsError::NotFile(path.to_owned())),
    }
}

impl Metadata {
    /// Reads the four files.
    pub(super) fn read(
        image: &Tree,
        content: &dyn ReadContent,
        kernel: &str,
    ) -> Result<Self, InitramfsError> {
        let text = |name: &str| {
            let path = format!("{}/{name}", directory(kernel));
            let bytes = file(image, &path)?.read(content);
            let bytes = bytes.map_err(|source| InitramfsError::Read { path: path.clone(), source })?;
            Ok::<_, InitramfsError>((path, String::from_utf8_lossy(&bytes).into_owned()))
        };
        let mut metadata = Self::default();
        let (path, dep) = text("modules.dep")?;
        each_line(&path, &dep, |line| metadata.take_dependencies(line))?;
        let (path, alias) = text("modules.alias")?;
        each_line(&path, &alias, |line| metadata.take_alias(line))?;
        let (path, softdep) = text("modules.softdep")?;
        each_line(&path, &softdep, |line| metadata.take_soft_dependencies(line))?;
        let (_, builtin) = text("modules.builtin")?;
        metadata.built_in.extend(builtin.lines().map(module_name));
        Ok(metadata)
    }

    /// `kernel/a.ko.xz: kernel/b.ko.xz kernel/c.ko.xz`
    fn take_dependencies(&mut self, line: &str) -> Option<()> {
        let (path, needs) = line.split_once(':')?;
        let name = module_name(path);
        self.hard.insert(name.clone(), needs.split_ascii_whitespace().map(module_name).collect());
        self.paths.insert(name, path.to_owned());
        Some(())
    }

    /// `alias PATTERN MODULE`
    fn take_alias(&mut self, line: &str) -> Option<()> {
        let (pattern, module) = line.strip_prefix("alias ")?.rsplit_once(' ')?;
        self.aliases.push((pattern.to_owned(), module_name(module)));
        Some(())
    }

    /// `softdep MODULE [pre: NAME…] [post: NAME…]`. Names before either word are modinfo's, for a person to read;
    /// kmod ignores them too.
    fn take_soft_dependencies(&mut self, line: &str) -> Option<()> {
        let mut words = line.strip_prefix("softdep ")?.split_ascii_whitespace();
        let name = module_name(words.next()?);
        let mut into = None;
        for word in words {
            match word {
                "pre:" => into = Some(&mut self.soft_before),
                "post:" => into = Some(&mut self.soft_after),
                wanted => {
                    if let Some(names) = into.as_deref_mut() {
                        names.entry(name.clone()).or_default().push(wanted.to_owned());
                    }
                }
            }
        }
        Some(())
    }

    /// The modules that a name in a soft dependency stands for: the module itself, or all with a matching alias.
    pub(super) fn named(&self, name: &str) -> Vec<String> {
        let module = module_name(name);
        if self.paths.contains_key(&module) {
            return vec![module];
        }
        let mut found: Vec<String> = Vec::new();
        let matching = self.aliases.iter().filter(|(pattern, _)| glob_matches(pattern, name));
        for (_, module) in matching {
            if self.paths.contains_key(module) && !found.contains(module) {
                found.push(module.clone());
            }
        }
        found
    }
}

fn each_line(path: &str, text: &str, mut take: impl FnMut(&str) -> Option<()>) -> Result<(), InitramfsError> {
    let lines = text.lines().enumerate().filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    for (index, line) in lines {
        let refuse =
            || InitramfsError::Metadata { path: path.to_owned(), line: index + 1, text: line.to_owned() };
        take(line).ok_or_else(refuse)?;
    }
    Ok(())
}
