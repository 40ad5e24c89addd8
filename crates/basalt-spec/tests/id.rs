//! What an image's id names: the meaning of a recipe, not its text.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeMap;

use basalt_spec::{LOCK_VERSION, Lock, Manifest, Recipe, ResolveError, ResolvedRecipe};
use basalt_types::{Architecture, Digest};

const RECIPE: &str = "apiVersion: basalt.dev/v1alpha1
kind: Recipe
name: edge
packages: [vim, nano]
kernelArguments: [quiet, console=ttyS0]
files:
  - {path: /etc/motd, source: motd}
users:
  - {name: admin, groups: [adm]}
";

fn resolved(text: &str, motd: &[u8]) -> ResolvedRecipe {
    let recipe = Recipe::parse("recipe.yaml", text).unwrap_or_else(|error| panic!("{error:#}"));
    let lock = Lock {
        version: LOCK_VERSION,
        recipe_digest: recipe.resolution_digest(),
        below: None,
        architecture: Architecture::Amd64,
        epoch: 1,
        sources: vec![],
        packages: vec![],
        oci: None,
    };
    let files = BTreeMap::from([("motd".parse().unwrap(), Digest::of(motd))]);
    ResolvedRecipe::new(recipe, lock, files).unwrap()
}

/// Pinned: a change of this digest is a change of the id's format and needs a new `ID_FORMAT`.
#[test]
fn the_id_of_this_recipe_is_for_ever() {
    insta::assert_snapshot!(resolved(RECIPE, b"hello").id().to_string());
}

#[test]
fn the_text_may_change_without_the_meaning() {
    let id = resolved(RECIPE, b"hello").id();
    let reordered = "# A comment
kind: Recipe
users:
  - groups:
      - adm
    name: \"admin\"
name: 'edge'
apiVersion: basalt.dev/v1alpha1
files: [{source: motd, path: /etc/motd}]
packages:
  - nano # sorted
  - vim
kernelArguments:
- quiet
- console=ttyS0
version: 0.1.0
hostname: edge
kernel: {package: linux-image-amd64}
base: {debian: {pockets: [security, updates]}}
";
    assert_eq!(resolved(reordered, b"hello").id(), id);
}

#[test]
fn a_change_of_meaning_changes_the_id() {
    let id = resolved(RECIPE, b"hello").id();
    assert_ne!(resolved(RECIPE, b"other").id(), id, "a file's content");
    let changes = [
        ("name: edge", "name: ledge"),
        ("[vim, nano]", "[vim]"),
        ("[quiet, console=ttyS0]", "[console=ttyS0, quiet]"),
        ("path: /etc/motd,", "path: /etc/motd, mode: 0600,"),
        ("[adm]", "[]"),
        ("kind: Recipe", "kind: Recipe\nlocale: C"),
        ("kind: Recipe", "kind: Recipe\nversion: 0.1.1"),
        ("kind: Recipe", "kind: Recipe\nrecommends: true"),
        ("kind: Recipe", "kind: Recipe\nhostname: other"),
        ("kind: Recipe", "kind: Recipe\ndisk: {slotB: false}"),
        ("kind: Recipe", "kind: Recipe\nscript: 'true'"),
        ("kind: Recipe", "kind: Recipe\nunits: {mask: [a.service]}"),
        ("kind: Recipe", "kind: Recipe\ntimezone: Europe/Rome"),
        ("kind: Recipe", "kind: Recipe\ndisk: {compression: lz4}"),
    ];
    for (from, to) in changes {
        let text = RECIPE.replacen(from, to, 1);
        assert_ne!(text, RECIPE);
        assert_ne!(resolved(&text, b"hello").id(), id, "{from} → {to}");
    }
}

#[test]
fn a_release_is_the_same_in_every_container() {
    let more = RECIPE.replacen("kind: Recipe", "kind: Recipe\noutputs: [disk, uki]", 1);
    assert_eq!(resolved(&more, b"hello").id(), resolved(RECIPE, b"hello").id());
}

#[test]
fn a_recipe_is_not_resolved_without_its_files_or_with_a_foreign_lock() {
    let resolved = resolved(RECIPE, b"hello");
    let (recipe, lock) = (resolved.recipe().clone(), resolved.lock().clone());
    let missing = ResolvedRecipe::new(recipe.clone(), lock.clone(), BTreeMap::new());
    assert_eq!(missing, Err(ResolveError::MissingDigest("motd".parse().unwrap())));
    let foreign = Lock { recipe_digest: Digest::of(b"x"), ..lock };
    let files = resolved.files().clone();
    assert!(matches!(ResolvedRecipe::new(recipe, foreign, files), Err(ResolveError::Lock(_))));
}

#[test]
fn a_manifest_reads_back_and_is_strict() {
    let text = r#"{
  "format": 1,
  "name": "edge",
  "version": "0.1.0",
  "id": "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824",
  "architecture": "amd64",
  "epoch": 1760000000,
  "rootHash": "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824",
  "lock": "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824",
  "packages": 212,
  "kernel": "6.12.48+deb13-amd64",
  "tool": "0.1.0",
  "partitions": [
    {
      "label": "esp",
      "offset": 1048576,
      "size": "1GiB",
      "used": "64MiB"
    }
  ],
  "artifacts": [
    {
      "output": "disk",
      "file": "edge.raw",
      "size": 1073741824,
      "digest": "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
    }
  ]
}
"#;
    let manifest = Manifest::parse(text).unwrap();
    assert_eq!(manifest.to_json(), text);
    let refuse = |from: &str, to: &str| Manifest::parse(&text.replace(from, to)).unwrap_err().to_string();
    assert_eq!(
        refuse("\"format\": 1", "\"format\": 9"),
        "the manifest has format 9, and this program reads 1"
    );
    assert!(refuse("\"kernel\"", "\"kernal\"").contains("unknown field `kernal`"));
    assert!(refuse("sha256:2cf2", "md5:2cf2").contains("not a digest"));
}
