//! The solver's choice on the real index of trixie, beside apt's and dpkg's own judgement.
//!
//! For each package set: solve; write a dpkg admin directory in which exactly the chosen packages are installed;
//! `dpkg --audit` must be silent and `apt-get check` content; then trixie's apt is asked what it would install, and
//! every difference must be in [`DIFFERENCES`] with its reason.
//!
//! Needs the network mirror (`mirror::choose`) and a trixie tree in `BASALT_TRIXIE_TREE`.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "test helpers fail loudly")]

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, Mutex},
};

use basalt_debian::{
    control::Paragraphs,
    solve::{Base, Pool, Request, Solution, Why, solve},
};
use basalt_fetch::{
    debian::{Context, Indices, Source, resolve},
    http::{Client, Patience},
    mirror,
    openpgp::Keyring,
    store::Store,
};
use basalt_types::Architecture;

struct Set {
    name: &'static str,
    wanted: &'static str,
    recommends: bool,
}

const fn set(name: &'static str, wanted: &'static str) -> Set {
    Set { name, wanted, recommends: false }
}

const fn full(name: &'static str, wanted: &'static str) -> Set {
    Set { name, wanted, recommends: true }
}

const SETS: &[Set] = &[
    set("nothing", ""),
    set("one", "hello"),
    set("shell", "zsh tmux vim"),
    set("boot", "linux-image-amd64 systemd-sysv systemd-boot-efi dbus udev"),
    set("cloud", "cloud-init openssh-server qemu-guest-agent"),
    set("node", "containerd iptables ethtool socat conntrack nfs-common openssh-server systemd-resolved"),
    set("server", "nginx postgresql redis-server openssh-server nftables systemd-timesyncd"),
    set("mail", "postfix dovecot-imapd rspamd"),
    set("mta", "mailutils"),
    set("exim", "exim4 bsd-mailx"),
    set("python", "python3-venv python3-pip python3-numpy python3-scipy"),
    set("build", "build-essential cmake ninja-build git"),
    set("rust", "cargo rustc clang lld"),
    set("java", "default-jdk maven"),
    set("node-js", "nodejs npm"),
    set("go", "golang"),
    set("php", "php-fpm php-mysql mariadb-server"),
    set("virtualization", "qemu-system-x86 libvirt-daemon-system virtinst"),
    set("containers", "podman buildah skopeo"),
    set("docker", "docker.io docker-compose"),
    set("network", "network-manager wpasupplicant iw bluez modemmanager"),
    set("sysv", "sysvinit-core cron rsyslog"),
    set("standard", "man-db less bash-completion lsof strace tcpdump"),
    set("latex", "texlive-latex-extra"),
    set("monitoring", "prometheus prometheus-node-exporter snmpd munin"),
    set("storage", "lvm2 mdadm cryptsetup btrfs-progs xfsprogs"),
    set("directory", "slapd sssd krb5-user samba"),
    set("web", "firefox-esr chromium"),
    set("office", "libreoffice-writer"),
    set("sway", "sway foot pipewire wireplumber"),
    set("xfce", "task-xfce-desktop"),
    set("kde", "kde-plasma-desktop"),
    set("gnome", "task-gnome-desktop"),
    full("boot, recommended", "linux-image-amd64 systemd-sysv openssh-server"),
    full("server, recommended", "nginx postgresql mariadb-server"),
    full("standard, recommended", "task-ssh-server task-web-server man-db apt-listchanges"),
    full("xfce, recommended", "task-xfce-desktop"),
    full("gnome, recommended", "task-gnome-desktop"),
    full("kde, recommended", "task-kde-desktop"),
];

