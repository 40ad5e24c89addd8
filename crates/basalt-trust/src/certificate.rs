//! Certificates of our own keys (RFC 5280): each is its own issuer, for the firmware trusts a key because it is enrolled.

use std::{str::FromStr as _, time::Duration};

use basalt_types::Digest;
use der::{DecodePem as _, Encode as _, EncodePem as _, asn1::GeneralizedTime, pem::LineEnding};
use rsa::{pkcs1v15::SigningKey, sha2::Sha256};
use sha2::Digest as _;
use x509_cert::{
    Certificate, SubjectPublicKeyInfo, TbsCertificate,
    builder::{Builder as _, CertificateBuilder, profile::BuilderProfile},
    ext::{
        Extension, ToExtension as _,
        pkix::{BasicConstraints, KeyUsage, KeyUsages, SubjectKeyIdentifier},
    },
    name::Name,
    serial_number::SerialNumber,
    spki::SubjectPublicKeyInfoRef,
    time::Time,
};

use crate::PrivateKey;

/// From when to when a certificate is valid, in seconds since 1970. UEFI firmware does not look at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// The first second.
    pub from: u64,
    /// The last second.
    pub to: u64,
}

/// A certificate that can't be read or written.
#[derive(Debug, thiserror::Error)]
#[error("it is no certificate (RFC 5280)")]
pub struct EncodingError(#[from] der::Error);

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    /// A part can't be encoded.
    #[error("the certificate can't be encoded")]
    Encode(#[from] der::Error),
    /// The certificate can't be put together.
    #[error("the certificate can't be made")]
    Build(#[from] x509_cert::builder::Error),
}

/// A certificate by which `key` says who it is. The serial number comes from the key, so that the same arguments give the
/// same certificate.
///
/// # Errors
/// When `name` can't be written as a common name or the validity as dates.
pub fn self_signed(key: &PrivateKey, name: &str, validity: Validity) -> Result<Certificate, IssueError> {
    let signer = SigningKey::<Sha256>::new(key.rsa().clone());
    let public = SubjectPublicKeyInfo::from_key(&key.rsa().to_public_key())
        .map_err(x509_cert::builder::Error::from)?;
    let hash = sha2::Sha256::digest(public.to_der()?);
    let mut serial = hash[..16].to_vec();
    // A positive number that does not begin with a zero byte.
    serial[0] = serial[0] & 0x7f | 0x40;
    let subject = Name::from_str(&format!("CN={name}"))?;
    let validity = x509_cert::time::Validity::new(time(validity.from)?, time(validity.to)?);
    let builder = CertificateBuilder::new(Own(subject), SerialNumber::new(&serial)?, validity, public)?;
    Ok(builder.build(&signer)?)
}

fn time(seconds: u64) -> Result<Time, der::Error> {
    Ok(Time::GeneralTime(GeneralizedTime::from_unix_duration(Duration::from_secs(seconds))?))
}

/// The extensions of a key that signs and issues nothing.
struct Own(Name);

impl BuilderProfile for Own {
    fn get_issuer(&self, subject: &Name) -> Name {
        subject.clone()
    }

    fn get_subject(&self) -> Name {
        self.0.clone()
    }

    fn build_extensions(
        &self,
        key: SubjectPublicKeyInfoRef<'_>,
        _issuer: SubjectPublicKeyInfoRef<'_>,
        certificate: &TbsCertificate,
    ) -> x509_cert::builder::Result<Vec<Extension>> {
        let subject = certificate.subject();
        let identifier = SubjectKeyIdentifier::try_from(key)?;
        Ok(vec![
            identifier.to_extension(subject, &[])?,
            BasicConstraints { ca: false, path_len_constraint: None }.to_extension(subject, &[])?,
            KeyUsage(KeyUsages::DigitalSignature.into()).to_extension(subject, &[])?,
        ])
    }
}

/// Reads a certificate in PEM (RFC 7468).
///
/// # Errors
/// When it is none.
pub fn certificate_from_pem(pem: &str) -> Result<Certificate, EncodingError> {
    Ok(Certificate::from_pem(pem)?)
}

/// Writes a certificate in PEM.
///
/// # Errors
/// When it can't be encoded.
pub fn certificate_to_pem(certificate: &Certificate) -> Result<String, EncodingError> {
    Ok(certificate.to_pem(LineEnding::LF)?)
}

/// The SHA-256 digest of a certificate in DER, which people compare.
///
/// # Errors
/// When it can't be encoded.
pub fn certificate_digest(certificate: &Certificate) -> Result<Digest, EncodingError> {
    Ok(Digest::of(&certificate.to_der()?))
}

/// From when to when it is valid.
pub fn validity(certificate: &Certificate) -> Validity {
    let validity = certificate.tbs_certificate().validity();
    let seconds = |time: Time| time.to_unix_duration().as_secs();
    Validity { from: seconds(validity.not_before), to: seconds(validity.not_after) }
}

/// Whose certificate it is, for people.
pub fn common_name(certificate: &Certificate) -> String {
    let subject = certificate.tbs_certificate().subject().to_string();
    subject.strip_prefix("CN=").map_or(subject.clone(), str::to_owned)
}
