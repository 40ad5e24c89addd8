//! `basalt inspect`: what a file is and what is in it.

mod report;

use std::path::PathBuf;

use basalt_formats::{
    bootentry::EntryName,
    fat,
    gpt::Parsed,
    uki::{self, Uki},
    verity,
};
use basalt_image::layout::{LIVE_ESP, LIVE_ROOT, LIVE_VERITY, Role, System};
use basalt_trust::{authenticode, common_name};
use basalt_types::Digest;

use self::report::{Disk, KernelImage, Partition, Release, Report, Root, Signed, Verified};
use crate::{
    engine::{
        artifact::{Artifact, RootView, Window},
        stores::OpenFile,
    },
    error::{CommandError, CommandResult, Kind, OrFail as _},
};

/// Show what is in a disk image, UKI, EROFS image, manifest or lock
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The file
    file: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// List every file of the root file system
    #[arg(long)]
    files: bool,
}

/// Runs the command.
///
/// # Errors
/// When the file can't be opened, is none of ours, or what is in it is damaged.
pub fn run(arguments: &Arguments) -> CommandResult {
    let artifact = Artifact::open(&arguments.file).or_fail(Kind::User)?;
    let report = match &artifact {
        Artifact::Disk(file, parsed) => Report::Disk(observe_disk(file, parsed, arguments.files)?),
        Artifact::Program(bytes) => {
            let image = uki::read(bytes).map_err(|error| {
                CommandError::new(Kind::User, error)
                    .hint("of PE programs only unified kernel images are shown")
            })?;
            Report::KernelImage(kernel_image(&image, bytes))
        }
        Artifact::Root(file) => Report::Root(observe_root(Window::all(file), arguments.files)?),
        Artifact::Manifest(manifest) => Report::Manifest(manifest.clone()),
        Artifact::Lock(lock) => Report::Lock(lock.clone()),
    };
    match arguments.json {
        true => super::print(&serde_json::to_string_pretty(&report).or_fail(Kind::Bug)?),
        false => super::print(&report.to_string()),
    }
}

fn observe_disk(file: &OpenFile, parsed: &Parsed, list: bool) -> CommandResult<Disk> {
    let table = &parsed.table;
    let sector = table.sector_size;
    let partitions = table.partitions.iter().map(|partition| Partition {
        number: partition.number,
        label: partition.label.as_ref().map(ToString::to_string).unwrap_or_default(),
        size: partition.sectors() * u64::from(sector),
        guid: partition.guid,
    });
    let mut disk = Disk {
        size: table.total_sectors * u64::from(sector),
        table: format!("{:?}", parsed.health).to_lowercase(),
        partitions: partitions.collect(),
        releases: Vec::new(),
        slots: Vec::new(),
    };
    let of_role = |role| Window::partition(file, table, role);
    let of_live = |label| Window::labelled(file, table, &label);
    for (entry, bytes) in kernel_images(file, parsed)? {
        disk.releases.push(Release {
            entry: entry.to_string(),
            tries_left: entry.tries().map(|tries| tries.left),
            kernel: kernel_image(&uki::read(&bytes).or_fail(Kind::User)?, &bytes),
        });
    }
    let slot = |system| {
        let (root, hashes) = (Role::Root(system), Role::Verity(system));
        (root.to_string(), of_role(root), of_role(hashes))
    };
    let live = (LIVE_ROOT.to_string(), of_live(LIVE_ROOT), of_live(LIVE_VERITY));
    for (name, root, hashes) in System::ALL.map(slot).into_iter().chain([live]) {
        let Some(window) = root else { continue };
        let mut root = observe_root(window, list)?;
        if let Some(hashes) = hashes {
            root.verified = check(&window, &hashes, &disk.releases);
        }
        disk.slots.push((name, root));
    }
    Ok(disk)
}

/// The kernel images that the boot loader of a disk finds; none when the disk has no EFI system partition.
pub(super) fn kernel_images(file: &OpenFile, parsed: &Parsed) -> CommandResult<Vec<(EntryName, Vec<u8>)>> {
    let table = &parsed.table;
    let esp = Window::partition(file, table, Role::Esp);
    let Some(esp) = esp.or_else(|| Window::labelled(file, table, &LIVE_ESP)) else { return Ok(Vec::new()) };
    let listing = fat::read(file, esp.start()).or_fail(Kind::User)?;
    let mut images = Vec::new();
    for item in listing.items() {
        let Some(name) = item.path.strip_prefix("EFI/Linux/") else { continue };
        let Ok(entry) = name.parse::<EntryName>() else { continue };
        images.push((entry, listing.read_file(&item.path).or_fail(Kind::User)?));
    }
    Ok(images)
}

fn observe_root(window: Window<'_>, list: bool) -> CommandResult<Root> {
    let view = RootView::open(window).or_fail(Kind::User)?;
    let info = view.info().or_fail(Kind::User)?;
    let mut files = Vec::new();
    let mut count = 0;
    view.tree.walk(&mut |path, _| {
        count += 1;
        if list {
            files.push(String::from_utf8_lossy(path).into_owned());
        }
    });
    Ok(Root {
        size: view.size,
        image: info.map(|info| (info.name.to_string(), info.version.to_string(), info.id)),
        packages: view.packages().or_fail(Kind::User)?.len(),
        file_count: count,
        files,
        verified: Verified::Unknown,
    })
}

/// Recomputes the hash tree's claim: for the root hash of some release on the ESP the whole root must verify.
fn check(data: &Window<'_>, hashes: &Window<'_>, releases: &[Release]) -> Verified {
    let mut verdict = Verified::Unknown;
    for release in releases {
        let Some(Ok(root)) = release.kernel.root_hash.as_deref().map(Digest::from_hex) else { continue };
        match verity::verify(data, hashes, &root) {
            Ok(()) => return Verified::Yes(root.hex()),
            Err(corruption) => verdict = Verified::No(corruption.to_string()),
        }
    }
    verdict
}

fn kernel_image(image: &Uki, bytes: &[u8]) -> KernelImage {
    let field = |name: &str| {
        let line = image.osrel.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        line.map(|value| value.trim_matches('"').to_owned())
    };
    let root_hash = image.cmdline.split_whitespace().find_map(|word| word.strip_prefix("roothash="));
    KernelImage {
        name: field("IMAGE_ID").or_else(|| field("ID")).unwrap_or_default(),
        version: field("IMAGE_VERSION").or_else(|| field("VERSION_ID")).unwrap_or_default(),
        kernel: image.uname.clone(),
        command_line: image.cmdline.clone(),
        root_hash: root_hash.map(str::to_owned),
        sections: image.sections.iter().map(|(name, range)| (name.clone(), range.len() as u64)).collect(),
        signed: signed(bytes),
    }
}

fn signed(program: &[u8]) -> Signed {
    match authenticode::verify(program) {
        Ok(signers) if signers.is_empty() => Signed::No,
        Ok(signers) => Signed::By(signers.iter().map(common_name).collect()),
        Err(error) => Signed::Wrongly(error.to_string()),
    }
}