/// `(set, packages, reason)`: what apt takes and we don't. Asked for these packages as well, our answer must be apt's to
/// the last package, so nothing else differs.
///
/// One cause behind all of them: apt decides an alternative when it meets it, depth first, and takes the first one even
/// if a package that it meets later satisfies the group anyway. We look at what is certain before we choose.
const DIFFERENCES: &[(&str, &str, &str)] = &[
    (
        "containers",
        "containernetworking-plugins",
        "`container-network-stack` is provided by netavark, which podman depends on by name",
    ),
    ("sway", "seatd", "`seatd | logind`: libpam-systemd, which dbus-user-session needs, provides logind"),
    (
        "gnome",
        "xterm",
        "xorg's `xterm | x-terminal-emulator`: gnome-terminal is there for task-gnome-desktop",
    ),
    ("gnome", "pinentry-curses", "gpg-agent's `pinentry-curses | pinentry`: gcr needs pinentry-gnome3"),
    (
        "gnome",
        "fonts-dejavu-core",
        "fontconfig-config's first of eight fonts: others of them are needed by name",
    ),
    ("gnome, recommended", "xterm", "xorg's `xterm | x-terminal-emulator`: gnome-terminal is there"),
    (
        "gnome, recommended",
        "pinentry-curses",
        "gpg-agent's `pinentry-curses | pinentry`: gcr needs pinentry-gnome3",
    ),
    (
        "gnome, recommended",
        "locales",
        "`locales | locales-all`: locales-all is recommended by name elsewhere",
    ),
    ("xfce, recommended", "xterm", "xorg's `xterm | x-terminal-emulator`: xfce4-terminal is there"),
    (
        "xfce, recommended",
        "pinentry-curses",
        "gpg-agent's `pinentry-curses | pinentry`: pinentry-gnome3 is there",
    ),
    (
        "xfce, recommended",
        "fonts-dejavu-core",
        "fontconfig-config's first of eight fonts: fonts-liberation is there",
    ),
    (
        "xfce, recommended",
        "ukui-polkit",
        "`polkit-1-auth-agent`: mate-polkit is there; apt takes both, and with this one Qt 5, GDAL and OpenCV",
    ),
    (
        "kde, recommended",
        "fonts-dejavu-core",
        "fontconfig-config's first of eight fonts: others of them are there",
    ),
    (
        "kde, recommended",
        "pinentry-curses",
        "gpg-agent's `pinentry-curses | pinentry`: kmail brings pinentry-qt",
    ),
    (
        "kde, recommended",
        "gnome-keyring",
        "libqt6keychain1's `gnome-keyring | kwalletmanager`: kwalletmanager is there",
    ),
    (
        "kde, recommended",
        "pinentry-gnome3",
        "comes with gnome-keyring, and then stands for kmail's pinentry-qt",
    ),
];

#[test]
fn the_choice_is_sound_and_apts() {
    let tree = trixie_tree();
    let indices = indices();
    let pool = indices.pool(Architecture::Amd64).unwrap();
    let paragraphs = paragraphs(&indices);
    let apt = Apt::prepare(tree, &indices);
    let found: Mutex<Vec<String>> = Mutex::new(Vec::new());
    // The largest are last in the table and begin.
    let queue: Mutex<Vec<&Set>> = Mutex::new(SETS.iter().collect());
    let work = || {
        loop {
            let Some(set) = queue.lock().unwrap().pop() else { return };
            let problems = examine(&apt, &pool, &paragraphs, set);
            found.lock().unwrap().extend(problems);
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(work);
        }
    });
    let mut found = found.into_inner().unwrap();
    found.sort();
    assert!(found.is_empty(), "{} problems:\n{}", found.len(), found.join("\n"));
}

/// Everything that is wrong with the answer to one set.
fn examine(apt: &Apt, pool: &Pool<'_>, paragraphs: &HashMap<(&str, &str), &str>, set: &Set) -> Vec<String> {
    let request = Request {
        wanted: set.wanted.split_whitespace().map(|name| name.parse().unwrap()).collect(),
        recommends: set.recommends,
        base: Base::Required,
        deselected: Vec::new(),
    };
    let solution = match solve(pool, &request) {
        Ok(solution) => solution,
        Err(error) => return vec![format!("{}: {error}", set.name)],
    };
    println!("{:24} {:5} packages", set.name, solution.packages.len());
    if set.name.starts_with("gnome, rec") {
        assert!(solution.packages.len() > 600, "a desktop has {} packages", solution.packages.len());
    }
    let mut problems = apt.judge(set, &solution, paragraphs);
    // apt settles what is named first before it looks at the next, so the order is that of our own roots.
    let base = solution.packages.iter().filter(|c| c.why == Why::Base).map(|c| c.record.name);
    let theirs = apt.choose(set, &set.wanted.split_whitespace().chain(base).collect::<Vec<_>>());
    let more = DIFFERENCES.iter().filter(|(name, _, _)| *name == set.name);
    let more =
        more.flat_map(|(_, packages, _)| packages.split_whitespace()).map(|name| name.parse().unwrap());
    let request = Request { wanted: request.wanted.into_iter().chain(more).collect(), ..request };
    let solution = solve(pool, &request).unwrap();
    let ours: BTreeMap<&str, &str> =
        solution.packages.iter().map(|c| (c.record.name, c.record.version)).collect();
    for chosen in &solution.packages {
        let (name, version) = (chosen.record.name, chosen.record.version);
        match theirs.get(name) {
            Some(other) if other == version => {}
            Some(other) => problems.push(format!("{}: {name} is {version}, apt has {other}", set.name)),
            None => problems.push(format!("{}: ours alone: {name} ({})", set.name, chosen.why)),
        }
    }
    for name in theirs.keys().filter(|name| !ours.contains_key(name.as_str())) {
        problems.push(format!("{}: apt's alone: {name}", set.name));
    }
    problems
}

