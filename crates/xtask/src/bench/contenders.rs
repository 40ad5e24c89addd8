//! Who is compared, and the exact commands.

use basalt_exec::command::{Command, Program};
use basalt_testkit::{CachingMirror, Trixie};
use serde::Deserialize;
use std::{fs, path::PathBuf, time::Duration};

use crate::{
    error::{Done, TaskError},
    paths, tool,
};

/// What all contenders share.
#[derive(Debug)]
pub(super) struct Bench {
    /// Our programs.
    pub(super) dist: PathBuf,
    /// Where peers live.
    pub(super) tree: Trixie,
    /// The one mirror.
    pub(super) mirror: CachingMirror,
    /// A folder that everybody works in, seen under the same path inside the tree.
    pub(super) work: PathBuf,
    /// Every package of the example's lock, so that all install the same.
    pub(super) packages: Vec<String>,
}

/// One measured command.
#[derive(Debug)]
pub(super) struct Job {
    /// `basalt: full build`.
    pub(super) name: String,
    /// What must be gone before.
    pub(super) remove: Vec<PathBuf>,
    /// Files to write before; `@ROUND@` in them becomes the number of the run.
    pub(super) write: Vec<(PathBuf, String)>,
    /// The command.
    pub(super) command: Command,
}

/// The row names, in the order of the table.
pub(super) const FULL: &str = "full build to a bootable disk";
pub(super) const TAR: &str = "tar of the same packages";
pub(super) const NOTHING: &str = "rebuild, nothing changed";
pub(super) const ONE_FILE: &str = "rebuild, one added file changed";

const LIMIT: Duration = Duration::from_secs(3600);

/// The names that `basalt lock` writes.
pub(super) fn locked_packages(bench: &Bench) -> Done<Vec<String>> {
    #[derive(Deserialize)]
    struct Lock {
        packages: Vec<Package>,
    }
    #[derive(Deserialize)]
    struct Package {
        name: String,
    }
    let recipe = copy_example(bench)?;
    tool::watch(basalt(bench)?.arg("lock").arg(&recipe))?;
    let lock = recipe.with_extension("lock");
    let text = fs::read(&lock).map_err(TaskError::io("read", &lock))?;
    let Lock { packages } = serde_json::from_slice(&text)
        .map_err(|source| TaskError::Json { what: lock.display().to_string(), source })?;
    let mut names: Vec<String> = packages.into_iter().map(|package| package.name).collect();
    names.dedup();
    Ok(names)
}

/// The example, plus one file that a row changes.
fn copy_example(bench: &Bench) -> Done<PathBuf> {
    let folder = bench.work.join("recipe");
    tool::remove_folder(&folder)?;
    let example = paths::example_recipe();
    let from = example.parent().unwrap_or(&example);
    tool::watch(tool::plan("cp", "coreutils")?.args(["-r"]).args([from, &folder]))?;
    let recipe = folder.join("recipe.yaml");
    let text = fs::read_to_string(&recipe).map_err(TaskError::io("read", &recipe))?;
    let added = "files:\n  - path: /usr/share/bench/changed\n    source: files/changed\n";
    fs::write(folder.join("files/changed"), "0\n").map_err(TaskError::io("write", &folder))?;
    fs::write(&recipe, text.replacen("files:\n", added, 1)).map_err(TaskError::io("write", &recipe))?;
    Ok(recipe)
}

fn basalt(bench: &Bench) -> Done<Command> {
    let program = Program::at(bench.dist.join("bin/basalt"))?;
    Ok(Command::new(&program)
        .directory(&bench.work)
        .timeout(LIMIT)
        .env("HOME", &bench.work)
        .env("BASALT_CACHE", bench.work.join("basalt-cache"))
        .env("BASALT_DEBIAN_MIRROR", bench.mirror.url()))
}

/// All jobs in the order in which a round runs them.
pub(super) fn plan(bench: &Bench) -> Done<Vec<Job>> {
    let recipe = bench.work.join("recipe/recipe.yaml");
    let out = bench.work.join("basalt-out");
    let changed = bench.work.join("recipe/files/changed");
    let build = basalt(bench)?.arg("build").arg(&recipe).arg("-o").arg(&out);
    let ours = |row: &str, command: Command, write: Vec<(PathBuf, String)>, remove: Vec<PathBuf>| Job {
        name: format!("basalt: {row}"),
        remove,
        write,
        command,
    };
    Ok(vec![
        ours(FULL, build.clone().arg("--no-cache"), Vec::new(), vec![out.clone()]),
        ours(NOTHING, build.clone(), Vec::new(), Vec::new()),
        ours(ONE_FILE, build, vec![(changed, "@ROUND@\n".to_owned())], Vec::new()),
        mkosi(bench, FULL, "no")?,
        mkosi(bench, NOTHING, "yes")?,
        mmdebstrap(bench),
    ])
}

/// mkosi builds a bootable GPT disk with systemd-boot from the same packages. Its package cache is its own and warm after
/// the unmeasured run; the sandbox tree replaces its default sources, which a mirror need not all carry.
fn mkosi(bench: &Bench, row: &str, incremental: &str) -> Done<Job> {
    let folder = bench.work.join(format!("mkosi-{incremental}"));
    let sources = folder.join("mkosi.sandbox/etc/apt/sources.list.d");
    for made in [sources.clone(), folder.join("out"), folder.join("packages"), folder.join("work")] {
        tool::create_folder(&made)?;
    }
    let packages: String = bench.packages.iter().map(|name| format!("  {name}\n")).collect();
    let configuration = format!(
        "[Distribution]\nDistribution=debian\nRelease=trixie\nMirror={mirror}\n\n\
         [Output]\nFormat=disk\nOutput=edge\nOutputDirectory={here}/out\n\n\
         [Content]\nBootable=yes\nBootloader=systemd-boot\nWithRecommends=no\nPackages=\n{packages}\n\
         [Build]\nBuildSources=\nIncremental={incremental}\nPackageCacheDirectory={here}/packages\n\
         CacheDirectory={here}\nWorkspaceDirectory={here}/work\n",
        mirror = bench.mirror.url(),
        here = folder.display(),
    );
    let source = format!(
        "Types: deb\nURIs: {}\nSuites: trixie\nComponents: main\n\
         Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg\n",
        bench.mirror.url()
    );
    let command = bench.tree.command(&bench.work, "mkosi").arg("-C").arg(&folder).args(["--force", "build"]);
    Ok(Job {
        name: format!("mkosi: {row}"),
        remove: vec![folder.join("out/edge.raw")],
        write: vec![(folder.join("mkosi.conf"), configuration), (sources.join("mkosi.sources"), source)],
        command,
    })
}

/// mmdebstrap makes a tar and nothing else. `INITRD=No` spares it Debian's initramfs, which we do not make either.
fn mmdebstrap(bench: &Bench) -> Job {
    let tar = bench.work.join("mmdebstrap.tar");
    let command = bench
        .tree
        .command(&bench.work, "env")
        .args(["INITRD=No", "mmdebstrap", "--quiet", "--mode=root", "--variant=essential", "--format=tar"])
        .arg(format!("--include={}", bench.packages.join(",")))
        .arg("trixie")
        .arg(&tar)
        .arg(format!("deb {} trixie main", bench.mirror.url()));
    Job { name: format!("mmdebstrap: {TAR}"), remove: vec![tar], write: Vec::new(), command }
}
