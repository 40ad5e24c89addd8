//! Signatures of releases, as cosign makes and checks them with a key: a *payload* that names the digest of an OCI
//! manifest, and a signature of the payload's bytes.
//!
//! ```text
//! {"critical":{"identity":{"docker-reference":"edge"},"image":{"docker-manifest-digest":"sha256:…"},
//!              "type":"cosign container image signature"},"optional":null}
//! ```
//!
//! Sources: sigstore's cosign, SIGNATURE_SPEC ("Payload", "Signature schemes"); containers-signature(5), from which the
//! payload's shape comes; RFC 5280, section 4.1.2.7, and RFC 5480 for public keys.

use basalt_types::Digest;
use der::{
    Decode as _, Encode as _,
    asn1::ObjectIdentifier,
    pem::{LineEnding, PemLabel as _},
};
use pkcs8::spki::SubjectPublicKeyInfoRef;
use ring::signature::{
    ECDSA_P256_SHA256_ASN1, ED25519, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey, VerificationAlgorithm,
};
use serde::{Deserialize, Serialize};
use x509_cert::Certificate;

use crate::{EncodingError, Sign, SignError};

/// What the payload says it is.
const SORT: &str = "cosign container image signature";
/// RFC 8017, appendix C.
const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
/// RFC 5480, section 2.1.1, and its curve P-256.
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
/// RFC 8410, section 3.
const ED: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");

