//! Does the steps of a build plan, one after the other, and decides nothing.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use basalt_fetch::{
    debian::{self, Context, Wish},
    http::HttpError,
};
use basalt_formats::{
    cpio,
    erofs::{self, Image},
    tree::{Content, ReadContent, Tree},
};
use basalt_image::{
    customise::{self, Customisation},
    initramfs::{self, InitramfsSource},
    kernel,
    plan::{BuildPlan, Step, StepName},
};
use basalt_spec::{
    Artifact, LockedPackage, MANIFEST_VERSION, Manifest, Origin, Output, OutputSource, Script,
};
use basalt_types::{ByteSize, Digest, Guid};

use super::{Build, OutputRecord};
use crate::{
    base::{BaseRequest, DebPackage, ExtendRequest, ScriptRequest, Workshop},
    engine::{
        base_oci,
        bill::{self, BuildReport, Made},
        cache::ResultKind,
        node::PACKAGE,
        output::{PartialFile, Stamp},
        outputs::{self, OutputsError, WrittenFile},
        release::{self, Release, ReleaseError},
        store_care,
        stores::OpenFile,
    },
    error::{CommandError, CommandResult, Kind, OrFail as _},
    report::{self, Event, Reporter},
};

/// How hard the initramfs is compressed. Above this, zstd takes two to four times as long for a percent.
const INITRAMFS_LEVEL: i32 = 9;

/// What a build made or found standing.
#[derive(Debug)]
pub struct Outcome {
    /// The files, most interesting first.
    pub files: Vec<PathBuf>,
    /// What was made and how long it took; `None` when nothing ran.
    pub summary: Option<BuildReport>,
    /// The smallest disk that the image can grow on; `None` when nothing ran.
    pub minimum_disk: Option<ByteSize>,
}

/// Does what `plan` says. Safe to run again after any failure or interruption.
///
/// # Errors
/// The first step's that fails; what steps before it made is kept.
pub fn execute(build: &Build, plan: &BuildPlan, reporter: &Reporter) -> CommandResult<Outcome> {
    let finished = execute_steps(build, plan, reporter)?;
    let (summary, minimum_disk) = match finished {
        Some(finished) => {
            let minimum_disk = finished.minimum_disk;
            (Some(describe(build, finished, reporter)?), minimum_disk)
        }
        None => (None, None),
    };
    if let Some(swept) = store_care::bound(build.host.cache.root()).or_fail(Kind::Host)? {
        let (entries, size) = (report::count(swept.removed, "entry"), report::size(swept.bytes));
        let text = format!("kept the cache within {}: removed {entries}, {size}", store_care::LIMIT_VARIABLE);
        reporter.report(&Event::Note { step: StepName::Outputs, text });
    }
    let endings = build.recipe().outputs.iter().flat_map(|output| output.endings());
    let files = endings.map(|ending| build.artifact(ending));
    let files = files.chain([build.artifact("manifest.json")]).collect();
    Ok(Outcome { files, summary, minimum_disk })
}

fn execute_steps(build: &Build, plan: &BuildPlan, reporter: &Reporter) -> CommandResult<Option<Finished>> {
    if let (Some(below), Some(plan)) = (&build.below, &plan.below) {
        execute_steps(below, plan, reporter)?;
    }
    let mut finished = None;
    for step in plan.steps.iter().filter(|step| step.runs()) {
        build.host.check_stop()?;
        let done = match step.name {
            StepName::Fetch => fetch(build, reporter),
            StepName::Base => base(build, step, reporter),
            StepName::Script => script(build, step, reporter),
            StepName::Initramfs => make_initramfs(build, step, reporter),
            StepName::Release => make_release(build, step, reporter),
            StepName::Outputs => {
                write_outputs(build, plan, step, reporter).map(|outputs| finished = Some(outputs))
            }
        };
        // A worker that was interrupted fails in its own words; the person only wants to know that it stopped.
        build.host.check_stop()?;
        done?;
    }
    Ok(finished)
}

/// Outputs that have their names.
struct Finished {
    key: Digest,
    manifest: Manifest,
    stamps: BTreeMap<PathBuf, Stamp>,
    /// The smallest disk that the image can grow on.
    minimum_disk: Option<ByteSize>,
}

