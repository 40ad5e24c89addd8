use proptest::prelude::*;

use super::*;

fn index() -> ModuleIndex {
    ModuleIndex {
        kernel: "6.12.0".into(),
        first: vec!["dm_verity".into(), "erofs".into()],
        modules: vec![
            IndexedModule {
                path: "kernel/drivers/block/virtio_blk.ko".into(),
                aliases: vec!["virtio:d00000002v*".into()],
                ..IndexedModule::default()
            },
            IndexedModule {
                path: "kernel/drivers/usb/storage/usb-storage.ko".into(),
                needs: vec!["scsi_common".into(), "scsi_mod".into()],
                after: vec!["uas".into()],
                late: true,
                aliases: vec!["usb:v*p*d*dc*dsc*dp*ic08isc06ip50in*".into(), "acpi*:PNP0501:*".into()],
            },
        ],
    }
}

#[test]
fn an_index_reads_back_as_it_was_written() {
    let text = index().to_string();
    assert_eq!(
        text,
        "basalt-modules 1 6.12.0\nfirst dm_verity erofs\nmodule kernel/drivers/block/virtio_blk.ko\n\
         alias virtio:d00000002v*\nmodule kernel/drivers/usb/storage/usb-storage.ko\n\
         needs scsi_common scsi_mod\nafter uas\nlate\nalias usb:v*p*d*dc*dsc*dp*ic08isc06ip50in*\n\
         alias acpi*:PNP0501:*\n"
    );
    assert_eq!(text.parse(), Ok(index()));
}

#[test]
fn a_broken_index_says_which_line_is_wrong() {
    let check = |text: &str, wanted: IndexError| assert_eq!(text.parse::<ModuleIndex>(), Err(wanted));
    check("", IndexError::Magic(String::new()));
    check("basalt-modules 2 x", IndexError::Magic("basalt-modules 2 x".into()));
    check("basalt-modules 1 x\nneeds a", IndexError::Orphan { line: 2 });
    check("basalt-modules 1 x\nmodul a", IndexError::Word { line: 2, text: "modul a".into() });
    for path in ["../../etc/x.ko", "/etc/x.ko", "a//b.ko", ""] {
        let wanted = IndexError::Path { line: 2, path: path.into() };
        check(&format!("basalt-modules 1 x\nmodule {path}"), wanted);
    }
}

#[test]
fn a_file_has_the_name_that_the_kernel_gives_to_its_module() {
    assert_eq!(module_name("kernel/drivers/md/dm-verity.ko.xz"), "dm_verity");
    assert_eq!(module_name("overlay.ko"), "overlay");
}

#[test]
fn a_device_finds_its_modules() {
    let index = index();
    let table = AliasTable::new(&index);
    assert_eq!(table.lookup("virtio:d00000002v00001AF4"), ["virtio_blk"]);
    assert_eq!(table.lookup("virtio:d00000001v00001AF4"), Vec::<String>::new());
    assert_eq!(table.lookup("usb:v46F4p0001d0000dc00dsc00dp00ic08isc06ip50in00"), ["usb_storage"]);
    assert_eq!(table.lookup("acpi:PNP0501:"), ["usb_storage"]);
    assert_eq!(table.lookup("scsi:t-0x00"), Vec::<String>::new());
}

#[test]
fn patterns_match_as_fnmatch_does() {
    for (pattern, text, wanted) in [
        ("", "", true),
        ("*", "", true),
        ("a*", "a", true),
        ("a*b*c", "aXbYbZc", true),
        ("a*b*c", "aXbYbZ", false),
        ("a?c", "abc", true),
        ("a?c", "ac", false),
        ("d[0-3]x", "d2x", true),
        ("d[0-3]x", "d4x", false),
        ("d[!0-3]x", "d4x", true),
        ("[]a]", "]", true),
        ("[a-]", "-", true),
        ("[a", "[a", true),
        ("[", "[", true),
        ("pci:v*d*sv*sd*bc01sc06i01*", "pci:v00008086d00002922sv00001AF4sd00001100bc01sc06i01", true),
        ("pci:v*d*sv*sd*bc01sc06i01*", "pci:v00008086d00002922sv00001AF4sd00001100bc01sc08i02", false),
    ] {
        assert_eq!(glob_matches(pattern, text), wanted, "{pattern} on {text}");
    }
}

#[test]
fn a_pattern_of_many_stars_takes_no_exponential_time() {
    assert!(!glob_matches(&format!("{}b", "a*".repeat(200)), &"a".repeat(5000)));
}

/// The textbook definition, exponential and obviously right.
fn reference(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern.split_first(), text.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), _) => {
            reference(rest, text) || text.split_first().is_some_and(|(_, text)| reference(pattern, text))
        }
        (Some((b'?', rest)), Some((_, text))) => reference(rest, text),
        (Some((p, rest)), Some((t, text))) => p == t && reference(rest, text),
        (None, Some(_)) | (Some(_), None) => false,
    }
}

proptest! {
    #[test]
    fn patterns_agree_with_the_textbook(pattern in "[ab*?]{0,8}", text in "[ab]{0,10}") {
        prop_assert_eq!(glob_matches(&pattern, &text), reference(pattern.as_bytes(), text.as_bytes()));
    }

    #[test]
    fn no_pattern_and_no_index_panics(pattern in ".{0,30}", text in ".{0,30}") {
        glob_matches(&pattern, &text);
        let index: Result<ModuleIndex, IndexError> = format!("basalt-modules 1 x\n{pattern}\n{text}").parse();
        if let Ok(index) = index {
            AliasTable::new(&index).lookup(&text);
        }
    }
}