fn trixie_tree() -> PathBuf {
    match std::env::var_os("BASALT_TRIXIE_TREE") {
        Some(path) => path.into(),
        None => panic!("BASALT_TRIXIE_TREE is not set: run it through `cargo xtask test`"),
    }
}

/// The real indices of trixie, verified, kept between runs below the target folder.
fn indices() -> Indices {
    let facts = mirror::observe(Path::new("/"), &|name| std::env::var(name).ok()).unwrap();
    let mirror = mirror::choose(&facts, None, "trixie").unwrap();
    let store = Store::open(Path::new(env!("CARGO_TARGET_TMPDIR")).join("archive")).unwrap();
    let client = Client::new(facts.proxies, Patience::default(), Arc::default()).unwrap();
    let source = Source {
        url: mirror.url,
        suite: "trixie".to_owned(),
        components: vec!["main".to_owned()],
        priority: 0,
        check_valid_until: true,
        keyring: Keyring::debian().unwrap(),
    };
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let context = Context { client: &client, store: &store, report: &|_| () };
    resolve(context, &[source], Architecture::Amd64, i64::try_from(now).unwrap()).unwrap()
}

fn paragraphs(indices: &Indices) -> HashMap<(&str, &str), &str> {
    let texts = indices.suites.iter().flat_map(|suite| &suite.indices).map(|index| index.text.as_str());
    texts
        .flat_map(Paragraphs::new)
        .map(|p| ((p.get("Package").unwrap(), p.get("Version").unwrap()), p.text()))
        .collect()
}

/// Trixie's own programs, run from its tree by its own loader: no root, no chroot, nothing of the host's apt.
struct Apt {
    tree: PathBuf,
    work: tempfile::TempDir,
}

impl Apt {
    fn prepare(tree: PathBuf, indices: &Indices) -> Self {
        let work = tempfile::tempdir().unwrap();
        let lists = work.path().join("lists");
        for folder in [
            "lists/partial",
            "cache/archives/partial",
            "etc/apt.conf.d",
            "etc/preferences.d",
            "empty/partial",
        ] {
            fs::create_dir_all(work.path().join(folder)).unwrap();
        }
        fs::write(
            work.path().join("etc/sources.list"),
            "deb [trusted=yes] http://a.invalid/debian trixie main\n",
        )
        .unwrap();
        let text = &indices.suites[0].indices[0].text;
        fs::write(lists.join("a.invalid_debian_dists_trixie_main_binary-amd64_Packages"), text).unwrap();
        fs::write(work.path().join("status"), "").unwrap();
        let apt = Self { tree, work };
        // Builds the package cache once, which every later run reads.
        apt.run("apt-cache", &["gencaches"], "lists", &apt.work.path().join("status"));
        apt
    }

    fn run(&self, program: &str, arguments: &[&str], lists: &str, status: &Path) -> String {
        let work = self.work.path();
        let cache = if lists == "lists" { work.join("cache") } else { status.with_extension("cache") };
        let settings = [
            ("Dir", self.tree.as_path()),
            ("Dir::Etc", &work.join("etc")),
            ("Dir::State::lists", &work.join(lists)),
            ("Dir::State::status", status),
            ("Dir::State::extended_states", &work.join("extended_states")),
            ("Dir::Cache", &cache),
            ("Dir::Log", work),
            // A simulation writes its whole problem, compressed, for whoever debugs apt: most of its time.
            ("Dir::Log::Planner", Path::new("/dev/null")),
            ("Dir::Log::Solver", Path::new("/dev/null")),
            ("APT::Architecture", Path::new("amd64")),
            ("APT::Architectures::", Path::new("amd64")),
            ("Debug::NoLocking", Path::new("true")),
        ];
        // Read before every other file, so that nothing of the host's configuration is. Each thread has its own: apt takes one that
        // another is just writing for an empty one, and then the host's.
        let conf = status.with_extension(format!("{:?}.conf", std::thread::current().id()));
        let lines = settings.map(|(name, value)| format!("{name} \"{}\";\n", value.display()));
        fs::write(&conf, lines.concat()).unwrap();
        let mut command = self.loader(program);
        command.env("APT_CONFIG", &conf);
        let output = command.args(arguments).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{program} {arguments:?} failed:\n{text}\n{errors}");
        text
    }