/// Writes what goes with the outputs, and remembers that the folder holds this build.
fn describe(build: &Build, finished: Finished, reporter: &Reporter) -> CommandResult<BuildReport> {
    let Finished { key, manifest, mut stamps, minimum_disk: _ } = finished;
    let (tree, stores) = system_tree(build)?;
    // Most of a sparse image are zeros, which take seconds to hash; the root hash and the UKI say what it is.
    let sparse = [Output::Disk, Output::Vhd].map(|output| build.artifact(output.endings()[0]));
    let made = stamps.keys().filter(|path| !sparse.contains(path));
    let made: Vec<Made> = made.map(|path| Made { path: path.clone(), digest: None }).collect();
    let request = bill::Request {
        manifest: &manifest,
        lock: build.lock(),
        root: Some((&tree, &stores)),
        known: &|_node| None,
        made: &made,
        events: &reporter.journal(),
        place: &|ending| build.artifact(ending),
        key,
    };
    let written = bill::write(&request).or_fail(Kind::Host)?;
    stamps.extend(written.stamps);
    record_outputs(build, stamps)?;
    Ok(written.report)
}

fn fetch(build: &Build, reporter: &Reporter) -> CommandResult {
    let wishes = wishes(build)?;
    let layers = build.image().map(|(_, image)| image.layers.as_slice()).unwrap_or_default();
    let sizes = wishes.iter().map(|wish| wish.size).chain(layers.iter().map(|layer| layer.size));
    let total = sizes.sum();
    let done = AtomicU64::new(0);
    let report = |event: debian::Event<'_>| match event {
        debian::Event::Advanced { bytes } => {
            let done = done.fetch_add(bytes, Ordering::Relaxed) + bytes;
            reporter.report(&Event::Progress { step: StepName::Fetch, done, total });
        }
        debian::Event::Corrupt { url, moved_to } => {
            let text = format!(
                "{url} was damaged in the store (moved to {}): fetching it again",
                moved_to.display()
            );
            reporter.report(&Event::Note { step: StepName::Fetch, text });
        }
        debian::Event::Started { .. } | debian::Event::Finished { .. } => {}
    };
    for (package, moved_to) in &build.damaged {
        let text = format!(
            "{package} was damaged in the store (moved to {}): fetching it again",
            moved_to.display()
        );
        reporter.report(&Event::Note { step: StepName::Fetch, text });
    }
    reporter.step(StepName::Fetch, || {
        let client = build.host.client()?;
        let context = Context { client: &client, store: &build.host.store, report: &report };
        if let Some((base, image)) = build.image() {
            base_oci::fetch(context, base, image, &build.folder)?;
            return Ok(((), format!("{}, {}", report::count(layers.len(), "layer"), report::size(total))));
        }
        debian::fetch_packages(context, &wishes).map_err(refuse_download)?;
        Ok(((), format!("{}, {}", report::count(wishes.len(), "package"), report::size(total))))
    })
}

fn refuse_download(error: HttpError) -> CommandError {
    let kind = match error {
        HttpError::Store(_) => Kind::Host,
        HttpError::Cancelled { .. } => Kind::Interrupted,
        HttpError::Status { .. }
        | HttpError::File { .. }
        | HttpError::Transport { .. }
        | HttpError::TooLong { .. }
        | HttpError::Url { .. }
        | HttpError::Proxy(_)
        | HttpError::Mismatch { .. } => Kind::Remote,
    };
    CommandError::new(kind, error)
        .hint("what was fetched is kept: the same command goes on where it stopped")
        .hint("a package that left the archive is gone for good: `basalt lock` chooses its successor")
}

/// Every package of the archive, by address and digest.
fn wishes(build: &Build) -> CommandResult<Vec<Wish>> {
    let mut wishes = Vec::new();
    for package in build.added_packages() {
        let Origin::Archive { source, path } = &package.origin else { continue };
        let source = usize::try_from(*source).or_fail(Kind::Bug)?;
        let uri = build.lock().sources.get(source).map(|source| source.uri.as_str()).unwrap_or_default();
        let url = format!("{}/{path}", uri.trim_end_matches('/'));
        wishes.push(Wish { url, digest: package.sha256, size: package.size });
    }
    Ok(wishes)
}

