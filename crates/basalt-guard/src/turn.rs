//! Whose turn it is: the boot loader's, or the recovery system's. One byte on the EFI system partition says it
//! (`docs/decisions/027-recovery.md`); it is there when there is a recovery system.

/// Boots in a row that nobody found good, after which the recovery system is started: three of a new release, and three of
/// the one that the boot loader falls back to.
const UNPROVEN: u8 = b'6';
/// Somebody asked for the recovery system.
const ASKED: u8 = b'r';

/// What is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// systemd-boot, which chooses among the slots.
    Loader,
    /// The recovery system. The boot after it is the boot loader's again.
    Recovery,
}

/// What to start, and the byte for the next boot; none when the byte is none of ours, and stays.
pub(crate) fn turn(byte: u8) -> (Turn, Option<u8>) {
    match byte {
        ASKED | UNPROVEN => (Turn::Recovery, Some(b'0')),
        b'0'..UNPROVEN => (Turn::Loader, Some(byte + 1)),
        _ => (Turn::Loader, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn six_boots_in_a_row_that_nobody_found_good_lead_to_recovery_once() {
        let mut byte = b'0';
        let mut turns = [Turn::Recovery; 8];
        for turn in &mut turns {
            let (now, next) = super::turn(byte);
            (*turn, byte) = (now, next.unwrap());
        }
        let [first @ .., recovery, again] = turns;
        assert_eq!((first, recovery, again), ([Turn::Loader; 6], Turn::Recovery, Turn::Loader));
    }

    #[test]
    fn who_asks_for_recovery_gets_it_once_and_what_is_no_count_changes_nothing() {
        assert_eq!(turn(b'r'), (Turn::Recovery, Some(b'0')));
        for byte in [0, b'7', b'9', b'R', 0xff] {
            assert_eq!(turn(byte), (Turn::Loader, None), "{byte}");
        }
    }
}
