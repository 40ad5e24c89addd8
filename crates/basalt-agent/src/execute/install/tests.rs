use std::sync::Mutex;

use basalt_formats::fat;
use basalt_image::{
    esp::LOADER_CONF,
    layout::{GrowthIds, Role, verity_ids},
};
use basalt_node::install::{
    BlockDisk, BlockPartition, Content, InstallFacts, InstallPlan, InstallWish, Permits, parse_rule,
    plan_install,
};
use basalt_types::{Architecture, ByteSize};

use super::*;
use crate::execute::upgrade::{
    fixtures::{Recorder, TestRelease, World},
    window,
};

pub(super) const LOADER: &[u8] = b"MZ systemd-boot";
pub(super) const GUARD: &[u8] = b"MZ basalt-guard";
const DOCUMENT: &[u8] = b"apiVersion: basalt.dev/v1alpha1\nkind: NodeConfig\n";

/// Where the release comes from.
#[derive(Clone, Copy, Debug)]
pub(super) enum From {
    Running,
    Chunks,
}

pub(super) fn plan(release: &TestRelease, world: &World) -> InstallPlan {
    let partition = |number: u32| BlockPartition {
        number,
        start: u64::from(number) << 20,
        size: ByteSize::mib(1),
        guid: None,
        label: None,
        content: Some(Content::Fat),
    };
    let disk = BlockDisk {
        device: "/dev/vda".into(),
        links: Vec::new(),
        size: ByteSize::bytes(world.size),
        sector_size: 512,
        model: None,
        serial: None,
        wwn: None,
        bus: None,
        rotational: false,
        removable: false,
        read_only: false,
        uses: Vec::new(),
        content: None,
        partitions: vec![partition(90)],
    };
    let facts = InstallFacts { architecture: Architecture::Amd64, disks: vec![disk] };
    let wish = InstallWish {
        rule: &parse_rule("auto").unwrap(),
        release: &release.info,
        files: files(release).listed(release.info.uki.size),
        permits: Permits::default(),
        after: None,
        ids: GrowthIds::from_seed([9; 32]).unwrap(),
    };
    plan_install(&facts, &wish).unwrap()
}

fn files(release: &TestRelease) -> BootFiles {
    BootFiles {
        architecture: Architecture::Amd64,
        guard: GUARD.to_vec(),
        loader: LOADER.to_vec(),
        entry: format!("edge_{}+3-0.efi", release.info.version),
        uki: Some(release.uki.clone()),
        document: Some(DOCUMENT.to_vec()),
        volume_id: 7,
    }
}

/// Installs a release on a disk that can be looked at afterwards.
pub(super) fn install(disk: &dyn Medium, release: &TestRelease, plan: &InstallPlan, from: From) {
    let mut packs = release.packs();
    let source = match from {
        From::Running => Source::Running { root: &release.root },
        From::Chunks => Source::Chunks { index: &release.index, packs: &mut packs, running: &Vec::new() },
    };
    let files = BootFiles {
        uki: match from {
            From::Running => Some(release.uki.clone()),
            From::Chunks => None,
        },
        ..files(release)
    };
    let tell = &mut |progress: Progress| assert!(progress.done <= progress.all);
    let mut install = Install { disk, info: &release.info, source, files, boot_sector: None };
    for step in &plan.steps {
        install.step(step, tell).unwrap();
    }
}

/// A disk of 512 MiB on which somebody left bytes everywhere that an installation writes.
pub(super) fn used_disk() -> World {
    let mut world = World { size: ByteSize::mib(512).get(), ..World::default() };
    let old = [0xa5; 512].repeat(512);
    // The start and the end of the disk, the boot partition's tables and files, and where root and hash tree go.
    for place in [0, 1 << 20, (1 << 20) + (1 << 19), 2 << 20, 65 << 20, 81 << 20, (512 << 20) - (1 << 18)] {
        world.write(place, &old);
    }
    world
}