fn base(build: &Build, step: &Step, reporter: &Reporter) -> CommandResult {
    if let Some((_, image)) = build.image() {
        return make_tree(build, step, reporter, |out| {
            let made = base_oci::assemble(image, &build.host.store, &build.node, &build.host.cache.work())?;
            let file = fs::OpenOptions::new().write(true).open(out).or_fail(Kind::Host)?;
            write_tree(&made.tree, &made.content, epoch(build)?, &file)?;
            Ok(report::count(image.layers.len(), "layer"))
        });
    }
    let mut packages: Vec<DebPackage> =
        build.added_packages().into_iter().map(|package| deb_package(build, package)).collect();
    if build.below.is_none() {
        packages.insert(0, node_package(build)?);
    }
    let count = packages.len();
    let architecture = build.recipe().architecture.debian().to_owned();
    let request = BaseRequest { packages, architecture, epoch: epoch(build)? };
    make_tree(build, step, reporter, |out| {
        let events = show(StepName::Base, reporter);
        let report = match &build.below {
            None => workshop(build).build_base(&request, out, &events),
            Some(below) => {
                let (tree, stores) = system_tree(below)?;
                let image = store_tree(build, &tree, &stores)?;
                let request = ExtendRequest { image: image.path().to_owned(), added: request };
                workshop(build).extend(&request, out, &events)
            }
        };
        let report = report.map_err(|error| CommandError::new(Kind::Host, error))?;
        Ok(format!("{}, {}", report::count(count, "package"), report::size(report.size)))
    })
}

/// The package of our own programs, which comes with this one.
fn node_package(build: &Build) -> CommandResult<DebPackage> {
    let (digest, path) = build.host.store.insert(&build.node.archive).or_fail(Kind::Host)?;
    Ok(DebPackage {
        name: PACKAGE.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        architecture: build.recipe().architecture.to_string(),
        path,
        sha256: digest,
        size: build.node.archive.len() as u64,
    })
}

fn deb_package(build: &Build, package: &LockedPackage) -> DebPackage {
    DebPackage {
        name: package.name.to_string(),
        version: package.version.to_string(),
        architecture: package.architecture.to_string(),
        path: match &package.origin {
            Origin::Archive { .. } => build.host.store.path(&package.sha256),
            Origin::File(path) => build.folder.join(path.as_str()),
        },
        sha256: package.sha256,
        size: package.size,
    }
}

fn script(build: &Build, step: &Step, reporter: &Reporter) -> CommandResult {
    let text = match &build.recipe().script {
        None => return Ok(()),
        Some(Script::Inline(text)) => text.clone(),
        Some(Script::Source(path)) => {
            let bytes = build.sources.get(path).cloned().unwrap_or_default();
            String::from_utf8(bytes).or_fail(Kind::User)?
        }
    };
    let epoch = epoch(build)?;
    make_tree(build, step, reporter, |out| {
        let (mut tree, stores) = start_tree(build)?;
        customise(build, &mut tree, &stores)?;
        let image = store_tree(build, &tree, &stores)?;
        let request = ScriptRequest { image: image.path().to_owned(), script: text, epoch };
        let report = workshop(build).run_script(&request, out, &show(StepName::Script, reporter));
        let report = report.map_err(|error| CommandError::new(Kind::User, error))?;
        Ok(report::size(report.size))
    })
}

fn make_initramfs(build: &Build, step: &Step, reporter: &Reporter) -> CommandResult {
    reporter.step(step.name, || {
        let (tree, stores) = start_tree(build)?;
        let kernel = kernel::find(&tree).or_fail(Kind::User)?;
        let modules = initramfs::plan_modules(&tree, &stores, &kernel.version).or_fail(Kind::User)?;
        let source = InitramfsSource {
            image: &tree,
            content: &stores,
            init: build.node.init.clone(),
            epoch: epoch(build)?,
        };
        let content = initramfs::assemble(&source, &modules).or_fail(Kind::User)?;
        let archive = cpio::write(&content, &stores, epoch(build)?).or_fail(Kind::Bug)?;
        let compressed = cpio::compress_initramfs(&archive, INITRAMFS_LEVEL).or_fail(Kind::Bug)?;
        let result = build.host.cache.new_result().or_fail(Kind::Host)?;
        fs::write(result.path(), &compressed).or_fail(Kind::Host)?;
        build.host.cache.keep(result, &step.key, ResultKind::Initramfs).or_fail(Kind::Host)?;
        let size = report::size(compressed.len() as u64);
        Ok((
            (),
            format!(
                "{} for kernel {}, {size}",
                report::count(modules.modules.len(), "module"),
                kernel.version
            ),
        ))
    })
}

