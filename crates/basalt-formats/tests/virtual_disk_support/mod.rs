//! What tests of containers share: files as seams, random disks, the tools of the host.
#![allow(dead_code, reason = "each test binary uses its own part")]

use std::{
    fs::File,
    io::{self, Read},
    os::unix::fs::FileExt,
    path::Path,
    process::Command,
};

use basalt_formats::{
    ReadAt, WriteAt,
    virtual_disk::{Segment, VirtualDisk},
};
use proptest::prelude::*;

/// A file as a seam.
#[derive(Debug)]
pub(crate) struct Device(pub(crate) File);

impl WriteAt for Device {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }
}

impl ReadAt for Device {
    fn size(&self) -> u64 {
        self.0.metadata().unwrap().len()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.0.read_exact_at(buffer, offset)
    }
}

/// A disk with no room left.
#[derive(Debug)]
pub(crate) struct Full;

impl WriteAt for Full {
    fn write_at(&self, _offset: u64, _bytes: &[u8]) -> io::Result<()> {
        Err(io::ErrorKind::StorageFull.into())
    }
}

impl io::Write for Full {
    fn write(&mut self, _bytes: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::StorageFull.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A disk to be: its bytes, and its parts at their places.
#[derive(Clone, Debug)]
pub(crate) struct Disk {
    pub(crate) size: u64,
    pub(crate) parts: Vec<(u64, Part)>,
}

/// Bytes that are not shown when a test fails.
#[derive(Clone)]
pub(crate) struct Part(pub(crate) Vec<u8>);

impl std::fmt::Debug for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes like {:?}", self.0.len(), &self.0[..self.0.len().min(8)])
    }
}

impl Disk {
    pub(crate) fn virtual_disk(&self) -> VirtualDisk<'_> {
        let segments = self.parts.iter().map(|(start, part)| Segment { start: *start, content: &part.0 });
        VirtualDisk::new(self.size, segments.collect()).unwrap()
    }

    /// The disk as a raw file with holes.
    pub(crate) fn write_raw(&self, path: &Path) {
        let file = File::create(path).unwrap();
        file.set_len(self.size).unwrap();
        for (start, part) in &self.parts {
            file.write_all_at(&part.0, *start).unwrap();
        }
    }
}

/// Bytes that no order can be seen in: xorshift64.
pub(crate) fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 24) as u8
    };
    (0..length).map(|_| next()).collect()
}

/// Bytes that shrink, but are not all the same.
pub(crate) fn text(seed: u64, length: usize) -> Vec<u8> {
    (seed..).flat_map(|number| format!("line {number}\n").into_bytes()).take(length).collect()
}

/// Random disks of up to `mib` MiB with gaps, zeros, text and noise.
pub(crate) fn disks(mib: u64) -> impl Strategy<Value = Disk> {
    let part = (0u64..mib << 19, 1usize..600_000, 0u8..4, any::<u64>());
    (prop::collection::vec(part, 0..7), 1u64..4000).prop_map(move |(parts, tail)| {
        let (mut at, mut placed) = (0, Vec::new());
        for (gap, length, kind, seed) in parts {
            let start = at + gap % (mib << 18);
            let bytes = match kind {
                0 => vec![0; length],
                1 => noise(seed, length),
                2 => text(seed >> 1, length),
                _ => noise(seed, length).iter().map(|byte| byte & 0x7b).collect(),
            };
            at = start + length as u64;
            placed.push((start, Part(bytes)));
        }
        Disk { size: (at + tail * 300).next_multiple_of(512), parts: placed }
    })
}

/// Runs a tool of the host that must be content; gives what it said.
pub(crate) fn run(program: &str, package: &str, arguments: &[&str]) -> String {
    let output = Command::new(program)
        .args(arguments)
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("LC_ALL", "C.UTF-8")
        .env("TZ", "UTC")
        .output()
        .unwrap_or_else(|error| panic!("{program} can't be run ({error}): apt-get install {package}"));
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{program} {arguments:?}: {}\n{said}", output.status);
    said
}

/// `qemu-img` finds the same disk in an image as in a raw file.
pub(crate) fn assert_equal_to_raw(format: &str, image: &Path, disk: &Disk) {
    let raw = image.with_extension("raw");
    disk.write_raw(&raw);
    let (image, raw) = (image.to_str().unwrap(), raw.to_str().unwrap());
    let said = run("qemu-img", "qemu-utils", &["compare", "-f", "raw", "-F", format, raw, image]);
    assert!(said.contains("Images are identical."), "{said}");
}

/// What `work` makes with one thread, and that it is the same with three.
pub(crate) fn with_any_number_of_threads<T: Send + PartialEq>(work: impl Fn() -> T + Sync) -> T {
    let run = |threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(&work);
    let one = run(1);
    assert!(run(3) == one, "the result depends on the number of threads");
    one
}

pub(crate) fn read(path: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    File::open(path).unwrap().read_to_end(&mut bytes).unwrap();
    bytes
}
