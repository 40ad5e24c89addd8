//! The name of the machine, settings of the kernel, modules, and files that the document writes.

use basalt_spec::node::NodeSpec;

use super::{RenderedFile, resolve};

pub(super) fn files(spec: &NodeSpec) -> Vec<RenderedFile> {
    let mut files = Vec::new();
    let hostname = spec.hostname.as_ref().map(|name| name.as_str());
    files.extend(hostname.map(|name| RenderedFile::new("/etc/hostname", format!("{name}\n"))));
    if hostname.is_some() || !spec.network.hosts.is_empty() {
        files.push(RenderedFile::new("/etc/hosts", resolve::hosts(hostname, &spec.network.hosts)));
    }
    files.extend(
        spec.locale.as_ref().map(|locale| RenderedFile::new("/etc/locale.conf", format!("LANG={locale}\n"))),
    );
    files.extend(
        spec.keymap
            .as_ref()
            .map(|keymap| RenderedFile::new("/etc/vconsole.conf", format!("KEYMAP={keymap}\n"))),
    );
    if !spec.sysctls.is_empty() {
        let lines = spec.sysctls.iter().map(|(name, value)| format!("{name} = {value}\n")).collect();
        files.push(RenderedFile::new("/etc/sysctl.d/50-basalt.conf", lines));
    }
    if !spec.modules.is_empty() {
        let lines = spec.modules.iter().map(|module| format!("{module}\n")).collect();
        files.push(RenderedFile::new("/etc/modules-load.d/50-basalt.conf", lines));
    }
    files
}
