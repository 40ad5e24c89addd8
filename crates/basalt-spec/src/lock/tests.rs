use std::cmp::Ordering;

use super::*;

fn recipe() -> Recipe {
    Recipe::parse("recipe.yaml", "apiVersion: basalt.dev/v1alpha1\nkind: Recipe\nname: edge\n").unwrap()
}

fn package(name: &str, version: &str) -> LockedPackage {
    LockedPackage {
        name: name.parse().unwrap(),
        version: version.parse().unwrap(),
        architecture: "amd64".parse().unwrap(),
        size: 1 << 20,
        sha256: Digest::of(format!("{name} {version}").as_bytes()),
        origin: Origin::Archive {
            source: 0,
            path: format!("pool/main/{name}_{version}_amd64.deb").parse().unwrap(),
        },
        reason: Reason::Recipe,
    }
}

pub(crate) fn lock() -> Lock {
    Lock {
        version: LOCK_VERSION,
        recipe_digest: recipe().resolution_digest(),
        below: None,
        architecture: Architecture::Amd64,
        epoch: 1_760_000_000,
        sources: vec![LockedSource {
            uri: "http://mirror.example/debian".parse().unwrap(),
            suite: Suite::trixie(),
            components: vec![Component::main()],
            release_digest: Digest::of(b"release"),
            date: 1_760_000_000,
            signed_by: vec![],
        }],
        packages: vec![
            LockedPackage { reason: Reason::Base, ..package("apt", "3.0.3") },
            LockedPackage { reason: Reason::Implied("kernel.package".to_owned()), ..package("kmod", "34-1") },
            LockedPackage {
                origin: Origin::File("./own_1.deb".parse().unwrap()),
                reason: Reason::DependencyOf("apt".parse().unwrap()),
                ..package("own", "1")
            },
        ],
        oci: None,
    }
}

#[test]
fn the_file_is_stable_and_reads_back() {
    insta::assert_snapshot!(lock().to_json());
    assert_eq!(Lock::parse(&lock().to_json()), Ok(lock()));
}

#[test]
fn a_damaged_lock_is_refused_with_the_place() {
    let text = lock().to_json();
    let refuse = |text: &str| Lock::parse(text).unwrap_err().to_string();
    insta::assert_snapshot!(
        [
            refuse(""),
            refuse("{}"),
            refuse(&text.replace("\"version\": 1", "\"version\": 2")),
            refuse(&text.replace("\"size\"", "\"sizes\"")),
            refuse(&text.replace("3.0.3", "3.0 3")),
            refuse(&text.replace("\"kmod\"", "\"aaa\"")),
            refuse(&text.replace("\"source\": 0", "\"source\": 7")),
            refuse(&text.replace("\"pool/main/kmod", "\"../../etc/kmod")),
        ]
        .join("\n")
    );
}

#[test]
fn a_lock_belongs_to_what_the_recipe_asks() {
    let lock = lock();
    assert_eq!(lock.fits(&recipe()), Ok(()));
    let mut other = recipe();
    other.hostname = Some("other".parse().unwrap());
    other.files.clear();
    assert_eq!(lock.fits(&other), Ok(()), "a host name brings no package");
    other.packages.push("vim".parse().unwrap());
    assert!(matches!(lock.fits(&other), Err(LockMisfit::Recipe { .. })));
    let mut zone = recipe();
    zone.timezone = "Europe/Rome".parse().unwrap();
    assert!(matches!(lock.fits(&zone), Err(LockMisfit::Recipe { .. })), "a zone brings tzdata");
    let arm = Recipe { architecture: Architecture::Arm64, ..recipe() };
    assert!(matches!(lock.fits(&arm), Err(LockMisfit::Architecture { .. })));
}

#[test]
fn where_packages_come_from_is_not_what_they_are() {
    let one = lock();
    let mut mirror = lock();
    mirror.sources[0].uri = "https://other.example/debian".parse().unwrap();
    mirror.packages[0].reason = Reason::Recipe;
    assert_eq!(one.content_digest(), mirror.content_digest());
    let mut epoch = lock();
    epoch.epoch += 1;
    assert_ne!(one.content_digest(), epoch.content_digest());
    let mut rebuilt = lock();
    rebuilt.packages[0].sha256 = Digest::of(b"other");
    assert_ne!(one.content_digest(), rebuilt.content_digest());
}

/// Good enough for the versions here; the real order is `basalt_debian::version::compare`.
fn order(left: &str, right: &str) -> Ordering {
    left.cmp(right)
}

#[test]
fn a_difference_names_each_package_once() {
    let old = lock();
    let mut new = lock();
    new.packages[0] = LockedPackage { size: 3 << 20, ..package("apt", "3.0.4") };
    new.packages[1].sha256 = Digest::of(b"rebuilt");
    new.packages.pop();
    new.packages.push(package("vim", "9.1"));
    let there = LockDiff::between(&old, &new, order);
    let back = LockDiff::between(&new, &old, order);
    insta::assert_snapshot!(format!("{there}\n\n{back}\n\n{}", LockDiff::between(&old, &old, order)));
    assert_eq!(there.size_change, -back.size_change);
}
