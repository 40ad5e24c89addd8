use proptest::prelude::*;

use super::*;

fn parsed(text: &str) -> EntryName {
    text.parse().unwrap()
}

proptest! {
    #[test]
    fn names_round_trip(
        stem in "[a-z][a-z0-9.-]{0,8}_[0-9a-z.~^-]{1,8}",
        tries in prop::option::of((any::<u32>(), prop::option::of(any::<u32>()))),
    ) {
        let tries = tries.map(|(left, done)| Tries { left, done });
        let name = EntryName { stem, tries };
        prop_assert_eq!(parsed(&name.to_string()), name);
    }

    #[test]
    fn what_parses_keeps_its_meaning(text in "[a-z_+0-9.-]{0,12}(\\.efi|\\.EFI|)") {
        if let Ok(name) = text.parse::<EntryName>() {
            prop_assert_eq!(parsed(&name.to_string()), name);
        }
    }

    #[test]
    fn parsing_never_panics(text: String) {
        drop(text.parse::<EntryName>());
        drop(format!("{text}.efi").parse::<EntryName>());
    }
}

#[test]
fn counters_are_read_as_the_specification_says() {
    let check = |text: &str, stem: &str, tries: Option<(u32, Option<u32>)>, assessment: Assessment| {
        let name = parsed(text);
        let found = name.tries().map(|Tries { left, done }| (left, done));
        assert_eq!((name.stem(), found, name.assessment()), (stem, tries, assessment), "{text}");
    };
    check("edge_1.0.0.efi", "edge_1.0.0", None, Assessment::Good);
    check("edge_1.0.0+3.efi", "edge_1.0.0", Some((3, None)), Assessment::Indeterminate);
    check("edge_1.0.0+3-0.efi", "edge_1.0.0", Some((3, Some(0))), Assessment::Indeterminate);
    check("edge_1.0.0+0-3.efi", "edge_1.0.0", Some((0, Some(3))), Assessment::Bad);
    check("EDGE_1.0.0+02-1.EFI", "EDGE_1.0.0", Some((2, Some(1))), Assessment::Indeterminate);
    check("linux+x.efi", "linux+x", None, Assessment::Good);
    check("linux+1-.efi", "linux+1-", None, Assessment::Good);
    check("linux+99999999999.efi", "linux+99999999999", None, Assessment::Good);
}

#[test]
fn image_and_tries_make_the_name() {
    let (name, version) = ("edge".parse().unwrap(), "1.0.0-rc1".parse().unwrap());
    let entry = EntryName::of_image(&name, &version, Some(Tries::fresh(3)));
    assert_eq!(entry.to_string(), "edge_1.0.0-rc1+3-0.efi");
    assert_eq!(entry.image(), Some((name, version)));
    assert_eq!(entry.with_tries(None).to_string(), "edge_1.0.0-rc1.efi");
    assert_eq!(parsed("vmlinuz.efi").image(), None);
}

#[test]
fn tries_run_out() {
    let mut tries = Tries::fresh(2);
    tries = tries.after_try().unwrap();
    tries = tries.after_try().unwrap();
    assert_eq!((tries, tries.after_try()), (Tries { left: 0, done: Some(2) }, None));
}

#[test]
fn other_files_are_no_entries() {
    assert_eq!("edge.conf".parse::<EntryName>(), Err(EntryNameError::Extension("edge.conf".into())));
    for text in [".efi", "+3-0.efi", "../edge.efi", "a\nb.efi"] {
        assert_eq!(text.parse::<EntryName>(), Err(EntryNameError::Stem(text.into())));
    }
}
