use basalt_formats::tree::{Content, Kind, Metadata, Node, Tree};

use super::{InitSystem, OsRelease, TABLE, init_system, of};

#[track_caller]
fn check(os_release: &str, name: Option<&str>) {
    assert_eq!(of(&OsRelease::parse(os_release)).map(|row| row.name), name);
}

#[test]
fn a_distribution_is_known_by_its_id_or_by_what_it_is_like() {
    check("ID=debian\n", Some("Debian"));
    check("NAME=\"Ubuntu\"\nID=ubuntu\nID_LIKE=debian\n", Some("Ubuntu"));
    check("ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n", Some("Ubuntu"));
    check("ID='raspbian'\nID_LIKE='debian'", Some("Debian"));
    check("ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"", Some("Red Hat Enterprise Linux and its relatives"));
    check("ID=fedora", Some("Fedora"));
    check("ID=nobara\nID_LIKE=\"rhel centos fedora\"", Some("Red Hat Enterprise Linux and its relatives"));
    check("ID=\"opensuse-tumbleweed\"\nID_LIKE=\"opensuse suse\"", Some("openSUSE"));
    check("ID=alpine", Some("Alpine"));
    check("ID=endeavouros\nID_LIKE=\"arch\"", Some("Arch Linux"));
    check("ID=basalt\nID_LIKE=debian", Some("Basalt Linux"));
    check("ID=gentoo", None);
    check("", None);
    check("# ID=debian\nVERSION_ID\n=\n", None);
}

#[test]
fn os_release_is_read_as_a_shell_reads_it() {
    let read = OsRelease::parse("A=\"x \\\"y\\\" \\$z\"\nB='it''s'\n C=plain \nD=\"open\nE-F=no\nA=last\n");
    assert_eq!(read.get("A"), Some("last"));
    assert_eq!(OsRelease::parse("A=\"x \\\"y\\\" \\$z\"").get("A"), Some("x \"y\" $z"));
    assert_eq!((read.get("C"), read.get("D"), read.get("E-F")), (Some("plain"), Some("\"open"), None));
}

#[test]
fn the_table_is_sound() {
    let mut ids: Vec<&str> = TABLE.iter().flat_map(|row| row.ids).copied().collect();
    let count = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), count, "an ID is in one row only");
    for row in TABLE {
        assert!(row.kernels.iter().chain(row.modules).all(|path| path.starts_with('/')), "{}", row.name);
        assert!(row.kernels.iter().all(|path| path.contains("VERSION") || path.contains("FLAVOUR")));
        let manager = row.packages;
        let program = manager.program.rsplit('/').next();
        for command in [manager.update, manager.install, manager.clean] {
            assert_eq!(command.first().copied(), program, "{}", row.name);
        }
        assert!(!row.kernel_packages.is_empty());
    }
}

#[test]
fn a_kernel_is_where_its_distribution_puts_it() {
    let paths = |id: &str, version: &str| {
        of(&OsRelease::parse(&format!("ID={id}"))).map(|row| row.kernel_paths(version).remove(0))
    };
    assert_eq!(paths("debian", "6.12.1-amd64").as_deref(), Some("/boot/vmlinuz-6.12.1-amd64"));
    assert_eq!(paths("alpine", "6.12.1-0-lts").as_deref(), Some("/boot/vmlinuz-lts"));
    assert_eq!(
        paths("fedora", "6.11.4-301.fc41.x86_64").as_deref(),
        Some("/usr/lib/modules/6.11.4-301.fc41.x86_64/vmlinuz")
    );
}

#[test]
fn the_init_system_is_told_by_files() {
    let tree = |files: &[&str], init: Option<&str>| {
        let mut tree = Tree::new();
        for path in files {
            let kind = Kind::File(Content::inline(Vec::new()));
            tree.insert(path, Node { metadata: Metadata::root_owned(0o755), kind }).unwrap();
        }
        if let Some(target) = init {
            let kind = Kind::Symlink(target.as_bytes().to_vec());
            tree.insert("/sbin/init", Node { metadata: Metadata::root_owned(0o777), kind }).unwrap();
        }
        init_system(&tree)
    };
    let (systemd, openrc) = ("/usr/lib/systemd/systemd", "/usr/sbin/openrc");
    assert_eq!(tree(&[systemd], Some("/usr/lib/systemd/systemd")), Some(InitSystem::Systemd));
    assert_eq!(tree(&[openrc, "/usr/sbin/init"], None), Some(InitSystem::OpenRc));
    assert_eq!(tree(&[systemd, openrc], Some("../usr/lib/systemd/systemd")), Some(InitSystem::Systemd));
    assert_eq!(tree(&[systemd, openrc, "/usr/sbin/init"], Some("/usr/sbin/init")), Some(InitSystem::OpenRc));
    assert_eq!(tree(&["/bin/busybox"], None), None);
}
