use basalt_formats::{
    erofs,
    gpt::{EntriesPlace, Partition, Table},
    tree::NoStores,
    verity::{LeafHashes, Params, Salt},
};
use basalt_types::Guid;

use super::*;

fn tree(files: &[(&str, &str)]) -> Tree {
    let mut tree = Tree::new();
    let release = ("/usr/lib/os-release", "ID=debian\nVERSION_ID=\"13\"\n");
    for (path, text) in files.iter().chain([&release]) {
        let kind = match text.strip_prefix("-> ") {
            Some(target) => Kind::Symlink(target.into()),
            None => Kind::File(Content::inline(text.as_bytes())),
        };
        tree.insert(path, Node { metadata: Metadata::root_owned(0o644), kind }).unwrap();
    }
    tree
}

fn extension(sort: Sort, base: &Tree, extended: &Tree) -> Result<Extension, ExtensionError> {
    let [base, extended] = [base, extended].map(|tree| Side { tree, reader: &NoStores });
    subtract(sort, (&"tools".parse().unwrap(), Architecture::Amd64), base, extended, 7)
}

fn paths(extension: &Extension) -> Vec<String> {
    let mut paths = Vec::new();
    extension.tree.walk(&mut |path, id| {
        if !matches!(extension.tree.node(id).kind, Kind::Directory(_)) {
            paths.push(String::from_utf8_lossy(path).into_owned());
        }
    });
    paths
}

const WANTS: &str = "/etc/systemd/system/multi-user.target.wants/tool.service";

#[test]
fn a_system_extension_has_what_is_new_below_usr() {
    let base = tree(&[("/usr/bin/sh", "sh"), ("/etc/passwd", "root"), ("/usr/share/a", "1")]);
    let unit = ("/usr/lib/systemd/system/tool.service", "[Unit]");
    let extended = tree(&[
        ("/usr/bin/sh", "sh"),
        ("/usr/bin/tool", "tool"),
        ("/usr/share/a", "2"),
        ("/etc/passwd", "root tool"),
        ("/var/lib/dpkg/status", "tool"),
        (WANTS, "-> /usr/lib/systemd/system/tool.service"),
        unit,
    ]);
    let extension = extension(Sort::System, &base, &extended).unwrap();
    let expected = [
        "/usr/bin/tool",
        "/usr/lib/extension-release.d/extension-release.tools",
        "/usr/lib/systemd/system/multi-user.target.wants/tool.service",
        unit.0,
        "/usr/share/a",
    ];
    assert_eq!(paths(&extension), expected);
    assert_eq!(extension.entries, 4);
    assert_eq!(extension.left_out, ["/etc/passwd"]);
}

#[test]
fn a_configuration_extension_has_what_is_new_below_etc() {
    let base = tree(&[("/etc/a", "1")]);
    let extended = tree(&[("/etc/a", "1"), ("/etc/b", "2"), ("/usr/bin/tool", "tool")]);
    let extension = extension(Sort::Configuration, &base, &extended).unwrap();
    assert_eq!(paths(&extension), ["/etc/b", "/etc/extension-release.d/extension-release.tools"]);
    assert_eq!(extension.left_out, ["/usr/bin/tool"]);
}

#[test]
fn the_extension_names_the_system_that_it_fits() {
    let extended = tree(&[("/usr/bin/tool", "tool")]);
    let extension = extension(Sort::System, &tree(&[]), &extended).unwrap();
    let id = extension.tree.lookup("/usr/lib/extension-release.d/extension-release.tools").unwrap();
    let Kind::File(content) = &extension.tree.node(id).kind else { panic!("a file") };
    let text = String::from_utf8(content.read(&NoStores).unwrap()).unwrap();
    assert_eq!(text, "ID=debian\nVERSION_ID=\"13\"\nARCHITECTURE=x86-64\nSYSEXT_SCOPE=system\n");
}

#[test]
fn hard_links_stay_links() {
    let base = tree(&[]);
    let mut extended = tree(&[("/usr/bin/one", "1")]);
    let (folder, one) = (extended.lookup("/usr/bin").unwrap(), extended.lookup("/usr/bin/one").unwrap());
    extended.link(folder, b"two", one).unwrap();
    let extension = extension(Sort::System, &base, &extended).unwrap();
    let [one, two] = ["/usr/bin/one", "/usr/bin/two"].map(|path| extension.tree.lookup(path));
    assert!(one.is_some() && one == two);
}

#[test]
fn what_an_extension_cannot_do_is_refused() {
    let base = tree(&[("/usr/bin/sh", "sh")]);
    let nothing = extension(Sort::System, &base, &base).unwrap_err();
    assert_eq!(nothing.to_string(), "nothing below /usr differs from the image that is extended");
    let removed = extension(Sort::System, &base, &tree(&[("/usr/bin/tool", "tool")])).unwrap_err();
    assert_eq!(
        removed.to_string(),
        "the extension would have to remove /usr/bin/sh: it can only add and replace"
    );
}

/// Bytes that are written in any order.
struct Memory(std::sync::Mutex<Vec<u8>>);

impl basalt_formats::WriteAt for Memory {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut all = self.0.lock().unwrap();
        let (start, end) = (offset as usize, offset as usize + bytes.len());
        let length = all.len().max(end);
        all.resize(length, 0);
        all[start..end].copy_from_slice(bytes);
        Ok(())
    }
}

