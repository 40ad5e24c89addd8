//! Who may sign, and what they signed. Values in, values out: keys and files are read by programs.
//!
//! ```text
//! Sign            a key with its certificate: a file's now, a token's or a service's by the same trait
//! authenticode    EFI programs: UKI, boot loader      (what the firmware checks)
//! variable        PK, KEK, db, dbx as the firmware takes them
//! policy          what the TPM will hold at each stage of a boot   (what opens secrets)
//! release         releases that machines upgrade to       (what the agent checks)
//! ```
//!
//! Invariant: the same input gives the same bytes. PKCS #1 v1.5 signatures have no randomness, and no time is signed but
//! the one that is given.
//!
//! Not here: where keys are kept, the TPM.

pub mod authenticode;
mod certificate;
mod key;
mod message;
pub mod policy;
pub mod release;
pub mod variable;

pub use certificate::{
    EncodingError, IssueError, Validity, certificate_digest, certificate_from_pem, certificate_to_pem,
    common_name, self_signed, validity,
};
pub use key::{KeyError, LocalKey, PrivateKey, Sign, SignError};
pub use message::MessageError;
pub use x509_cert::Certificate;
