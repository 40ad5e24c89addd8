use std::{fs, path::Path};

use basalt_image::layout::ImageInfo;
use basalt_node::{
    BootFacts,
    install::{BlockDisk, InstallFacts, InstallPlan, InstallRefusal, plan_install},
};

use super::{
    InstallArguments, NoDisk, asked,
    execute::{Prepared, Watch, run},
    installer::Installer,
    look, not_running,
    request::{self, Asked},
};
use crate::{
    error::{AgentError, AgentResult, Kind, OrFail as _},
    observe,
};

/// Where the kernel lists network interfaces; those with a `device` are cards (sysfs-class-net of the kernel's ABI documents).
const INTERFACES: &str = "/sys/class/net";

/// The live system, for whoever asks in steps.
pub(super) struct Live<'a> {
    image: ImageInfo,
    boot: BootFacts,
    arguments: &'a InstallArguments,
    /// The last plan, and what it was made from until it is followed.
    prepared: Option<(Option<Prepared>, InstallPlan)>,
}

impl<'a> Live<'a> {
    pub(super) const fn new(image: ImageInfo, boot: BootFacts, arguments: &'a InstallArguments) -> Self {
        Self { image, boot, arguments, prepared: None }
    }

    /// The plan that was followed.
    pub(super) fn followed(self) -> Option<InstallPlan> {
        self.prepared.map(|(_, plan)| plan)
    }

    fn facts(&self) -> AgentResult<InstallFacts> {
        let disks = look(self.boot.disk.as_deref())?;
        Ok(InstallFacts { architecture: self.image.architecture, disks })
    }

    fn prepare(&self, device: &str, document: Option<String>) -> AgentResult<Prepared> {
        let running = observe::install::running(&self.image, &self.boot).map_err(not_running)?;
        let asked = Asked { disk: Some(device), ..asked(self.arguments) };
        let request = request::read(&asked, running.document.as_deref())?;
        let mut request = request.ok_or_else(|| AgentError::new(Kind::Refused, NoDisk))?;
        request.document = document.map(String::into_bytes).or(request.document);
        Prepared::new(&request, running)
    }
}

impl Installer for Live<'_> {
    fn title(&self) -> String {
        format!("{} {}", self.image.name, self.image.version)
    }

    fn disks(&mut self) -> AgentResult<Vec<(BlockDisk, Option<String>)>> {
        let facts = self.facts()?;
        let mut judged = Vec::new();
        for disk in &facts.disks {
            let prepared = self.prepare(&disk.device, None)?;
            let refusals = plan_install(&facts, &prepared.wish()).err();
            let line = |refusal: &InstallRefusal| refusal.to_string();
            let problem = refusals.map(|all| all.iter().map(line).collect::<Vec<_>>().join("\n"));
            judged.push((disk.clone(), problem));
        }
        Ok(judged)
    }

    fn cards(&self) -> AgentResult<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(INTERFACES).or_fail(Kind::Host)? {
            let entry = entry.or_fail(Kind::Host)?;
            if Path::new(&entry.path()).join("device").exists() {
                names.push(entry.file_name().to_string_lossy().into_owned());
            }
        }
        names.sort();
        Ok(names)
    }

    fn plan(&mut self, device: &str, document: Option<String>) -> AgentResult<InstallPlan> {
        let prepared = self.prepare(device, document)?;
        let plan = super::plan(&self.facts()?, &prepared.wish())?;
        self.prepared = Some((Some(prepared), plan.clone()));
        Ok(plan)
    }

    fn install(&mut self, plan: &InstallPlan, watch: &mut dyn Watch) -> AgentResult<()> {
        let prepared = self.prepared.as_mut().and_then(|(prepared, _)| prepared.take());
        let prepared = prepared.ok_or_else(|| AgentError::new(Kind::Refused, NoDisk))?;
        let again = |prepared: &Prepared| super::plan(&self.facts()?, &prepared.wish());
        run(prepared, plan, &again, watch)
    }
}