/// A tree as a plain EROFS.
fn packed(tree: &Tree) -> Vec<u8> {
    let options = erofs::Options { uuid: Guid::from_bytes([7; 16]), label: String::new(), epoch: 7 };
    let memory = Memory(Default::default());
    erofs::Layout::plan(tree, &options).unwrap().write(&NoStores, &memory).unwrap();
    let mut bytes = memory.0.into_inner().unwrap();
    bytes.resize(bytes.len().next_multiple_of(4096), 0);
    bytes
}

/// The same as a disk image with a hash tree, as the factory writes it.
fn disk_image(root: &[u8]) -> Vec<u8> {
    let params = Params {
        salt: Salt::new(vec![1; 32]).unwrap(),
        uuid: Guid::from_bytes([8; 16]),
        data_blocks: root.len() as u64 / 4096,
    };
    let leaves = LeafHashes::new(params).unwrap();
    leaves.feed(0, root).unwrap();
    let hashes = leaves.finish().unwrap();
    let [start, verity, end] = [1, 2, 4].map(|mib: u64| mib << 20);
    let ids = crate::layout::verity_ids(&hashes.root);
    let roles = [crate::layout::Role::Root, crate::layout::Role::Verity];
    let partitions = roles.into_iter().zip(ids).zip([start, verity]).zip(1..);
    let partitions = partitions.map(|(((role, guid), start), number)| Partition {
        number,
        type_guid: role(crate::layout::System::A).type_guid(Architecture::Amd64),
        guid,
        first_lba: start / 512,
        last_lba: start / 512 + 2047,
        attributes: Default::default(),
        label: None,
    });
    let table = Table {
        disk_guid: Guid::from_bytes([9; 16]),
        sector_size: 512,
        total_sectors: end / 512,
        partitions: partitions.collect(),
    };
    let mut image = vec![0; end as usize];
    image[start as usize..][..root.len()].copy_from_slice(root);
    image[verity as usize..][..hashes.bytes.len()].copy_from_slice(&hashes.bytes);
    for write in table.image_writes(EntriesPlace::First).unwrap() {
        image[write.offset as usize..][..write.bytes.len()].copy_from_slice(&write.bytes);
    }
    image
}

fn tools() -> Tree {
    let unit = ("/usr/lib/systemd/system/tool.service", "[Unit]");
    let extended =
        tree(&[("/usr/bin/tool", "tool"), unit, (WANTS, "-> /usr/lib/systemd/system/tool.service")]);
    extension(Sort::System, &tree(&[]), &extended).unwrap().tree
}

#[test]
fn what_an_image_says_of_itself_is_read_from_both_forms() {
    let plain = packed(&tools());
    let inspected = inspect(&plain).unwrap();
    let release =
        [("ARCHITECTURE", "x86-64"), ("ID", "debian"), ("SYSEXT_SCOPE", "system"), ("VERSION_ID", "13")];
    let release = release.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let expected = Inspected {
        sort: Sort::System,
        name: "tools".into(),
        strict: false,
        release,
        units: ["tool.service".to_owned()].into(),
        root_hash: None,
    };
    assert_eq!(inspected, expected);
    let disk = inspect(&disk_image(&plain)).unwrap();
    assert!(disk.root_hash.is_some());
    assert_eq!(Inspected { root_hash: None, ..disk }, expected);
    let extended = tree(&[("/etc/tool.conf", "yes")]);
    let configuration = extension(Sort::Configuration, &tree(&[]), &extended).unwrap();
    assert_eq!(inspect(&packed(&configuration.tree)).unwrap().sort, Sort::Configuration);
}

#[test]
fn what_is_no_extension_is_refused_with_words() {
    let refused = |bytes: &Vec<u8>| inspect(bytes).unwrap_err().to_string();
    let noise = refused(&b"#!/bin/sh\n".repeat(1000));
    assert!(noise.starts_with("it is neither an EROFS image nor a disk image with one: "), "{noise}");
    assert!(refused(&Vec::new()).starts_with("it is neither"));
    let mut disk = disk_image(&packed(&tools()));
    disk[(1 << 20) + 2000] ^= 1;
    assert_eq!(refused(&disk), "its content is not what its hash tree says: block 0 of the data is corrupt");
    disk.truncate(2 << 20);
    assert!(refused(&disk).starts_with("its partition table can't be used: "));
    let whole = tree(&[("/usr/bin/tool", "tool")]);
    assert_eq!(refused(&packed(&whole)), "it has a /usr/lib/os-release: systemd takes it for a whole system");
    let mut bare = tools();
    bare.remove("/usr/lib/extension-release.d/extension-release.tools").unwrap();
    assert!(refused(&packed(&bare)).starts_with("it has no extension-release.NAME"));
    let node = Node { metadata: Metadata::root_owned(0o644), kind: Kind::File(Content::inline(*b"ID=x")) };
    let mut two = tools();
    two.insert("/usr/lib/extension-release.d/extension-release.other", node.clone()).unwrap();
    assert_eq!(refused(&packed(&two)), "it has 2 files extension-release.NAME instead of one");
    let mut both = tools();
    both.insert("/etc/extension-release.d/extension-release.tools", node).unwrap();
    assert!(refused(&packed(&both)).contains("can only extend one of them"));
}

#[test]
fn quotes_and_comments_of_a_release_file_are_no_values() {
    let text = "# NAME=no\nID=debian\nVERSION_ID=\"13\"\nNAME='a b'\nnoise\n=x\n";
    let expected = [("ID", "debian"), ("NAME", "a b"), ("VERSION_ID", "13")];
    assert_eq!(fields(text), expected.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
}
