//! Signed messages (PKCS #7 / CMS, RFC 5652) in the two shapes that firmware reads: with the content inside and attributes
//! signed (Authenticode), and detached without (authenticated variables).

use basalt_types::Digest;
use cms::{
    cert::{CertificateChoices, IssuerAndSerialNumber},
    content_info::CmsVersion,
    signed_data::{
        CertificateSet, EncapsulatedContentInfo, SignedData, SignerIdentifier, SignerInfo, SignerInfos,
    },
};
use der::{
    Any, AnyRef, Decode as _, Encode as _, Tag,
    asn1::{ObjectIdentifier, OctetString, SetOfVec},
};
use pkcs8::DecodePublicKey as _;
use rsa::sha2::Sha256;
use x509_cert::{Certificate, attr::Attribute, spki::AlgorithmIdentifierOwned};

use crate::{Sign, SignError};

/// SHA-256 (RFC 5754, section 2.2).
const SHA_256: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.1");
/// `rsaEncryption` (RFC 3370, section 3.2), which stands for the signature scheme in PKCS #7.
const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
/// `contentType` (RFC 5652, section 11.1).
const CONTENT_TYPE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.3");
/// `messageDigest` (RFC 5652, section 11.2).
const MESSAGE_DIGEST: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.4");
/// `data` (RFC 5652, section 4).
const DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.1");
/// `signedData` (RFC 5652, section 5).
const SIGNED_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.2");