fn make_release(build: &Build, step: &Step, reporter: &Reporter) -> CommandResult {
    reporter.step(step.name, || {
        let (mut tree, stores) = system_tree(build)?;
        let initramfs = whole_result(build, &build.keys().initramfs, ResultKind::Initramfs)?;
        let initramfs = fs::read(initramfs).or_fail(Kind::Host)?;
        let request = release::Request {
            recipe: build.recipe(),
            id: build.id,
            epoch: epoch(build)?,
            content: &stores,
            initramfs: &initramfs,
        };
        let donors = donors(build)?;
        let folder = build.host.cache.new_result_folder().or_fail(Kind::Host)?;
        let record = release::make(request, &mut tree, &donors, folder.path()).map_err(refuse_release)?;
        build.host.cache.keep_folder(folder, &step.key, ResultKind::Release).or_fail(Kind::Host)?;
        Ok(((), format!("root {}, root hash {}", record.root_size.human(), record.root_hash.hex())))
    })
}

/// Earlier releases of this cache, whose compressed files are taken over: the newest few, for most builds differ little
/// from the one before.
fn donors(build: &Build) -> CommandResult<Vec<release::Donor>> {
    const MOST: usize = 3;
    if build.observed.ignore_cache {
        return Ok(Vec::new());
    }
    let newest = build.host.cache.newest(ResultKind::Release, MOST).or_fail(Kind::Host)?;
    // One that can't be used costs time and nothing else.
    Ok(newest.iter().filter_map(|folder| release::Donor::open(folder).ok()).collect())
}

fn refuse_release(error: ReleaseError) -> CommandError {
    use ReleaseError as E;
    if is_full(&error) {
        return CommandError::new(
            Kind::Host,
            "no space left in the cache; nothing half-written is left there",
        )
        .hint("free some, or say with BASALT_CACHE where there is more");
    }
    let kind = match &error {
        E::Kernel(_) | E::Missing { .. } | E::Layout(_) | E::CommandLine(_) | E::Finalise(_) => Kind::User,
        E::Read { .. } | E::Erofs(_) | E::Write(_) => Kind::Host,
        E::Place { .. } | E::InfoTooLong(_) | E::HashTree(_) | E::Uki(_) => Kind::Bug,
    };
    CommandError::new(kind, error)
}

/// Writes what the recipe asks for.
fn write_outputs(
    build: &Build,
    plan: &BuildPlan,
    step: &Step,
    reporter: &Reporter,
) -> CommandResult<Finished> {
    reporter.step(step.name, || {
        let release = match plan.step(StepName::Release) {
            Some(step) => Some(sign(open_release(build, step)?, build)?),
            None => None,
        };
        let from_tree = |output: &Output| output.source() != OutputSource::Release;
        let tree = build.recipe().outputs.iter().any(from_tree).then(|| system_tree(build)).transpose()?;
        let below = build.below.as_deref().filter(|_| build.inputs.outputs.difference);
        let below = below.map(system_tree).transpose()?;
        let context = outputs::Context {
            recipe: build.recipe(),
            id: build.id,
            epoch: epoch(build)?,
            release: release.as_ref(),
            tree: tree.as_ref().map(|(tree, stores)| (tree, stores as &dyn ReadContent)),
            below: below.as_ref().map(|(tree, stores)| (tree, stores as &dyn ReadContent)),
            signing: build.signing.as_ref(),
            place: &|ending| build.artifact(ending),
            stop: &build.host.stop,
        };
        let written = outputs::write(&context).map_err(|error| refuse_outputs(build, error))?;
        build.host.check_stop()?;
        let record = release.as_ref().map(|release| &release.record);
        let finished = finish(build, step.key, written, record)?;
        let summary = report::count(finished.manifest.artifacts.len(), "file");
        Ok((finished, summary))
    })
}

/// Signs what boots, if it is to be signed. The result of the release's step stays unsigned: keys are no part of it.
fn sign(mut release: Release, build: &Build) -> CommandResult<Release> {
    if let Some(signing) = &build.signing {
        signing.sign_release(&mut release).or_fail(Kind::Bug)?;
    }
    Ok(release)
}

