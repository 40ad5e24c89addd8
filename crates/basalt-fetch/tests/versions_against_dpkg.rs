//! Version order beside `dpkg --compare-versions`. It is here because `basalt-debian` starts no program, not even in
//! its tests.

#![allow(clippy::unwrap_used, reason = "test helpers fail loudly")]

use std::{cmp::Ordering, process::Command};

use basalt_debian::version::compare;

/// What makes versions differ; every pair of them is compared.
const VERSIONS: [&str; 22] = [
    "0",
    "1",
    "1.0",
    "1.00",
    "1.0-0",
    "1.0-1",
    "0:1.0",
    "1:0",
    "1.0~",
    "1.0~~",
    "1.0~rc1",
    "1.0a",
    "1.0+",
    "1.0+b1",
    "1.0.0",
    "1.10",
    "1.9",
    "1.0-1+deb13u1",
    "1.0-1~bpo13+1",
    "2a.b",
    "10",
    "1-2-3",
];

#[test]
fn the_order_is_dpkgs() {
    let mut compared = 0;
    for (index, left) in VERSIONS.iter().enumerate() {
        for right in &VERSIONS[index + 1..] {
            let holds = |operator: &str| {
                let run = Command::new("dpkg").args(["--compare-versions", left, operator, right]).output();
                match run.expect("dpkg is needed: install the package `dpkg`").status.code() {
                    Some(0) => true,
                    Some(1) => false,
                    other => panic!("dpkg --compare-versions {left} {operator} {right} gave {other:?}"),
                }
            };
            let theirs = match (holds("lt"), holds("gt")) {
                (true, _) => Ordering::Less,
                (_, true) => Ordering::Greater,
                (false, false) => Ordering::Equal,
            };
            assert_eq!(compare(left, right), theirs, "{left} {right}");
            compared += 1;
        }
    }
    assert_eq!(compared, 231);
}
