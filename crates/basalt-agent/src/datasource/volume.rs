//! Volumes that hold a cloud's answers: FAT or ISO 9660, found by their labels, mounted read-only where nobody sees them.

use std::{
    fs::{self, File},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
};

use basalt_exec::{files::Root, files::Scope, mount};

use super::{Answers, DatasourceError, clouds::utf8};

const MOST_BYTES: u64 = 4 << 20;
/// Memory, loops, what is made of others, and floppy drives, which take seconds to say that nothing is in them.
const PASSED_OVER: [&str; 6] = ["ram", "loop", "zram", "dm-", "md", "fd"];

/// A volume that is mounted as long as this value lives.
#[derive(Debug)]
pub(super) struct Volume(Root);

impl Volume {
    /// The volume with this label, in whatever case it is written.
    pub(super) fn labelled(label: &'static str) -> Result<Self, DatasourceError> {
        let found = labels().into_iter().find(|(own, _)| own.eq_ignore_ascii_case(label));
        let (_, device) = found.ok_or(DatasourceError::NoVolume(label))?;
        let mounted = mount::detached_readonly(&device, &["iso9660", "vfat"])?;
        Ok(Self(Root::from_descriptor(mounted, device, Scope::Beneath)))
    }

    /// A folder in place of a volume.
    #[cfg(test)]
    pub(super) fn folder(path: &Path) -> Self {
        Self(Root::open(path, Scope::Beneath).unwrap())
    }
}

impl Answers for Volume {
    fn get(&self, path: &str) -> Result<Option<String>, DatasourceError> {
        let bytes = self.0.read_if_present(path.trim_start_matches('/'), MOST_BYTES)?;
        bytes.map(|bytes| utf8(path, bytes)).transpose()
    }
}

/// The labels of FAT and ISO 9660 volumes, each with its device.
pub(super) fn labels() -> Vec<(String, PathBuf)> {
    let Ok(entries) = fs::read_dir("/sys/class/block") else { return Vec::new() };
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut devices: Vec<PathBuf> = names
        .filter(|name| !PASSED_OVER.iter().any(|start| name.starts_with(start)))
        .map(|name| Path::new("/dev").join(name))
        .collect();
    devices.sort();
    // A drive without a medium can't be opened, and has no label.
    devices.into_iter().filter_map(|device| Some((label(&File::open(&device).ok()?)?, device))).collect()
}

/// The label of a volume. FAT: 11 bytes at 43 (FAT12 and FAT16) or 71 (FAT32), behind a signature byte 0x29 (Microsoft's FAT
/// specification, section 3). ISO 9660: 32 bytes at 40 of the sector 16, which begins with 1 and `CD001` (ECMA-119, 8.4).
fn label(device: &File) -> Option<String> {
    let text = |offset: u64, length: usize| {
        let mut bytes = vec![0; length];
        device.read_exact_at(&mut bytes, offset).ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    };
    if text(32769, 5)? == "CD001" {
        return text(32808, 32).map(|label| label.trim().to_owned());
    }
    let fat = [(38, 43, 54, "FAT1"), (66, 71, 82, "FAT32")].into_iter().find_map(
        |(signature, label, kind, name)| {
            let known = text(signature, 1)? == "\u{29}" && text(kind, name.len())? == name;
            known.then(|| text(label, 11))?
        },
    );
    fat.map(|label| label.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use basalt_testkit::run_tool;

    #[test]
    fn labels_are_read_as_their_makers_write_them() {
        let place = tempfile::tempdir().unwrap();
        let label_of = |tool: &str, package, arguments: &[&str], size: u64| {
            let path = place.path().join(format!("volume-{size}"));
            File::create(&path).unwrap().set_len(size).unwrap();
            let path = path.to_str().unwrap();
            let done = run_tool(tool, package, &[arguments, &[path]].concat());
            assert_eq!(done.exit, basalt_exec::command::Exit::Code(0), "{}", done.stderr_tail);
            label(&File::open(path).unwrap())
        };
        let fat = |bits: &str, size| label_of("mkfs.vfat", "dosfstools", &["-F", bits, "-n", "CIDATA"], size);
        assert_eq!(fat("12", 1 << 20).as_deref(), Some("CIDATA"));
        assert_eq!(fat("16", 16 << 20).as_deref(), Some("CIDATA"));
        assert_eq!(fat("32", 64 << 20).as_deref(), Some("CIDATA"));
        assert_eq!(label_of("mkfs.ext4", "e2fsprogs", &["-q", "-L", "cidata"], 2 << 20), None);
        let image = place.path().join("seed.iso");
        fs::create_dir(place.path().join("seed")).unwrap();
        let folder = place.path().join("seed");
        let words = [
            "-as",
            "mkisofs",
            "-quiet",
            "-V",
            "cidata",
            "-o",
            image.to_str().unwrap(),
            folder.to_str().unwrap(),
        ];
        let done = run_tool("xorriso", "xorriso", &words);
        assert_eq!(done.exit, basalt_exec::command::Exit::Code(0), "{}", done.stderr_tail);
        assert_eq!(label(&File::open(&image).unwrap()).as_deref(), Some("cidata"));
    }
}
