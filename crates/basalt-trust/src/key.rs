//! The signing seam, and keys that are files.

use std::fmt;

use basalt_types::Digest;
use pkcs8::{DecodePrivateKey as _, EncodePrivateKey as _, EncodePublicKey as _, LineEnding};
use rsa::sha2::Sha256;
use x509_cert::Certificate;

/// Whoever can sign: a key in a file, in a token, at a service. Signatures are RSASSA-PKCS1-v1_5 with SHA-256 (RFC 8017,
/// section 8.2), the one scheme that every firmware takes.
pub trait Sign: fmt::Debug {
    /// The certificate of the key.
    fn certificate(&self) -> &Certificate;

    /// The signature of a digest.
    ///
    /// # Errors
    /// When the key can't be used.
    fn sign(&self, digest: &Digest) -> Result<Vec<u8>, SignError>;
}

/// Why nothing was signed.
#[derive(Debug, thiserror::Error)]
#[error("the key of {who} does not sign")]
pub struct SignError {
    /// Whose key.
    pub who: String,
    /// What it said.
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

/// An RSA key. It is nowhere printed.
pub struct PrivateKey(rsa::PrivateKey);

/// Why a text is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// It is no PKCS #8 in PEM, or of no RSA key.
    #[error("it is no RSA key in PKCS #8 and PEM")]
    NotAKey(#[source] pkcs8::Error),
    /// It is encrypted, and no passphrase was given.
    #[error("it is encrypted, and there is no passphrase")]
    Encrypted,
    /// The passphrase is not the one it was encrypted with.
    #[error("the passphrase does not open it")]
    Passphrase(#[source] pkcs8::Error),
    /// The key can't be made or written.
    #[error("no RSA key of {0} bits can be made")]
    Generate(usize, #[source] rsa::Error),
    /// The key can't be encoded.
    #[error("the key can't be encoded")]
    Encode(#[source] pkcs8::Error),
    /// The certificate is another key's.
    #[error("the certificate of {0} is not that of the key beside it")]
    OtherCertificate(String),
}

const ENCRYPTED: &str = "-----BEGIN ENCRYPTED PRIVATE KEY-----";

impl PrivateKey {
    /// Draws a new key of so many bits from the system's random numbers.
    ///
    /// # Errors
    /// When there can be no key of this size.
    pub fn generate(bits: usize) -> Result<Self, KeyError> {
        let key = rsa::PrivateKey::new(&mut getrandom::SysRng, bits);
        key.map(Self).map_err(|source| KeyError::Generate(bits, source))
    }

    /// Reads PKCS #8 in PEM (RFC 5958, RFC 7468), encrypted or not.
    ///
    /// # Errors
    /// When it is none, or encrypted otherwise.
    pub fn from_pem(pem: &str, passphrase: Option<&str>) -> Result<Self, KeyError> {
        match (pem.trim_start().starts_with(ENCRYPTED), passphrase) {
            (true, None) => Err(KeyError::Encrypted),
            (true, Some(passphrase)) => {
                let key = rsa::PrivateKey::from_pkcs8_encrypted_pem(pem, passphrase);
                key.map(Self).map_err(KeyError::Passphrase)
            }
            (false, _) => rsa::PrivateKey::from_pkcs8_pem(pem).map(Self).map_err(KeyError::NotAKey),
        }
    }

    /// Writes it as [`Self::from_pem`] reads it.
    ///
    /// # Errors
    /// When it can't be encoded.
    pub fn to_pem(&self, passphrase: Option<&str>) -> Result<String, KeyError> {
        let pem = match passphrase {
            Some(passphrase) => self.0.to_pkcs8_encrypted_pem(passphrase, LineEnding::LF),
            None => self.0.to_pkcs8_pem(LineEnding::LF),
        };
        Ok(pem.map_err(KeyError::Encode)?.to_string())
    }

    pub(crate) fn rsa(&self) -> &rsa::PrivateKey {
        &self.0
    }

    fn public_der(&self) -> Option<Vec<u8>> {
        self.0.to_public_key().to_public_key_der().ok().map(pkcs8::Document::into_vec)
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKey(…)")
    }
}

/// A key that was read from a file, with its certificate.
#[derive(Debug)]
pub struct LocalKey {
    key: PrivateKey,
    certificate: Certificate,
}

impl LocalKey {
    /// Puts both together.
    ///
    /// # Errors
    /// When the certificate is not that of the key.
    pub fn new(key: PrivateKey, certificate: Certificate) -> Result<Self, KeyError> {
        use der::Encode as _;
        let certified = certificate.tbs_certificate().subject_public_key_info().to_der().ok();
        if certified.is_none() || certified != key.public_der() {
            return Err(KeyError::OtherCertificate(crate::common_name(&certificate)));
        }
        Ok(Self { key, certificate })
    }
}

impl Sign for LocalKey {
    fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    fn sign(&self, digest: &Digest) -> Result<Vec<u8>, SignError> {
        let signature = self.key.0.pkcs1v15_sign_prehash::<Sha256>(digest.as_bytes());
        signature
            .map_err(|source| SignError { who: crate::common_name(&self.certificate), source: source.into() })
    }
}
