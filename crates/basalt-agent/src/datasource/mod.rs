//! What a cloud says of this machine: platform → which cloud → its answers → documents in `/run/basalt/node.d`, where the daemon
//! sees them.
//!
//! Asked once in a boot. A cloud that does not answer is asked again, less and less often, until it does: there is no machine
//! without its configuration, and no configuration that is half of one.

mod clouds;
mod platform;
mod volume;

#[cfg(test)]
mod tests;

use std::{
    fs,
    os::unix::fs::DirBuilderExt as _,
    path::Path,
    sync::{Arc, atomic::AtomicBool},
    thread,
    time::Duration,
};

use basalt_exec::files::{Access, FileError, write_atomic};
use basalt_fetch::http::{Client, HttpError, Patience, Proxies};
use basalt_node::cloud::{Cloud, CloudError, Instance, detect, documents};
use basalt_spec::SpecError;

use crate::{
    error::{AgentError, AgentResult, Kind},
    report,
};

/// Where documents of datasources are.
const FOLDER: &str = "/run/basalt/node.d";
/// Every cloud answers here: a link-local address of IPv4 (RFC 3927).
const METADATA: &str = "http://169.254.169.254";
const FIRST_PAUSE: Duration = Duration::from_secs(2);
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// Why a datasource has given nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DatasourceError {
    #[error(transparent)]
    Http(#[from] HttpError),
    #[error("{path} is answered with status {status}")]
    Status { path: String, status: u16 },
    #[error("{path} can't be understood")]
    Json { path: String, source: serde_json::Error },
    #[error("{path} can't be understood")]
    Yaml { path: String, source: SpecError },
    #[error("{path} is not UTF-8 text")]
    Encoding { path: String },
    #[error("no volume is labelled {0}")]
    NoVolume(&'static str),
    #[error(transparent)]
    Volume(#[from] basalt_exec::mount::MountError),
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Cloud(#[from] CloudError),
    #[error("can't make {FOLDER}")]
    Folder(#[source] std::io::Error),
}

/// Something that answers for paths: a metadata service, or a volume.
pub(crate) trait Answers {
    /// What is at this path; nothing if there is no such thing.
    fn get(&self, path: &str) -> Result<Option<String>, DatasourceError>;
}

/// Asks the cloud that this machine is in, if it is in one, and leaves its documents; in a thread of its own, for as long as it
/// takes.
pub(crate) fn start() {
    let spawned = thread::Builder::new().name("cloud".into()).spawn(|| {
        let cloud = match detect(&platform::observe()) {
            Ok(Some(cloud)) if !is_done(cloud) => cloud,
            Ok(_) => return,
            Err(error) => return report::failure(&AgentError::new(Kind::Format, error)),
        };
        let mut pause = FIRST_PAUSE;
        while let Err(error) = collect(cloud) {
            report::failure(&error);
            thread::sleep(pause);
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    });
    if let Err(error) = spawned {
        report::failure(&AgentError::new(Kind::Host, error));
    }
}

fn is_done(cloud: Cloud) -> bool {
    Path::new(FOLDER).join(format!("50-{}.yaml", cloud.name())).exists()
}

fn collect(cloud: Cloud) -> AgentResult<()> {
    let told = ask(cloud, METADATA).and_then(|instance| leave(cloud, &instance, Path::new(FOLDER)));
    told.map_err(|error| {
        AgentError::new(Kind::Host, error)
            .hint("the next try is soon; `basalt.datasource=none` on the kernel command line asks nobody")
    })
}

/// What the cloud says.
fn ask(cloud: Cloud, base: &str) -> Result<Instance, DatasourceError> {
    if let Some(label) = cloud.label() {
        let volume = volume::Volume::labelled(label)?;
        return match cloud {
            Cloud::NoCloud => clouds::no_cloud(&volume),
            Cloud::ConfigDrive
            | Cloud::Ec2
            | Cloud::Gce
            | Cloud::Azure
            | Cloud::OpenStack
            | Cloud::Hetzner
            | Cloud::DigitalOcean => clouds::open_stack(&volume),
        };
    }
    let patience = Patience {
        connect: Duration::from_secs(5),
        silence: Duration::from_secs(5),
        retries: 1,
        ..Patience::default()
    };
    // Never through a proxy: the answers have secrets, and the address leads to another machine from there.
    let client = Client::new(Proxies::default(), patience, Arc::new(AtomicBool::new(false)))?;
    let service = clouds::Service::new(cloud, base, &client)?;
    match cloud {
        Cloud::Ec2 => clouds::ec2(&service),
        Cloud::Gce => clouds::gce(&service),
        Cloud::Azure => clouds::azure(&service),
        Cloud::Hetzner => clouds::hetzner(&service),
        Cloud::DigitalOcean => clouds::digital_ocean(&service),
        Cloud::OpenStack | Cloud::NoCloud | Cloud::ConfigDrive => clouds::open_stack(&service),
    }
}

/// Writes the documents; the owner's first, so that the cloud's, which says that all are there, comes last.
fn leave(cloud: Cloud, instance: &Instance, folder: &Path) -> Result<(), DatasourceError> {
    let documents = documents(cloud, instance)?;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(DatasourceError::Folder)?;
    for (name, text) in documents.iter().rev() {
        write_atomic(&folder.join(name), text.as_bytes(), Access::Secret)?;
    }
    Ok(())
}
