//! From the kernel's start to systemd's, with our initramfs and with Debian's, of one kernel under one QEMU.
//!
//! Debian's: mmdebstrap makes the same packages with initramfs-tools into a tree, `mke2fs -d` makes that a disk. Ours: the
//! disk and the UKI that `basalt build` makes. Both kernels are started directly, so firmware and boot loader are not part
//! of it.

use basalt_exec::command::{Command, Program};
use basalt_formats::uki;
use basalt_spec::Output;
use basalt_vm::{Disk, Machine};
use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    contenders::{self, Bench, LIMIT},
    ours, theirs,
};
use crate::{
    error::{Done, TaskError},
    peers,
    report::say,
    tool,
};

/// What `--only` chooses it by.
pub(super) const ROW: &str = "initramfs";
const BOOT: Duration = Duration::from_secs(900);
/// Said by PID 1 when it starts; the kernel stamps it.
const SYSTEMD: &str = "running in system mode";
const KERNEL_ARGUMENTS: &str = "console=ttyS0 systemd.log_target=kmsg systemd.show_status=0 ignore_loglevel";

/// Both initramfs.
#[derive(Debug)]
pub(super) struct Boots {
    pub(super) ours: Boot,
    pub(super) debian: Boot,
}

/// One initramfs.
#[derive(Debug)]
pub(super) struct Boot {
    /// Of the initramfs, in bytes.
    pub(super) size: u64,
    /// From the kernel's start to systemd's, in seconds, one each run.
    pub(super) seconds: Vec<f64>,
}

/// A kernel with what it boots.
struct Setup {
    kernel: PathBuf,
    initrd: PathBuf,
    append: String,
    disk: PathBuf,
}

/// Boots both, in turns.
pub(super) fn measure(bench: &Bench, runs: usize) -> Done<Boots> {
    let debian = prepare_debian(bench)?;
    let ours = prepare_ours(bench, &debian.kernel)?;
    let size = |setup: &Setup| {
        fs::metadata(&setup.initrd).map(|file| file.len()).map_err(TaskError::io("measure", &setup.initrd))
    };
    let mut boots = Boots {
        ours: Boot { size: size(&ours)?, seconds: Vec::new() },
        debian: Boot { size: size(&debian)?, seconds: Vec::new() },
    };
    for run in 1..=runs {
        for (name, setup, boot) in
            [("basalt-init", &ours, &mut boots.ours), ("initramfs-tools", &debian, &mut boots.debian)]
        {
            let seconds = seconds_to_systemd(setup)?;
            say(format!("{:<48} run {run}: {seconds:>8.2} s", format!("{ROW}: {name}")));
            boot.seconds.push(seconds);
        }
    }
    Ok(boots)
}

fn seconds_to_systemd(setup: &Setup) -> Done<f64> {
    let append = format!("{KERNEL_ARGUMENTS} {}", setup.append);
    let mut machine = Machine::kernel(&setup.kernel, Some(&setup.initrd), append);
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

/// The packages with initramfs-tools as a folder, made once for a list of packages.
pub(super) fn debian_tree(bench: &Bench) -> Done<PathBuf> {
    let (tree, stamp) = (bench.work.join("initramfs-tools"), bench.work.join("initramfs-tools.packages"));
    let wanted = contenders::filling(bench);
    if tree.is_dir() && fs::read_to_string(&stamp).is_ok_and(|made| made == wanted) {
        return Ok(tree);
    }
    let made = bench.work.join("initramfs-tools.new");
    for stale in [&made, &tree] {
        tool::remove_folder(stale)?;
    }
    // The disk is made of the tree.
    super::remove(&disk_of(bench))?;
    let packages = format!("--include={},initramfs-tools,zstd", theirs::names(bench).join(","));
    let make = bench
        .tree
        .command(&bench.work, "mmdebstrap")
        .timeout(LIMIT)
        .args(["--quiet", "--mode=root", "--variant=essential", "--format=directory"])
        .arg(packages)
        .arg("trixie")
        .arg(&made)
        .args(peers::sources(&bench.mirror));
    make.run()?;
    fs::rename(&made, &tree).map_err(TaskError::io("rename to", &tree))?;
    fs::write(&stamp, wanted).map_err(TaskError::io("write", stamp))?;
    Ok(tree)
}

fn disk_of(bench: &Bench) -> PathBuf {
    bench.work.join("initramfs-tools.ext4")
}

fn prepare_debian(bench: &Bench) -> Done<Setup> {
    let tree = debian_tree(bench)?;
    let disk = disk_of(bench);
    if !disk.is_file() {
        let mke2fs = Program::find("mke2fs", "e2fsprogs")?;
        let made = bench.work.join("initramfs-tools.ext4.new");
        Command::new(&mke2fs).args(["-F", "-q", "-t", "ext4", "-d"]).args([&tree, &made]).arg("4G").run()?;
        fs::rename(&made, &disk).map_err(TaskError::io("rename to", &disk))?;
    }
    Ok(Setup {
        kernel: only(&tree.join("boot"), "vmlinuz-")?,
        initrd: only(&tree.join("boot"), "initrd.img-")?,
        append: "root=/dev/vda ro".to_owned(),
        disk,
    })
}

/// Our initramfs and command line are read back from the UKI, which a recipe with one output more writes beside the disk.
fn prepare_ours(bench: &Bench, kernel: &Path) -> Done<Setup> {
    let out = bench.work.join("basalt-boot");
    tool::remove_folder(&out)?;
    ours::build_outputs(bench, "boot", &[Output::Disk, Output::Uki], &out)?.run()?;
    let path = only_extension(&out, "efi")?;
    let bytes = fs::read(&path).map_err(TaskError::io("read", &path))?;
    let uki = uki::read(&bytes)
        .map_err(|error| TaskError::Broken(format!("{} is no UKI: {error}", path.display())))?;
    if fs::read(kernel).map_err(TaskError::io("read", kernel))? != bytes[uki.linux] {
        return Err(TaskError::Broken(format!(
            "{} and {} hold different kernels",
            path.display(),
            kernel.display()
        )));
    }
    let initrd = bench.work.join("basalt.initrd");
    fs::write(&initrd, &bytes[uki.initrd]).map_err(TaskError::io("write", &initrd))?;
    Ok(Setup { kernel: kernel.to_owned(), initrd, append: uki.cmdline, disk: only_extension(&out, "raw")? })
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
