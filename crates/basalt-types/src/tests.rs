use std::{fmt::Display, str::FromStr};

use proptest::prelude::*;

use crate::*;

/// Printing is the inverse of parsing, and serde goes through the same parser.
fn round_trip<T>(value: &T)
where
    T: Display + FromStr + PartialEq + std::fmt::Debug + serde::Serialize + serde::de::DeserializeOwned,
    T::Err: std::fmt::Debug,
{
    assert_eq!(&value.to_string().parse::<T>().unwrap(), value);
    let json = serde_json::to_string(value).unwrap();
    assert_eq!(&serde_json::from_str::<T>(&json).unwrap(), value);
}

proptest! {
    #[test]
    fn digests_round_trip(bytes: [u8; 32]) {
        round_trip(&Digest::from_bytes(bytes));
        prop_assert_eq!(Digest::from_hex(&Digest::from_bytes(bytes).hex()), Ok(Digest::from_bytes(bytes)));
    }

    #[test]
    fn guids_round_trip(bytes: [u8; 16]) {
        let guid = Guid::from_bytes(bytes);
        round_trip(&guid);
        prop_assert_eq!(Guid::from_gpt(guid.to_gpt()), guid);
    }

    #[test]
    fn sizes_round_trip(bytes: u64) {
        round_trip(&ByteSize::bytes(bytes));
    }

    #[test]
    fn names_round_trip(name in "[a-z][a-z0-9.-]{0,31}", version in "[A-Za-z0-9][A-Za-z0-9.~^-]{0,63}") {
        round_trip(&name.parse::<ImageName>().unwrap());
        round_trip(&version.parse::<ImageVersion>().unwrap());
    }

    #[test]
    fn labels_round_trip(label in "[a-zA-Z0-9#_-]{1,36}") {
        round_trip(&label.parse::<PartLabel>().unwrap());
    }

    #[test]
    fn parsers_never_panic(text: String) {
        drop((text.parse::<Digest>(), text.parse::<Guid>(), text.parse::<ByteSize>()));
        drop((text.parse::<PartLabel>(), text.parse::<ImageName>(), text.parse::<ImageVersion>()));
    }
}

#[test]
fn sizes_are_read_with_binary_units_only() {
    assert_eq!("1GiB".parse(), Ok(ByteSize::gib(1)));
    assert_eq!("512 MiB".parse(), Ok(ByteSize::mib(512)));
    assert_eq!("4096".parse(), Ok(ByteSize::bytes(4096)));
    assert_eq!("1GB".parse::<ByteSize>(), Err(SizeError::Form("1GB".into())));
    assert_eq!("".parse::<ByteSize>(), Err(SizeError::Form(String::new())));
    assert!(matches!("99999999999TiB".parse::<ByteSize>(), Err(SizeError::Overflow(_))));
}

#[test]
fn sizes_are_shown_for_people() {
    assert_eq!(ByteSize::bytes(0).human(), "0 B");
    assert_eq!(ByteSize::mib(1536).human(), "1.5 GiB");
    assert_eq!(ByteSize::gib(8).human(), "8 GiB");
}

#[test]
fn names_that_would_break_a_file_name_are_refused() {
    for name in ["", "Edge", "1edge", "edge_1", "edge/..", "a".repeat(33).as_str()] {
        assert!(name.parse::<ImageName>().is_err(), "{name}");
    }
    for version in ["", "1.0+3", ".1", "1/2"] {
        assert!(version.parse::<ImageVersion>().is_err(), "{version}");
    }
}

#[test]
fn the_esp_type_is_stored_as_the_uefi_specification_shows() {
    let esp = Guid::from_u128(0xc12a7328_f81f_11d2_ba4b_00a0c93ec93b);
    assert_eq!(esp.to_string(), "c12a7328-f81f-11d2-ba4b-00a0c93ec93b");
    assert_eq!(esp.to_gpt()[..8], [0x28, 0x73, 0x2a, 0xc1, 0x1f, 0xf8, 0xd2, 0x11]);
}

#[test]
fn the_other_slot_is_not_this_one() {
    assert_eq!(!Slot::A, Slot::B);
    assert_eq!(!!Slot::A, Slot::A);
}
