//! What the programs of an image see: the tree, and the API file systems they expect.

use std::{
    ffi::CStr,
    fs,
    io::Write as _,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _, symlink},
    path::{Path, PathBuf},
};

use rustix::{
    io::Errno,
    mount::{
        MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_bind, mount_bind_recursive,
        mount_change, mount_remount, unmount,
    },
    process::{chdir, pivot_root},
};

use super::{Chroot, Copy, Cover, Fault, SandboxFile};

/// The devices that programs may count on (Filesystem Hierarchy Standard 6.1.3 and what glibc opens).
const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];

/// Builds the view in this process's own mount namespace and makes it the root.
pub(super) fn build_view(chroot: &Chroot) -> Result<(), Fault> {
    let root = &chroot.root;
    attempt(
        "make mounts private",
        mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC),
    )?;
    attempt("mount the tree", mount_bind(root, root))?;
    mount_proc(root)?;
    mount_devices(root)?;
    tmpfs(root, "run", c"mode=0755")?;
    tmpfs(root, "tmp", c"mode=1777")?;
    directory(&root.join("run/lock"), 0o1777)?;
    for file in &chroot.files {
        place(root, file)?;
    }
    for Copy { from, to } in &chroot.copies {
        let target = below_volatile(root, to)?;
        fs::copy(from, target).map_err(|e| Fault::new(format!("copy `{}`", from.display()), e))?;
    }
    for Cover { with, over } in &chroot.covers {
        let (with, over) = (below_volatile(root, with)?, below(root, over));
        attempt(&format!("cover `{}`", over.display()), mount_bind(&with, &over))?;
    }
    tmpfs(root, "sys", c"mode=0755")?;
    let read_only = MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    attempt("make /sys read-only", mount_remount(root.join("sys"), read_only, c"mode=0755"))?;
    enter(root)
}

/// Makes `root` the root and lets go of the old one (pivot_root(2), "pivot_root(".", ".")").
fn enter(root: &Path) -> Result<(), Fault> {
    attempt("enter the tree", chdir(root))?;
    attempt("pivot into the tree", pivot_root(".", "."))?;
    attempt("let go of the host's tree", unmount(".", UnmountFlags::DETACH))?;
    attempt("enter the tree", chdir("/"))
}

/// A fresh `/proc` shows only the sandbox's processes. Where the kernel refuses one, because this container hides parts
/// of its own, the container's is used.
fn mount_proc(root: &Path) -> Result<(), Fault> {
    let target = root.join("proc");
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    match mount("proc", &target, "proc", flags, None::<&CStr>) {
        Err(Errno::PERM) => attempt("mount /proc", mount_bind_recursive("/proc", &target)),
        other => attempt("mount /proc", other),
    }
}

fn mount_devices(root: &Path) -> Result<(), Fault> {
    tmpfs(root, "dev", c"mode=0755")?;
    let dev = root.join("dev");
    for device in DEVICES {
        let target = dev.join(device);
        fs::write(&target, "").map_err(|e| Fault::new(format!("make /dev/{device}"), e))?;
        attempt(&format!("mount /dev/{device}"), mount_bind(Path::new("/dev").join(device), &target))?;
    }
    let links = [
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
        ("ptmx", "pts/ptmx"),
    ];
    for (name, target) in links {
        symlink(target, dev.join(name)).map_err(|e| Fault::new(format!("make /dev/{name}"), e))?;
    }
    directory(&dev.join("pts"), 0o755)?;
    let flags = MountFlags::NOSUID | MountFlags::NOEXEC;
    // gid 5 is `tty` on Debian and most others.
    let options = c"newinstance,ptmxmode=0666,mode=0620,gid=5";
    attempt("mount /dev/pts", mount("devpts", dev.join("pts"), "devpts", flags, Some(options)))?;
    directory(&dev.join("shm"), 0o1777)?;
    tmpfs(&dev, "shm", c"mode=1777")
}

fn tmpfs(parent: &Path, name: &str, options: &CStr) -> Result<(), Fault> {
    let target = parent.join(name);
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    attempt(&format!("mount /{name}"), mount("tmpfs", &target, "tmpfs", flags, Some(options)))
}

fn place(root: &Path, file: &SandboxFile) -> Result<(), Fault> {
    let target = below_volatile(root, &file.path)?;
    let refuse = |error| Fault::new(format!("make `{}`", file.path.display()), error);
    let mut open = fs::OpenOptions::new();
    let mut made = open.write(true).create_new(true).mode(file.mode).open(&target).map_err(refuse)?;
    made.write_all(file.text.as_bytes()).map_err(refuse)?;
    made.set_permissions(fs::Permissions::from_mode(file.mode)).map_err(refuse)
}

/// Where a volatile file lies before the pivot; the directories above it are made. Anything but a plain path below
/// `/run` or `/tmp` would be written into the tree, and is refused.
pub(super) fn below_volatile(root: &Path, path: &Path) -> Result<PathBuf, Fault> {
    let plain = path.components().skip(1).all(|part| matches!(part, std::path::Component::Normal(_)));
    let deep = path.components().count() > 2 && (path.starts_with("/run") || path.starts_with("/tmp"));
    if !plain || !deep {
        return Err(Fault::new(format!("make `{}`", path.display()), "it is not below /run or /tmp"));
    }
    let target = below(root, path);
    if let Some(parent) = target.parent() {
        let made = fs::DirBuilder::new().recursive(true).mode(0o755).create(parent);
        made.map_err(|error| Fault::new(format!("make `{}`", parent.display()), error))?;
    }
    Ok(target)
}

fn below(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}

fn directory(path: &Path, mode: u32) -> Result<(), Fault> {
    let refuse = |error| Fault::new(format!("make `{}`", path.display()), error);
    fs::create_dir(path).map_err(refuse)?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(refuse)
}

fn attempt(action: &str, outcome: rustix::io::Result<()>) -> Result<(), Fault> {
    outcome.map_err(|errno| Fault::new(action, errno))
}
