use std::error::Error;

use basalt_formats::chunks::FetchStep;
use basalt_node::upgrade::{Allowed, plan_upgrade};
use basalt_types::Slot;

use super::{
    fixtures::{Packs, Recorder, TestRelease, World, installed, pe},
    *,
};

/// 4 MiB of blocks, of which every 16th stretch of 16 is another one in each release: what differs is fetched in many ranges.
fn large(version: &str, generation: u64) -> TestRelease {
    let block = |number: u64| match (number / 16).is_multiple_of(4) {
        true => number + 1 + (generation << 32),
        false => number + 1,
    };
    TestRelease::new(version, &(0..1024).map(block).collect::<Vec<_>>())
}

/// Upgrades a machine on which `running` runs, by these packs.
fn upgrade(
    world: World,
    running: &TestRelease,
    wanted: &TestRelease,
    packs: &mut Packs<'_>,
) -> (World, Result<Vec<Progress>, UpgradeError>) {
    let plan = plan_upgrade(&world.facts(&running.info), &wanted.info, Allowed::default()).unwrap();
    let own = world.own(&running.info);
    let recorder = Recorder::new(world);
    let mut told = Vec::new();
    let mut upgrade = Upgrade {
        disk: &recorder,
        entries: &recorder,
        info: &wanted.info,
        index: &wanted.index,
        packs,
        own: &own,
        tell: &mut |progress| told.push(progress),
        uki: None,
    };
    let done = plan.steps.iter().try_for_each(|step| upgrade.step(step));
    (recorder.into_parts().0, done.map(|()| told))
}

/// What a person reads.
fn words(error: &UpgradeError) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text += &format!(": {cause}");
        source = cause.source();
    }
    text
}

fn stored(steps: &[FetchStep]) -> u64 {
    steps.iter().map(|step| step.length).sum()
}

#[test]
fn only_what_is_missing_is_fetched() {
    let (one, two) = (large("1.0", 1), large("2.0", 2));
    let mut packs = two.packs();
    let (world, told) = upgrade(installed(&one), &one, &two, &mut packs);
    let told = told.unwrap();
    let all = two.index.stored_size();
    let fetched = stored(&packs.asked);
    assert!(packs.asked.len() > 10 && fetched < all * 3 / 8, "{fetched} of {all} in {}", packs.asked.len());
    let last = told.last().unwrap();
    assert_eq!((last.fetched, last.to_fetch), (fetched, fetched));
    assert!(told.windows(2).all(|pair| pair[0].fetched < pair[1].fetched));
    assert_eq!(world.file("edge_2.0+3-0.efi"), two.uki);
}

#[test]
fn what_was_fetched_before_an_interruption_is_not_fetched_again() {
    let (one, two) = (large("1.0", 1), large("2.0", 2));
    let mut whole = two.packs();
    upgrade(installed(&one), &one, &two, &mut whole).1.unwrap();
    for percent in [10, 50, 90] {
        let mut first = Packs { answers: whole.asked.len() * percent / 100, ..two.packs() };
        let (world, stopped) = upgrade(installed(&one), &one, &two, &mut first);
        let text = words(&stopped.unwrap_err());
        assert!(text.starts_with("the release can't be put together: bytes "), "{text}");
        assert!(text.ends_with(" of pack 0 can't be fetched: the line is dead"), "{text}");
        let mut second = two.packs();
        upgrade(world, &one, &two, &mut second).1.unwrap();
        assert_eq!(stored(&first.asked) + stored(&second.asked), stored(&whole.asked), "at {percent} %");
    }
}

#[test]
fn a_registry_that_lies_about_a_digest_is_found_out() {
    let (one, two) = (large("1.0", 1), large("2.0", 2));
    let lie = |mut bytes: Vec<u8>| {
        bytes[0] ^= 1;
        bytes
    };
    let short = |bytes: Vec<u8>| bytes[..bytes.len() - 1].to_vec();
    for spoil in [lie, short] {
        let mut packs = Packs { spoil, ..two.packs() };
        let (world, refused) = upgrade(installed(&one), &one, &two, &mut packs);
        let error = refused.unwrap_err();
        let text = words(&error);
        assert!(
            text.starts_with("the release can't be put together: what was fetched of pack 0 at byte "),
            "{text}"
        );
        assert_eq!(error.hint(), "the release is not what its index says: tell whoever published it");
        assert_eq!(world.names.keys().collect::<Vec<_>>(), ["edge_1.0.efi"]);
    }
}

