//! A folder with the keys of Secure Boot.
//!
//! ```text
//! PK.key  PK.crt  PK.auth      the platform key: owns the machine
//! KEK.key KEK.crt KEK.auth     may change what is trusted
//! db.key  db.crt  db.auth      signs what boots
//! release.key release.crt release.pub     signs releases that machines upgrade to
//! pcr.key pcr.crt pcr.pub      signs what a machine's TPM will hold, so that secrets open for the next image too
//! ```
//!
//! Builds need `db`, `release`, `pcr`, the certificates and the `.auth` files only. Keys are PKCS #8 in PEM, mode 0600. The `.auth` files are made when the keys are, so that PK and KEK can go into a safe
//! at once. Nothing in a folder is ever written over.

use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use basalt_exec::files::{self, Access};
use basalt_formats::uki::{self, UkiError};
use basalt_trust::{
    Certificate, EncodingError, IssueError, KeyError, LocalKey, MessageError, PrivateKey, Sign as _,
    SignError, Validity,
    authenticode::{self, AuthenticodeError},
    certificate_from_pem, certificate_to_pem,
    policy::{self, PolicyError},
    release, self_signed,
    variable::{Variable, authenticated, signature_lists},
};
use basalt_types::{Digest, Guid};
use thiserror::Error;

use super::release::Release;
use basalt_fetch::oci::{Descriptor, Signature, SignatureImage};

/// Every UEFI firmware takes keys of this size; some take no larger ones.
const BITS: usize = 2048;
/// How long certificates are valid. Firmware does not look at it; other programs do.
const YEARS: u64 = 20;
const YEAR: u64 = 31_556_952;
/// Each key: its variable, its file, what it is for.
const KEYS: [(Variable, &str); 3] = [
    (Variable::Pk, "platform key"),
    (Variable::Kek, "key exchange key"),
    (Variable::Db, "signature database key"),
];

