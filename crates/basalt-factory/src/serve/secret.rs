//! Secrets: made, kept as digests, compared in constant time, never printed.

use std::fmt;

use argon2::{
    Argon2,
    password_hash::{PasswordHasher as _, PasswordVerifier as _, phc::PasswordHash},
};
use basalt_types::Digest;
use subtle::ConstantTimeEq as _;

/// The shortest password of an account (NIST SP 800-63B section 5.1.1.1 asks for 8; a factory signs in people, not pins).
pub(super) const SHORTEST_PASSWORD: usize = 10;
/// The longest: what is longer costs time to hash and adds nothing.
pub(super) const LONGEST_PASSWORD: usize = 200;

/// Random bytes as text: what a browser, a link or a program shows to be let in. Only its digest is kept.
pub(super) struct Token(String);

/// Why no secret can be made or checked.
#[derive(Debug, thiserror::Error)]
pub(super) enum SecretError {
    /// The kernel gives no random numbers.
    #[error("the kernel gives no random numbers")]
    Random(#[from] getrandom::Error),
    /// The password could not be hashed.
    #[error("the password can't be hashed")]
    Hash,
}

impl Token {
    /// A new one of 32 bytes; `prefix` says what it is for, so that people and scanners of leaks know it.
    pub(super) fn new(prefix: &str) -> Result<Self, SecretError> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes)?;
        Ok(Self(format!("{prefix}{}", Digest::from_bytes(bytes).hex())))
    }

    /// A new one of 16 bytes, for places that hold no more.
    pub(super) fn brief() -> Result<Self, SecretError> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes)?;
        Ok(Self(hex(&bytes)))
    }

    /// The text, to be given away once.
    pub(super) fn reveal(&self) -> &str {
        &self.0
    }

    /// What is kept of it.
    pub(super) fn digest(&self) -> Digest {
        digest_of(&self.0)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// What is kept of a token that somebody shows. It has 128 random bits or more: a fast hash is enough.
pub(super) fn digest_of(token: &str) -> Digest {
    Digest::of(token.as_bytes())
}

/// Whether two texts are the same, in a time that says nothing of where they differ.
pub(super) fn is_same(one: &str, other: &str) -> bool {
    one.as_bytes().ct_eq(other.as_bytes()).into()
}

/// A short random name, such as a build's.
pub(super) fn short_name() -> Result<String, SecretError> {
    let mut bytes = [0_u8; 8];
    getrandom::fill(&mut bytes)?;
    Ok(hex(&bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Hashes an account's password (Argon2id with the crate's parameters: those of the OWASP cheat sheet).
pub(super) fn hash_password(password: &str) -> Result<String, SecretError> {
    let hash = Argon2::default().hash_password(password.as_bytes());
    hash.map(|hash| hash.to_string()).map_err(|_opaque| SecretError::Hash)
}

/// A hash of nobody's password, with the same parameters.
const NOBODY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5bm9ib2R5$x1T9hPd4rSOAyNuWNkzQ3Xh7wGrx8Yp0c8mYdJcyUzo";

/// Whether this is the password. Without a hash (there is no such account) it takes as long and says no.
pub(super) fn verify_password(password: &str, hash: Option<&str>) -> bool {
    let Ok(parsed) = PasswordHash::new(hash.unwrap_or(NOBODY)) else { return false };
    let fits = Argon2::default().verify_password(password.as_bytes(), &parsed).is_ok();
    fits && hash.is_some()
}

/// The hash that `/etc/shadow` of an image takes: SHA-512-crypt, which every distribution's libc knows.
///
/// The salt has 16 characters, the most that crypt(5) allows: a longer one is cut there and the password never fits.
pub(super) fn hash_for_image(password: &str) -> Result<String, SecretError> {
    use sha_crypt::PasswordHasher as _;
    let mut salt = [0; 12];
    getrandom::fill(&mut salt)?;
    let hash = sha_crypt::ShaCrypt::default().hash_password_with_salt(password.as_bytes(), &salt);
    hash.map(|hash| hash.to_string()).map_err(|_opaque| SecretError::Hash)
}

#[cfg(test)]
mod tests {
    use argon2::password_hash::phc::PasswordHash;

    use super::{NOBODY, Token, digest_of, hash_for_image, hash_password, is_same, verify_password};

    #[test]
    fn a_password_fits_its_hash_only() {
        let hash = hash_password("correct horse").unwrap();
        assert!(hash.starts_with("$argon2id$"), "{hash}");
        assert!(verify_password("correct horse", Some(&hash)));
        assert!(!verify_password("correct hors", Some(&hash)));
        assert!(!verify_password("correct horse", None), "nobody has no password");
        assert!(PasswordHash::new(NOBODY).is_ok(), "nobody's password takes as long to try as anybody's");
    }

    #[test]
    fn openssl_makes_the_same_hash_for_an_image() {
        let hash = hash_for_image("hunter42").unwrap();
        let (salt, _) = hash.strip_prefix("$6$").unwrap().rsplit_once('$').unwrap();
        let said =
            basalt_testkit::run_tool("openssl", "openssl", &["passwd", "-6", "-salt", salt, "hunter42"]);
        assert_eq!(String::from_utf8_lossy(&said.stdout).trim(), hash);
    }

    #[test]
    fn a_token_is_not_printed() {
        let token = Token::new("bst_").unwrap();
        assert!(!format!("{token:?}").contains(&token.reveal()[4..]));
        assert_eq!(token.digest(), digest_of(token.reveal()));
        assert!(is_same("a", "a") && !is_same("a", "b") && !is_same("a", "ab"));
    }
}