#[test]
fn an_installed_disk_has_the_layout_the_release_and_the_document() {
    for from in [From::Running, From::Chunks] {
        let release = TestRelease::new("1.0", &[1, 2, 3, 0, 5]);
        let world = used_disk();
        let plan = plan(&release, &world);
        let recorder = Recorder::new(world);
        install(&recorder, &release, &plan, from);
        let table = Table::parse(&recorder, 512).unwrap().table;
        let labels: Vec<_> =
            table.partitions.iter().map(|partition| partition.label.clone().unwrap().to_string()).collect();
        let wanted = [
            "esp",
            "basalt-a",
            "basalt-a-verity",
            "PRT#basalt-b",
            "PRT#basalt-b-verity",
            "PRT#basalt-r",
            "PRT#basalt-r-verity",
            "PRT#basalt-data",
        ];
        assert_eq!(labels, wanted, "{from:?}");
        let [root, verity] = verity_ids(&release.info.root.digest);
        assert_eq!([table.partitions[1].guid, table.partitions[2].guid], [root, verity]);
        let esp = window(&recorder, Role::Esp).unwrap();
        let listing = fat::read(&esp, 0).unwrap();
        for (path, bytes) in [
            ("EFI/BOOT/BOOTX64.EFI", GUARD),
            ("EFI/systemd/systemd-bootx64.efi", LOADER),
            ("EFI/Linux/edge_1.0+3-0.efi", &release.uki),
            ("loader/loader.conf", LOADER_CONF.as_bytes()),
            ("loader/credentials/basalt.node.cred", DOCUMENT),
        ] {
            assert_eq!(listing.read_file(path).unwrap(), bytes, "{path}");
        }
    }
}

/// The image's own planners find nothing to correct: the first boot only makes the data partition's file system.
#[test]
fn a_first_boot_finds_the_table_as_it_would_have_made_it() {
    let release = TestRelease::new("1.0", &[1, 2]);
    let world = used_disk();
    let plan = plan(&release, &world);
    let recorder = Recorder::new(world);
    install(&recorder, &release, &plan, From::Running);
    let (world, _) = recorder.into_parts();
    let table = Table::parse(&world, 512).unwrap().table;
    let layout = &release.info.layout;
    let ids = GrowthIds::from_seed([1; 32]).unwrap();
    let growth = basalt_image::layout::plan_growth(&table, layout, Architecture::Amd64, &ids).unwrap();
    assert!(growth.is_empty() && growth.notes.is_empty(), "{growth:?}");
    assert_eq!(growth.wanted(&table), table);
}

/// A disk that loses what was written to it.
struct Forgetful {
    disk: Recorder,
    from: u64,
    lost: Mutex<u32>,
}

impl ReadAt for Forgetful {
    fn size(&self) -> u64 {
        self.disk.size()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.disk.read_at(offset, buffer)
    }
}

impl Medium for Forgetful {
    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        if (offset..offset + bytes.len() as u64).contains(&self.from) && bytes.iter().any(|byte| *byte != 0) {
            *self.lost.lock().unwrap() += 1;
            return Ok(());
        }
        self.disk.write(offset, bytes)
    }

    fn flush(&self) -> io::Result<()> {
        self.disk.flush()
    }

    fn forget(&self, offset: u64, length: u64) -> io::Result<()> {
        self.disk.forget(offset, length)
    }

    fn sector_size(&self) -> u32 {
        512
    }
}

#[track_caller]
fn loses(place: u64, expected: &str) {
    let release = TestRelease::new("1.0", &[1, 2, 3]);
    let world = used_disk();
    let plan = plan(&release, &world);
    let disk = Forgetful { disk: Recorder::new(world), from: place, lost: Mutex::default() };
    let tell = &mut |_: Progress| ();
    let source = Source::Running { root: &release.root };
    let files = files(&release);
    let mut install = Install { disk: &disk, info: &release.info, source, files, boot_sector: None };
    let error = plan.steps.iter().find_map(|step| install.step(step, tell).err()).unwrap();
    assert!(error.to_string().starts_with(expected), "{error}");
    assert!(*disk.lost.lock().unwrap() > 0 && !error.hint().is_empty());
}

#[test]
fn a_disk_that_lies_is_found_out() {
    let esp = 1 << 20;
    let root = esp + (64 << 20);
    loses(512, "the partition table on the disk is not");
    loses(root, "the root on the device has the root hash");
    loses(root + (16 << 20), "the hash tree on the device is not what was written");
    loses(esp + (1 << 19), "the boot partition on the disk is not");
    loses(esp, "the boot sector on the disk is not");
}

#[test]
fn a_uki_of_another_release_is_never_written() {
    let (release, other) = (TestRelease::new("1.0", &[1, 2, 3]), TestRelease::new("1.0", &[4]));
    let world = used_disk();
    let plan = plan(&release, &world);
    let recorder = Recorder::new(world);
    let files = BootFiles { uki: Some(other.uki), ..files(&release) };
    let source = Source::Running { root: &release.root };
    let tell = &mut |_: Progress| ();
    let mut install = Install { disk: &recorder, info: &release.info, source, files, boot_sector: None };
    let error = plan.steps.iter().find_map(|step| install.step(step, tell).err()).unwrap();
    assert!(error.to_string().starts_with("the UKI has the digest"), "{error}");
    let esp = window(&recorder, Role::Esp).unwrap();
    assert!(fat::read(&esp, 0).is_err());
}
