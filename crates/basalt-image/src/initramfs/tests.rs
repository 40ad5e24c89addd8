use std::io::Write;

use basalt_formats::{
    modules::{INDEX_PATH, ModuleIndex},
    tree::{Content, Kind, Metadata, NoStores, Node, Tree},
};

use super::*;

const KERNEL: &str = "6.12.0-test";

const DEP: &str = "\
kernel/drivers/md/dm-verity.ko.xz: kernel/drivers/md/dm-bufio.ko.xz kernel/drivers/md/dm-mod.ko.xz
kernel/drivers/md/dm-bufio.ko.xz: kernel/drivers/md/dm-mod.ko.xz
kernel/drivers/md/dm-mod.ko.xz:
kernel/fs/erofs/erofs.ko.xz: kernel/lib/libcrc32c.ko.xz
kernel/lib/libcrc32c.ko.xz:
kernel/crypto/crc32c_generic.ko.zst:
kernel/arch/crc32c-intel.ko.gz:
kernel/fs/overlayfs/overlay.ko:
kernel/drivers/usb/host/uhci-hcd.ko: kernel/drivers/usb/core/usbcore.ko
kernel/drivers/usb/host/ehci-pci.ko: kernel/drivers/usb/core/usbcore.ko
kernel/drivers/usb/core/usbcore.ko:
kernel/net/unwanted.ko:
";

const ALIAS: &str = "\
# Aliases extracted from modules themselves.
alias crc32c crc32c_generic
alias crc32c crc32c_intel
alias cpu:type:x86,ven*fam*mod*:feature:*0094* crc32c_intel
alias fs-erofs erofs
alias pci:v*d*sv*sd*bc0Csc03i00* uhci_hcd
";

const SOFTDEP: &str = "\
softdep libcrc32c pre: crc32c
softdep uhci_hcd pre: ehci_pci
softdep ehci_pci pre: uhci_hcd post: no_such_module
softdep overlay for people only
";

fn put(tree: &mut Tree, path: &str, bytes: &[u8]) {
    let kind = Kind::File(Content::inline(bytes));
    tree.insert(path, Node { metadata: Metadata::root_owned(0o644), kind }).unwrap();
}

fn compressed(path: &str) -> Vec<u8> {
    let plain = format!("module {path} and its signature").into_bytes();
    if path.ends_with(".xz") {
        let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 6);
        encoder.write_all(&plain).unwrap();
        encoder.finish().unwrap()
    } else if path.ends_with(".zst") {
        zstd::encode_all(&plain[..], 3).unwrap()
    } else if path.ends_with(".gz") {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(&plain).unwrap();
        encoder.finish().unwrap()
    } else {
        plain
    }
}

fn image() -> Tree {
    let mut tree = Tree::new();
    let at = |name: &str| format!("/usr/lib/modules/{KERNEL}/{name}");
    put(&mut tree, &at("modules.dep"), DEP.as_bytes());
    put(&mut tree, &at("modules.alias"), ALIAS.as_bytes());
    put(&mut tree, &at("modules.softdep"), SOFTDEP.as_bytes());
    put(&mut tree, &at("modules.builtin"), b"kernel/drivers/virtio/virtio_pci.ko\n");
    for line in DEP.lines() {
        let path = line.split_once(':').unwrap().0;
        put(&mut tree, &at(path), &compressed(path));
    }
    tree
}

fn plan(image: &Tree) -> Result<ModulePlan, InitramfsError> {
    plan_modules(image, &NoStores, KERNEL)
}

fn names(modules: &[PlannedModule]) -> Vec<&str> {
    modules.iter().map(|module| module.name.as_str()).collect()
}

#[test]
fn each_module_comes_after_what_it_needs_hard_or_soft_and_circles_end() {
    let plan = plan(&image()).unwrap();
    assert_eq!(
        names(&plan.modules),
        [
            "dm_mod",
            "dm_bufio",
            "dm_verity",
            "crc32c_generic",
            "crc32c_intel",
            "libcrc32c",
            "erofs",
            "overlay",
            "usbcore",
            "uhci_hcd",
            "ehci_pci",
        ]
    );
    let erofs = plan.modules.iter().find(|module| module.name == "erofs").unwrap();
    assert_eq!(erofs.needs, ["crc32c_generic", "crc32c_intel", "libcrc32c"]);
}

