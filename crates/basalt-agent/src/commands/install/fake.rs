//! A machine with three disks, of which one is in use.

use std::{io, sync::mpsc::Receiver, time::Duration};

use basalt_node::install::{
    BlockDisk, Content, InstallPlan, InstallRelease, InstallStep, InstallTarget, Span,
};
use basalt_types::{ByteSize, Digest};

use super::{execute::Watch, installer::Installer};
use crate::{
    error::{AgentError, AgentResult, Kind},
    execute::install::Progress,
};

#[derive(Default)]
pub(super) struct Fake {
    pub(super) documents: Vec<Option<String>>,
    pub(super) installed: Vec<String>,
    pub(super) fails: bool,
    /// Waits for a word in the middle of the first step.
    pub(super) held: Option<Receiver<()>>,
}

fn disk(name: &str, gib: u64) -> BlockDisk {
    BlockDisk {
        device: format!("/dev/{name}"),
        links: Vec::new(),
        size: ByteSize::gib(gib),
        sector_size: 512,
        model: Some("QEMU".into()),
        serial: None,
        wwn: None,
        bus: None,
        rotational: false,
        removable: false,
        read_only: false,
        uses: Vec::new(),
        content: Some(Content::Ntfs),
        partitions: Vec::new(),
    }
}

impl Installer for Fake {
    fn title(&self) -> String {
        "edge 1.0".into()
    }

    fn disks(&mut self) -> AgentResult<Vec<(BlockDisk, Option<String>)>> {
        let busy = "/dev/sda is in use:\n  /dev/sda1 is mounted at /mnt".to_owned();
        Ok(vec![(disk("sda", 100), Some(busy)), (disk("sdb", 200), None), (disk("sdc", 300), None)])
    }

    fn cards(&self) -> AgentResult<Vec<String>> {
        Ok(vec!["ens3".into(), "ens4".into()])
    }

    fn plan(&mut self, device: &str, document: Option<String>) -> AgentResult<InstallPlan> {
        self.documents.push(document);
        Ok(InstallPlan {
            target: InstallTarget {
                device: device.into(),
                described: format!("{device} (QEMU, 200 GiB)"),
                content: Some(Content::Ntfs),
                partitions: Vec::new(),
            },
            release: InstallRelease {
                name: "edge".parse().unwrap(),
                version: "1.0".parse().unwrap(),
                root_hash: Digest::of(b"root"),
            },
            steps: vec![
                InstallStep::EraseTable { places: vec![Span { start: 0, length: 512 }] },
                InstallStep::WriteRoot { size: ByteSize::mib(200) },
                InstallStep::WriteBootSector,
            ],
            after: None,
        })
    }

    fn install(&mut self, plan: &InstallPlan, watch: &mut dyn Watch) -> AgentResult<()> {
        for (number, step) in (1..).zip(&plan.steps) {
            watch.begins(number, plan.steps.len(), step);
            watch.progress(Progress { done: 50 << 20, all: 200 << 20 });
            if let Some(held) = self.held.take() {
                held.recv_timeout(Duration::from_secs(60)).unwrap();
            }
        }
        if self.fails {
            return Err(AgentError::new(Kind::Host, io::Error::other("the disk is gone")));
        }
        self.installed.push(plan.target.device.clone());
        watch.result()
    }
}
