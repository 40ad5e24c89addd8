//! From a request to a disk: everything that is the same whether options, a screen or a page asked.

use std::{fs::File, io::Read as _, path::Path};

use basalt_exec::block::Disk;
use basalt_fetch::{http::Client, oci::Access};
use basalt_formats::bootentry::{EntryName, Tries};
use basalt_image::{layout::GrowthIds, update::UpdateInfo};
use basalt_node::install::{EspFile, InstallPlan, InstallStep, InstallWish};
use basalt_types::ByteSize;

use super::request::{Request, Wanted};
use crate::{
    commands::upgrade::{network, trust, unusable},
    error::{AgentError, AgentResult, Kind, OrFail as _},
    execute::{
        DiskMedium,
        install::{BootFiles, Install, InstallError, Progress, Source},
    },
    observe::{
        install::Running,
        release::{Release, release},
    },
    report,
};

/// How often a release may fail to come up before the boot loader prefers another, as a build sets it.
const TRIES: u32 = 3;

/// Told how far an installation is.
pub(crate) trait Watch {
    /// A step begins.
    fn begins(&mut self, number: usize, of: usize, step: &InstallStep);

    /// The step that began is so far.
    fn progress(&mut self, progress: Progress);

    /// What went wrong with telling, at the end: nobody's absence is a reason to stop in the middle.
    fn result(&mut self) -> AgentResult<()>;
}

/// Progress as lines.
#[derive(Debug, Default)]
pub(super) struct Lines {
    tenths: u64,
    failed: Option<AgentError>,
}

/// Everything that an installation is planned from, but the disks.
pub(crate) struct Prepared {
    request: Request,
    running: Running,
    files: BootFiles,
    /// What another release says of itself.
    other: Option<UpdateInfo>,
    listed: Vec<EspFile>,
    ids: GrowthIds,
    network: Option<(Client, Access)>,
}

/// The system that runs came without a UKI.
#[derive(Debug, thiserror::Error)]
#[error("this system came over the network, without the UKI that a disk is started by")]
struct NoUki;

/// The disks are not as they were when somebody said yes.
#[derive(Debug, thiserror::Error)]
#[error("the machine's disks have changed since the plan was made")]
struct Changed;

impl Prepared {
    /// Reads what the release says of itself, and no more of it.
    pub(crate) fn new(request: &Request, mut running: Running) -> AgentResult<Self> {
        let mut seed = [0; 32];
        File::open("/dev/random").and_then(|mut random| random.read_exact(&mut seed)).or_fail(Kind::Host)?;
        let ids = GrowthIds::from_seed(seed).or_fail(Kind::Host)?;
        let [a, b, c, d, ..] = *ids.id("esp volume").as_bytes();
        let network = request.release.as_ref().map(|wanted| network(wanted.insecure)).transpose()?;
        let other = match (&request.release, &network) {
            (Some(wanted), Some((client, access))) => {
                let release = open(wanted, client, access, &running.info)?;
                Some(release.info)
            }
            (Some(_) | None, _) => None,
        };
        let uki = running.uki.take();
        if uki.is_none() && other.is_none() {
            let error = AgentError::new(Kind::Refused, NoUki);
            return Err(error.hint("name a release: --from HOST/NAME:TAG; or start from the ISO"));
        }
        let info = other.as_ref().unwrap_or(&running.info);
        let entry = EntryName::of_image(&info.name, &info.version, Some(Tries::fresh(TRIES)));
        let files = BootFiles {
            architecture: info.architecture,
            guard: std::mem::take(&mut running.guard),
            loader: std::mem::take(&mut running.loader),
            entry: entry.to_string(),
            uki: uki.filter(|_| other.is_none()),
            document: request.document.clone(),
            volume_id: u32::from_be_bytes([a, b, c, d]),
        };
        let listed = files.listed(info.uki.size);
        Ok(Self { request: request.clone(), running, files, other, listed, ids, network })
    }

