use super::{ImageRef, Tag, Wanted};

const DIGEST: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

#[track_caller]
fn check(text: &str, full: &str) {
    let parsed: ImageRef = text.parse().unwrap();
    assert_eq!(parsed.to_string(), full);
    assert_eq!(full.parse::<ImageRef>().unwrap(), parsed, "the full name means the same");
}

#[test]
fn what_is_not_said_has_a_default() {
    check("debian", "docker.io/library/debian:latest");
    check("docker://debian:13", "docker.io/library/debian:13");
    check("index.docker.io/debian", "docker.io/library/debian:latest");
    check("basalt/edge", "docker.io/basalt/edge:latest");
    check("localhost/edge", "localhost/edge:latest");
    check("localhost:5000/edge:1", "localhost:5000/edge:1");
    check("127.0.0.1:5000/a/b/c", "127.0.0.1:5000/a/b/c:latest");
    check("[::1]:5000/edge:1", "[::1]:5000/edge:1");
    check("images.example.org/a__b/c-d.e_f:V1.0_x-y", "images.example.org/a__b/c-d.e_f:V1.0_x-y");
    check(&format!("images.example.org/edge:1@{DIGEST}"), &format!("images.example.org/edge:1@{DIGEST}"));
    check(&format!("edge@{DIGEST}"), &format!("docker.io/library/edge@{DIGEST}"));
    check("oci:folder/name:1.0", "oci:folder/name:1.0");
    check("oci:/folder", "oci:/folder");
    check("oci-archive:a.tar:images.example.org/edge:1", "oci-archive:a.tar:images.example.org/edge:1");
}

#[test]
fn a_registry_is_asked_at_its_api() {
    let ImageRef::Registry(found) = "debian:13".parse().unwrap() else { panic!("not a registry's") };
    assert_eq!((found.host(), found.api_host()), ("docker.io", "registry-1.docker.io"));
    assert_eq!((found.repository(), found.wanted().reference()), ("library/debian", "13".to_owned()));
    let pinned = found.with(Wanted::Digest(None, DIGEST.parse().unwrap()));
    assert_eq!(pinned.wanted().reference(), DIGEST);
}

#[test]
fn a_relative_path_is_seen_from_a_folder() {
    let seen = |text: &str| text.parse::<ImageRef>().unwrap().seen_from("/recipes".as_ref()).to_string();
    assert_eq!(seen("oci:base:1"), "oci:/recipes/base:1");
    assert_eq!(seen("oci-archive:/base.tar"), "oci-archive:/base.tar");
    assert_eq!(seen("edge"), "docker.io/library/edge:latest");
}

#[test]
fn what_names_no_image_is_refused() {
    let refused = [
        "",
        "/",
        "edge/",
        "/edge",
        "Edge",
        "a//b",
        "a/../b",
        "a/.b",
        "a/b.",
        "a___b",
        "a.-b",
        "edge:",
        "edge:-1",
        "edge: 1",
        "edge@",
        "edge@sha256:12",
        "edge@sha512:0123",
        "exa mple.org/edge",
        "example.org:0/edge",
        "example.org:99999/edge",
        "-example.org/edge",
        "[::1/edge",
        "https://example.org/edge",
        "oci:",
        "oci::1",
        "oci:folder:",
        "oci-archive:",
    ];
    for text in refused {
        assert!(text.parse::<ImageRef>().is_err(), "{text}");
    }
    assert!(format!("e/{}", "x".repeat(255)).parse::<ImageRef>().is_err());
    assert!("x".repeat(129).parse::<Tag>().is_err());
    assert_eq!(
        "a/B".parse::<ImageRef>().unwrap_err().to_string(),
        "`a/B` names no OCI image: a repository's name has lower-case letters, digits, and single `.`, `_`, `__` or \
         `-` between them"
    );
}
