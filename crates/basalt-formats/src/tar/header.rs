//! The header block that all kinds of tar archives share.

/// Bytes of a header, and what data is padded to.
pub(crate) const BLOCK: usize = 512;
/// Where the checksum is: eight bytes, which count as spaces.
const CHECKSUM: usize = 148;
/// The largest number of seven and of eleven octal digits.
const SHORT_MAX: u64 = 0o777_7777;
const LONG_MAX: u64 = 0o777_7777_7777;

/// Which archive the header is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flavour {
    /// POSIX: numbers that don't fit are elsewhere.
    Ustar,
    /// GNU tar before POSIX (`--format=oldgnu`): numbers that don't fit are binary.
    OldGnu,
}

/// The fields. Strings are cut to their place: whoever can't have that says them elsewhere.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Header<'a> {
    pub(crate) flavour: Flavour,
    /// 100 bytes.
    pub(crate) name: &'a [u8],
    /// 155 bytes that go before the name and a `/`; in POSIX archives only.
    pub(crate) prefix: &'a [u8],
    pub(crate) mode: u16,
    pub(crate) uid: u64,
    pub(crate) gid: u64,
    pub(crate) size: u64,
    pub(crate) mtime: u64,
    pub(crate) kind: u8,
    /// 100 bytes.
    pub(crate) link: &'a [u8],
    pub(crate) device: (u32, u32),
}

impl Header<'_> {
    /// A header without a place, an owner and a time.
    pub(crate) const EMPTY: Self = Self {
        flavour: Flavour::Ustar,
        name: b"",
        prefix: b"",
        mode: 0o644,
        uid: 0,
        gid: 0,
        size: 0,
        mtime: 0,
        kind: b'0',
        link: b"",
        device: (0, 0),
    };

    /// The block, without its checksum.
    pub(crate) fn unsealed(&self) -> [u8; BLOCK] {
        let Self { flavour, name, prefix, mode, uid, gid, size, mtime, kind, link, device } = *self;
        let mut block = [0; BLOCK];
        put(&mut block[..100], name);
        self.number(&mut block[100..108], mode.into());
        self.number(&mut block[108..116], uid);
        self.number(&mut block[116..124], gid);
        self.number(&mut block[124..136], size);
        self.number(&mut block[136..148], mtime);
        block[156] = kind;
        put(&mut block[157..257], link);
        match flavour {
            Flavour::Ustar => {
                block[257..265].copy_from_slice(b"ustar\x0000");
                self.number(&mut block[329..337], device.0.into());
                self.number(&mut block[337..345], device.1.into());
                put(&mut block[345..500], prefix);
            }
            Flavour::OldGnu => block[257..265].copy_from_slice(b"ustar  \0"),
        }
        block
    }

    pub(crate) fn encode(&self) -> [u8; BLOCK] {
        sealed(self.unsealed())
    }

    fn number(&self, place: &mut [u8], value: u64) {
        let fits = value <= if place.len() == 8 { SHORT_MAX } else { LONG_MAX };
        match self.flavour {
            Flavour::Ustar => octal(place, if fits { value } else { 0 }),
            Flavour::OldGnu => octal_or_binary(place, value),
        }
    }
}

/// Fills in the checksum: the sum of all bytes as six octal digits, NUL, space.
pub(crate) fn sealed(mut block: [u8; BLOCK]) -> [u8; BLOCK] {
    block[CHECKSUM..CHECKSUM + 8].fill(b' ');
    let sum: u64 = block.iter().map(|byte| u64::from(*byte)).sum();
    octal(&mut block[CHECKSUM..CHECKSUM + 7], sum);
    block
}

/// GNU's numbers: octal digits when they fit, else bit 7 of the first byte and the rest in binary, big-endian.
pub(crate) fn octal_or_binary(place: &mut [u8], value: u64) {
    if value <= if place.len() == 8 { SHORT_MAX } else { LONG_MAX } {
        return octal(place, value);
    }
    let bytes = value.to_be_bytes();
    let (head, tail) = place.split_at_mut(place.len() - bytes.len());
    tail.copy_from_slice(&bytes);
    head.fill(0);
    if let Some(first) = place.first_mut() {
        *first |= 0x80;
    }
}

/// Whether eight or twelve bytes have room for a number.
pub(crate) fn fits(place: usize, value: u64) -> bool {
    value <= if place == 8 { SHORT_MAX } else { LONG_MAX }
}

/// Octal digits and a NUL.
fn octal(place: &mut [u8], value: u64) {
    let digits = place.len() - 1;
    put(place, format!("{value:0digits$o}").as_bytes());
}

fn put(place: &mut [u8], bytes: &[u8]) {
    let length = bytes.len().min(place.len());
    place[..length].copy_from_slice(&bytes[..length]);
}
