//! The promise: for the same packages at the same versions our tree is mmdebstrap's, but for the listed differences.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::wildcard_enum_match_arm,
    reason = "a test fails by panicking"
)]

mod base_support;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::Read as _,
    os::unix::fs::FileExt as _,
    path::Path,
};

use basalt_factory::base::Workshop;
use basalt_formats::{
    ReadAt,
    erofs::Image,
    tree::{Kind, ReadContent},
};
use basalt_types::Digest;
use base_support::{EPOCH, keep_packages, mmdebstrap, request};

/// Packages with the maintainer scripts that are hardest to get right: users, diversions, triggers, alternatives,
/// statoverrides, byte compilation, generated files. With what they depend on, about 220 packages.
const PACKAGES: &str = "apt,systemd,systemd-sysv,systemd-resolved,systemd-timesyncd,systemd-cryptsetup,dbus,\
    dbus-user-session,libpam-systemd,libnss-systemd,polkitd,openssh-server,ca-certificates,kmod,udev,e2fsprogs,iproute2,\
    iputils-ping,less,python3-minimal,python3,man-db,locales,sudo,curl,wget,rsync,nftables,cryptsetup-bin,procps,psmisc,\
    vim-tiny,netbase,tzdata,adduser,passwd,login,bash-completion,gnupg,lsof,tmux,cron,logrotate,rsyslog,xz-utils,zstd,\
    file,bzip2";

/// How far a path may differ.
enum Allowed {
    /// Only mmdebstrap has it.
    OnlyTheirs,
    /// The same lines in another order.
    LineOrder,
    /// The same entries; order and the numbers that were free when each was made differ.
    Ids,
    /// The link names the same file through the links of merged `/usr`.
    MergedUsr,
    /// Any content and metadata; both have it.
    Anything,
}

use Allowed::{Anything, Ids, LineOrder, MergedUsr, OnlyTheirs};

/// A pattern of paths (`*` at its end stands for anything), what may differ, and why.
const DIFFERENCES: &[(&str, Allowed, &str)] = &[
    ("dev/*", OnlyTheirs, "device nodes for the build's own chroot; the kernel makes them at boot"),
    ("run/*", OnlyTheirs, "/run is a tmpfs; systemd-tmpfiles makes what is in it"),
    ("etc/apt/sources.list", OnlyTheirs, "mmdebstrap writes it; the recipe's engine writes ours"),
    ("etc/fstab", OnlyTheirs, "mmdebstrap writes a comment"),
    ("etc/hostname", OnlyTheirs, "mmdebstrap copies the host's"),
    ("etc/.resolv.conf.systemd-resolved.bak", OnlyTheirs, "made of the host's resolv.conf"),
    ("etc/ssh/ssh_host_*", OnlyTheirs, "secrets of one machine, made at first boot"),
    ("etc/machine-id", Anything, "empty in both; mmdebstrap makes it anew with mode 0644"),
    ("etc/passwd", Ids, "scripts run in another order"),
    ("etc/group", Ids, "scripts run in another order"),
    ("etc/shadow", Ids, "scripts run in another order"),
    ("etc/gshadow", Ids, "scripts run in another order"),
    ("etc/passwd-", Anything, "the file before its last change"),
    ("etc/group-", Anything, "the file before its last change"),
    ("etc/shadow-", Anything, "the file before its last change"),
    ("etc/gshadow-", Anything, "the file before its last change"),
    (
        "etc/systemd/system/*",
        MergedUsr,
        "deb-systemd-helper sees systemd unpacked earlier and finds units under /usr",
    ),
    ("var/cache/apt/*", OnlyTheirs, "apt ran in their tree"),
    ("var/cache/apt/archives/partial", Anything, "apt ran in their tree and gave it to _apt"),
    ("var/lib/apt/*", OnlyTheirs, "apt ran in their tree"),
    ("var/cache/debconf/config.dat-old", OnlyTheirs, "an earlier state of the file beside it"),
    ("var/cache/debconf/templates.dat-old", OnlyTheirs, "an earlier state of the file beside it"),
    ("var/lib/dpkg/diversions-old", OnlyTheirs, "an earlier state of the file beside it"),
    ("var/lib/dpkg/statoverride-old", OnlyTheirs, "an earlier state of the file beside it"),
    ("var/lib/dpkg/status-old", OnlyTheirs, "an earlier state of the file beside it"),
    ("var/lib/dpkg/triggers/File", LineOrder, "interests come in the order of unpacking"),
];

/// Everything about a path that must be equal.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Facts {
    kind: &'static str,
    mode: u32,
    owner: String,
    group: String,
    target: String,
    size: u64,
    content: Option<Digest>,
    xattrs: BTreeMap<String, Vec<u8>>,
    /// Of files and links: a directory's changes with every name in it.
    mtime: Option<i64>,
}