    fn loader(&self, program: &str) -> Command {
        let libraries = self.tree.join("usr/lib/x86_64-linux-gnu");
        let mut command = Command::new(libraries.join("ld-linux-x86-64.so.2"));
        let path = self.tree.join("usr/bin").join(program);
        assert!(path.exists(), "{} is missing: BASALT_TRIXIE_TREE is not a tree of trixie", path.display());
        command.env_clear().env("LC_ALL", "C").env("PATH", self.tree.join("usr/bin"));
        command.arg("--library-path").arg(&libraries).arg(path);
        command
    }

    /// What apt would install for the same roots.
    fn choose(&self, set: &Set, roots: &[&str]) -> BTreeMap<String, String> {
        let recommends = if set.recommends { "--install-recommends" } else { "--no-install-recommends" };
        // Not `-s`: that simulates dpkg's every step, which takes ten times as long and says the same.
        let mut arguments = vec!["--print-uris", "-qq", "-y", recommends, "install"];
        arguments.extend(roots);
        let text = self.run("apt-get", &arguments, "lists", &self.work.path().join("status"));
        // 'http://…/x.deb' name_version_architecture.deb size digest; a version's colon is written %3a.
        let install = |line: &str| {
            let mut parts = line.split_whitespace().nth(1)?.splitn(3, '_');
            Some((parts.next()?.to_owned(), parts.next()?.replace("%3a", ":")))
        };
        text.lines().filter_map(install).collect()
    }

    /// What dpkg and apt say about a system with exactly these packages.
    fn judge(
        &self,
        set: &Set,
        solution: &Solution<'_, '_>,
        paragraphs: &HashMap<(&str, &str), &str>,
    ) -> Vec<String> {
        let admin = self.work.path().join(set.name.replace([' ', ','], "_"));
        fs::create_dir_all(admin.join("info")).unwrap();
        fs::create_dir_all(admin.join("updates")).unwrap();
        fs::create_dir_all(admin.join("status.cache/archives/partial")).unwrap();
        let mut status = String::new();
        for chosen in &solution.packages {
            let record = chosen.record;
            status += "Status: install ok installed\n";
            status += &installed(paragraphs[&(record.name, record.version)]);
            status += "\n";
            let same = matches!(record.multi_arch, basalt_debian::index::MultiArch::Same);
            let name = if same {
                format!("{}:{}", record.name, record.architecture)
            } else {
                record.name.to_owned()
            };
            for kind in ["list", "md5sums"] {
                fs::write(admin.join(format!("info/{name}.{kind}")), "").unwrap();
            }
        }
        fs::write(admin.join("status"), status).unwrap();
        fs::write(admin.join("info/format"), "1\n").unwrap();
        let mut problems = Vec::new();
        let output = self.loader("dpkg").arg("--admindir").arg(&admin).arg("--audit").output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        if !output.status.success() || !said.is_empty() {
            problems.push(format!("{}: dpkg --audit: {}", set.name, String::from_utf8_lossy(&said)));
        }
        self.run("apt-get", &["check"], "empty", &admin.join("status"));
        problems
    }
}

/// A paragraph of an index as dpkg's status file has it: without what is about the archive.
fn installed(paragraph: &str) -> String {
    let archive: BTreeSet<&str> =
        ["Filename", "Size", "MD5sum", "SHA256", "Description-md5", "Tag", "Task"].into_iter().collect();
    let mut text = String::new();
    let mut keep = true;
    for line in paragraph.lines() {
        if !line.starts_with([' ', '\t']) {
            keep = !archive.contains(line.split(':').next().unwrap_or_default());
        }
        if keep {
            text += line;
            text += "\n";
        }
    }
    text
}
