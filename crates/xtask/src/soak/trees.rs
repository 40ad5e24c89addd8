//! Large real trees as EROFS: `crates/basalt-formats/benches/erofs_trees.rs` packs them and has others read them.

use std::{
    env, fs,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{
    error::{Done, TaskError},
    paths, peers, setup, tool,
};

/// How many packages the tree has at least.
const PACKAGES: usize = 300;
/// What a person who develops has beside the packages of priority `standard`.
const INCLUDE: &str =
    "build-essential,git,python3,vim,openssh-server,systemd-resolved,linux-image-amd64,curl,rsync,gdb";

/// Gives what the program says of both trees.
pub(super) fn run() -> Done<String> {
    setup::run()?;
    let tools = peers::tree()?;
    let work = paths::root().join("target/soak/trees");
    tool::create_folder(&work)?;
    let debian = work.join("debian");
    let packages = make_debian(&debian)?;
    let toolchain = toolchain()?;
    let bench = ["bench", "--quiet", "--package", "basalt-formats", "--bench", "erofs_trees", "--"];
    let cargo = tool::cargo(bench)?.env("BASALT_TRIXIE_TREE", tools).timeout(Duration::from_secs(3600));
    let said = cargo.arg(&debian).arg(&toolchain).run()?;
    tool::remove_folder(&work)?;
    let trees: Vec<String> = String::from_utf8_lossy(&said).lines().map(str::to_owned).collect();
    if trees.len() != 2 {
        return Err(TaskError::Broken(format!("not two trees: {trees:?}")));
    }
    Ok(format!(
        "the same in the kernel and in `fsck.erofs --extract`: {packages} packages, {}",
        trees.join("; ")
    ))
}

/// The folder with everything of the toolchain: cargo, which started this program, is in its `bin`.
fn toolchain() -> Done<PathBuf> {
    let cargo = env::var_os("CARGO").map(PathBuf::from);
    let folder = cargo.as_deref().and_then(Path::parent).and_then(Path::parent).map(Path::to_owned);
    folder.ok_or_else(|| TaskError::Broken("start this by cargo: it says where the toolchain is".to_owned()))
}

fn make_debian(tree: &Path) -> Done<usize> {
    tool::remove_folder(tree)?;
    let make = tool::plan("mmdebstrap", "mmdebstrap")?
        .args(["--quiet", "--mode=root", "--variant=standard", "--format=directory"])
        .arg(format!("--include={INCLUDE}"))
        .arg("trixie")
        .arg(tree)
        .arg(format!("deb {} trixie main", peers::upstream("trixie")?));
    tool::watch(make.timeout(Duration::from_secs(1800)))?;
    // Not in a hook: the host's devices are mounted there then.
    let devices = tree.join("dev");
    tool::remove_folder(&devices)?;
    tool::create_folder(&devices)?;
    let status = tree.join("var/lib/dpkg/status");
    let text = fs::read_to_string(&status).map_err(TaskError::io("read", &status))?;
    let packages = text.lines().filter(|line| *line == "Status: install ok installed").count();
    if packages < PACKAGES {
        return Err(TaskError::Broken(format!("the tree has {packages} packages, not {PACKAGES}")));
    }
    Ok(packages)
}
