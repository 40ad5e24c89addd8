use super::{Expression, reference};

#[track_caller]
fn check(name: &str, spdx: &str) {
    assert_eq!(Expression::parse(name).render("p"), spdx, "{name}");
}

#[test]
fn names_of_the_same_text_become_identifiers() {
    for (name, spdx) in [
        ("Expat", "MIT"),
        ("BSD-3-clause", "BSD-3-Clause"),
        ("Apache-2", "Apache-2.0"),
        ("GPL-2+", "GPL-2.0-or-later"),
        ("GPL-2", "GPL-2.0-only"),
        ("GPL-2.0-or-later", "GPL-2.0-or-later"),
        ("LGPL-2.1+", "LGPL-2.1-or-later"),
        ("GFDL-NIV-1.3+", "GFDL-1.3-no-invariants-or-later"),
        ("GPL-2 with Linux-syscall-note exception", "GPL-2.0-only WITH Linux-syscall-note"),
        ("GPL-3+ with Bison exception", "GPL-3.0-or-later WITH Bison-exception-2.2"),
    ] {
        check(name, spdx);
    }
}

#[test]
fn names_that_may_mean_another_text_stay_the_packages_own() {
    check("public-domain", "LicenseRef-p-public-domain");
    check("BSD-3-clause-generic", "LicenseRef-p-BSD-3-clause-generic");
    check("GPL", "LicenseRef-p-GPL");
    check("GPL-9+", "LicenseRef-p-GPL-9--ae2dea51");
    assert!(
        Expression::parse("LGPL-2+ with unknown exception").render("p").starts_with("LicenseRef-p-LGPL-2-")
    );
}

#[test]
fn and_binds_closer_than_or_unless_a_comma_stands_before_it() {
    check("GPL-1+ or Artistic", "Artistic-1.0-Perl OR GPL-1.0-or-later");
    check("GPL-2+ or AFL-2.1, and Expat", "MIT AND (AFL-2.1 OR GPL-2.0-or-later)");
    check("GPL-2 or Expat and ISC", "GPL-2.0-only OR (ISC AND MIT)");
    check("Expat and Expat", "MIT");
}

#[test]
fn references_have_only_the_characters_that_spdx_allows_and_never_meet() {
    assert_eq!(reference("bash", "copyright"), "LicenseRef-bash-copyright");
    let (one, other) = (reference("g++", "a b"), reference("g++", "a/b"));
    assert_ne!(one, other);
    assert!(
        one.strip_prefix("LicenseRef-")
            .unwrap()
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "-.".contains(c))
    );
}