    /// What is planned from.
    pub(crate) fn wish(&self) -> InstallWish<'_> {
        InstallWish {
            rule: &self.request.rule,
            release: self.other.as_ref().unwrap_or(&self.running.info),
            files: self.listed.clone(),
            permits: self.request.permits,
            after: self.request.after,
            ids: self.ids,
        }
    }
}

fn open<'c>(
    wanted: &Wanted,
    client: &'c Client,
    access: &Access,
    running: &UpdateInfo,
) -> AgentResult<Release<'c>> {
    let Wanted { reference, digest, insecure: _ } = wanted;
    release(client, access, reference, running.architecture, &trust(*digest)?).map_err(unusable)
}

/// Takes the disk for itself, sees that nothing has changed since `plan` was shown, and does it.
pub(crate) fn run(
    prepared: Prepared,
    plan: &InstallPlan,
    again: &dyn Fn(&Prepared) -> AgentResult<InstallPlan>,
    watch: &mut dyn Watch,
) -> AgentResult<()> {
    let disk = Disk::open_exclusive(Path::new(&plan.target.device)).map_err(|error| {
        AgentError::new(Kind::Refused, error).hint("somebody uses it: `lsblk`, `fuser -v` say who")
    })?;
    if again(&prepared)? != *plan {
        return Err(AgentError::new(Kind::Refused, Changed).hint("run it again, and look at the plan"));
    }
    let disk = DiskMedium(disk);
    let Prepared { request, running, files, other, network, .. } = prepared;
    let mut release = match (&request.release, &network) {
        (Some(wanted), Some((client, access))) => Some(open(wanted, client, access, &running.info)?),
        (Some(_) | None, _) => None,
    };
    let size = running.info.root.size.get();
    let root = crate::observe::Window { whole: &running.root, start: 0, size };
    let (info, source) = match (&mut release, &other) {
        (Some(release), Some(info)) if release.info == *info => {
            let Release { index, content, .. } = release;
            (info, Source::Chunks { index, packs: content, running: &root })
        }
        (Some(_), _) => {
            return Err(AgentError::new(Kind::Refused, Changed).hint("the release was moved: run it again"));
        }
        (None, _) => (&running.info, Source::Running { root: &root }),
    };
    execute(&disk, plan, (info, source, files), watch)
}

fn execute<'a>(
    disk: &'a DiskMedium,
    plan: &InstallPlan,
    (info, source, files): (&'a UpdateInfo, Source<'a>, BootFiles),
    watch: &mut dyn Watch,
) -> AgentResult<()> {
    let mut install = Install { disk, info, source, files, boot_sector: None };
    for (number, step) in (1..).zip(&plan.steps) {
        watch.begins(number, plan.steps.len(), step);
        install.step(step, &mut |progress| watch.progress(progress)).map_err(failed)?;
    }
    watch.result()
}

fn failed(error: InstallError) -> AgentError {
    let hint = error.hint();
    AgentError::new(Kind::Host, error).hint(hint)
}

impl Lines {
    fn print(&mut self, text: &str) {
        self.failed = report::print(text.as_bytes()).err().or(self.failed.take());
    }
}

impl Watch for Lines {
    fn begins(&mut self, number: usize, of: usize, step: &InstallStep) {
        self.tenths = 0;
        // The plan was printed: its details need not be repeated.
        let step = step.to_string();
        let step = step.lines().next().unwrap_or_default().trim_end_matches(':');
        self.print(&format!("{number}/{of} {step}\n"));
    }

    fn progress(&mut self, Progress { done, all }: Progress) {
        let tenths = (u128::from(done) * 10).checked_div(u128::from(all)).unwrap_or(10) as u64;
        // What is done at once needs no line.
        if tenths > self.tenths && all > (64 << 20) {
            self.tenths = tenths;
            let human = |bytes| ByteSize::bytes(bytes).human();
            self.print(&format!("  {} of {}\n", human(done), human(all)));
        }
    }

    fn result(&mut self) -> AgentResult<()> {
        self.failed.take().map_or(Ok(()), Err)
    }
}