struct Side {
    facts: BTreeMap<String, Facts>,
    texts: BTreeMap<String, String>,
}

#[test]
fn the_tree_equals_that_of_mmdebstrap() {
    let scratch = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let (debs, tar) = (scratch.path().join("debs"), scratch.path().join("theirs.tar"));
    fs::create_dir(&debs).unwrap();
    let hook = keep_packages("customize", &debs);
    let skip = "--skip=cleanup/apt/cache,essential/unlink,download/empty";
    mmdebstrap(PACKAGES, &["--variant=essential", skip, hook.as_str()], &tar);
    let out = scratch.path().join("ours.erofs");
    let workshop = Workshop::new(scratch.path().join("work")).with_worker(env!("CARGO_BIN_EXE_basalt"));
    workshop.build_base(&request(&debs), &out, &|_| ()).unwrap();

    let (theirs, ours) = (read_tar(&tar), read_erofs(&out));
    assert!(ours.facts.len() > 10_000, "only {} paths", ours.facts.len());
    let problems = differences(&theirs, &ours);
    assert!(problems.is_empty(), "{} differences:\n{}", problems.len(), problems.join("\n"));
}

fn differences(theirs: &Side, ours: &Side) -> Vec<String> {
    let paths: BTreeSet<&String> = theirs.facts.keys().chain(ours.facts.keys()).collect();
    let mut problems = Vec::new();
    for path in paths {
        let (their, our) = (theirs.facts.get(path), ours.facts.get(path));
        if their == our || is_allowed(path, theirs, ours) {
            continue;
        }
        problems.push(format!("{path}\n  theirs {their:?}\n  ours   {our:?}"));
    }
    problems
}

fn is_allowed(path: &str, theirs: &Side, ours: &Side) -> bool {
    let matches = |pattern: &str| match pattern.strip_suffix('*') {
        Some(head) => path.starts_with(head),
        None => path == pattern,
    };
    let (their, our) = (theirs.facts.get(path), ours.facts.get(path));
    let rules = DIFFERENCES.iter().filter(|(pattern, _, _)| matches(pattern));
    rules.into_iter().any(|(_, allowed, _)| match (allowed, their, our) {
        (OnlyTheirs, Some(_), None) => true,
        (OnlyTheirs, _, _) | (LineOrder | Ids | MergedUsr | Anything, None, _) => false,
        (LineOrder | Ids | MergedUsr | Anything, _, None) => false,
        (Anything, Some(_), Some(_)) => true,
        (LineOrder, Some(their), Some(our)) => {
            let lines = |side: &Side| sorted(side.texts.get(path), &str::to_owned);
            same_but_content(their, our) && lines(theirs) == lines(ours)
        }
        (Ids, Some(their), Some(our)) => {
            let lines = |side: &Side| sorted(side.texts.get(path), &without_ids);
            same_but_content(their, our) && lines(theirs) == lines(ours)
        }
        (MergedUsr, Some(their), Some(our)) => {
            let target = their.target.replacen("/lib/", "/usr/lib/", 1);
            *our == Facts { target, ..their.clone() }
        }
    })
}

fn same_but_content(their: &Facts, our: &Facts) -> bool {
    Facts { content: our.content, size: our.size, ..their.clone() } == *our
}

fn sorted(text: Option<&String>, form: &dyn Fn(&str) -> String) -> Vec<String> {
    let mut lines: Vec<String> = text.unwrap().lines().map(form).collect();
    lines.sort_unstable();
    lines
}

/// A line of passwd(5) or group(5) without the numbers that are given to whoever asks first: 100 to 999.
fn without_ids(line: &str) -> String {
    let dynamic = |field: &&str| field.parse().is_ok_and(|number: u32| (100..1000).contains(&number));
    line.split(':').map(|field| if dynamic(&field) { "#" } else { field }).collect::<Vec<_>>().join(":")
}

/// Names for numbers out of the third field of passwd(5) and group(5).
fn names(text: &str) -> BTreeMap<u64, String> {
    let entry = |line: &str| {
        let mut fields = line.split(':');
        Some((fields.clone().nth(2)?.parse().ok()?, fields.next()?.to_owned()))
    };
    text.lines().filter_map(entry).collect()
}

fn is_text_kept(path: &str) -> bool {
    path.starts_with("etc/") || path == "var/lib/dpkg/triggers/File"
}

