//! From the kernel's start to systemd's, with our initramfs and with Debian's, of one kernel under one QEMU.
//!
//! Debian's: mmdebstrap makes the same packages with initramfs-tools into a tree, `mke2fs -d` makes that a disk. Ours: the
//! disk that `basalt build` made. Both kernels are started directly, so firmware and boot loader are not part of it.

use basalt_exec::command::{Command, Program};
use basalt_vm::{Disk, Machine};
use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use super::contenders::Bench;
use crate::{
    error::{Done, TaskError},
    tool,
};

const BOOT: Duration = Duration::from_secs(900);
/// Said by PID 1 when it starts; the kernel stamps it.
const SYSTEMD: &str = "running in system mode";
const QUIET: &str = "console=ttyS0 systemd.log_target=kmsg systemd.show_status=0 ignore_loglevel";

/// A kernel with what it boots.
struct Setup {
    kernel: PathBuf,
    initrd: PathBuf,
    append: String,
    disk: PathBuf,
}

/// Measures both and gives the table.
pub(super) fn measure(bench: &Bench) -> Done<String> {
    let debian = prepare_debian(bench)?;
    let ours = prepare_ours(bench, &debian.kernel)?;
    let mut text = "\n| initramfs | bytes | kernel start to systemd start, s |\n|---|--:|--:|\n".to_owned();
    for (name, setup) in [("basalt-init", ours), ("initramfs-tools", debian)] {
        let size = fs::metadata(&setup.initrd).map_err(TaskError::io("measure", &setup.initrd))?.len();
        text.push_str(&format!("| {name} | {size} | {:.2} |\n", boot(&setup)?));
    }
    Ok(text)
}

fn boot(setup: &Setup) -> Done<f64> {
    let mut machine =
        Machine::kernel(&setup.kernel, Some(&setup.initrd), format!("{QUIET} {}", setup.append));
    machine.disks = vec![Disk::raw(&setup.disk)];
    let mut running = basalt_vm::boot(&machine)?;
    let console = running.console()?;
    console.expect(SYSTEMD, BOOT)?;
    let text = console.text();
    running.kill()?;
    stamp(&text).ok_or_else(|| TaskError::Broken("the kernel does not stamp its messages".to_owned()))
}

/// The kernel's time stamp of systemd's first words: `[   12.345678] systemd[1]: systemd 257 running in system mode`.
fn stamp(console: &str) -> Option<f64> {
    let line = console.lines().find(|line| line.contains(SYSTEMD))?;
    line.trim_start_matches('[').split(']').next()?.trim().parse().ok()
}

fn prepare_debian(bench: &Bench) -> Done<Setup> {
    let tree = bench.work.join("initramfs-tools");
    let disk = bench.work.join("initramfs-tools.ext4");
    if !disk.is_file() {
        tool::remove_folder(&tree)?;
        let packages = format!("--include={},initramfs-tools,zstd", bench.packages.join(","));
        let make = bench
            .tree
            .command(&bench.work, "mmdebstrap")
            .args(["--quiet", "--mode=root", "--variant=essential", "--format=directory"])
            .arg(packages)
            .arg("trixie")
            .arg(&tree)
            .arg(format!("deb {} trixie main", bench.mirror.url()));
        make.run()?;
        let mke2fs = Program::find("mke2fs", "e2fsprogs")?;
        Command::new(&mke2fs).args(["-q", "-t", "ext4", "-d"]).args([&tree, &disk]).arg("4G").run()?;
    }
    Ok(Setup {
        kernel: only(&tree.join("boot"), "vmlinuz-")?,
        initrd: only(&tree.join("boot"), "initrd.img-")?,
        append: "root=/dev/vda ro".to_owned(),
        disk,
    })
}

/// Our initramfs and command line are read back from the UKI that the build wrote.
fn prepare_ours(bench: &Bench, kernel: &Path) -> Done<Setup> {
    let out = bench.work.join("basalt-out");
    let uki = only_extension(&out, "efi")?;
    let bytes = fs::read(&uki).map_err(TaskError::io("read", &uki))?;
    let section = |name: &str| {
        pe_section(&bytes, name)
            .map(<[u8]>::to_vec)
            .ok_or_else(|| TaskError::Broken(format!("{} has no section {name}", uki.display())))
    };
    let initrd = bench.work.join("basalt.initrd");
    fs::write(&initrd, section(".initrd")?).map_err(TaskError::io("write", &initrd))?;
    let append = String::from_utf8_lossy(&section(".cmdline")?).trim_end_matches('\0').to_owned();
    Ok(Setup { kernel: kernel.to_owned(), initrd, append, disk: only_extension(&out, "raw")? })
}

/// The bytes of a PE section (Microsoft PE format, "Section Table": 40 bytes each; name, virtual size, …, raw offset).
fn pe_section<'a>(pe: &'a [u8], wanted: &str) -> Option<&'a [u8]> {
    let u16_at = |at: usize| pe.get(at..at + 2)?.try_into().ok().map(u16::from_le_bytes).map(usize::from);
    let u32_at = |at: usize| {
        let value = pe.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes)?;
        usize::try_from(value).ok()
    };
    let header = u32_at(0x3c)?;
    let table = header + 24 + u16_at(header + 20)?;
    (0..u16_at(header + 6)?).map(|index| table + index * 40).find_map(|at| {
        let name = pe.get(at..at + 8)?.split(|byte| *byte == 0).next()?;
        let (size, offset) = (u32_at(at + 8)?, u32_at(at + 20)?);
        (name == wanted.as_bytes()).then(|| pe.get(offset..offset + size))?
    })
}

fn only(folder: &Path, prefix: &str) -> Done<PathBuf> {
    first(folder, |name| name.starts_with(prefix))
}

fn only_extension(folder: &Path, extension: &str) -> Done<PathBuf> {
    first(folder, |name| name.rsplit('.').next() == Some(extension))
}

fn first(folder: &Path, wanted: impl Fn(&str) -> bool) -> Done<PathBuf> {
    let entries = fs::read_dir(folder).map_err(TaskError::io("list", folder))?;
    let mut found: Vec<PathBuf> = entries
        .flatten()
        .filter(|entry| entry.file_name().to_str().is_some_and(&wanted))
        .map(|entry| entry.path())
        .collect();
    found.sort();
    found
        .into_iter()
        .next()
        .ok_or_else(|| TaskError::Broken(format!("{} lacks what a build makes", folder.display())))
}

#[cfg(test)]
mod tests {
    use super::stamp;

    #[test]
    fn the_stamp_is_the_kernels() {
        let console =
            "[    0.000000] Linux\n[   12.345678] systemd[1]: systemd 257.7 running in system mode (+PAM)\n";
        assert_eq!(stamp(console), Some(12.345_678));
        assert_eq!(stamp("no kernel"), None);
    }
}