#[derive(Debug, Serialize, Deserialize)]
struct Payload {
    critical: Critical,
    optional: Option<serde_json::Map<String, serde_json::Value>>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Critical {
    identity: Identity,
    image: Image,
    #[serde(rename = "type")]
    sort: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Identity {
    docker_reference: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Image {
    docker_manifest_digest: Digest,
}

/// A key that may sign releases: RSA of 2048 bits or more (PKCS #1 v1.5), ECDSA on P-256, both with SHA-256, or Ed25519.
#[derive(Clone)]
pub struct ReleaseKey {
    algorithm: &'static dyn VerificationAlgorithm,
    /// As the algorithm wants it.
    key: Vec<u8>,
    id: Digest,
}

/// Why a text is no key that releases can be checked with.
#[derive(Debug, thiserror::Error)]
pub enum ReleaseKeyError {
    /// It is something else.
    #[error("it is neither a public key nor a certificate in PEM")]
    NotAKey(#[source] EncodingError),
    /// It is a key of another kind.
    #[error("it is a key of the kind {0}; RSA, ECDSA on P-256 and Ed25519 can be used")]
    Kind(ObjectIdentifier),
}

/// Why a signature does not count.
#[derive(Debug, thiserror::Error)]
pub enum SignatureError {
    /// None of the keys made it.
    #[error("none of the {0} keys that may sign made it")]
    NoKey(usize),
    /// Somebody who may sign signed something that is no statement about an image.
    #[error("what was signed is no statement about a release")]
    Payload(#[source] serde_json::Error),
    /// It is of something else.
    #[error("what was signed is a `{0}`")]
    Sort(String),
    /// It is another release's.
    #[error("it is the signature of {0}")]
    Other(Digest),
}

/// The bytes to sign for a manifest; `name` is whose release it is, for people.
///
/// # Errors
/// When `name` can't be written as JSON.
pub fn payload(name: &str, manifest: Digest) -> Result<Vec<u8>, serde_json::Error> {
    serde_json::to_vec(&Payload {
        critical: Critical {
            identity: Identity { docker_reference: name.to_owned() },
            image: Image { docker_manifest_digest: manifest },
            sort: SORT.to_owned(),
        },
        optional: None,
    })
}

/// Signs a payload.
///
/// # Errors
/// When the key does not sign.
pub fn sign(signer: &dyn Sign, payload: &[u8]) -> Result<Vec<u8>, SignError> {
    signer.sign(&Digest::of(payload))
}

/// Which of `keys` signed this payload for this manifest. Nothing of the payload is read before the signature is right.
///
/// # Errors
/// When none of them did, or they signed something else.
pub fn verify<'k>(
    keys: &'k [ReleaseKey],
    manifest: &Digest,
    payload: &[u8],
    signature: &[u8],
) -> Result<&'k ReleaseKey, SignatureError> {
    let made_by = |key: &&ReleaseKey| {
        UnparsedPublicKey::new(key.algorithm, &key.key).verify(payload, signature).is_ok()
    };
    let key = keys.iter().find(made_by).ok_or(SignatureError::NoKey(keys.len()))?;
    let Payload { critical, optional: _ } =
        serde_json::from_slice(payload).map_err(SignatureError::Payload)?;
    let Critical { image: Image { docker_manifest_digest }, sort, identity: _ } = critical;
    match (sort == SORT, docker_manifest_digest == *manifest) {
        (false, _) => Err(SignatureError::Sort(sort)),
        (true, false) => Err(SignatureError::Other(docker_manifest_digest)),
        (true, true) => Ok(key),
    }
}

/// The first of `keys` that signed this manifest, by any of these payloads and signatures: one that counts is enough, for others may
/// be of keys that come or go. `None` when there is no signature at all.
///
/// # Errors
/// Why the last of them does not count, when none does.
pub fn verify_any<'k>(
    keys: &'k [ReleaseKey],
    manifest: &Digest,
    signatures: impl IntoIterator<Item = (Vec<u8>, Vec<u8>)>,
) -> Result<Option<&'k ReleaseKey>, SignatureError> {
    let mut refused = Ok(None);
    for (payload, signature) in signatures {
        match verify(keys, manifest, &payload, &signature) {
            Ok(key) => return Ok(Some(key)),
            Err(error) => refused = Err(error),
        }
    }
    refused
}

/// The public key of a certificate in PEM (RFC 7468, section 13), which is what `cosign verify --key` takes.
///
/// # Errors
/// When it can't be encoded.
pub fn public_key_pem(certificate: &Certificate) -> Result<String, EncodingError> {
    let key = certificate.tbs_certificate().subject_public_key_info().to_der()?;
    Ok(der::pem::encode_string("PUBLIC KEY", LineEnding::LF, &key).map_err(der::Error::from)?)
}

impl ReleaseKey {
    /// Reads a public key or a certificate in PEM (RFC 7468, sections 5 and 13).
    ///
    /// # Errors
    /// When it is neither, or of a kind that is not used for releases.
    pub fn from_pem(pem: &str) -> Result<Self, ReleaseKeyError> {
        let broken = |error: der::Error| ReleaseKeyError::NotAKey(error.into());
        let (label, bytes) = der::pem::decode_vec(pem.as_bytes()).map_err(|error| broken(error.into()))?;
        let certified;
        let key = if label == Certificate::PEM_LABEL {
            let certificate = Certificate::from_der(&bytes).map_err(broken)?;
            certified = certificate.tbs_certificate().subject_public_key_info().to_der().map_err(broken)?;
            certified.as_slice()
        } else {
            &bytes
        };
        let info = SubjectPublicKeyInfoRef::from_der(key).map_err(broken)?;
        let kind = info.algorithm.oid;
        let curve = info.algorithm.parameters_oid().ok();
        let algorithm: &'static dyn VerificationAlgorithm = match (kind, curve) {
            (RSA, _) => &RSA_PKCS1_2048_8192_SHA256,
            (EC, Some(P256)) => &ECDSA_P256_SHA256_ASN1,
            (ED, None) => &ED25519,
            (other, _) => return Err(ReleaseKeyError::Kind(other)),
        };
        let public = info.subject_public_key.as_bytes().unwrap_or_default().to_vec();
        Ok(Self { algorithm, key: public, id: Digest::of(key) })
    }

    /// What people compare: the SHA-256 digest of the key (RFC 5280, SubjectPublicKeyInfo, in DER).
    pub fn id(&self) -> Digest {
        self.id
    }
}

impl std::fmt::Debug for ReleaseKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ReleaseKey({})", self.id)
    }
}
