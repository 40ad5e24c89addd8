use std::{fmt, path::PathBuf};

use basalt_node::install::DiskUse;
use basalt_types::ByteSize;
use serde::Serialize;

/// The image's table and nothing else.
const HEAD: u64 = 1 << 20;

/// A raw disk image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ImageFacts {
    /// Its file.
    pub path: PathBuf,
    /// How many bytes.
    pub size: u64,
    /// Whether it begins with a partition table that can be read.
    pub has_table: bool,
    /// The places that may hold something else than zeros, ascending.
    pub data: Vec<Span>,
}

/// Bytes of an image and of a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Span {
    /// The first.
    pub start: u64,
    /// The one behind the last.
    pub end: u64,
}

/// What is to be written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TargetFacts {
    /// Its path.
    pub path: PathBuf,
    /// What it is.
    pub kind: TargetKind,
}

/// What a target is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "kind")]
pub enum TargetKind {
    /// A whole disk.
    Disk {
        /// How many bytes it has.
        size: u64,
        /// Bytes of a logical sector.
        sector_size: u32,
        /// Who uses it.
        uses: Vec<DiskUse>,
    },
    /// A partition of a disk.
    Partition,
    /// A file, or nothing yet.
    File {
        /// Whether it is there.
        exists: bool,
    },
    /// Something else, such as a directory.
    Other,
}

/// How an image comes onto a disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WritePlan {
    /// The image.
    pub image: PathBuf,
    /// The disk or file.
    pub target: PathBuf,
    /// Whether a file of the image's size is made under another name first.
    pub fresh_file: bool,
    /// How many bytes the image has.
    pub size: u64,
    /// What to do, in this order; what a step wrote is on the medium before the next one begins.
    pub steps: Vec<WriteStep>,
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "step")]
pub enum WriteStep {
    /// Make these bytes zeros.
    Erase {
        /// Which.
        places: Vec<Span>,
    },
    /// Copy these bytes.
    Copy {
        /// Which.
        places: Vec<Span>,
    },
    /// Read everything in this span back, and compare it.
    Verify {
        /// Which.
        place: Span,
    },
}

/// Why nothing is written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The image is none.
    #[error("{} is no raw disk image: it has no partition table", .0.display())]
    NoImage(PathBuf),
    /// The image does not fit.
    #[error("{} has {}, and the image has {}", path.display(), has.human(), needs.human())]
    TooSmall {
        /// The disk.
        path: PathBuf,
        /// Its size.
        has: ByteSize,
        /// The image's.
        needs: ByteSize,
    },
    /// Somebody uses the disk.
    #[error("{} is in use: {}", path.display(), uses.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Busy {
        /// The disk.
        path: PathBuf,
        /// Who.
        uses: Vec<DiskUse>,
    },
    /// The sectors are not those that the table counts in.
    #[error("{} has sectors of {sector_size} bytes, and the image counts in 512", path.display())]
    Sectors {
        /// The disk.
        path: PathBuf,
        /// Bytes of a sector.
        sector_size: u32,
    },
    /// A partition.
    #[error("{} is a partition, and the image is a whole disk", .0.display())]
    Partition(PathBuf),
    /// Neither a disk nor a file.
    #[error("{} is neither a disk nor a file", .0.display())]
    Other(PathBuf),
}

impl Refusal {
    /// What to do next.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::NoImage(_) => {
                "give NAME.raw or NAME.iso of a build; `qemu-img convert -O raw` makes one of the others"
            }
            Self::TooSmall { .. } => "take a larger disk; the machine grows into all of it at its first boot",
            Self::Busy { .. } => "unmount it, or take down what is made of it: `lsblk` shows both",
            Self::Sectors { .. } => "take a disk with sectors of 512 bytes",
            Self::Partition(_) => "give the disk that it is a part of",
            Self::Other(_) => "give a disk such as /dev/sdb, or the name of a file",
        }
    }
}

