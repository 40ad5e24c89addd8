use proptest::prelude::*;

use super::*;

const TEXT: &str = "Origin: Debian\nLabel: Debian-Security\nSuite: stable-security\nCodename: trixie-security\n\
    Date: Sat, 21 Nov 2026 00:53:03 UTC\nValid-Until: Sat, 28 Nov 2026 00:53:03 UTC\nAcquire-By-Hash: yes\n\
    Architectures: amd64 arm64\nComponents: updates/main updates/contrib\nSHA256:\n \
    e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855        0 main/binary-amd64/Packages\n";

#[test]
fn a_release_file_is_read() {
    let release = Release::parse(TEXT).unwrap();
    assert_eq!(release.components, ["main", "contrib"]);
    assert_eq!((release.date, release.valid_until), (1_795_222_383, Some(1_795_827_183)));
    assert!(release.by_hash);
    let listed = Listed { size: 0, digest: Digest::of(b"") };
    assert_eq!(release.files, BTreeMap::from([("main/binary-amd64/Packages".to_owned(), listed)]));
}

#[test]
fn validity_ends_after_the_date() {
    let release = Release::parse(TEXT).unwrap();
    assert_eq!(release.check_valid(1_795_827_183), Ok(()));
    assert_eq!(
        release.check_valid(1_795_827_184).unwrap_err().to_string(),
        "the Release file was valid until Sat, 28 Nov 2026 00:53:03 UTC, it is Sat, 28 Nov 2026 00:53:04 UTC now"
    );
}

#[test]
fn what_is_missing_or_wrong_is_named() {
    let message = |text: &str| Release::parse(text).unwrap_err().to_string();
    assert_eq!(message(""), "the Release file has no `Date` field");
    assert_eq!(message("Date: Sat, 21 Nov 2026 00:53:03 UTC"), "the Release file has no `SHA256` field");
    assert_eq!(
        message("Date: yesterday"),
        "the Release file has `Date: yesterday`, which is not a date in UTC"
    );
    assert_eq!(
        message(&TEXT.replace(" main/binary", " too many")),
        "the Release file lists `e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855        0 too \
         many-amd64/Packages`, which is not a digest, a size and a path"
    );
}

proptest! {
    #[test]
    fn dates_round_trip(seconds in 0_i64..253_402_300_799) {
        prop_assert_eq!(parse_date(&format_date(seconds)), Some(seconds));
    }

    #[test]
    fn any_date_is_read_without_panic(text in "[A-Z][a-z]{2}, [0-9]{1,3} [A-Z][a-z]{2} [0-9]{1,5} [0-9:]{0,9} UTC") {
        prop_assert!(parse_date(&text).is_none_or(|seconds| seconds >= -62_167_219_200));
    }
}
