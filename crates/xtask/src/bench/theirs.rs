//! The peers, from Debian trixie, each in the way its own documents recommend for speed.

use super::contenders::{Bench, Job, LIMIT, Row};
use crate::peers;

/// The names of the locked packages.
pub(super) fn names(bench: &Bench) -> Vec<&str> {
    bench.packages.iter().map(|package| package.name.as_str()).collect()
}

/// mkosi builds a bootable GPT disk with systemd-boot from the same packages: ext4, no verity, its own initrd. Its cache
/// of packages is warm; the sandbox tree replaces its default sources, of which one is never a mirror's.
pub(super) fn mkosi(bench: &Bench, row: Row) -> Job {
    let incremental = if row == Row::MkosiOneFile { "yes" } else { "no" };
    let folder = bench.work.join(format!("mkosi-{incremental}"));
    let cached = bench.work.join("mkosi-packages");
    let packages: String = names(bench).iter().map(|name| format!("  {name}\n")).collect();
    let configuration = format!(
        "[Distribution]\nDistribution=debian\nRelease=trixie\nMirror={mirror}\n\n\
         [Output]\nFormat=disk\nOutput=edge\nOutputDirectory={here}/out\nManifestFormat=json\n\n\
         [Content]\nBootable=yes\nBootloader=systemd-boot\nWithRecommends=no\nPackages=\n{packages}\n\
         [Build]\nBuildSources=\nIncremental={incremental}\nPackageCacheDirectory={cached}\n\
         CacheDirectory={here}/cache\nWorkspaceDirectory={here}/work\n",
        mirror = bench.mirror.url("debian"),
        here = folder.display(),
        cached = cached.display(),
    );
    let nothing = String::new();
    let write = vec![
        (folder.join("mkosi.conf"), configuration),
        (
            folder.join("mkosi.sandbox/etc/apt/sources.list.d/mkosi.sources"),
            peers::signed_sources(&bench.mirror),
        ),
        (folder.join("mkosi.extra/usr/share/bench/changed"), "@UNIQUE@\n".to_owned()),
        (folder.join("out/.keep"), nothing.clone()),
        (cached.join(".keep"), nothing.clone()),
        (folder.join("cache/.keep"), nothing.clone()),
        (folder.join("work/.keep"), nothing),
    ];
    let command = bench.tree.command(&bench.work, "mkosi").timeout(LIMIT);
    let command = command.arg("-C").arg(&folder).args(["--force", "build"]);
    Job { row, remove: vec![folder.join("out/edge.raw")], write, command }
}

/// mmdebstrap makes a tar and nothing else. `INITRD=No` spares it Debian's initramfs, which we do not make either.
pub(super) fn mmdebstrap(bench: &Bench) -> Job {
    let tar = bench.work.join("mmdebstrap.tar");
    let command = bench
        .tree
        .command(&bench.work, "env")
        .timeout(LIMIT)
        .args(["INITRD=No", "mmdebstrap", "--quiet", "--mode=root", "--variant=essential", "--format=tar"])
        .arg(format!("--include={}", names(bench).join(",")))
        .arg("trixie")
        .arg(&tar)
        .args(peers::sources(&bench.mirror));
    Job { row: Row::Tar, remove: vec![tar], write: Vec::new(), command }
}
