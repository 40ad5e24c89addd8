//! Copies of the example recipe to build by the `basalt` program, and what its ends look like.

#![allow(dead_code, reason = "each test program uses its part")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use tempfile::TempDir;

/// A folder with a copy of the example and the lock that the shared test image was built from.
pub(crate) struct Project {
    pub(crate) folder: TempDir,
    cache: Option<PathBuf>,
}

impl Project {
    pub(crate) fn of_example() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/edge");
        copy(&example.join("."), folder.path(), &["-r"]);
        Self { folder, cache: None }
    }

    pub(crate) fn with(edit: impl Fn(&str) -> String) -> Self {
        let project = Self::of_example();
        project.edit(edit);
        project
    }

    /// The example with a cache of its own that begins with everything in the shared one, linked: a file of it is
    /// damaged by putting another in its place.
    pub(crate) fn with_own_cache() -> Self {
        let mut project = Self::of_example();
        // Beside the shared one: links do not leave a file system.
        let place = shared_cache();
        let name = format!("{}-of-a-test-{}", place.file_name().unwrap().display(), std::process::id());
        let cache = place.with_file_name(name);
        fs::create_dir(&cache).unwrap();
        for part in ["store", "steps"] {
            // Another test program's end sweeps the shared one: what was just listed may be gone.
            let linked = || {
                let link = Command::new("cp").args(["-rlf"]).arg(place.join(part)).arg(&cache).status();
                link.is_ok_and(|status| status.success())
            };
            assert!((0..5).any(|_attempt| linked()), "can't link {}", place.join(part).display());
        }
        project.cache = Some(cache);
        project
    }

    pub(crate) fn edit(&self, edit: impl Fn(&str) -> String) {
        let text = fs::read_to_string(self.recipe()).unwrap();
        let edited = edit(&text);
        assert_ne!(text, edited, "the example has changed: the edit finds nothing");
        fs::write(self.recipe(), edited).unwrap();
    }

    pub(crate) fn recipe(&self) -> PathBuf {
        self.folder.path().join("recipe.yaml")
    }

    pub(crate) fn out(&self) -> PathBuf {
        self.folder.path().join("out")
    }

    pub(crate) fn cache(&self) -> PathBuf {
        self.cache.clone().unwrap_or_else(shared_cache)
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_basalt"));
        command.args(arguments).arg(self.recipe()).env("BASALT_CACHE", self.cache());
        if arguments[0] == "build" {
            command.arg("-o").arg(self.out());
        }
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    pub(crate) fn left_in_out(&self) -> Vec<String> {
        match fs::read_dir(self.out()) {
            Ok(entries) => {
                entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
            }
            Err(_) => Vec::new(),
        }
    }

    /// Where the cache keeps what a step made, a tree.
    pub(crate) fn result_of(&self, step: &str) -> PathBuf {
        let plan = self.run(&["plan", "--locked", "--json"]);
        let plan: serde_json::Value = serde_json::from_slice(&plan.stdout).unwrap();
        let steps = plan["steps"].as_array().unwrap();
        let key = steps.iter().find(|one| one["name"] == step).unwrap()["key"].as_str().unwrap();
        self.cache().join("steps").join(format!("{}.erofs", key.trim_start_matches("sha256:")))
    }

    /// What the lock has for a package.
    pub(crate) fn locked(&self, package: &str) -> serde_json::Value {
        let lock = fs::read(self.folder.path().join("recipe.lock")).unwrap();
        let lock: serde_json::Value = serde_json::from_slice(&lock).unwrap();
        let packages = lock["packages"].as_array().unwrap();
        packages.iter().find(|one| one["name"] == package).unwrap().clone()
    }

    /// Where the store keeps the file of this digest (`sha256:…`).
    pub(crate) fn stored(&self, digest: &str) -> PathBuf {
        let digest = digest.trim_start_matches("sha256:");
        self.cache().join("store/sha256").join(&digest[..2]).join(digest)
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        if let Some(cache) = &self.cache {
            drop(fs::remove_dir_all(cache));
        }
    }
}

/// The cache that `cargo xtask test` keeps.
pub(crate) fn shared_cache() -> PathBuf {
    PathBuf::from(std::env::var_os("BASALT_CACHE").expect("run this test through `cargo xtask test`"))
}

/// `cp` with these options.
pub(crate) fn copy(from: &Path, to: &Path, options: &[&str]) {
    let status = Command::new("cp").args(options).arg(from).arg(to).status();
    assert!(status.unwrap().success(), "can't copy {}", from.display());
}

#[track_caller]
pub(crate) fn assert_fails(output: &Output, code: i32, words: &[&str]) {
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{text}");
    for word in words {
        assert!(text.contains(word), "`{word}` is not in:\n{text}");
    }
}

#[track_caller]
pub(crate) fn assert_works(output: &Output) {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[track_caller]
pub(crate) fn assert_same(one: &Path, other: &Path) {
    let compared = Command::new("cmp").arg(one).arg(other).output().unwrap();
    assert!(compared.status.success(), "{}", String::from_utf8_lossy(&compared.stdout));
}
