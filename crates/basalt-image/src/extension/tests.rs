use basalt_formats::tree::NoStores;

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
