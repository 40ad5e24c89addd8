//! `basalt keys`: makes and shows the keys of Secure Boot.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use basalt_trust::{certificate_digest, common_name, validity, variable::Variable};

use super::FileError;
use crate::{
    engine::keys::{self, KeysError, NewKeys, Signing},
    error::{CommandError, CommandResult, Kind, OrFail as _},
};

/// Make or show the keys of Secure Boot and of releases
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Make PK, KEK, db, the key of releases and that of PCR policies in a new folder
    ///
    /// Builds need db, release, pcr and the .auth files only: PK.key and KEK.key belong into a safe. What a recipe names under
    /// `releaseKeys` is release.pub.
    New {
        /// The folder, which must not be there yet
        folder: PathBuf,
        /// Whose keys they are, as the certificates say
        #[arg(long, default_value = "Basalt")]
        name: String,
        /// A certificate (PEM) of somebody else who may sign what boots: what is on a machine's cards, for example
        #[arg(long, value_name = "FILE")]
        trust: Vec<PathBuf>,
        /// Encrypt the keys with the first line of this file
        #[arg(long, value_name = "FILE")]
        passphrase_file: Option<PathBuf>,
    },
    /// Show whose keys are in a folder and how long they are valid
    Show {
        /// The folder
        folder: PathBuf,
    },
}

/// What is signed with; for commands that sign.
#[derive(Debug, clap::Args)]
pub struct SigningArguments {
    /// Sign with the keys in this folder (`basalt keys new`): what boots, so that machines in setup mode enrol the keys, and releases
    #[arg(long, value_name = "FOLDER")]
    keys: Option<PathBuf>,
    /// The first line of this file opens the keys
    #[arg(long, value_name = "FILE", requires = "keys")]
    passphrase_file: Option<PathBuf>,
}

impl SigningArguments {
    /// Opens the keys, if there are to be any.
    ///
    /// # Errors
    /// When they can't be used.
    pub fn open(&self) -> CommandResult<Option<Signing>> {
        let passphrase = self.passphrase_file.as_deref().map(read_passphrase).transpose()?;
        let open = |folder: &PathBuf| Signing::open(folder, passphrase.as_deref()).map_err(refuse);
        self.keys.as_ref().map(open).transpose()
    }
}

/// Runs the command.
///
/// # Errors
/// When keys can't be made or read.
pub fn run(arguments: &Arguments) -> CommandResult {
    match &arguments.command {
        Command::New { folder, name, trust, passphrase_file } => {
            let passphrase = passphrase_file.as_deref().map(read_passphrase).transpose()?;
            let now = SystemTime::now().duration_since(UNIX_EPOCH).or_fail(Kind::Host)?.as_secs();
            let new = NewKeys { name, trusted: trust, passphrase: passphrase.as_deref(), now };
            keys::create(folder, &new).map_err(refuse)?;
            show(folder)?;
            super::print("put PK.key and KEK.key away; build with: basalt build --keys FOLDER")
        }
        Command::Show { folder } => show(folder),
    }
}

fn show(folder: &Path) -> CommandResult {
    let mut text = String::new();
    let [pk, kek, db] = [Variable::Pk, Variable::Kek, Variable::Db].map(Variable::name);
    let newer = [keys::RELEASE, keys::PCR];
    for name in [pk, kek, db].into_iter().chain(newer) {
        let path = folder.join(format!("{name}.crt"));
        if newer.contains(&name) && !path.exists() {
            continue;
        }
        let certificate = keys::read_certificate(&path).map_err(refuse)?;
        let key = if folder.join(format!("{name}.key")).exists() { "here" } else { "elsewhere" };
        let digest = certificate_digest(&certificate).or_fail(Kind::Bug)?;
        let until = basalt_debian::release::format_rfc3339(
            i64::try_from(validity(&certificate).to).unwrap_or(i64::MAX),
        );
        let who = common_name(&certificate);
        text.push_str(&format!("{name:<8} {who}, valid until {until}, key {key}\n         {digest}\n"));
    }
    super::print(&text)
}

/// The first line of a file.
fn read_passphrase(path: &Path) -> CommandResult<String> {
    let text = fs::read_to_string(path);
    let text = text.map_err(|source| CommandError::new(Kind::User, FileError::new(path, source)))?;
    match text.lines().next() {
        Some(line) if !line.is_empty() => Ok(line.to_owned()),
        Some(_) | None => {
            Err(CommandError::new(Kind::User, format!("the first line of {} is empty", path.display())))
        }
    }
}

/// The error with its next step.
pub(super) fn refuse(error: KeysError) -> CommandError {
    let hint = match &error {
        KeysError::Exists(_) => Some("name another folder, or remove this one yourself".to_owned()),
        KeysError::Open { path, .. } => Some(format!("chmod 600 {}", path.display())),
        KeysError::Read { .. } => Some("`basalt keys new FOLDER` makes keys".to_owned()),
        KeysError::Key { source: basalt_trust::KeyError::Encrypted, .. } => {
            Some("name the file with the passphrase: --passphrase-file FILE".to_owned())
        }
        KeysError::Write { .. }
        | KeysError::Key { .. }
        | KeysError::Certificate { .. }
        | KeysError::Issue(_)
        | KeysError::Release(_)
        | KeysError::Payload(_)
        | KeysError::Policy(_)
        | KeysError::Uki(_)
        | KeysError::Variable { .. }
        | KeysError::Sign { .. } => None,
    };
    let kind = match &error {
        KeysError::Write { .. } => Kind::Host,
        KeysError::Issue(_) | KeysError::Payload(_) | KeysError::Uki(_) | KeysError::Variable { .. } => {
            Kind::Bug
        }
        KeysError::Exists(_)
        | KeysError::Read { .. }
        | KeysError::Open { .. }
        | KeysError::Key { .. }
        | KeysError::Certificate { .. }
        | KeysError::Release(_)
        | KeysError::Policy(_)
        | KeysError::Sign { .. } => Kind::User,
    };
    let error = CommandError::new(kind, error);
    match hint {
        Some(hint) => error.hint(hint),
        None => error,
    }
}
