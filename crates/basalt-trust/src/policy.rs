//! Signatures of what the TPM will hold (UAPI.5, "JSON Format for .pcrsig"): by them a secret is bound to a key and not to one
//! image, so that the next image opens it too.
//!
//! ```text
//! {"sha256":[{"pcrs":[11],"pkfp":HEX,"pol":HEX,"sig":BASE64}, …]}    one for each stage of the boot
//! ```
//!
//! `pkfp` is the SHA-256 digest of the public key as PKCS #1 has it (RFC 8017, appendix A.1.1, in DER), `pol` the policy's digest, `sig` the signature of its bytes.

use basalt_formats::{tpm::PcrIndex, uki::Predicted};
use basalt_types::Digest;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde::Serialize;

use crate::{Sign, SignError};

#[derive(Serialize)]
struct Signatures {
    sha256: Vec<Signature>,
}

#[derive(Serialize)]
struct Signature {
    pcrs: [u8; 1],
    pkfp: String,
    pol: String,
    sig: String,
}

/// Why there are no signatures.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// The key does not sign.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// The document can't be written.
    #[error("the signatures can't be written as JSON")]
    Json(#[from] serde_json::Error),
}

/// The content of `.pcrsig` for these stages.
///
/// # Errors
/// When the key does not sign.
pub fn sign(signer: &dyn Sign, predicted: &[Predicted]) -> Result<String, PolicyError> {
    let key = signer.certificate().tbs_certificate().subject_public_key_info();
    let fingerprint = Digest::of(key.subject_public_key.raw_bytes()).hex();
    let sign = |stage: &Predicted| {
        let signature = signer.sign(&Digest::of(stage.policy.as_bytes()))?;
        Ok(Signature {
            pcrs: [PcrIndex::KERNEL_IMAGE.number()],
            pkfp: fingerprint.clone(),
            pol: stage.policy.hex(),
            sig: BASE64_STANDARD.encode(signature),
        })
    };
    let sha256 = predicted.iter().map(sign).collect::<Result<_, SignError>>()?;
    Ok(serde_json::to_string(&Signatures { sha256 })?)
}