fn open_release(build: &Build, step: &Step) -> CommandResult<Release> {
    let folder = whole_result(build, &step.key, ResultKind::Release)?;
    Release::open(&folder).map_err(|error| {
        CommandError::new(Kind::Host, error).hint(format!("remove {} and build again", folder.display()))
    })
}

fn refuse_outputs(build: &Build, error: OutputsError) -> CommandError {
    use OutputsError as E;
    if is_full(&error) {
        let place = build.output.display();
        return CommandError::new(
            Kind::Host,
            format!("no space left in {place}; nothing half-written is left there"),
        )
        .hint("free some, or choose another folder with -o");
    }
    let kind = match &error {
        E::Output(_) | E::Io(_) | E::Container(_) => Kind::Host,
        E::Chunks(_) | E::Tar(_) | E::Cpio(_) | E::Verity(_) => Kind::Host,
        // An argument that iPXE takes for its own, or a root of 4 GiB.
        E::Netboot(_) => Kind::User,
        E::Live(_) => Kind::Bug,
        E::Extension(_) | E::Keys(_) => Kind::User,
        E::Erofs(_) | E::HashTree(_) => Kind::Host,
        E::NoSource(_) | E::Layout(_) | E::Esp(_) | E::Table(_) | E::Panicked(_) => Kind::Bug,
    };
    CommandError::new(kind, error)
}

/// Whether a full file system is at the bottom of an error.
fn is_full(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        let full = [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded];
        if error.downcast_ref::<io::Error>().is_some_and(|error| full.contains(&error.kind())) {
            return true;
        }
        cause = error.source();
    }
    false
}

/// Gives everything its final name, the manifest last.
fn finish(
    build: &Build,
    key: Digest,
    written: outputs::Written,
    record: Option<&release::Record>,
) -> CommandResult<Finished> {
    let outputs::Written { files, partitions } = written;
    let mut stamps = BTreeMap::new();
    let mut artifacts = Vec::new();
    for WrittenFile { output, file } in files {
        let path = file.target().to_owned();
        let stamp = file.finish(key).or_fail(Kind::Host)?;
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        artifacts.push(Artifact { output, file, size: stamp.size(), digest: None });
        stamps.insert(path, stamp);
    }
    let recipe = build.recipe();
    let manifest = Manifest {
        format: MANIFEST_VERSION,
        name: recipe.name.clone(),
        version: recipe.version.clone(),
        id: build.id,
        architecture: recipe.architecture,
        epoch: build.lock().epoch,
        root_hash: record.map(|record| record.root_hash),
        lock: build.lock().content_digest(),
        packages: u32::try_from(build.lock().packages.len()).or_fail(Kind::Bug)?,
        kernel: record.map(|record| record.kernel.clone()),
        tool: env!("CARGO_PKG_VERSION").to_owned(),
        partitions,
        artifacts,
    };
    let path = build.artifact("manifest.json");
    stamps.insert(path.clone(), write_whole(&path, manifest.to_json().as_bytes(), key)?);
    let minimum_disk = record.map(|record| record.layout.minimum_disk());
    Ok(Finished { key, manifest, stamps, minimum_disk })
}

fn write_whole(path: &Path, bytes: &[u8], key: Digest) -> CommandResult<Stamp> {
    let file = PartialFile::create(path).or_fail(Kind::Host)?;
    basalt_formats::WriteAt::write_at(&file, 0, bytes).or_fail(Kind::Host)?;
    file.finish(key).or_fail(Kind::Host)
}

fn record_outputs(build: &Build, files: BTreeMap<PathBuf, Stamp>) -> CommandResult {
    let absolute = |(path, stamp)| Ok((std::path::absolute(path).or_fail(Kind::Host)?, stamp));
    let files = files.into_iter().map(absolute).collect::<CommandResult<_>>()?;
    let text = serde_json::to_vec(&OutputRecord { files }).or_fail(Kind::Bug)?;
    let access = basalt_exec::files::Access::Public;
    basalt_exec::files::write_atomic(&build.record_path(), &text, access).or_fail(Kind::Host)
}

