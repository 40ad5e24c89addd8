use super::*;

const TEXT: &str = "Package: bash\nVersion: 5.2.37-2+b5\nInstalled-Size: 7273\nEssential: yes\nArchitecture: amd64\n\
    Source: bash (5.2.37-2)\nReplaces: bash-completion (<< 20060301-0)\nDepends: base-files (>= 2.1.12),\n debianutils\n\
    Multi-Arch: foreign\nSection: shells\nPriority: required\nFilename: pool/main/b/bash.deb\nSize: 1499\nSHA256: \
    e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\nX-Unknown: kept out\n";

#[test]
fn a_paragraph_becomes_a_record() {
    let record = records(TEXT).next().unwrap().unwrap();
    assert_eq!(
        record,
        Record {
            name: "bash",
            version: "5.2.37-2+b5",
            architecture: "amd64",
            source: "bash",
            section: "shells",
            priority: Priority::Required,
            essential: true,
            multi_arch: MultiArch::Foreign,
            depends: "base-files (>= 2.1.12),\n debianutils",
            replaces: "bash-completion (<< 20060301-0)",
            installed_size: 7273,
            filename: "pool/main/b/bash.deb",
            size: 1499,
            sha256: "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            ..Record::default()
        }
    );
    assert_eq!(record.digest().unwrap(), Some(Digest::of(b"")));
}

#[test]
fn what_is_missing_or_wrong_is_named() {
    let message = |text| records(text).next().unwrap().unwrap_err().to_string();
    assert_eq!(message("Package: a\nVersion: 1\n"), "the package `a` at line 1 has no `Architecture` field");
    assert_eq!(
        message("Package: a\nVersion: 1\nArchitecture: all\nSize: big\n"),
        "the package `a` has `Size: big`, which is not a number"
    );
    let record = Record { name: "a", sha256: "00", ..Record::default() };
    assert_eq!(
        record.digest().unwrap_err().to_string(),
        "the package `a` has `SHA256: 00`, which is not a digest"
    );
}