/// Plans to write an image onto a disk, or into a file.
///
/// # Errors
/// Every reason for which nothing should be written.
pub fn plan(image: &ImageFacts, target: &TargetFacts) -> Result<WritePlan, Vec<Refusal>> {
    let mut refusals = Vec::new();
    if !image.has_table {
        refusals.push(Refusal::NoImage(image.path.clone()));
    }
    let path = || target.path.clone();
    let mut steps = Vec::new();
    let head = HEAD.min(image.size);
    let whole = Span { start: 0, end: image.size };
    match &target.kind {
        TargetKind::Disk { size, sector_size, uses } => {
            if *size < image.size {
                let (has, needs) = (ByteSize::bytes(*size), ByteSize::bytes(image.size));
                refusals.push(Refusal::TooSmall { path: path(), has, needs });
            }
            if !uses.is_empty() {
                refusals.push(Refusal::Busy { path: path(), uses: uses.clone() });
            }
            if *sector_size != 512 {
                refusals.push(Refusal::Sectors { path: path(), sector_size: *sector_size });
            }
            // Nobody finds what was there before, by the first copy of its table nor by the last.
            let end = Span { start: size.saturating_sub(HEAD).max(head), end: *size };
            let places = [Span { start: 0, end: head }, end];
            steps.push(WriteStep::Erase {
                places: places.into_iter().filter(|place| place.start < place.end).collect(),
            });
            let behind = Span { start: head, end: image.size };
            steps.push(WriteStep::Erase { places: holes(behind, &image.data) });
        }
        TargetKind::File { exists: _ } => {}
        TargetKind::Partition => refusals.push(Refusal::Partition(path())),
        TargetKind::Other => refusals.push(Refusal::Other(path())),
    }
    let (first, rest) = (clipped(&image.data, 0..head), clipped(&image.data, head..image.size));
    steps.push(WriteStep::Copy { places: rest });
    steps.push(WriteStep::Verify { place: Span { start: head, end: image.size } });
    steps.push(WriteStep::Copy { places: first });
    steps.push(WriteStep::Verify { place: Span { start: 0, end: head } });
    steps.retain(|step| !step.is_empty());
    if !refusals.is_empty() {
        return Err(refusals);
    }
    let fresh_file = matches!(target.kind, TargetKind::File { .. });
    Ok(WritePlan { image: image.path.clone(), target: path(), fresh_file, size: whole.end, steps })
}

/// The parts of `spans` within `range`.
fn clipped(spans: &[Span], range: std::ops::Range<u64>) -> Vec<Span> {
    let clip = |span: &Span| Span { start: span.start.max(range.start), end: span.end.min(range.end) };
    spans.iter().map(clip).filter(|span| span.start < span.end).collect()
}

/// What of `whole` is in none of `data`.
fn holes(whole: Span, data: &[Span]) -> Vec<Span> {
    let mut next = whole.start;
    let mut found = Vec::new();
    for span in clipped(data, whole.start..whole.end) {
        found.push(Span { start: next, end: span.start });
        next = span.end;
    }
    found.push(Span { start: next, end: whole.end });
    found.retain(|span| span.start < span.end);
    found
}

fn total(places: &[Span]) -> ByteSize {
    ByteSize::bytes(places.iter().map(|place| place.end - place.start).sum())
}

impl WriteStep {
    fn is_empty(&self) -> bool {
        match self {
            Self::Erase { places } | Self::Copy { places } => places.is_empty(),
            Self::Verify { place } => place.start >= place.end,
        }
    }
}

impl fmt::Display for WritePlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { image, target, fresh_file, size, steps } = self;
        let size = ByteSize::bytes(*size).human();
        writeln!(f, "{} ({size}) → {}", image.display(), target.display())?;
        if !fresh_file {
            writeln!(f, "EVERYTHING on {} is lost", target.display())?;
        }
        for (number, step) in (1..).zip(steps) {
            writeln!(f, "{number:>2}. {step}")?;
        }
        Ok(())
    }
}

impl fmt::Display for WriteStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Erase { places } => write!(f, "make {} zeros", total(places).human()),
            Self::Copy { places } => write!(f, "copy {}", total(places).human()),
            Self::Verify { place } => {
                write!(f, "read {} back and compare", total(&[*place]).human())
            }
        }
    }
}
