//! Crash points: every prefix of the real executor's writes and flushes, with what was not flushed kept, lost, or kept in any
//! part. Firmware, systemd-boot and `basalt-init` are a model: a disk starts the old system whole, the new one whole, or
//! nothing; and whatever is left, installing again brings the new one.

use basalt_formats::{bootentry::EntryName, fat, gpt::types, verity};
use basalt_image::layout::{ImageIds, State, plan_image, verity_ids};
use basalt_node::upgrade::boot_order;
use basalt_types::{Architecture, Guid};

use super::{
    tests::{From, GUARD, LOADER, install, plan, used_disk},
    *,
};
use crate::{
    execute::upgrade::{
        crash_tests::cuts,
        fixtures::{Recorder, TestRelease, World},
        root_of_uki,
    },
    observe::Window,
};

/// What a disk does when a machine is switched on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Starts {
    /// The release with this root hash, of which every block and file is whole.
    Whole(basalt_types::Digest),
    /// Firmware finds nothing.
    Nothing,
    /// Firmware finds something, and it fails: the one state that must not be.
    Broken(&'static str),
}

/// UEFI 2.10, 3.5.1.1: firmware looks for the EFI system partition in a GPT, and there for the removable media path.
fn start(world: &World) -> Starts {
    let Ok(parsed) = Table::parse(world, 512) else { return Starts::Nothing };
    let table = parsed.table;
    let Some(esp) = table.partitions.iter().find(|partition| partition.type_guid == types::ESP) else {
        return Starts::Nothing;
    };
    let window = |partition: &gpt::Partition| {
        let bytes = partition.bytes(512);
        Window { whole: world, start: bytes.start, size: bytes.end - bytes.start }
    };
    let esp = window(esp);
    let Ok(listing) = fat::read(&esp, 0) else { return Starts::Nothing };
    match ["EFI/BOOT/BOOTX64.EFI", "EFI/systemd/systemd-bootx64.efi"].map(|path| listing.read_file(path)) {
        [Err(_), _] => return Starts::Nothing,
        [Ok(guard), Ok(loader)] if guard == GUARD && loader == LOADER => {}
        [Ok(_), _] => return Starts::Broken("the loader"),
    }
    let names = listing.items().filter_map(|item| item.path.strip_prefix("EFI/Linux/")?.parse().ok());
    let names: Vec<EntryName> = names.collect();
    let Some(entry) = boot_order(&names).first().map(ToString::to_string) else {
        return Starts::Broken("no entry");
    };
    let uki = listing.read_file(&format!("EFI/Linux/{entry}")).unwrap_or_default();
    let root = root_of_uki(&uki).ok().and_then(|text| basalt_types::Digest::from_hex(&text).ok());
    let Some(root) = root else { return Starts::Broken("the UKI") };
    let [Some(data), Some(tree)] = verity_ids(&root).map(|id| {
        let whole = |partition: &&gpt::Partition| {
            let state = basalt_image::layout::Role::of_partition(partition).map(|(_, state)| state);
            partition.guid == id && state == Some(State::Finished)
        };
        table.partitions.iter().find(whole).map(window)
    }) else {
        return Starts::Broken("no root");
    };
    match verity::verify(&data, &tree, &root) {
        Ok(()) => Starts::Whole(root),
        Err(_) => Starts::Broken("a block of the root"),
    }
}

