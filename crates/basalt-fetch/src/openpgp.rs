//! OpenPGP signatures of an archive (RFC 9580): the cleartext signature of `InRelease`, and `Release` with
//! `Release.gpg`.
//!
//! Bytes + [`Keyring`] → [`Verified`] text, or a refusal that names the keys that were seen. One good signature by a
//! key of the keyring is enough: a suite is signed by the keys of several releases, so that older systems can read
//! it. A key must have been valid when it signed; a revoked key is never good; digests below SHA-256 don't count.
//!
//! Not here: trust in anything outside the signed text. The caller never sees that.

use pgp::{
    composed::{Deserializable as _, DetachedSignature},
    crypto::hash::HashAlgorithm,
    packet::{Signature, SignatureType},
};

mod cleartext;
mod keyring;

pub use keyring::{Keyring, KeyringError};

use keyring::Standing;

/// A text that a key of the keyring signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// The signed text, lines ending in one line feed.
    pub text: String,
    /// The fingerprints of the keys whose signature is good, in upper-case hex.
    pub signers: Vec<String>,
}

/// Why a text is not trusted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// Not an OpenPGP cleartext message.
    #[error("the signed file is damaged: {0}")]
    Malformed(&'static str),
    /// The signature's packets can't be read.
    #[error("the signature is damaged: {0}")]
    Packets(String),
    /// Signed, but by keys that are not in the keyring.
    #[error("no signature is by a key of {keyring}: it is signed by {}", list(.signed_by))]
    Unknown {
        /// Where the keyring is from.
        keyring: String,
        /// The ids or fingerprints of the keys that signed.
        signed_by: Vec<String>,
    },
    /// A key of the keyring signed another text.
    #[error("the signature by {key} does not fit the text: the file was changed after it was signed")]
    Bad {
        /// The fingerprint.
        key: String,
    },
    /// The only keys that signed can't be trusted any more, or not for this.
    #[error("the signature by {key} doesn't count: {standing}")]
    Untrusted {
        /// The fingerprint.
        key: String,
        /// Why.
        standing: &'static str,
    },
}

/// Verifies an `InRelease` file. `now` is in seconds since 1970-01-01 UTC.
pub fn verify_cleartext(bytes: &[u8], keyring: &Keyring, now: i64) -> Result<Verified, SignatureError> {
    let message = cleartext::parse(bytes)?;
    let signatures = read_signatures(message.armor.as_bytes())?;
    // What is hashed has lines that end in CR LF, and none after the last (RFC 9580 section 7.2).
    let hashed = message.text.join("\r\n");
    let signers = check(&signatures, hashed.as_bytes(), keyring, now)?;
    let mut text = message.text.join("\n");
    text.push('\n');
    Ok(Verified { text, signers })
}

/// Verifies a `Release` file with the content of `Release.gpg`, armored or not.
pub fn verify_detached(
    bytes: &[u8],
    signature: &[u8],
    keyring: &Keyring,
    now: i64,
) -> Result<Verified, SignatureError> {
    let signers = check(&read_signatures(signature)?, bytes, keyring, now)?;
    let text =
        std::str::from_utf8(bytes).map_err(|_no_detail| SignatureError::Malformed("it is not UTF-8"))?;
    Ok(Verified { text: text.to_owned(), signers })
}

fn read_signatures(bytes: &[u8]) -> Result<Vec<Signature>, SignatureError> {
    let refuse = |error: pgp::errors::Error| SignatureError::Packets(error.to_string());
    let read: Result<Vec<DetachedSignature>, _> = if bytes.trim_ascii_start().starts_with(b"-----BEGIN") {
        DetachedSignature::from_armor_many(bytes).map_err(refuse)?.0.collect()
    } else {
        DetachedSignature::from_bytes_many(bytes).map_err(refuse)?.collect()
    };
    let signatures: Vec<Signature> = read.map_err(refuse)?.into_iter().map(|s| s.signature).collect();
    if signatures.is_empty() {
        return Err(SignatureError::Packets("there is no signature in it".to_owned()));
    }
    Ok(signatures)
}

/// The keys whose signature is good. An error is the most telling of those of the signatures: one that does not fit
/// before one that does not count before one by a stranger.
fn check(
    signatures: &[Signature],
    data: &[u8],
    keyring: &Keyring,
    now: i64,
) -> Result<Vec<String>, SignatureError> {
    let (mut good, mut bad, mut untrusted, mut strangers) = (Vec::new(), None, None, Vec::new());
    for signature in signatures {
        let keys = keyring.keys_of(signature);
        if keys.is_empty() {
            strangers.extend(issuers(signature));
        }
        for key in keys {
            let name = key.fingerprint();
            if let Some(standing) = refusal(signature, key.standing(signature), now) {
                untrusted.get_or_insert((name, standing));
            } else if key.verify(signature, data) {
                good.push(name);
            } else {
                bad.get_or_insert(name);
            }
        }
    }
    if !good.is_empty() {
        return Ok(good);
    }
    Err(match (bad, untrusted) {
        (Some(key), _) => SignatureError::Bad { key },
        (None, Some((key, standing))) => SignatureError::Untrusted { key, standing },
        (None, None) => {
            SignatureError::Unknown { keyring: keyring.origin().to_owned(), signed_by: strangers }
        }
    })
}

/// Why a signature doesn't count, whatever it says.
fn refusal(signature: &Signature, standing: Standing, now: i64) -> Option<&'static str> {
    let created = signature.created().map(|time| i64::from(time.as_secs()));
    let lifetime = signature.signature_expiration_time().map(|time| i64::from(time.as_secs()));
    let ends = created.zip(lifetime.filter(|seconds| *seconds > 0)).map(|(created, life)| created + life);
    let strong = matches!(
        signature.hash_alg(),
        Some(
            HashAlgorithm::Sha256
                | HashAlgorithm::Sha384
                | HashAlgorithm::Sha512
                | HashAlgorithm::Sha3_256
                | HashAlgorithm::Sha3_512
        )
    );
    let document = matches!(signature.typ(), Some(SignatureType::Binary | SignatureType::Text));
    match standing {
        Standing::Revoked => Some("the key was revoked"),
        Standing::Expired => Some("the key was not valid at the time it signed"),
        Standing::NotForSigning => Some("the key is not one for signing"),
        Standing::Valid if !strong => Some("its digest is weaker than SHA-256"),
        Standing::Valid if !document => Some("it is not a signature of a document"),
        Standing::Valid if created.is_none() => Some("it does not say when it was made"),
        Standing::Valid if ends.is_some_and(|ends| ends < now) => Some("the signature has expired"),
        Standing::Valid => None,
    }
}

fn issuers(signature: &Signature) -> Vec<String> {
    let prints = signature.issuer_fingerprint();
    if prints.is_empty() {
        return signature.issuer_key_id().iter().map(|id| id.to_string().to_uppercase()).collect();
    }
    prints.iter().map(|print| format!("{print:X}")).collect()
}

fn list(keys: &[String]) -> String {
    if keys.is_empty() { "nobody it names".to_owned() } else { keys.join(", ") }
}
