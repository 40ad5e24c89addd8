//! What an image with OpenRC gets instead of systemd's units: services of its own that start the agent, and the links that
//! put them into runlevels.

use crate::package::PackageFile;

/// The services and the runlevel of each. `sysinit` is what every distribution runs first.
const SERVICES: [(&str, &str, &str); 3] = [
    ("basalt-console", "default", include_str!("../units/openrc/basalt-console")),
    ("basalt-data", "sysinit", include_str!("../units/openrc/basalt-data")),
    ("basalt-identity", "default", include_str!("../units/openrc/basalt-identity")),
];

/// The services, by path.
pub fn files() -> Vec<PackageFile> {
    let file = |(name, _, text): (&str, &str, &str)| PackageFile {
        path: format!("etc/init.d/{name}"),
        mode: 0o755,
        bytes: text.as_bytes().to_vec(),
    };
    SERVICES.map(file).to_vec()
}

/// Symbolic links, by path, with their targets.
pub fn links() -> Vec<(String, String)> {
    let link = |(name, runlevel, _): (&str, &str, &str)| {
        (format!("etc/runlevels/{runlevel}/{name}"), format!("/etc/init.d/{name}"))
    };
    SERVICES.map(link).to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_are_openrc_s_and_their_links_lead_to_them() {
        let files = files();
        for (file, (_, target)) in files.iter().zip(links()) {
            assert_eq!(format!("/{}", file.path), target);
            assert!(file.bytes.starts_with(b"#!/sbin/openrc-run\n") && file.bytes.ends_with(b"}\n"));
        }
    }
}
