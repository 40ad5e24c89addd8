use std::fmt;

use basalt_types::Digest;
use sha2::{Digest as _, Sha256};

/// Part 2, table 9 (`TPM_ALG_SHA256`).
const SHA256: u16 = 0x000b;
/// Part 2, table 12 (`TPM_CC_PolicyPCR`).
const POLICY_PCR: u32 = 0x0000_017f;

/// The number of a platform configuration register.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PcrIndex(u8);

impl PcrIndex {
    /// What a unified kernel image holds, and how far its boot has come (UAPI.7, "Linux TPM PCR Registry").
    pub const KERNEL_IMAGE: Self = Self(11);

    /// The number.
    pub fn number(self) -> u8 {
        self.0
    }
}

/// What a register of the SHA-256 bank holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pcr([u8; 32]);

impl Pcr {
    /// What it holds when the machine starts.
    pub const START: Self = Self([0; 32]);

    /// What it holds after `data` was measured (part 1, section 17.2).
    #[must_use]
    pub fn measure(self, data: &[u8]) -> Self {
        self.extend(&Digest::of(data))
    }

    /// What it holds after a digest was measured.
    #[must_use]
    pub fn extend(self, digest: &Digest) -> Self {
        Self(Sha256::new().chain_update(self.0).chain_update(digest.as_bytes()).finalize().into())
    }

    /// Its bytes.
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Pcr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The digest of the policy that is met while register `index` of the SHA-256 bank holds `value`, and by nothing else (part 3, section 23.7,
/// `TPM2_PolicyPCR` in a new session).
pub fn policy(index: PcrIndex, value: &Pcr) -> Digest {
    let mut chosen = [0_u8; 3];
    chosen[usize::from(index.0 / 8)] = 1 << (index.0 % 8);
    let digest = Sha256::new()
        .chain_update([0; 32])
        .chain_update(POLICY_PCR.to_be_bytes())
        // TPML_PCR_SELECTION: one selection; its algorithm, the length of its bitmap, the bitmap.
        .chain_update(1_u32.to_be_bytes())
        .chain_update(SHA256.to_be_bytes())
        .chain_update([3])
        .chain_update(chosen)
        .chain_update(Sha256::digest(value.0))
        .finalize();
    Digest::from_bytes(digest.into())
}
