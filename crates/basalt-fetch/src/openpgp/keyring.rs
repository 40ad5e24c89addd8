use std::fmt;

use pgp::{
    composed::{Deserializable as _, SignedPublicKey, SignedPublicSubKey},
    packet::{Signature, SignatureType},
    types::{KeyDetails, Tag, Timestamp},
};

/// Keys that are trusted to sign an archive.
#[derive(Clone)]
pub struct Keyring {
    certificates: Vec<SignedPublicKey>,
    origin: String,
}

/// Why a keyring can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyringError {
    /// Not OpenPGP public keys.
    #[error("{origin} is not a keyring of OpenPGP public keys, binary or armored: {problem}")]
    Damaged {
        /// Where it is from.
        origin: String,
        /// What the parser said.
        problem: String,
    },
    /// No key in it.
    #[error("{origin} has no key in it")]
    Empty {
        /// Where it is from.
        origin: String,
    },
}

/// Debian's archive keys; `keys/README.md` says where they are from.
const DEBIAN: [&[u8]; 6] = [
    include_bytes!("../../keys/debian-archive-bookworm-automatic.pgp"),
    include_bytes!("../../keys/debian-archive-bookworm-security-automatic.pgp"),
    include_bytes!("../../keys/debian-archive-bookworm-stable.pgp"),
    include_bytes!("../../keys/debian-archive-trixie-automatic.pgp"),
    include_bytes!("../../keys/debian-archive-trixie-security-automatic.pgp"),
    include_bytes!("../../keys/debian-archive-trixie-stable.pgp"),
];

/// What a key may do for a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    Valid,
    Revoked,
    Expired,
    NotForSigning,
}

/// A key of a keyring: a certificate's primary key, or one of its subkeys.
#[derive(Debug)]
pub(super) enum Key<'k> {
    Primary(&'k SignedPublicKey),
    Subkey(&'k SignedPublicKey, &'k SignedPublicSubKey),
}

impl Keyring {
    /// The keys that this program carries for the Debian archive.
    pub fn debian() -> Result<Self, KeyringError> {
        let mut keyring =
            Self { certificates: Vec::new(), origin: "Basalt's embedded Debian keys".to_owned() };
        for bytes in DEBIAN {
            keyring.certificates.extend(Self::parse(bytes, &keyring.origin)?.certificates);
        }
        Ok(keyring)
    }

    /// Reads a keyring file, binary or armored. `origin` is how a message calls it, such as its path.
    pub fn parse(bytes: &[u8], origin: &str) -> Result<Self, KeyringError> {
        let origin = origin.to_owned();
        let refuse =
            |e: pgp::errors::Error| KeyringError::Damaged { origin: origin.clone(), problem: e.to_string() };
        let certificates: Result<Vec<SignedPublicKey>, _> =
            if bytes.trim_ascii_start().starts_with(b"-----BEGIN") {
                SignedPublicKey::from_armor_many(bytes).map_err(refuse)?.0.collect()
            } else {
                SignedPublicKey::from_bytes_many(bytes).map_err(refuse)?.collect()
            };
        let certificates = certificates.map_err(refuse)?;
        if certificates.is_empty() {
            return Err(KeyringError::Empty { origin });
        }
        Ok(Self { certificates, origin })
    }

    /// Where the keys are from, for messages.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The fingerprints of the certificates, in upper-case hex.
    pub fn fingerprints(&self) -> Vec<String> {
        self.certificates.iter().map(|certificate| hex(&certificate.primary_key)).collect()
    }

    /// The keys that a signature says it is by.
    pub(super) fn keys_of(&self, signature: &Signature) -> Vec<Key<'_>> {
        let mut keys = Vec::new();
        for certificate in &self.certificates {
            if made_by(signature, &certificate.primary_key) {
                keys.push(Key::Primary(certificate));
            }
            let subkeys = certificate.public_subkeys.iter().filter(|subkey| made_by(signature, &subkey.key));
            keys.extend(subkeys.map(|subkey| Key::Subkey(certificate, subkey)));
        }
        keys
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyring").field("origin", &self.origin).field("keys", &self.fingerprints()).finish()
    }
}

