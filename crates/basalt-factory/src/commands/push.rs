//! `basalt push`: what a build made, to a registry.

use std::{env, path::PathBuf};

use basalt_fetch::{
    debian::Context,
    oci::{
        self, Access, Archive, Credentials, Descriptor, Layout, LayoutWriter, LocalProblem, OciError,
        Variables, signature_tag,
    },
};
use basalt_types::{ImageRef, RegistryRef, Wanted};

use super::keys::{self, SigningArguments};
use crate::{
    engine::{build::Host, keys::Signing},
    error::{CommandError, CommandResult, Kind, OrFail as _},
    report,
};

/// Push an update artifact or a container image to a registry
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// What was built: NAME.oci.tar or NAME.container.tar
    file: PathBuf,
    /// Where it goes: HOST[:PORT]/REPOSITORY[:TAG]
    #[arg(value_name = "REF")]
    target: ImageRef,
    /// Another repository of the same registry that may hold parts of it, such as that of an earlier release
    #[arg(long, value_name = "REPOSITORY")]
    sibling: Option<String>,
    #[command(flatten)]
    signing: SigningArguments,
    /// Speak plain HTTP, for a registry on this machine or in a lab
    #[arg(long)]
    insecure: bool,
}

/// What will be pushed where.
struct Order<'a> {
    archive: Archive,
    root: Descriptor,
    signing: Option<Signing>,
    target: &'a RegistryRef,
    access: Access,
}

/// Runs the command.
///
/// # Errors
/// When the file is no OCI archive, or the registry can't be reached or refuses.
pub fn run(arguments: &Arguments) -> CommandResult {
    let host = Host::observe()?;
    let order = Order::observe(arguments)?;

    let client = host.client()?;
    let context = Context { client: &client, store: &host.store, report: &|_event| {} };
    let what = (&order.archive as &dyn oci::BlobSource, &order.root);
    let pushed = oci::push(context, &order.access, what, order.target, arguments.sibling.as_deref());
    let pushed = pushed.map_err(|error| refuse(error, arguments.insecure))?;

    let signature = order.push_signature(context)?;
    let (sent, there) = (report::size(pushed.sent), report::size(pushed.there));
    let Order { target, .. } = &order;
    let name = format!("{}/{}@{}", target.host(), target.repository(), pushed.digest);
    super::print(&format!("{name}\nsent {sent}; the registry had {there}; {signature}"))
}

impl<'a> Order<'a> {
    fn observe(arguments: &'a Arguments) -> CommandResult<Self> {
        let target = match &arguments.target {
            ImageRef::Registry(target) => target,
            ImageRef::Layout(_) | ImageRef::Archive(_) => {
                let error = CommandError::new(Kind::User, "the target is no registry");
                return Err(
                    error.hint("expected HOST[:PORT]/REPOSITORY[:TAG], such as registry.example/os/edge:1.2")
                );
            }
        };
        let archive = Archive::open(&arguments.file).map_err(|error| {
            CommandError::new(Kind::User, error)
                .hint("the outputs `oci` and `container` of a recipe make files that can be pushed")
        })?;
        let root = archive.find(None).or_fail(Kind::User)?;
        let variables = Variables::observe(&|name| env::var(name).ok());
        let credentials = Credentials::observe(variables).or_fail(Kind::Config)?;
        let access = Access { insecure: arguments.insecure, credentials, ..Access::default() };
        let signing = arguments.signing.open()?;
        Ok(Self { archive, root, signing, target, access })
    }

    /// Puts the signature beside what was pushed: a new one, or the build's.
    fn push_signature(&self, context: Context<'_>) -> CommandResult<&'static str> {
        let Self { archive, root, signing, target, access } = self;
        let tag = signature_tag(&root.digest);
        let name = tag.parse().or_fail(Kind::Bug)?;
        let at = target.with(Wanted::Tag(name));
        let put = |source: &dyn oci::BlobSource, root: &Descriptor| {
            oci::push(context, access, (source, root), &at, None).or_fail(Kind::Remote)
        };
        let repository = target.repository();
        if let Some(signing) = signing {
            let signed = signing.sign_manifest(repository, root).map_err(keys::refuse)?;
            let Some(image) = signed else {
                let error = CommandError::new(Kind::User, "the folder of keys has no key for releases");
                return Err(
                    error.hint("it was made before there were any; `basalt keys new FOLDER` makes one")
                );
            };
            let folder = tempfile::tempdir().or_fail(Kind::Host)?;
            let mut layout = LayoutWriter::create(folder.path()).or_fail(Kind::Host)?;
            image.write(&mut layout).or_fail(Kind::Host)?;
            put(&Layout::open(folder.path()).or_fail(Kind::Host)?, &image.manifest)?;
            return Ok("signed");
        }
        match archive.find(Some(&tag)) {
            Ok(signatures) => put(archive, &signatures).map(|_pushed| "signed"),
            Err(OciError::Local { problem: LocalProblem::NoImage { .. }, .. }) => Ok("not signed"),
            Err(error) => Err(CommandError::new(Kind::User, error)),
        }
    }
}

fn refuse(error: OciError, insecure: bool) -> CommandError {
    let unreachable = matches!(error, OciError::Http { .. });
    let error = CommandError::new(Kind::Remote, error);
    match unreachable && !insecure {
        true => error.hint("a registry that speaks plain HTTP is reached with --insecure"),
        false => error.hint("blobs that the registry has are not sent again: the same command goes on"),
    }
}
