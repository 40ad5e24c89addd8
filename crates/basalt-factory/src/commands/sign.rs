//! `basalt sign`: signs EFI programs, away from where they were built.

use std::{fs, path::PathBuf};

use basalt_exec::files::{self, Access};
use basalt_trust::authenticode;

use super::{FileError, keys};
use crate::{
    engine::keys::Signing,
    error::{CommandError, CommandResult, Kind, OrFail as _},
};

/// Sign EFI programs for Secure Boot: a UKI, a boot loader
///
/// A program that has this key's signature already is left as it is; other signatures stay.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The programs; each is replaced by the signed one
    #[arg(required = true)]
    files: Vec<PathBuf>,
    #[command(flatten)]
    signing: keys::SigningArguments,
}

/// Runs the command.
///
/// # Errors
/// When a file is no EFI program, or its signatures are of other bytes.
pub fn run(arguments: &Arguments) -> CommandResult {
    let Some(signing) = arguments.signing.open()? else {
        return Err(CommandError::new(Kind::User, "there is nothing to sign with")
            .hint("name the folder with the keys: --keys FOLDER"));
    };
    let mut signed = Vec::new();
    for path in &arguments.files {
        let bytes = fs::read(path);
        let bytes = bytes.map_err(|source| CommandError::new(Kind::User, FileError::new(path, source)))?;
        signed.push((path, sign(&signing, path, &bytes)?));
    }
    // Nothing is replaced before all are signed.
    for (path, bytes) in signed {
        let said = match bytes {
            Some(bytes) => {
                files::write_atomic(path, &bytes, Access::Public).or_fail(Kind::Host)?;
                "signed by"
            }
            None => "was signed before by",
        };
        super::print(&format!("{}: {said} {}", path.display(), signing.name()))?;
    }
    Ok(())
}

fn sign(signing: &Signing, path: &std::path::Path, bytes: &[u8]) -> CommandResult<Option<Vec<u8>>> {
    let what = path.display().to_string();
    let refuse = |source| keys::refuse(crate::engine::keys::KeysError::Sign { what: what.clone(), source });
    let signers = authenticode::verify(bytes).map_err(refuse)?;
    if signing.is_among(&signers) {
        return Ok(None);
    }
    signing.sign(&what, bytes).map(Some).map_err(keys::refuse)
}