#[test]
fn a_release_that_is_not_what_it_says_is_never_shown_to_the_boot_loader() {
    let one = large("1.0", 1);
    let check = |change: &dyn Fn(&mut TestRelease), expected: &str| {
        let mut wrong = large("2.0", 2);
        change(&mut wrong);
        let (world, refused) = upgrade(installed(&one), &one, &wrong, &mut wrong.packs());
        let error = refused.unwrap_err();
        let text = words(&error);
        assert!(text.starts_with(expected), "{text}");
        assert!(error.hint().starts_with("the release is not what it says it is"), "{}", error.hint());
        assert_eq!(world.names.keys().collect::<Vec<_>>(), ["edge_1.0.efi"], "{text}");
    };
    let hash = Digest::of(b"another");
    check(&|wrong| wrong.info.root.digest = hash, "the root on the device has the root hash ");
    check(&|wrong| wrong.info.verity.salt = "00".into(), "the root on the device has the root hash ");
    check(&|wrong| wrong.info.uki.digest = hash, "the UKI has the digest sha256:");
    let with_uki = |uki: Vec<u8>| {
        move |wrong: &mut TestRelease| {
            let parts: [(Part, &dyn basalt_formats::ReadAt); 2] =
                [(Part::Root, &wrong.root), (Part::Uki, &uki)];
            let mut packs = Vec::new();
            let index = basalt_formats::chunks::write(&parts, &mut |pack| {
                packs.push(pack.to_vec());
                Ok(())
            });
            (wrong.index, wrong.packs) = (index.unwrap(), packs);
            wrong.info.uki.digest = Digest::of(&uki);
        }
    };
    let other = with_uki(pe(&format!("roothash={}", hash.hex())));
    check(&other, &format!("the UKI starts the root `{}`, and the release's is ", hash.hex()));
    check(&with_uki(pe("quiet")), "the UKI starts the root ``, and the release's is ");
    check(&with_uki(vec![7; 2048]), "the UKI can't be read: ");
}

#[test]
fn a_chunk_that_is_damaged_where_it_was_copied_from_is_fetched() {
    let (one, two) = (large("1.0", 1), large("2.0", 2));
    let (world, own) = (installed(&one), installed(&one).own(&one.info));
    let recorder = Recorder::new(world);
    let mut survey = Survey::new(&recorder, &own, Slot::B, &two.index).unwrap();
    let plan = survey.plan(&two.index);
    let copies: Vec<u32> = plan.copies.iter().take(3).map(|copy| copy.chunk).collect();
    let rest = survey.plan_of(&two.index, &copies);
    let fetched: Vec<u32> = rest.fetches.iter().flat_map(|fetch| fetch.chunks.clone()).collect();
    assert_eq!(fetched, copies);
    assert_eq!((rest.copies, rest.zeros), (Vec::new(), Vec::new()));
}

#[test]
fn a_second_release_of_the_same_content_fetches_only_its_uki() {
    let (one, two) = (large("1.0", 1), large("2.0", 1));
    // Only the command line could differ, and it is the same, too: nothing at all is new.
    let survey_of = |own: &Own, recorder: &Recorder| {
        let survey = Survey::new(recorder, own, Slot::B, &two.index).unwrap();
        survey.plan(&two.index)
    };
    let own = installed(&one).own(&one.info);
    let plan = survey_of(&own, &Recorder::new(installed(&one)));
    assert!(plan.fetches_nothing(), "{:?}", plan.fetches);
    let plan = survey_of(&Own { system: own.system, ..Own::default() }, &Recorder::new(installed(&one)));
    assert_eq!(plan.fetches.len(), 1);
}
