//! The key variables of UEFI Secure Boot (UEFI specification 2.10, sections 8.2.2 and 32.4): signature lists, and the
//! authenticated writes (`.auth` files) by which systemd-boot enrols them.

use basalt_types::{Digest, Guid};
use der::{DateTime, Encode as _};
use x509_cert::Certificate;

use crate::{
    Sign,
    message::{self, MessageError},
};

/// `EFI_CERT_X509_GUID`: a certificate.
const X509: Guid = Guid::from_u128(0xa5c0_59a1_94e4_4aa7_87b5_ab15_5c2b_f072);
/// `EFI_CERT_SHA256_GUID`: the digest of a program.
const SHA_256: Guid = Guid::from_u128(0xc1c4_1626_504c_4092_aca9_41f9_3693_4328);
/// `EFI_CERT_TYPE_PKCS7_GUID`: how a write is signed.
const PKCS_7: Guid = Guid::from_u128(0x4aaf_d29d_68df_49ee_8aa9_347d_3756_65a7);
/// `EFI_GLOBAL_VARIABLE`: whose variables PK and KEK are.
const GLOBAL: Guid = Guid::from_u128(0x8be4_df61_93ca_11d2_aa0d_00e0_9803_2b8c);
/// `EFI_IMAGE_SECURITY_DATABASE_GUID`: whose variables db and dbx are.
const DATABASE: Guid = Guid::from_u128(0xd719_b2cb_3d3a_4596_a3bc_dad0_0e67_656f);
/// Non-volatile, for boot services, at run time, time-based authenticated.
const ATTRIBUTES: u32 = 0x27;
/// `wRevision` and `wCertificateType` (`WIN_CERT_TYPE_EFI_GUID`) of the certificate in an authenticated write.
const REVISION: u16 = 0x0200;
const EFI_GUID: u16 = 0x0ef1;

/// Which variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variable {
    /// The platform key, which owns the machine.
    Pk,
    /// Who may change what is trusted.
    Kek,
    /// Who may sign what boots.
    Db,
    /// What does not boot whoever signed it.
    Dbx,
}

impl Variable {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pk => "PK",
            Self::Kek => "KEK",
            Self::Db => "db",
            Self::Dbx => "dbx",
        }
    }

    const fn vendor(self) -> Guid {
        match self {
            Self::Pk | Self::Kek => GLOBAL,
            Self::Db | Self::Dbx => DATABASE,
        }
    }
}

/// The content of a variable: certificates and digests of programs, with who put them there.
///
/// # Errors
/// When a certificate can't be encoded.
pub fn signature_lists(
    owner: Guid,
    certificates: &[&Certificate],
    programs: &[Digest],
) -> Result<Vec<u8>, MessageError> {
    let mut lists = Vec::new();
    for certificate in certificates {
        push_list(&mut lists, X509, owner, &[&certificate.to_der()?]);
    }
    if !programs.is_empty() {
        let digests: Vec<&[u8]> = programs.iter().map(|digest| &digest.as_bytes()[..]).collect();
        push_list(&mut lists, SHA_256, owner, &digests);
    }
    Ok(lists)
}

/// `EFI_SIGNATURE_LIST`: type, its size, size of a header that no type has, size of an entry; entries of one size.
fn push_list(out: &mut Vec<u8>, kind: Guid, owner: Guid, entries: &[&[u8]]) {
    let entry = 16 + entries.first().map_or(0, |entry| entry.len());
    let size = 28 + entry * entries.len();
    out.extend(kind.to_gpt());
    // A certificate is some kilobytes long.
    for number in [size, 0, entry] {
        out.extend(u32::try_from(number).unwrap_or(u32::MAX).to_le_bytes());
    }
    for content in entries {
        out.extend(owner.to_gpt());
        out.extend(*content);
    }
}

/// `EFI_VARIABLE_AUTHENTICATION_2` and the content: what the firmware takes for a write of `variable` when `signer` may
/// change it, or when the machine is in setup mode. Of two writes the firmware takes the one with the later `time`
/// (seconds since 1970).
///
/// # Errors
/// When the key does not sign or `time` is no date.
pub fn authenticated(
    variable: Variable,
    content: &[u8],
    signer: &dyn Sign,
    time: u64,
) -> Result<Vec<u8>, MessageError> {
    let time = efi_time(time)?;
    let mut signed: Vec<u8> = variable.name().encode_utf16().flat_map(u16::to_le_bytes).collect();
    signed.extend(variable.vendor().to_gpt());
    signed.extend(ATTRIBUTES.to_le_bytes());
    signed.extend(time);
    signed.extend(content);
    let message = message::detached(signer, &signed)?;
    let mut write = time.to_vec();
    write.extend(u32::try_from(24 + message.len()).unwrap_or(u32::MAX).to_le_bytes());
    write.extend(REVISION.to_le_bytes());
    write.extend(EFI_GUID.to_le_bytes());
    write.extend(PKCS_7.to_gpt());
    write.extend(message);
    write.extend(content);
    Ok(write)
}

/// `EFI_TIME` in UTC, with what must be zero here: nanoseconds, time zone, daylight.
fn efi_time(seconds: u64) -> Result<[u8; 16], MessageError> {
    let date = DateTime::from_unix_duration(std::time::Duration::from_secs(seconds))?;
    let mut time = [0; 16];
    time[..2].copy_from_slice(&date.year().to_le_bytes());
    time[2..7].copy_from_slice(&[date.month(), date.day(), date.hour(), date.minutes(), date.seconds()]);
    Ok(time)
}