/// Why a message can't be made or believed.
#[derive(Debug, thiserror::Error)]
pub enum MessageError {
    /// A part can't be encoded or is not what it should be.
    #[error("it is no signed message")]
    Encoding(#[source] der::Error),
    /// The key does not sign.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// There is not exactly one signature, with SHA-256, of a certificate that is in the message.
    #[error("it is not signed in a way that is known: {0}")]
    Unknown(&'static str),
    /// The signature is not that of the certificate over this content.
    #[error("the signature of {0} does not match")]
    Mismatch(String),
}

impl From<der::Error> for MessageError {
    fn from(error: der::Error) -> Self {
        Self::Encoding(error)
    }
}

/// A message with its content and signed attributes, in a `ContentInfo`. `content` is a SEQUENCE in DER; its digest is that
/// of its value, as PKCS #7 (RFC 2315, section 9.3) has it.
pub(crate) fn enclosing(
    signer: &dyn Sign,
    kind: ObjectIdentifier,
    content: &[u8],
) -> Result<Vec<u8>, MessageError> {
    let content = AnyRef::from_der(content)?;
    let attributes = SetOfVec::try_from(vec![
        attribute(CONTENT_TYPE, Any::encode_from(&kind)?)?,
        attribute(
            MESSAGE_DIGEST,
            Any::encode_from(&OctetString::new(*Digest::of(content.value()).as_bytes())?)?,
        )?,
    ])?;
    let signature = signer.sign(&Digest::of(&attributes.to_der()?))?;
    let encapsulated = EncapsulatedContentInfo { econtent_type: kind, econtent: Some(content.into()) };
    let signed = signed_data(signer.certificate(), encapsulated, Some(attributes), signature)?;
    let info =
        cms::content_info::ContentInfo { content_type: SIGNED_DATA, content: Any::encode_from(&signed)? };
    Ok(info.to_der()?)
}

/// The signature of `content`, which travels elsewhere; without attributes and without a `ContentInfo` around it.
pub(crate) fn detached(signer: &dyn Sign, content: &[u8]) -> Result<Vec<u8>, MessageError> {
    let signature = signer.sign(&Digest::of(content))?;
    let encapsulated = EncapsulatedContentInfo { econtent_type: DATA, econtent: None };
    Ok(signed_data(signer.certificate(), encapsulated, None, signature)?.to_der()?)
}

/// The content of a message as [`enclosing`] makes them, and whose signature it has. Whether that one is trusted is the
/// caller's to know.
pub(crate) fn open(message: &[u8], kind: ObjectIdentifier) -> Result<(Vec<u8>, Certificate), MessageError> {
    let info = cms::content_info::ContentInfo::from_der(message)?;
    if info.content_type != SIGNED_DATA {
        return Err(MessageError::Unknown("the content is not signed data"));
    }
    let signed: SignedData = info.content.decode_as()?;
    let content = signed.encap_content_info.econtent.as_ref();
    let content = content.filter(|_| signed.encap_content_info.econtent_type == kind);
    let content = content.ok_or(MessageError::Unknown("it holds something else"))?;
    let [signer] = signed.signer_infos.0.as_slice() else {
        return Err(MessageError::Unknown("there is not exactly one signer"));
    };
    let attributes = signer.signed_attrs.as_ref().ok_or(MessageError::Unknown("no attributes are signed"))?;
    let certificate = certificate_of(signer, &signed)?;
    let mismatch = || MessageError::Mismatch(crate::common_name(&certificate));
    let digest = Digest::of(content.value());
    if signer.digest_alg.oid != SHA_256 || message_digest(attributes)? != digest.as_bytes() {
        return Err(mismatch());
    }
    let key = certificate.tbs_certificate().subject_public_key_info().to_der()?;
    let key = rsa::PublicKey::from_public_key_der(&key);
    let key = key.map_err(|_not_rsa| MessageError::Unknown("the key is not an RSA key"))?;
    let verified = key.pkcs1v15_verify::<Sha256>(&attributes.to_der()?, signer.signature.as_bytes());
    verified.map_err(|_wrong| mismatch())?;
    Ok((content.to_der()?, certificate))
}

fn signed_data(
    certificate: &Certificate,
    content: EncapsulatedContentInfo,
    attributes: Option<SetOfVec<Attribute>>,
    signature: Vec<u8>,
) -> Result<SignedData, der::Error> {
    let sid = SignerIdentifier::IssuerAndSerialNumber(IssuerAndSerialNumber {
        issuer: certificate.tbs_certificate().issuer().clone(),
        serial_number: certificate.tbs_certificate().serial_number().clone(),
    });
    let sha256 = algorithm(SHA_256);
    let signer = SignerInfo {
        version: CmsVersion::V1,
        sid,
        digest_alg: sha256.clone(),
        signed_attrs: attributes,
        signature_algorithm: algorithm(RSA),
        signature: OctetString::new(signature)?,
        unsigned_attrs: None,
    };
    let certificates = vec![CertificateChoices::Certificate(certificate.clone())];
    Ok(SignedData {
        version: CmsVersion::V1,
        digest_algorithms: SetOfVec::try_from(vec![sha256])?,
        encap_content_info: content,
        certificates: Some(CertificateSet::try_from(certificates)?),
        crls: None,
        signer_infos: SignerInfos::try_from(vec![signer])?,
    })
}

fn certificate_of(signer: &SignerInfo, signed: &SignedData) -> Result<Certificate, MessageError> {
    let missing = MessageError::Unknown("the signer's certificate is not in it");
    let SignerIdentifier::IssuerAndSerialNumber(wanted) = &signer.sid else { return Err(missing) };
    let certificates = signed.certificates.iter().flat_map(|set| set.0.iter());
    let certificates = certificates.filter_map(|choice| match choice {
        CertificateChoices::Certificate(certificate) => Some(certificate),
        CertificateChoices::Other(_) => None,
    });
    let mut wanted = certificates.filter(|certificate| {
        let body = certificate.tbs_certificate();
        *body.issuer() == wanted.issuer && *body.serial_number() == wanted.serial_number
    });
    wanted.next().cloned().ok_or(missing)
}

fn message_digest(attributes: &SetOfVec<Attribute>) -> Result<Vec<u8>, MessageError> {
    let found = attributes.iter().find(|attribute| attribute.oid == MESSAGE_DIGEST);
    let value = found.and_then(|attribute| attribute.values.get(0));
    let value = value.ok_or(MessageError::Unknown("no digest of the content is signed"))?;
    Ok(value.decode_as::<OctetString>()?.as_bytes().to_vec())
}

fn attribute(oid: ObjectIdentifier, value: Any) -> Result<Attribute, der::Error> {
    Ok(Attribute { oid, values: SetOfVec::try_from(vec![value])? })
}

/// An algorithm whose parameters are NULL.
pub(crate) fn algorithm(oid: ObjectIdentifier) -> AlgorithmIdentifierOwned {
    AlgorithmIdentifierOwned { oid, parameters: Any::new(Tag::Null, []).ok() }
}

/// The name of SHA-256.
pub(crate) fn sha_256() -> AlgorithmIdentifierOwned {
    algorithm(SHA_256)
}