/// Why a folder of keys can't be made or used.
#[derive(Debug, Error)]
pub enum KeysError {
    /// There is something already.
    #[error("{0} is there already; keys are never written over")]
    Exists(PathBuf),
    /// A file can't be read.
    #[error("can't read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file or folder can't be written.
    #[error("can't write {path}")]
    Write {
        /// What was to be written.
        path: PathBuf,
        /// What the system said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Others than the owner may read a key.
    #[error("{path} has mode {mode:04o}: others can read the key")]
    Open {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// A key is not usable.
    #[error("can't use the key {path}")]
    Key {
        /// The file.
        path: PathBuf,
        /// Why.
        source: KeyError,
    },
    /// A file is no certificate.
    #[error("{path} is no certificate in PEM")]
    Certificate {
        /// The file.
        path: PathBuf,
        /// Why.
        source: EncodingError,
    },
    /// A certificate can't be made.
    #[error(transparent)]
    Issue(#[from] IssueError),
    /// The content of a variable can't be signed.
    #[error("the content of {variable} can't be signed")]
    Variable {
        /// Its name.
        variable: &'static str,
        /// Why.
        source: MessageError,
    },
    /// A release can't be signed.
    #[error("the release can't be signed")]
    Release(#[from] SignError),
    /// What the TPM will hold can't be signed.
    #[error("what the TPM will hold can't be signed")]
    Policy(#[from] PolicyError),
    /// The signatures of what the TPM will hold do not go into the image.
    #[error("the signatures of what the TPM will hold can't be put into the unified kernel image")]
    Uki(#[from] UkiError),
    /// What is signed of a release can't be written.
    #[error("what is signed of the release can't be written")]
    Payload(#[from] serde_json::Error),
    /// A program can't be signed.
    #[error("{what} can't be signed")]
    Sign {
        /// The program.
        what: String,
        /// Why.
        source: AuthenticodeError,
    },
}

/// The key that signs releases, by its file.
pub const RELEASE: &str = "release";
/// The key that signs what TPMs will hold.
pub const PCR: &str = "pcr";

/// What new keys are for.
#[derive(Debug)]
pub struct NewKeys<'a> {
    /// Whose they are: certificates say `NAME platform key` and so on.
    pub name: &'a str,
    /// Certificates of others that may sign what boots, too.
    pub trusted: &'a [PathBuf],
    /// What keys are encrypted with.
    pub passphrase: Option<&'a str>,
    /// The time, in seconds since 1970.
    pub now: u64,
}

/// Makes all keys in a new folder.
///
/// # Errors
/// When the folder is there already, or something can't be made or written.
pub fn create(folder: &Path, new: &NewKeys<'_>) -> Result<(), KeysError> {
    if folder.exists() {
        return Err(KeysError::Exists(folder.to_owned()));
    }
    let trusted = new.trusted.iter().map(|path| read_certificate(path)).collect::<Result<Vec<_>, _>>()?;
    let validity = Validity { from: new.now, to: new.now + YEARS * YEAR };
    let make = |name: &'static str, purpose: &str| {
        let failed = |source| KeysError::Key { path: folder.join(name), source };
        let key = PrivateKey::generate(BITS).map_err(failed)?;
        let certificate = self_signed(&key, &format!("{} {purpose}", new.name), validity)?;
        let pem = key.to_pem(new.passphrase).map_err(failed)?;
        Ok::<_, KeysError>(NewKey { name, pem, key: LocalKey::new(key, certificate).map_err(failed)? })
    };
    let mut keys = Vec::new();
    for (variable, purpose) in KEYS {
        keys.push(make(variable.name(), purpose)?);
    }
    keys.push(make(RELEASE, "release key")?);
    keys.push(make(PCR, "PCR policy key")?);
    let [NewKey { key: pk, .. }, NewKey { key: kek, .. }, NewKey { key: db, .. }, ..] = keys.as_slice()
    else {
        return Ok(());
    };
    let owner = Guid::derived(&Digest::of(certificate_pem(pk.certificate(), folder)?.as_bytes()));
    let mut writes = Vec::new();
    for (variable, signer, first) in
        [(Variable::Pk, pk, pk), (Variable::Kek, pk, kek), (Variable::Db, kek, db)]
    {
        let others = if variable == Variable::Db { trusted.as_slice() } else { &[] };
        let certificates: Vec<&Certificate> = [first.certificate()].into_iter().chain(others).collect();
        let failed = |source| KeysError::Variable { variable: variable.name(), source };
        let content = signature_lists(owner, &certificates, &[]).map_err(failed)?;
        writes.push((variable, authenticated(variable, &content, signer, new.now).map_err(failed)?));
    }
    write_folder(folder, &keys, &writes)
}

/// A key that was just made.
struct NewKey {
    name: &'static str,
    pem: String,
    key: LocalKey,
}

/// Writes everything beside the folder and gives it its name when it is whole.
fn write_folder(folder: &Path, keys: &[NewKey], writes: &[(Variable, Vec<u8>)]) -> Result<(), KeysError> {
    let mut name = folder.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let partial = folder.with_file_name(name);
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source: io::Error| KeysError::Write { path, source: source.into() }
    };
    fs::DirBuilder::new().mode(0o700).create(&partial).map_err(failed(&partial))?;
    let write = |file: String, bytes: &[u8], access| {
        let path = partial.join(file);
        let failed =
            |source: files::FileError| KeysError::Write { path: path.clone(), source: source.into() };
        files::write_atomic(&path, bytes, access).map_err(failed)
    };
    for NewKey { name, pem, key } in keys {
        let certificate = certificate_pem(key.certificate(), folder)?;
        write(format!("{name}.key"), pem.as_bytes(), Access::Secret)?;
        write(format!("{name}.crt"), certificate.as_bytes(), Access::Public)?;
        if [RELEASE, PCR].contains(name) {
            let public = release::public_key_pem(key.certificate()).map_err(no_certificate(folder))?;
            write(format!("{name}.pub"), public.as_bytes(), Access::Public)?;
        }
    }
    for (variable, bytes) in writes {
        write(format!("{}.auth", variable.name()), bytes, Access::Public)?;
    }
    fs::rename(&partial, folder).map_err(failed(folder))
}

/// What a build signs with.
#[derive(Debug)]
pub struct Signing {
    db: LocalKey,
    /// Folders that were made before there were signed releases have none.
    release: Option<LocalKey>,
    /// The same.
    pcr: Option<LocalKey>,
    /// What firmware in setup mode is given.
    pub enrolment: Enrolment,
}

/// The `.auth` files, by variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enrolment(Vec<(&'static str, Vec<u8>)>);

impl Enrolment {
    /// Name of the variable and the write, in the order in which firmware takes them: PK last, for it ends setup mode.
    pub fn writes(&self) -> impl Iterator<Item = (&'static str, &[u8])> {
        self.0.iter().map(|(name, bytes)| (*name, bytes.as_slice()))
    }
}

impl Signing {
    /// Reads what builds need of a folder of keys.
    ///
    /// # Errors
    /// When a file is missing, not what it should be, or readable for others.
    pub fn open(folder: &Path, passphrase: Option<&str>) -> Result<Self, KeysError> {
        let db = read_key(folder, Variable::Db.name(), passphrase)?;
        let optional = |name: &str| match folder.join(format!("{name}.key")).exists() {
            true => read_key(folder, name, passphrase).map(Some),
            false => Ok(None),
        };
        let (release, pcr) = (optional(RELEASE)?, optional(PCR)?);
        let mut writes = Vec::new();
        for variable in [Variable::Db, Variable::Kek, Variable::Pk] {
            let path = folder.join(format!("{}.auth", variable.name()));
            writes.push((variable.name(), fs::read(&path).map_err(cannot_read(&path))?));
        }
        Ok(Self { db, release, pcr, enrolment: Enrolment(writes) })
    }

    /// What distinguishes what is signed with it.
    ///
    /// # Errors
    /// When the certificate can't be encoded.
    pub fn digest(&self) -> Result<Digest, KeysError> {
        let mut all = certificate_pem(self.db.certificate(), Path::new("db.crt"))?.into_bytes();
        for (_, write) in self.enrolment.writes() {
            all.extend(Digest::of(write).as_bytes());
        }
        for (name, key) in [(RELEASE, &self.release), (PCR, &self.pcr)] {
            let Some(key) = key else { continue };
            all.extend(certificate_pem(key.certificate(), Path::new(name))?.into_bytes());
        }
        Ok(Digest::of(&all))
    }

    /// Whose key it is.
    pub fn name(&self) -> String {
        basalt_trust::common_name(self.db.certificate())
    }

    /// Whether one of these signers is this one.
    pub fn is_among(&self, signers: &[Certificate]) -> bool {
        signers.contains(self.db.certificate())
    }

    /// Signs an EFI program; `what` is its name for people.
    ///
    /// # Errors
    /// When it is none.
    pub fn sign(&self, what: &str, program: &[u8]) -> Result<Vec<u8>, KeysError> {
        authenticode::sign(program, &self.db)
            .map_err(|source| KeysError::Sign { what: what.to_owned(), source })
    }

    /// Signs the release whose manifest is described so; `name` is what it is called. `None` when the folder has no key
    /// for releases.
    ///
    /// # Errors
    /// When the key does not sign.
    pub fn sign_manifest(
        &self,
        name: &str,
        manifest: &Descriptor,
    ) -> Result<Option<SignatureImage>, KeysError> {
        let Some(key) = &self.release else { return Ok(None) };
        let payload = release::payload(name, manifest.digest)?;
        let signature = release::sign(key, &payload)?;
        Ok(Some(SignatureImage::new(manifest, &Signature { payload, signature })?))
    }

    /// Signs what firmware starts of a release, and has it enrol the keys.
    ///
    /// # Errors
    /// As [`Self::sign`].
    pub fn sign_release(&self, release: &mut Release) -> Result<(), KeysError> {
        if let Some(key) = &self.pcr {
            release.uki = with_signed_policy(&release.uki, key)?;
        }
        release.uki = self.sign("the unified kernel image", &release.uki)?;
        release.loader = self.sign("the boot loader", &release.loader)?;
        release.guard = self.sign("the program before the boot loader", &release.guard)?;
        release.enrolment = Some(self.enrolment.clone());
        Ok(())
    }
}

/// The image with the public key, which is measured too, and its signatures of what the TPM will hold at each stage of the boot.
fn with_signed_policy(uki: &[u8], key: &LocalKey) -> Result<Vec<u8>, KeysError> {
    let public = release::public_key_pem(key.certificate()).map_err(no_certificate(Path::new("pcr.crt")))?;
    let public = Some(public.as_bytes());
    let measured = uki::measure(&uki::with_policy(uki, public, None)?)?;
    let signatures = policy::sign(key, &measured.predict())?;
    Ok(uki::with_policy(uki, public, Some(signatures.as_bytes()))?)
}

/// Reads the key of this name and its certificate.
fn read_key(folder: &Path, name: &str, passphrase: Option<&str>) -> Result<LocalKey, KeysError> {
    let path = folder.join(format!("{name}.key"));
    let mode = fs::metadata(&path).map_err(cannot_read(&path))?.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(KeysError::Open { path, mode });
    }
    let pem = fs::read_to_string(&path).map_err(cannot_read(&path))?;
    let certificate = read_certificate(&folder.join(format!("{name}.crt")))?;
    let key = PrivateKey::from_pem(&pem, passphrase).and_then(|key| LocalKey::new(key, certificate));
    key.map_err(|source| KeysError::Key { path, source })
}

/// Reads a certificate in PEM.
///
/// # Errors
/// When the file can't be read or is none.
pub fn read_certificate(path: &Path) -> Result<Certificate, KeysError> {
    let pem = fs::read_to_string(path).map_err(cannot_read(path))?;
    certificate_from_pem(&pem).map_err(no_certificate(path))
}

fn certificate_pem(certificate: &Certificate, path: &Path) -> Result<String, KeysError> {
    certificate_to_pem(certificate).map_err(no_certificate(path))
}

fn no_certificate(path: &Path) -> impl FnOnce(EncodingError) -> KeysError {
    let path = path.to_owned();
    move |source| KeysError::Certificate { path, source }
}

fn cannot_read(path: &Path) -> impl FnOnce(io::Error) -> KeysError {
    let path = path.to_owned();
    move |source| KeysError::Read { path, source }
}