/// A disk as a build writes it, with another release; the places that an installation writes are not the same.
fn with_old_system(release: &TestRelease) -> World {
    let mut layout = release.info.layout.clone();
    layout.esp = basalt_types::ByteSize::mib(40);
    let ids = ImageIds { disk: Guid::from_u128(0xd15c), esp: Guid::from_u128(0xe5b) };
    let plan = plan_image(&layout, Architecture::Amd64, &release.info.root.digest, ids);
    let mut world = used_disk();
    let table = Table { total_sectors: world.size / 512, ..plan.table };
    for write in InstallStep::new_table(&table).unwrap() {
        world.write(write.offset, &write.bytes);
    }
    let mut root = fat::Directory::new();
    root.insert("EFI/BOOT/BOOTX64.EFI", GUARD).unwrap();
    root.insert("EFI/systemd/systemd-bootx64.efi", LOADER).unwrap();
    root.insert("EFI/Linux/edge_0.9.efi", release.uki.as_slice()).unwrap();
    let volume =
        fat::Volume { size: layout.esp, label: "ESP".parse().unwrap(), volume_id: 1, epoch: 0, root };
    let image = esp::Growing(std::sync::Mutex::default());
    volume.write_to(&image, 0).unwrap();
    let mut image = image.0.into_inner().unwrap();
    image.resize(image.len().next_multiple_of(512), 0);
    world.write(plan.esp.start, &image);
    world.write(plan.root.start, &release.root);
    world.write(plan.verity.start, &release.tree.bytes);
    world
}

/// Cuts the installation of `release` on `before` everywhere; gives how many states there were, and how many of them started
/// the old system, the new one and nothing.
fn check(before: &World, release: &TestRelease, old: Starts, from: From) -> [usize; 4] {
    let plan = plan(release, before);
    assert_eq!(start(before), old);
    let recorder = Recorder::new(before.clone());
    install(&recorder, release, &plan, from);
    let (after, log) = recorder.into_parts();
    let new = Starts::Whole(release.info.root.digest);
    assert_eq!(start(&after), new);
    let mut counts = [0; 4];
    cuts(before, &log, &mut |begun, plain, cut| {
        let found = start(cut);
        counts[0] += 1;
        counts
            [[new, old, Starts::Nothing].iter().position(|known| *known == found).map_or(0, |at| at + 1)] +=
            1;
        assert!(
            found == new || found == old || found == Starts::Nothing,
            "after {begun} of {} operations: {found:?}",
            log.len()
        );
        // Once in a while, because it takes long: installing again on what is left.
        if plain && begun % 7 == 0 {
            let recorder = Recorder::new(cut.clone());
            install(&recorder, release, &plan, from);
            assert_eq!(start(&recorder.world()), new, "again after {begun} operations");
        }
    });
    counts
}

#[test]
fn no_cut_of_an_installation_leaves_a_disk_that_starts_something_broken() {
    let old = TestRelease::new("0.9", &[7, 8, 9]);
    let new = TestRelease::new("1.0", &[1, 2, 3, 0, 5]);
    let of = |release: &TestRelease| Starts::Whole(release.info.root.digest);
    let mut total = 0;
    for (name, before, starts, from) in [
        ("over an old system, from what runs", with_old_system(&old), of(&old), From::Running),
        ("on a disk with other bytes, from chunks", used_disk(), Starts::Nothing, From::Chunks),
    ] {
        let [states, new, before, nothing] = check(&before, &new, starts, from);
        println!(
            "{name}: {states} states after a cut: {before} as before, {new} new, {nothing} nothing, 0 broken"
        );
        assert!(new > 0 && before > 0);
        total += states;
    }
    println!("crash points of installation: {total} states, 0 that start something broken");
    assert!(total > 500, "{total}");
}

/// The model finds what is wrong: a boot sector that is written before the names are final.
#[test]
fn the_model_refuses_a_wrong_order() {
    let release = TestRelease::new("1.0", &[1, 2, 3]);
    let before = used_disk();
    let mut plan = plan(&release, &before);
    let last = plan.steps.len() - 1;
    plan.steps.swap(last - 1, last);
    let recorder = Recorder::new(before.clone());
    install(&recorder, &release, &plan, From::Running);
    let (_, log) = recorder.into_parts();
    let mut broken = 0;
    cuts(&before, &log, &mut |_, _, cut| broken += usize::from(matches!(start(cut), Starts::Broken(_))));
    assert!(broken > 0);
}