#[test]
fn what_is_not_packed_is_named_with_its_reason() {
    let left_out = plan(&image()).unwrap().left_out;
    let find = |name: &str| left_out.iter().find(|left| left.name == name).unwrap();
    assert_eq!(find("virtio_pci").reason, LeftOutReason::BuiltIn);
    assert_eq!(find("nvme").reason, LeftOutReason::NotInKernel);
    assert_eq!(find("no_such_module").for_module.as_deref(), Some("ehci_pci"));
    assert!(!left_out.iter().any(|left| left.name == "unwanted"));
}

#[test]
fn a_kernel_without_verity_is_refused_by_name() {
    let mut image = image();
    let dep: String = DEP.lines().filter(|line| !line.contains("verity")).collect::<Vec<_>>().join("\n");
    put(&mut image, &format!("/usr/lib/modules/{KERNEL}/modules.dep"), dep.as_bytes());
    assert_eq!(
        plan(&image).unwrap_err().to_string(),
        "kernel 6.12.0-test has no dm_verity, as a module or built in, and a verified root needs it: choose another \
         kernel package, such as linux-image-amd64"
    );
}

#[test]
fn a_kernel_with_everything_built_in_needs_no_module() {
    let mut image = image();
    let at = |name: &str| format!("/usr/lib/modules/{KERNEL}/{name}");
    put(&mut image, &at("modules.dep"), b"");
    put(
        &mut image,
        &at("modules.builtin"),
        b"kernel/md/dm-verity.ko\nkernel/fs/erofs.ko\nkernel/fs/overlay.ko\n",
    );
    let plan = plan(&image).unwrap();
    assert!(plan.modules.is_empty());
    assert_eq!(plan.left_out.iter().filter(|left| left.reason == LeftOutReason::BuiltIn).count(), 3);
}

#[test]
fn broken_metadata_says_where() {
    let mut image = image();
    put(&mut image, &format!("/usr/lib/modules/{KERNEL}/modules.alias"), b"# x\nalias nonsense\n");
    assert_eq!(
        plan(&image).unwrap_err().to_string(),
        "line 2 of /usr/lib/modules/6.12.0-test/modules.alias can't be read: `alias nonsense`"
    );
    image.remove(&format!("/usr/lib/modules/{KERNEL}/modules.dep")).unwrap();
    assert!(plan(&image).unwrap_err().to_string().contains("depmod"));
}

#[test]
fn the_tree_holds_init_the_index_and_uncompressed_modules() {
    let image = image();
    let plan = plan(&image).unwrap();
    let source = InitramfsSource {
        image: &image,
        content: &NoStores,
        init: b"init program"[..].into(),
        epoch: 1_700_000_000,
    };
    let tree = assemble(&source, &plan).unwrap();
    let read = |path: &str| match &tree.node(tree.lookup(path).unwrap()).kind {
        Kind::File(content) => content.read(&NoStores).unwrap(),
        other @ (Kind::Directory(_)
        | Kind::Symlink(_)
        | Kind::CharDevice(_)
        | Kind::BlockDevice(_)
        | Kind::Fifo
        | Kind::Socket) => panic!("{path} is {other:?}"),
    };
    assert_eq!(read("/init"), b"init program");
    for module in &plan.modules {
        let path = module.path.trim_end_matches(".xz").trim_end_matches(".zst").trim_end_matches(".gz");
        let wanted = format!("module {} and its signature", module.path);
        assert_eq!(read(&format!("/lib/modules/{KERNEL}/{path}")), wanted.as_bytes());
    }
    let index: ModuleIndex = String::from_utf8(read(INDEX_PATH)).unwrap().parse().unwrap();
    assert_eq!(index.kernel, KERNEL);
    assert_eq!(index.first, ["dm_verity", "erofs", "overlay"]);
    assert!(index.module("uhci_hcd").unwrap().late && !index.module("erofs").unwrap().late);
    assert_eq!(index.module("erofs").unwrap().aliases, Vec::<String>::new());
    tree.walk(&mut |path, id| {
        assert_eq!(tree.node(id).metadata.mtime, 1_700_000_000, "{}", String::from_utf8_lossy(path));
    });
}

#[test]
fn a_damaged_module_is_named() {
    let mut image = image();
    put(&mut image, &format!("/usr/lib/modules/{KERNEL}/kernel/fs/erofs/erofs.ko.xz"), b"not xz");
    let plan = plan(&image).unwrap();
    let source = InitramfsSource { image: &image, content: &NoStores, init: [][..].into(), epoch: 0 };
    let error = assemble(&source, &plan).unwrap_err().to_string();
    assert!(error.contains("decompress") && error.contains("erofs.ko.xz"), "{error}");
}