impl Key<'_> {
    pub(super) fn fingerprint(&self) -> String {
        match self {
            Self::Primary(certificate) => hex(&certificate.primary_key),
            Self::Subkey(_, subkey) => hex(&subkey.key),
        }
    }

    pub(super) fn verify(&self, signature: &Signature, data: &[u8]) -> bool {
        match self {
            Self::Primary(certificate) => signature.verify(&certificate.primary_key, data).is_ok(),
            Self::Subkey(_, subkey) => signature.verify(&subkey.key, data).is_ok(),
        }
    }

    /// What the key's own signatures say about it at the time of the signature.
    pub(super) fn standing(&self, signature: &Signature) -> Standing {
        let at = signature.created();
        match self {
            Self::Primary(certificate) => match primary(certificate, at) {
                (Standing::Valid, false) => Standing::NotForSigning,
                (standing, _) => standing,
            },
            Self::Subkey(certificate, subkey) => match primary(certificate, at) {
                (Standing::Valid, _) => bound(certificate, subkey, at),
                (other, _) => other,
            },
        }
    }
}

/// The standing of a primary key, and whether it may sign documents. Only self-signatures that verify are read, the
/// newest of them last.
fn primary(certificate: &SignedPublicKey, at: Option<Timestamp>) -> (Standing, bool) {
    let key = &certificate.primary_key;
    let details = &certificate.details;
    if details.revocation_signatures.iter().any(|revocation| revocation.verify_key(key).is_ok()) {
        return (Standing::Revoked, false);
    }
    let direct = details.direct_signatures.iter().filter(|signature| signature.verify_key(key).is_ok());
    let users = details.users.iter().flat_map(|user| {
        let own = |signature: &&Signature| {
            signature.typ() != Some(SignatureType::CertRevocation)
                && signature.verify_certification(key, Tag::UserId, &user.id).is_ok()
        };
        user.signatures.iter().filter(own)
    });
    let newest = direct.chain(users).max_by_key(|signature| signature.created().map(Timestamp::as_secs));
    let Some(newest) = newest else { return (Standing::NotForSigning, false) };
    // A self-signature without flags leaves the key's use open (RFC 9580 section 5.2.3.29).
    let flags = newest.key_flags();
    let open = !flags.sign() && !flags.certify() && !flags.encrypt_comms() && !flags.encrypt_storage();
    (lifetime(key, newest, at), flags.sign() || open)
}

/// The standing of a subkey: bound by its primary key, and for signing only if it agreed to that (the embedded
/// signature, RFC 9580 section 5.2.3.34).
fn bound(certificate: &SignedPublicKey, subkey: &SignedPublicSubKey, at: Option<Timestamp>) -> Standing {
    let primary = &certificate.primary_key;
    let own = |signature: &&Signature| signature.verify_subkey_binding(primary, &subkey.key).is_ok();
    let (revocations, bindings): (Vec<&Signature>, Vec<&Signature>) = (subkey.signatures.iter())
        .filter(own)
        .partition(|signature| signature.typ() == Some(SignatureType::SubkeyRevocation));
    if !revocations.is_empty() {
        return Standing::Revoked;
    }
    let newest = bindings.into_iter().max_by_key(|signature| signature.created().map(Timestamp::as_secs));
    let Some(newest) = newest.filter(|signature| signature.key_flags().sign()) else {
        return Standing::NotForSigning;
    };
    let agrees = |back: &Signature| back.verify_primary_key_binding(&subkey.key, primary).is_ok();
    if !newest.embedded_signature().is_some_and(agrees) {
        return Standing::NotForSigning;
    }
    lifetime(&subkey.key, newest, at)
}

/// Whether a key was alive at a time, by what a self-signature says. Without a time it was not.
fn lifetime(key: &impl KeyDetails, says: &Signature, at: Option<Timestamp>) -> Standing {
    let created = u64::from(key.created_at().as_secs());
    let length = says.key_expiration_time().map_or(0, |length| u64::from(length.as_secs()));
    let Some(at) = at.map(|time| u64::from(time.as_secs())) else { return Standing::Expired };
    if at < created || (length > 0 && at > created + length) { Standing::Expired } else { Standing::Valid }
}

fn made_by(signature: &Signature, key: &impl KeyDetails) -> bool {
    let prints = signature.issuer_fingerprint();
    if prints.is_empty() {
        return signature.issuer_key_id().iter().any(|id| **id == key.legacy_key_id());
    }
    prints.iter().any(|print| **print == key.fingerprint())
}

fn hex(key: &impl KeyDetails) -> String {
    format!("{:X}", key.fingerprint())
}
