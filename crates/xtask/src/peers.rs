//! Other people's tools, from Debian trixie: a tree under `target/peers/trixie`, and a mirror that keeps what it fetched.

use basalt_testkit::{Archive, CachingMirror};
use std::{env, fs, path::Path, path::PathBuf};

use crate::{
    error::{Done, TaskError},
    paths,
    report::say,
    tool,
};

/// Oracles and peers that are newer than Debian 12's, and what they need to run.
const PACKAGES: [&str; 23] = [
    "apt",
    "ca-certificates",
    "cpio",
    "cryptsetup-bin",
    "debian-archive-keyring",
    "dosfstools",
    "e2fsprogs",
    "erofs-utils",
    "fdisk",
    "gdisk",
    "initramfs-tools",
    "linux-image-amd64",
    "mkosi",
    "mmdebstrap",
    "mtools",
    "sbsigntool",
    "systemd-boot-efi",
    "systemd-boot-tools",
    "systemd-container",
    "systemd-repart",
    "systemd-ukify",
    "xz-utils",
    "zstd",
];

/// The suites of trixie that a build installs from, and the archive that has each.
const SUITES: [(&str, &str); 3] =
    [("trixie", "debian"), ("trixie-updates", "debian"), ("trixie-security", "debian-security")];

/// Where `suite` comes from, by the environment or the host's apt.
pub(crate) fn upstream(suite: &str) -> Done<String> {
    let facts = basalt_fetch::mirror::observe(Path::new("/"), &|name| env::var(name).ok())?;
    Ok(basalt_fetch::mirror::choose(&facts, None, suite)?.url)
}

/// A local mirror of all three suites that keeps what it fetched below `target/peers/mirror`.
pub(crate) fn mirror() -> Done<CachingMirror> {
    let folder = paths::peers().join("mirror");
    let archive = |name: &str, suite: &str| Ok(Archive { name: name.to_owned(), upstream: upstream(suite)? });
    let archives: Done<Vec<Archive>> = [("debian", "trixie"), ("debian-security", "trixie-security")]
        .map(|(name, suite)| archive(name, suite))
        .into_iter()
        .collect();
    CachingMirror::serve(&folder, &archives?).map_err(TaskError::io("serve", folder))
}

/// The mirror's suites as apt's one-line sources (sources.list(5)).
pub(crate) fn sources(mirror: &CachingMirror) -> Vec<String> {
    SUITES.map(|(suite, archive)| format!("deb {} {suite} main", mirror.url(archive))).into()
}

/// The same with the keyring's path in the trixie tree, as deb822 sources.
pub(crate) fn signed_sources(mirror: &CachingMirror) -> String {
    let keyring = "/usr/share/keyrings/debian-archive-keyring.gpg";
    let source = |(suite, archive): &(&str, &str)| {
        let uri = mirror.url(archive);
        format!("Types: deb\nURIs: {uri}\nSuites: {suite}\nComponents: main\nSigned-By: {keyring}\n\n")
    };
    SUITES.iter().map(source).collect()
}

/// The tree with the tools; see [`kept`].
pub(crate) fn tree() -> Done<PathBuf> {
    kept("trixie", "BASALT_TRIXIE_TREE", &PACKAGES, |tree| {
        if !tool::is_root() {
            return Err(TaskError::Broken(
                "the tree with newer tools is made as root: run `sudo cargo xtask test` once, or set BASALT_TRIXIE_TREE"
                    .to_owned(),
            ));
        }
        begin(tree)?;
        // --mode=root: the host may forbid user namespaces, which is what some of our own tests are about.
        let command = tool::plan("mmdebstrap", "mmdebstrap")?
            .args(["--quiet", "--mode=root", "--variant=apt", "--skip=cleanup/tmp"])
            .arg(format!("--include={}", PACKAGES.join(",")))
            .arg("trixie")
            .arg(tree)
            .arg(format!("deb {} trixie main", upstream("trixie")?));
        tool::watch(command)
    })
}

/// A tree of other people's tools: the one that `variable` names, or ours below `target/peers`, which `make` makes when it is
/// missing or was made of another list of packages.
pub(crate) fn kept(
    name: &str,
    variable: &str,
    packages: &[&str],
    make: impl FnOnce(&Path) -> Done,
) -> Done<PathBuf> {
    if let Some(given) = env::var_os(variable) {
        return Ok(PathBuf::from(given));
    }
    let (tree, stamp) = (paths::peers().join(name), paths::peers().join(format!("{name}.packages")));
    let wanted = packages.join("\n");
    if tree.is_dir() && fs::read_to_string(&stamp).is_ok_and(|made| made == wanted) {
        return Ok(tree);
    }
    make(&tree)?;
    fs::write(&stamp, wanted).map_err(TaskError::io("write", &stamp))?;
    Ok(tree)
}

/// Makes place for a tree: for [`kept`]'s `make`, once it knows that it can.
pub(crate) fn begin(tree: &Path) -> Done {
    say(format!("peers: making {}", tree.display()));
    tool::remove_folder(tree)?;
    tool::create_folder(&paths::peers())
}
