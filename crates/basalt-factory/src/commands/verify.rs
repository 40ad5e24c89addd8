//! `basalt verify`: everything that can be checked of a release, and who made it.

use std::{env, fs, path::PathBuf};

use basalt_fetch::oci::{Access, Artifact, Credentials, OciError, Platform, Variables};
use basalt_trust::release::ReleaseKey;
use basalt_types::{Architecture, ImageRef};

use super::FileError;
use crate::{
    engine::{
        build::Host,
        verify::{self, Checked, VerifyError},
    },
    error::{CommandError, CommandResult, Kind, OrFail as _},
    report,
};

/// Check a release: who signed it, and that every byte of it is what it says
///
/// All of it is fetched and put together as a machine would, but for writing it. Exit code 4 when something does not fit.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The release: oci-archive:FILE, oci:FOLDER[:TAG], or [HOST[:PORT]/]NAME[:TAG][@DIGEST] in a registry
    #[arg(value_name = "REF")]
    release: ImageRef,
    /// The public key or certificate (PEM) of somebody who may sign it; one of those that are given must have
    #[arg(long = "key", value_name = "FILE")]
    keys: Vec<PathBuf>,
    /// The processor, when the reference is of several
    #[arg(long, default_value = "amd64")]
    architecture: Architecture,
    /// Speak plain HTTP, for a registry on this machine or in a lab
    #[arg(long)]
    insecure: bool,
}

/// Runs the command.
///
/// # Errors
/// When the release can't be had, or something in it does not fit.
pub fn run(arguments: &Arguments) -> CommandResult {
    let Arguments { release, keys, architecture, insecure } = arguments;
    let keys = keys.iter().map(read_key).collect::<CommandResult<Vec<_>>>()?;
    let client = Host::observe()?.client()?;
    let variables = Variables::observe(&|name| env::var(name).ok());
    let credentials = Credentials::observe(variables).or_fail(Kind::Config)?;
    let access = Access { insecure: *insecure, credentials, ..Access::default() };
    let artifact = Artifact::open(&client, &access, release, &Platform::linux(*architecture));
    let artifact = artifact.map_err(|error| refuse(error.into()))?;
    let checked = verify::verify(&artifact, &keys).map_err(refuse)?;
    super::print(&text(release, &checked))
}

fn read_key(path: &PathBuf) -> CommandResult<ReleaseKey> {
    let pem = fs::read_to_string(path);
    let pem = pem.map_err(|source| CommandError::new(Kind::User, FileError::new(path, source)))?;
    ReleaseKey::from_pem(&pem).map_err(|error| {
        let error = CommandError::new(Kind::User, error);
        error.hint(format!("{} is to be what `basalt keys new` writes as release.pub", path.display()))
    })
}

fn refuse(error: VerifyError) -> CommandError {
    let hint = match &error {
        VerifyError::Oci(OciError::Http { .. }) => {
            Some("a registry that speaks plain HTTP is reached with --insecure")
        }
        VerifyError::Unsigned(_) => Some("sign it: `basalt push --keys FOLDER`"),
        VerifyError::Signature { .. } => Some("somebody else signed it, or it was changed"),
        VerifyError::OtherType(_) => Some("the output `oci` of a recipe makes update artifacts"),
        VerifyError::Oci(_)
        | VerifyError::Info(_)
        | VerifyError::Index(_)
        | VerifyError::Contradiction(_)
        | VerifyError::Assemble(_)
        | VerifyError::Verity(_)
        | VerifyError::RootHash { .. }
        | VerifyError::UkiDigest { .. }
        | VerifyError::Uki(_)
        | VerifyError::OtherRoot { .. }
        | VerifyError::Authenticode(_) => None,
    };
    let error = CommandError::new(Kind::Remote, error);
    match hint {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

/// One line for each thing that was checked.
fn text(release: &ImageRef, checked: &Checked) -> String {
    let Checked { manifest, signatures, signed_by, info, packs: (packs, bytes), chunks, .. } = checked;
    let signed = match (signed_by, signatures) {
        (Some(key), _) => format!("by the key {key}"),
        (None, 0) => "by nobody".to_owned(),
        (None, some) => {
            format!("{}, not looked at: name who may sign with --key", report::count(*some, "signature"))
        }
    };
    let boots = match checked.boot_signers.as_slice() {
        [] => "by nobody".to_owned(),
        signers => format!("by {}", signers.join(", ")),
    };
    let policy = if checked.has_policy { "there are some" } else { "none" };
    let packs = report::count(*packs, "pack");
    format!(
        "{release}\n\
         manifest   {manifest}\n\
         signed     {signed}\n\
         release    {} {} for {}, {}\n\
         content    {packs} of {}, each with its digest; {chunks} chunks, each with its digest\n\
         root       {}, its root hash is {}\n\
         kernel     {}, its digest is right, and it starts this root\n\
         firmware   the kernel image is signed {boots}\n\
         TPM        signed policies: {policy}\n",
        info.name,
        info.version,
        info.architecture.debian(),
        info.id,
        report::size(*bytes),
        report::size(info.root.size.get()),
        info.root.digest.hex(),
        report::size(info.uki.size.get()),
    )
}
