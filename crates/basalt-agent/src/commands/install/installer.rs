//! What asks a person, and what it needs of the machine; screens and page have the same.

use basalt_node::install::{BlockDisk, InstallPlan};
use basalt_spec::node::After;

use super::execute::Watch;
use crate::{error::AgentResult, execute::install::Progress};

/// A machine that can be installed; a test has another one.
pub(super) trait Installer {
    /// What is installed, such as `edge 0.1.0`.
    fn title(&self) -> String;

    /// The disks, and why one can't be taken.
    fn disks(&mut self) -> AgentResult<Vec<(BlockDisk, Option<String>)>>;

    /// The names of its network cards.
    fn cards(&self) -> AgentResult<Vec<String>>;

    /// The plan for a disk and a document; a refusal is an error too.
    fn plan(&mut self, device: &str, document: Option<String>) -> AgentResult<InstallPlan>;

    /// Follows the plan that was made last.
    fn install(&mut self, plan: &InstallPlan, watch: &mut dyn Watch) -> AgentResult<()>;
}

/// What is asked about.
pub(super) struct Machine {
    /// What is installed.
    pub(super) title: String,
    /// Every disk, and why it can't be taken.
    pub(super) disks: Vec<(BlockDisk, Option<String>)>,
    /// The names of the network cards.
    pub(super) cards: Vec<String>,
}

impl Machine {
    /// Looks.
    pub(super) fn of(installer: &mut dyn Installer) -> AgentResult<Self> {
        Ok(Self { title: installer.title(), disks: installer.disks()?, cards: installer.cards()? })
    }
}

/// Whether a document was given already, so that nothing is asked of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Questions {
    All,
    DiskOnly,
}

/// How the asking ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// Installed; this is to be done with the machine.
    Installed(Option<After>),
    /// Somebody stopped before anything was written.
    Stopped,
}

/// How far it is, of a hundred.
pub(super) fn percent(Progress { done, all }: Progress) -> u16 {
    let part = (u128::from(done) * 100).checked_div(u128::from(all)).unwrap_or(100);
    u16::try_from(part.min(100)).unwrap_or(100)
}
