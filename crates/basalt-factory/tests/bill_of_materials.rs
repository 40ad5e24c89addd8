//! The bills of the example image, judged by other people's tools. Run through `cargo xtask test`.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::{
    collections::BTreeSet,
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use basalt_factory::engine::artifact::{Artifact, RootView, Window};
use basalt_formats::tree::{Kind, NodeId};
use basalt_image::{
    layout::{Role, System},
    lint::{self, Severity, Subject as Linted},
    sbom::{About, FileDigests, Inventory, Subject, cyclonedx, spdx},
};
use basalt_spec::Lock;
use basalt_testkit::{run_tool, test_image};

/// What takes the CycloneDX document: the schema of the specification, strictly.
const CYCLONEDX: &str = "
import sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
problem = JsonStrictValidator(SchemaVersion.V1_6).validate_str(open(sys.argv[1]).read())
sys.exit(None if problem is None else str(problem)[:4000])
";

/// A program from the Python environment that `cargo xtask test` makes.
#[track_caller]
fn python(program: &str) -> Command {
    let Some(tree) = env::var_os("BASALT_PYTHON_TREE") else {
        panic!("BASALT_PYTHON_TREE is not set: run this test through `cargo xtask test`");
    };
    Command::new(PathBuf::from(tree).join("bin").join(program))
}

#[track_caller]
fn accepts(mut command: Command) {
    let output = command.output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}\n{out}\n{err}");
}

fn lock() -> Lock {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/edge/recipe.lock");
    Lock::parse(&fs::read_to_string(path).unwrap()).unwrap()
}

fn about(view: &RootView<'_>) -> About {
    let info = view.info().unwrap().unwrap();
    About {
        name: info.name.to_string(),
        version: info.version.to_string(),
        id: info.id,
        epoch: lock().epoch,
        tool: env!("CARGO_PKG_VERSION").to_owned(),
    }
}

fn with_root(look: impl FnOnce(&RootView<'_>)) {
    let artifact = Artifact::open(test_image().disk()).unwrap();
    let Artifact::Disk(file, parsed) = &artifact else { panic!("the test image is no disk") };
    let window = Window::partition(file, &parsed.table, Role::Root(System::A)).unwrap();
    look(&RootView::open(window).unwrap());
}

fn inventory(view: &RootView<'_>) -> Inventory {
    let (about, lock) = (about(view), lock());
    let digests = FileDigests::compute(&view.tree, &view.content, &|_: NodeId| None).unwrap();
    let (tree, content) = (&view.tree, &view.content);
    Inventory::observe(Subject { about: &about, lock: &lock, tree, content, digests: &digests }).unwrap()
}

#[test]
fn validators_accept_both_documents_and_dpkg_agrees_with_the_packages() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    with_root(|view| {
        let inventory = inventory(view);
        // The validators take minutes for all files of an image: all packages, and some files.
        let mut some = inventory.clone();
        let mut number = 0;
        some.files.retain(|_| {
            number += 1;
            number % 50 == 0
        });
        let document = folder.join("edge.cdx.json");
        fs::write(&document, cyclonedx::document(&some).unwrap()).unwrap();
        let mut validator = python("python");
        validator.args(["-c", CYCLONEDX]).arg(&document);
        accepts(validator);

        let document = folder.join("edge.spdx.json");
        fs::write(&document, spdx::document(&some).unwrap()).unwrap();
        let mut validator = python("pyspdxtools");
        validator.arg("--infile").arg(&document);
        accepts(validator);

        packages_are_dpkgs(view, &inventory, folder);
        everything_is_described(view, &inventory);
    });
}

/// dpkg-query(1) reads the image's database and names the same packages and sources.
fn packages_are_dpkgs(view: &RootView<'_>, inventory: &Inventory, folder: &Path) {
    let status = view.text("/usr/lib/sysimage/dpkg/status").unwrap().unwrap();
    let database = folder.join("dpkg");
    fs::create_dir_all(database.join("info")).unwrap();
    fs::write(database.join("status"), status).unwrap();
    let fields = ["Package", "Version", "Architecture", "source:Package", "source:Version"];
    let format = fields.map(|field| format!("${{{field}}}")).join(" ") + "\n";
    let database = format!("--admindir={}", database.display());
    let listed = run_tool("dpkg-query", "dpkg", &[&database, "--show", "--showformat", &format]);
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    let dpkgs: BTreeSet<String> = listed.lines().map(str::to_owned).collect();
    let ours = inventory.packages.iter().map(|one| {
        let one = &one.installed;
        format!("{} {} {} {} {}", one.name, one.version, one.architecture, one.source.0, one.source.1)
    });
    assert_eq!(ours.collect::<BTreeSet<_>>(), dpkgs);
}

/// Every locked package with its digest, every regular file of the tree, nearly all of them somebody's.
fn everything_is_described(view: &RootView<'_>, inventory: &Inventory) {
    for locked in &lock().packages {
        let found = inventory.packages.iter().find(|one| one.installed.name == locked.name.as_str());
        assert_eq!(found.and_then(|one| one.sha256), Some(locked.sha256), "{}", locked.name);
    }
    let mut files = 0;
    view.tree.walk(&mut |_, id| files += usize::from(matches!(view.tree.node(id).kind, Kind::File(_))));
    assert_eq!(inventory.files.len(), files);
    let nobodys: Vec<&str> = inventory.files_of(None).map(|file| file.path.as_str()).collect();
    assert!(nobodys.len() * 10 < files, "{} of {files} are nobody's: {nobodys:#?}", nobodys.len());
    assert!(nobodys.contains(&"/etc/passwd"), "no package lists it");
    let licensed = inventory.packages.iter().filter(|one| one.licence.is_some()).count();
    assert!(licensed * 20 > inventory.packages.len() * 19, "{licensed} packages have a licence");
}

#[test]
fn the_example_image_has_no_lint_errors() {
    with_root(|view| {
        let subject = Linted { image: Some((&view.tree, &view.content)), ..Linted::default() };
        let report = lint::check(subject, &[]).unwrap();
        let errors: Vec<_> = report.findings.iter().filter(|one| one.severity == Severity::Error).collect();
        assert!(errors.is_empty(), "{errors:#?}");
        // The example's password is published with it, on purpose.
        assert!(report.findings.iter().any(|one| one.id == "shared-password"), "{:#?}", report.findings);
        assert_eq!(report.largest.len(), 10);
    });
}
