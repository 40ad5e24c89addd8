//! Our order of versions against systemd's: systemd-boot decides by it what boots.

#![allow(clippy::unwrap_used, reason = "a test whose program does not start has failed")]

use std::cmp::Ordering;

use basalt_exec::command::Exit;
use basalt_node::upgrade::compare_versions;
use basalt_testkit::run_tool;
use basalt_types::ImageVersion;

#[test]
fn versions_are_ordered_as_systemd_orders_them() {
    let versions = [
        "0.1.0",
        "0.1.0-rc1",
        "0.1.0~rc1",
        "0.1.0^p1",
        "0.10.0",
        "0.2.0",
        "00.2",
        "1",
        "1-",
        "1.",
        "1.a",
        "1a",
        "1A",
        "20261123",
        "v2",
        "1~~",
        "1~a",
        "1-1.2",
        "1.2-1",
    ];
    for one in versions {
        for other in versions {
            let said = run_tool("systemd-analyze", "systemd", &["compare-versions", one, other]);
            // systemd-analyze(1): 0 equal, 11 newer, 12 older.
            let expected = match said.exit {
                Exit::Code(0) => Some(Ordering::Equal),
                Exit::Code(11) => Some(Ordering::Greater),
                Exit::Code(12) => Some(Ordering::Less),
                Exit::Code(_) | Exit::Signal(_) => None,
            };
            let [left, right] = [one, other].map(|text| text.parse::<ImageVersion>().unwrap());
            assert_eq!(Some(compare_versions(&left, &right)), expected, "{one} and {other}");
        }
    }
}
