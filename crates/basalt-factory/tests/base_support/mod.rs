//! Packages for tests of the base tree: real ones, fetched once by mmdebstrap, and small ones made here.

#![allow(dead_code, reason = "each test program uses its part")]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use basalt_debian::{archive, unpack::Unpackable};
use basalt_exec::command::Command;
use basalt_factory::base::{BaseRequest, DebPackage};
use basalt_testkit::require_tool;
use basalt_types::Digest;

/// The time of every tree in these tests.
pub(crate) const EPOCH: i64 = 1_763_000_000;

/// Runs mmdebstrap for `packages` with a scrubbed environment; `options` come before the suite and the output.
pub(crate) fn mmdebstrap(packages: &str, options: &[&str], out: &Path) {
    let facts = basalt_fetch::mirror::observe(Path::new("/"), &|name| std::env::var(name).ok()).unwrap();
    let mirror = basalt_fetch::mirror::choose(&facts, None, "trixie").unwrap();
    Command::new(&require_tool("mmdebstrap", "mmdebstrap"))
        .args(["--quiet", "--architectures=amd64", &format!("--include={packages}")])
        .args(options)
        .arg("trixie")
        .arg(out)
        .arg(mirror.url)
        .env("SOURCE_DATE_EPOCH", EPOCH.to_string())
        .timeout(Duration::from_secs(1800))
        .run()
        .unwrap();
}

/// A folder with the package files of the Essential set, kept between runs.
pub(crate) fn essential() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("base-essential");
    if !folder.join("complete").exists() {
        fs::create_dir_all(&folder).unwrap();
        let hook = keep_packages("extract", &folder);
        let options =
            ["--variant=extract", "--skip=cleanup/apt/cache,essential/unlink,download/empty", hook.as_str()];
        mmdebstrap("?essential", &options, Path::new("/dev/null"));
        assert!(request(&folder).packages.len() > 50, "mmdebstrap fetched too few packages");
        fs::write(folder.join("complete"), "").unwrap();
    }
    folder
}

/// The mmdebstrap hook that copies the package files it fetched: at `extract` or `customize`.
pub(crate) fn keep_packages(moment: &str, folder: &Path) -> String {
    format!("--{moment}-hook=cp \"$1\"/var/cache/apt/archives/*.deb '{}'", folder.display())
}

/// A request for every package file of a folder.
pub(crate) fn request(folder: &Path) -> BaseRequest {
    let paths: BTreeSet<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    let debs = paths.iter().filter(|path| path.extension().is_some_and(|end| end == "deb"));
    BaseRequest {
        packages: debs.map(|path| package(path)).collect(),
        architecture: "amd64".to_owned(),
        epoch: EPOCH,
    }
}

/// What a package file is.
pub(crate) fn package(path: &Path) -> DebPackage {
    let bytes = fs::read(path).unwrap();
    let control = archive::read_control("test", &bytes[..]).unwrap();
    let Unpackable { name, version, architecture, .. } = Unpackable::parse("test", control).unwrap();
    let (sha256, size) = (Digest::of(&bytes), bytes.len() as u64);
    DebPackage { name, version, architecture, path: path.to_owned(), sha256, size }
}

/// Makes a package with these control files (`preinst`, `postinst`…) and these regular files.
pub(crate) fn make_package(
    folder: &Path,
    name: &str,
    control: &[(&str, &str)],
    files: &[(&str, &str)],
) -> DebPackage {
    let paragraph = format!(
        "Package: {name}\nVersion: 1\nArchitecture: all\nMaintainer: test <test@example.org>\n\
         Description: made for a test\n"
    );
    let mut own = vec![("control", paragraph.as_str()), ("md5sums", "")];
    own.extend(control);
    let members =
        [("debian-binary", b"2.0\n".to_vec()), ("control.tar", tar(&own)), ("data.tar", tar(files))];
    let mut archive = b"!<arch>\n".to_vec();
    for (member, bytes) in members {
        let size = bytes.len();
        archive.extend(format!("{member:<16}{:<12}{:<6}{:<6}{:<8}{size:<10}`\n", 0, 0, 0, 100_644).bytes());
        archive.extend(bytes);
    }
    let path = folder.join(format!("{name}.deb"));
    fs::write(&path, archive).unwrap();
    package(&path)
}

/// Plans a run as somebody who is nobody on this host and has subordinate ids, with `home` made theirs. The working
/// directory is `place`; the host's own files stay as they are: the user exists in one mount namespace only. Needs root.
pub(crate) fn as_ordinary_user(place: &Path, home: &Path) -> Command {
    const SCRIPT: &str = "set -e; cd \"$1\"; shift; mount --bind passwd /etc/passwd; mount --bind subid /etc/subuid; \
        mount --bind subid /etc/subgid; exec setpriv --reuid=4242 --regid=4242 --clear-groups \"$@\"";
    require_tool("newuidmap", "uidmap");
    for file in ["/etc/subuid", "/etc/subgid"] {
        assert!(Path::new(file).exists(), "{file} is missing: apt-get install passwd");
    }
    fs::write(place.join("passwd"), "root:x:0:0::/root:/bin/sh\nbasalt-test:x:4242:4242::/:/bin/sh\n")
        .unwrap();
    fs::write(place.join("subid"), "basalt-test:500000:65536\n").unwrap();
    Command::new(&require_tool("chown", "coreutils")).args(["-R", "4242:4242"]).arg(home).run().unwrap();
    Command::new(&require_tool("unshare", "util-linux"))
        .args(["--mount", "sh", "-c", SCRIPT, "sh"])
        .arg(place)
}

fn tar(files: &[(&str, &str)]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    let mut made = BTreeSet::new();
    for (path, text) in files {
        for (end, _) in path.match_indices('/') {
            if made.insert(&path[..end]) {
                let mut header = tar::Header::new_gnu();
                header.set_entry_type(tar::EntryType::Directory);
                header.set_mode(0o755);
                header.set_uid(0);
                header.set_gid(0);
                header.set_mtime(0);
                header.set_size(0);
                tar.append_data(&mut header, &path[..end], std::io::empty()).unwrap();
            }
        }
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o755);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(text.len() as u64);
        tar.append_data(&mut header, path, text.as_bytes()).unwrap();
    }
    tar.into_inner().unwrap()
}