/// Runs a step whose result is a tree, and gives the result its name.
fn make_tree(
    build: &Build,
    step: &Step,
    reporter: &Reporter,
    work: impl FnOnce(&Path) -> CommandResult<String>,
) -> CommandResult {
    reporter.step(step.name, || {
        let result = build.host.cache.new_result().or_fail(Kind::Host)?;
        let summary = work(result.path())?;
        build.host.cache.keep(result, &step.key, ResultKind::Tree).or_fail(Kind::Host)?;
        Ok(((), summary))
    })
}

/// The tree as packages, files and script left it.
fn system_tree(build: &Build) -> CommandResult<(Tree, OpenFile)> {
    if let Some(key) = build.keys().script {
        return open_tree(build, &key);
    }
    let (mut tree, stores) = start_tree(build)?;
    customise(build, &mut tree, &stores)?;
    Ok((tree, stores))
}

/// The tree with all packages: our own step's, or the one below when that has them all.
fn start_tree(build: &Build) -> CommandResult<(Tree, OpenFile)> {
    match (&build.below, build.inputs.packages) {
        (Some(below), None) => system_tree(below),
        (Some(_) | None, Some(_)) | (None, None) => open_tree(build, &build.keys().base),
    }
}

/// The path of an earlier step's result that is still what was kept.
fn whole_result(build: &Build, key: &Digest, kind: ResultKind) -> CommandResult<PathBuf> {
    build.host.cache.whole(key, kind).map_err(|error| {
        CommandError::new(Kind::Host, error).hint("the same command makes a damaged result anew")
    })
}

fn open_tree(build: &Build, key: &Digest) -> CommandResult<(Tree, OpenFile)> {
    let path = whole_result(build, key, ResultKind::Tree)?;
    let file = OpenFile::open(&path)
        .map_err(|source| CommandError::new(Kind::Host, crate::commands::FileError::new(&path, source)))?;
    let tree = Image::open(&file).and_then(|image| image.tree(0)).map_err(|error| {
        CommandError::new(Kind::Host, error).hint(format!("remove {} and build again", path.display()))
    })?;
    Ok((tree, file))
}

fn customise(build: &Build, tree: &mut Tree, reader: &dyn ReadContent) -> CommandResult {
    let sources = build.sources.iter();
    let sources = sources.map(|(path, bytes)| (path.clone(), Content::inline(bytes.as_slice()))).collect();
    let with = Customisation { recipe: build.recipe(), sources: &sources, reader, epoch: build.lock().epoch };
    customise::customise(tree, with).or_fail(Kind::User)
}

/// A tree for the sandbox, as an EROFS file that goes when it is dropped.
fn store_tree(
    build: &Build,
    tree: &Tree,
    content: &dyn ReadContent,
) -> CommandResult<tempfile::NamedTempFile> {
    let image = tempfile::NamedTempFile::new_in(build.host.cache.work()).or_fail(Kind::Host)?;
    write_tree(tree, content, epoch(build)?, image.as_file())?;
    Ok(image)
}

fn write_tree(tree: &Tree, content: &dyn ReadContent, epoch: i64, file: &fs::File) -> CommandResult {
    struct Sink<'a>(&'a fs::File);
    impl basalt_formats::WriteAt for Sink<'_> {
        fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
            std::os::unix::fs::FileExt::write_all_at(self.0, bytes, offset)
        }
    }
    let options = erofs::Options { uuid: Guid::NIL, label: String::new(), epoch };
    let layout = erofs::Layout::plan(tree, &options).or_fail(Kind::User)?;
    layout.write(content, &Sink(file)).or_fail(Kind::Host)
}

fn workshop(build: &Build) -> Workshop {
    Workshop::new(build.host.cache.work())
}

/// Shows what the worker tells.
fn show(step: StepName, reporter: &Reporter) -> impl Fn(crate::base::Event) + '_ {
    use crate::base::Event as E;
    move |event| match event {
        E::Unpacked { done, total, .. } => {
            let (done, total) = (done as u64, total as u64);
            reporter.report(&Event::Progress { step, done, total });
        }
        E::Line(text) if step == StepName::Script => reporter.report(&Event::Note { step, text }),
        E::Line(_) | E::Began(_) | E::Ended { .. } | E::Configured { .. } => {}
    }
}

fn epoch(build: &Build) -> CommandResult<i64> {
    i64::try_from(build.lock().epoch).or_fail(Kind::Config)
}
