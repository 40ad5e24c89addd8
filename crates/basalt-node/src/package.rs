//! What the package `basalt-node` puts into an image beside the agent: its units and what they need.
//!
//! The factory adds the program and makes a `.deb` of it. The units' `[Install]` sections say what wants them; the image's
//! finalisation makes the links, in `/usr`.

/// One regular file of the package, owned by root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackageFile {
    /// Where it goes, without the leading `/`.
    pub path: String,
    /// Its permission bits.
    pub mode: u32,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// Where the agent goes, mode 0755; the units start it there.
pub const AGENT: &str = "usr/bin/basalt-agent";

const AFTER_TMPFILES: &str = include_str!("../units/after-tmpfiles.conf");
const WITH_DISK: &str = include_str!("../units/with-disk.conf");

const TEXTS: &[(&str, &str)] = &[
    ("etc/issue.d/basalt.issue", include_str!("../units/basalt.issue")),
    ("usr/lib/systemd/journald.conf.d/10-basalt.conf", include_str!("../units/journald.conf")),
    ("usr/lib/systemd/system.conf.d/10-basalt.conf", include_str!("../units/system.conf")),
    ("usr/lib/systemd/system/basalt-agent.service", include_str!("../units/basalt-agent.service")),
    ("usr/lib/systemd/system/basalt-assess.service", include_str!("../units/basalt-assess.service")),
    ("usr/lib/systemd/system/basalt-bless.service", include_str!("../units/basalt-bless.service")),
    ("usr/lib/systemd/system/basalt-give-up.service", include_str!("../units/basalt-give-up.service")),
    ("usr/lib/systemd/system/basalt-history.service", include_str!("../units/basalt-history.service")),
    ("usr/lib/systemd/system/basalt-identity.service", include_str!("../units/basalt-identity.service")),
    ("usr/lib/systemd/system/basalt-install.service", include_str!("../units/basalt-install.service")),
    ("usr/lib/systemd/system/basalt-promote.service", include_str!("../units/basalt-promote.service")),
    ("usr/lib/systemd/system/basalt-promote.timer", include_str!("../units/basalt-promote.timer")),
    ("usr/lib/systemd/system/basalt-provision.service", include_str!("../units/basalt-provision.service")),
    ("usr/lib/systemd/system/basalt-reconcile.service", include_str!("../units/basalt-reconcile.service")),
    ("usr/lib/systemd/system/basalt-upgrade.service", include_str!("../units/basalt-upgrade.service")),
    ("usr/lib/systemd/system/basalt-upgrade.timer", include_str!("../units/basalt-upgrade.timer")),
    (
        "usr/lib/systemd/system/systemd-bless-boot.service.d/10-basalt.conf",
        include_str!("../units/bless-boot.conf"),
    ),
    ("usr/lib/systemd/system/systemd-boot-random-seed.service.d/10-basalt.conf", WITH_DISK),
    ("usr/lib/systemd/system/systemd-growfs@var.service.d/10-basalt.conf", WITH_DISK),
    ("usr/lib/systemd/system/systemd-networkd.service.d/10-basalt.conf", AFTER_TMPFILES),
    ("usr/lib/systemd/system/systemd-resolved.service.d/10-basalt.conf", AFTER_TMPFILES),
    ("usr/lib/systemd/system/var.mount", include_str!("../units/var.mount")),
    ("usr/lib/tmpfiles.d/basalt.conf", include_str!("../units/basalt.tmpfiles.conf")),
];

/// The files of the package but the agent, by path.
pub fn files() -> Vec<PackageFile> {
    let file = |(path, text): &(&str, &str)| PackageFile {
        path: (*path).to_owned(),
        mode: 0o644,
        bytes: text.as_bytes().to_vec(),
    };
    TEXTS.iter().map(file).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_in_order_and_relative() {
        let files = files();
        assert!(files.windows(2).all(|pair| pair[0].path < pair[1].path));
        assert!(files.iter().all(|file| !file.path.starts_with('/') && file.bytes.ends_with(b"\n")));
    }

    #[test]
    fn units_start_the_agent_and_leave_the_default_order_on_purpose() {
        // What restarts the machine when the agent is broken does not need it, and nothing wants it by itself.
        let services = TEXTS.iter().filter(|(path, _)| path.ends_with(".service"));
        for (path, text) in services.filter(|(path, _)| !path.ends_with("basalt-give-up.service")) {
            let command = text.lines().find_map(|line| line.strip_prefix("ExecStart=")).unwrap();
            assert!(command.starts_with(&format!("/{AGENT} ")), "{path}: {command}");
            for line in ["DefaultDependencies=no", "Conflicts=shutdown.target"] {
                assert!(text.lines().any(|own| own == line), "{path}: {line}");
            }
            let timer = path.replace(".service", ".timer");
            let wanted = TEXTS.iter().any(|(path, text)| *path == timer && text.contains("[Install]"));
            assert!(wanted || text.contains("[Install]"), "{path}: nothing starts it");
        }
    }
}