fn read_tar(path: &Path) -> Side {
    let mut texts = BTreeMap::new();
    let mut raw: Vec<(String, Facts, u64, u64)> = Vec::new();
    let mut links = Vec::new();
    let mut archive = tar::Archive::new(File::open(path).unwrap());
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let name = String::from_utf8(entry.path_bytes().into_owned()).unwrap();
        let name = name.trim_start_matches("./").trim_end_matches('/').to_owned();
        let target =
            entry.link_name_bytes().map(|t| String::from_utf8(t.into_owned()).unwrap()).unwrap_or_default();
        let kind = match entry.header().entry_type() {
            tar::EntryType::Directory => "directory",
            tar::EntryType::Regular => "file",
            tar::EntryType::Symlink => "symlink",
            tar::EntryType::Link => {
                links.push((name, target.trim_start_matches("./").to_owned()));
                continue;
            }
            _ => "special",
        };
        let mut xattrs = BTreeMap::new();
        for extension in entry.pax_extensions().unwrap().into_iter().flatten() {
            let extension = extension.unwrap();
            if let Some(attribute) = extension.key().unwrap().strip_prefix("SCHILY.xattr.") {
                xattrs.insert(attribute.to_owned(), extension.value_bytes().to_vec());
            }
        }
        let header = entry.header().clone();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        let facts = Facts {
            kind,
            mode: if kind == "symlink" { 0 } else { header.mode().unwrap() & 0o7777 },
            owner: String::new(),
            group: String::new(),
            target: if kind == "symlink" { target } else { String::new() },
            size: bytes.len() as u64,
            content: (kind == "file").then(|| Digest::of(&bytes)),
            xattrs,
            mtime: (kind != "directory").then(|| i64::try_from(header.mtime().unwrap()).unwrap()),
        };
        if kind == "file" && is_text_kept(&name) {
            texts.insert(name.clone(), String::from_utf8_lossy(&bytes).into_owned());
        }
        raw.push((name, facts, header.uid().unwrap(), header.gid().unwrap()));
    }
    let mut side = named(raw, texts);
    for (name, first) in links {
        let facts = side.facts[&first].clone();
        side.facts.insert(name, facts);
    }
    side
}

struct Bytes(File);

impl ReadAt for Bytes {
    fn size(&self) -> u64 {
        self.0.metadata().unwrap().len()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> std::io::Result<()> {
        self.0.read_exact_at(buffer, offset)
    }
}

impl ReadContent for Bytes {
    fn read_stored(&self, _store: u32, offset: u64, buffer: &mut [u8]) -> std::io::Result<()> {
        self.0.read_exact_at(buffer, offset)
    }
}

fn read_erofs(path: &Path) -> Side {
    let source = Bytes(File::open(path).unwrap());
    let tree = Image::open(&source).unwrap().tree(0).unwrap();
    let mut texts = BTreeMap::new();
    let mut raw = Vec::new();
    tree.walk(&mut |path, id| {
        let name = String::from_utf8(path.to_vec()).unwrap().trim_start_matches('/').to_owned();
        let node = tree.node(id);
        let metadata = &node.metadata;
        assert!(metadata.mtime <= EPOCH, "{name}: {}", metadata.mtime);
        let (kind, bytes, target) = match &node.kind {
            Kind::Directory(_) => ("directory", None, None),
            Kind::File(content) => ("file", Some(content.read(&source).unwrap()), None),
            Kind::Symlink(target) => ("symlink", None, Some(target)),
            Kind::CharDevice(_) | Kind::BlockDevice(_) | Kind::Fifo | Kind::Socket => ("special", None, None),
        };
        if let Some(bytes) = bytes.as_ref().filter(|_| is_text_kept(&name)) {
            texts.insert(name.clone(), String::from_utf8_lossy(bytes).into_owned());
        }
        let text = |bytes: &Vec<u8>| String::from_utf8(bytes.clone()).unwrap();
        let facts = Facts {
            kind,
            mode: if kind == "symlink" { 0 } else { metadata.mode.into() },
            owner: String::new(),
            group: String::new(),
            target: target.map(text).unwrap_or_default(),
            size: bytes.as_ref().map_or(0, |bytes| bytes.len() as u64),
            content: bytes.as_deref().map(Digest::of),
            xattrs: metadata.xattrs.iter().map(|(name, value)| (text(name), value.clone())).collect(),
            mtime: (kind != "directory").then_some(metadata.mtime),
        };
        raw.push((name, facts, metadata.uid.into(), metadata.gid.into()));
    });
    named(raw, texts)
}

/// Gives owners and groups the names that the tree itself has for them.
fn named(raw: Vec<(String, Facts, u64, u64)>, texts: BTreeMap<String, String>) -> Side {
    let (users, groups) = (names(&texts["etc/passwd"]), names(&texts["etc/group"]));
    let name =
        |table: &BTreeMap<u64, String>, id: u64| table.get(&id).cloned().unwrap_or_else(|| id.to_string());
    let facts = raw.into_iter().map(|(path, facts, uid, gid)| {
        (path, Facts { owner: name(&users, uid), group: name(&groups, gid), ..facts })
    });
    Side { facts: facts.collect(), texts }
}
