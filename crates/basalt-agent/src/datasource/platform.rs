//! What this machine knows of where it is.

use std::fs;

use basalt_node::cloud::Platform;

use super::volume;

/// Reads it. What can't be read is nothing: most machines lack some of it.
pub(super) fn observe() -> Platform {
    let dmi = |name: &str| read(&format!("/sys/class/dmi/id/{name}")).trim().to_owned();
    let processor = read("/proc/cpuinfo");
    let flags = processor.lines().find(|line| line.starts_with("flags")).unwrap_or_default();
    let hypervisor = flags.split_whitespace().any(|flag| flag == "hypervisor");
    let asked = asked(&read("/proc/cmdline"));
    // Nobody's sticks are looked at where they would not count.
    let volumes = if hypervisor || asked.is_some() { volume::labels() } else { Vec::new() };
    Platform {
        vendor: dmi("sys_vendor"),
        product: dmi("product_name"),
        asset_tag: dmi("chassis_asset_tag"),
        hypervisor,
        labels: volumes.into_iter().map(|(label, _device)| label).collect(),
        asked,
    }
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn asked(command_line: &str) -> Option<String> {
    let words = command_line.split_ascii_whitespace();
    words.filter_map(|word| word.strip_prefix("basalt.datasource=")).next_back().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::asked;

    #[test]
    fn the_last_word_counts() {
        assert_eq!(asked("quiet basalt.datasource=ec2 basalt.datasource=none\n").as_deref(), Some("none"));
        assert_eq!(asked("quiet"), None);
    }
}
