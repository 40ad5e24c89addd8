//! Signatures of EFI programs (Windows Authenticode Portable Executable Signature Format, Microsoft 2008; UEFI specification
//! 2.10, section 32.5).
//!
//! A program carries PKCS #7 messages whose content, `SpcIndirectDataContent`, is the digest of the program without them.

use basalt_formats::pe::{Pe, PeError};
use basalt_types::Digest;
use der::{
    Any, Decode as _, Encode as _, Sequence,
    asn1::{ObjectIdentifier, OctetString},
};
use x509_cert::{Certificate, spki::AlgorithmIdentifierOwned};

use crate::{
    Sign,
    message::{self, MessageError},
};

/// `SPC_INDIRECT_DATA_OBJID`.
const INDIRECT_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.311.2.1.4");
/// `SPC_PE_IMAGE_DATAOBJ`.
const PE_IMAGE_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.311.2.1.15");
/// `SpcPeImageData` without flags, its `file` an empty text: `SEQUENCE { BIT STRING '', [0] { [2] { [0] '' } } }`.
const PE_IMAGE: [u8; 11] = [0x30, 0x09, 0x03, 0x01, 0x00, 0xa0, 0x04, 0xa2, 0x02, 0x80, 0x00];

/// Why a program can't be signed or its signature can't be believed.
#[derive(Debug, thiserror::Error)]
pub enum AuthenticodeError {
    /// It is no EFI program.
    #[error("it is no EFI program")]
    Program(#[from] PeError),
    /// The message about it is not usable.
    #[error("its signature is not usable")]
    Message(#[from] MessageError),
    /// The signature is that of other bytes.
    #[error("it was changed after {who} signed it: its digest is {found}, {signed} was signed")]
    Changed {
        /// Who signed.
        who: String,
        /// The digest that was signed.
        signed: Digest,
        /// The digest that it has.
        found: Digest,
    },
}

/// `SpcIndirectDataContent`.
#[derive(Debug, Sequence)]
struct IndirectData {
    data: TypeAndValue,
    digest: DigestInfo,
}

/// `SpcAttributeTypeAndOptionalValue`.
#[derive(Debug, Sequence)]
struct TypeAndValue {
    kind: ObjectIdentifier,
    value: Any,
}

/// `DigestInfo` (RFC 8017, section 9.2).
#[derive(Debug, Sequence)]
struct DigestInfo {
    algorithm: AlgorithmIdentifierOwned,
    digest: OctetString,
}

/// The program with a signature more.
///
/// # Errors
/// When it is no EFI program or the key does not sign.
pub fn sign(program: &[u8], signer: &dyn Sign) -> Result<Vec<u8>, AuthenticodeError> {
    let padded = Pe::parse(program)?.padded();
    let pe = Pe::parse(&padded)?;
    let digest = pe.authenticode_digest()?;
    let content = indirect_data(&digest).map_err(MessageError::from)?;
    let message = message::enclosing(signer, INDIRECT_DATA, &content)?;
    Ok(pe.with_signature(&message)?)
}

/// Who signed the program, after a look at every signature that it has: each must be one of exactly these bytes. None when
/// it is not signed. Whether the signers are trusted is the caller's to know.
///
/// # Errors
/// When it is no EFI program, a signature is not usable, or the program was changed.
pub fn verify(program: &[u8]) -> Result<Vec<Certificate>, AuthenticodeError> {
    let pe = Pe::parse(program)?;
    let found = pe.authenticode_digest()?;
    let mut signers = Vec::new();
    for signature in pe.signatures()? {
        // What aligns the next entry belongs to the entry's length when other programs sign.
        let (content, certificate) = message::open(trimmed(signature), INDIRECT_DATA)?;
        let signed = IndirectData::from_der(&content).map_err(MessageError::from)?.digest.digest;
        let signed = <[u8; 32]>::try_from(signed.as_bytes());
        let signed = signed.map_err(|_other| MessageError::Unknown("the digest is not SHA-256"))?;
        let signed = Digest::from_bytes(signed);
        if signed != found {
            let who = crate::common_name(&certificate);
            return Err(AuthenticodeError::Changed { who, signed, found });
        }
        signers.push(certificate);
    }
    Ok(signers)
}

fn indirect_data(digest: &Digest) -> Result<Vec<u8>, der::Error> {
    let data = TypeAndValue { kind: PE_IMAGE_DATA, value: Any::from_der(&PE_IMAGE)? };
    let digest = DigestInfo { algorithm: message::sha_256(), digest: OctetString::new(*digest.as_bytes())? };
    IndirectData { data, digest }.to_der()
}

/// The message without the zeros behind it.
fn trimmed(entry: &[u8]) -> &[u8] {
    let length = der::SliceReader::new(entry)
        .ok()
        .and_then(|mut reader| der::Header::decode(&mut reader).ok())
        .and_then(|header| header.encoded_len().ok().zip(Some(header.length())))
        .and_then(|(header, content)| usize::try_from((header + content).ok()?).ok());
    length.and_then(|length| entry.get(..length)).unwrap_or(entry)
}
