//! Mounts as units of systemd's (systemd.mount(5)).

use basalt_spec::node::Mount;

use super::{
    Refusal,
    wanted::{Run, UnitWish},
};

/// File systems that need the network: waiting for one before the network is there would be waiting for ever.
const REMOTE: [&str; 7] = ["nfs", "nfs4", "cifs", "smb3", "ceph", "glusterfs", "9p"];

/// The unit of a mount, and its text.
pub(super) fn unit(mount: &Mount) -> Result<(UnitWish, String), Refusal> {
    let Mount { path, source, file_system, options, optional } = mount;
    if source.as_str().starts_with("disk:") {
        return Err(Refusal::NoDisks { path: path.to_string() });
    }
    let mut text = format!(
        "[Unit]\nDescription={} of the machine's configuration\n\n[Mount]\nWhat={}\nWhere={}\n",
        quoted(path.as_str()),
        quoted(&device(source.as_str())),
        quoted(path.as_str()),
    );
    if let Some(kind) = file_system {
        text = format!("{text}Type={kind}\n");
    }
    if !options.is_empty() {
        let options: Vec<String> = options.iter().map(|option| quoted(&option.to_string())).collect();
        text = format!("{text}Options={}\n", options.join(","));
    }
    // `HOST:/PATH` of NFS, `//HOST/SHARE` of SMB.
    let share = source.as_str().contains(":/") || source.as_str().starts_with("//");
    let kind = file_system.as_ref().is_some_and(|kind| REMOTE.contains(&kind.as_str()));
    let remote = share || kind || options.iter().any(|option| option.as_str() == "_netdev");
    let run = if remote || *optional == Some(true) { Run::Always } else { Run::AlwaysAndWait };
    let name = format!("{}.mount", escaped(path.as_str()));
    Ok((UnitWish { name, state: None, own: true, run }, text))
}

/// `%` begins a specifier in a unit.
fn quoted(text: &str) -> String {
    text.replace('%', "%%")
}

/// The device of a tag, as udev names it (fstab(5), udev(7)).
fn device(source: &str) -> String {
    const TAGS: [(&str, &str); 4] = [
        ("LABEL=", "by-label"),
        ("UUID=", "by-uuid"),
        ("PARTLABEL=", "by-partlabel"),
        ("PARTUUID=", "by-partuuid"),
    ];
    let tag = TAGS.iter().find_map(|(tag, folder)| Some((folder, source.strip_prefix(tag)?)));
    match tag {
        Some((folder, value)) => format!("/dev/disk/{folder}/{}", encoded(value)),
        None => source.to_owned(),
    }
}

/// udev's encoding of a label in a file name: everything but letters, digits, `#+-.:=@_` is `\xNN` (systemd, `encode_devnode_name`).
fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"#+-.:=@_".contains(&byte) || !byte.is_ascii();
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { hex(byte) }).collect()
}

fn hex(byte: u8) -> String {
    format!("\\x{byte:02x}")
}

/// The name of the unit of a path (systemd.unit(5), "string escaping"; systemd-escape --path).
pub(super) fn escaped(path: &str) -> String {
    let path = path.trim_matches('/');
    if path.is_empty() {
        return "-".to_owned();
    }
    let letter = |(index, byte): (usize, u8)| match byte {
        b'/' => "-".to_owned(),
        b'.' if index == 0 => hex(byte),
        b':' | b'_' | b'.' => char::from(byte).to_string(),
        _ if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
        _ => hex(byte),
    };
    path.bytes().enumerate().map(letter).collect()
}
