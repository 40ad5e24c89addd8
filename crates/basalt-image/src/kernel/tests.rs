use basalt_formats::tree::{Metadata, Node};

use super::*;

fn tree(paths: &[&str]) -> Tree {
    let mut tree = Tree::new();
    for path in paths {
        let kind = Kind::File(Content::inline(path.as_bytes()));
        tree.insert(path, Node { metadata: Metadata::root_owned(0o644), kind }).unwrap();
    }
    tree
}

#[track_caller]
fn check(paths: &[&str], expected: Result<(&str, &str), KernelError>) {
    let expected = expected
        .map(|(version, image)| Kernel { version: version.into(), image: Content::inline(image.as_bytes()) });
    assert_eq!(find(&tree(paths)), expected);
}

#[test]
fn finds_the_kernel_in_both_places() {
    let modules = "/usr/lib/modules/6.12/modules.dep";
    check(&[modules, "/boot/vmlinuz-6.12"], Ok(("6.12", "/boot/vmlinuz-6.12")));
    check(&[modules, "/usr/lib/modules/6.12/vmlinuz"], Ok(("6.12", "/usr/lib/modules/6.12/vmlinuz")));
}

#[test]
fn leftovers_of_a_removed_kernel_do_not_count() {
    let paths =
        ["/usr/lib/modules/6.12/modules.dep", "/boot/vmlinuz-6.12", "/usr/lib/modules/6.1/updates/x.ko"];
    check(&paths, Ok(("6.12", "/boot/vmlinuz-6.12")));
}

#[test]
fn says_what_is_missing() {
    check(&["/boot/vmlinuz-6.12"], Err(KernelError::Missing));
    check(&["/usr/lib/modules/6.12/modules.dep"], Err(KernelError::NoImage("6.12".into())));
    let two = ["/usr/lib/modules/6.1/modules.dep", "/usr/lib/modules/6.12/modules.dep"];
    check(&two, Err(KernelError::Ambiguous(vec!["6.1".into(), "6.12".into()])));
}

#[test]
fn the_root_is_compressed_as_the_kernel_can_read_it() {
    let with = |config: &str| {
        let mut tree = tree(&["/usr/lib/modules/6.12/modules.dep", "/boot/vmlinuz-6.12"]);
        let kind = Kind::File(Content::inline(config.as_bytes()));
        tree.insert("/boot/config-6.12", Node { metadata: Metadata::root_owned(0o644), kind }).unwrap();
        tree
    };
    let chosen = |config: &str, wanted| {
        let tree = with(config);
        root_compression(&tree, &basalt_formats::tree::NoStores, &find(&tree).unwrap(), wanted)
    };
    let new = "CONFIG_EROFS_FS=m\nCONFIG_EROFS_FS_ZIP_ZSTD=y\n";
    let old = "CONFIG_EROFS_FS=m\n# CONFIG_EROFS_FS_ZIP_ZSTD is not set\n";
    assert_eq!(chosen(new, Compression::Auto), Ok(Some(Algorithm::Zstd)));
    assert_eq!(chosen(old, Compression::Auto), Ok(Some(Algorithm::Lz4hc)));
    assert_eq!(chosen(old, Compression::None), Ok(None));
    let refused = chosen(old, Compression::Zstd).unwrap_err().to_string();
    assert!(refused.starts_with("kernel 6.12 reads no EROFS image that is compressed with Zstandard"));
}
