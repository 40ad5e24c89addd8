//! Which cloud a machine is in, by what its firmware and its volumes say, and a document of what the cloud says of it.
//!
//! `Platform → detect → Cloud` · `Instance → documents → NodeConfig texts`
//!
//! Only in a virtual machine, or when its owner says so on the kernel command line: a hypervisor holds the machine in its hand
//! anyway, but a stick that somebody plugs into a computer must not configure it.

use basalt_spec::{
    SpecError, cloud,
    node::NodeConfig,
    words::{Hostname, SshKey},
};
use serde_json::json;

/// A source of documents outside of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cloud {
    /// A volume labelled `cidata` (cloud-init's NoCloud).
    NoCloud,
    /// A volume labelled `config-2` (OpenStack's config drive).
    ConfigDrive,
    /// Amazon EC2, and who speaks as it does.
    Ec2,
    /// Google Compute Engine.
    Gce,
    /// Microsoft Azure.
    Azure,
    /// OpenStack's metadata service.
    OpenStack,
    /// Hetzner Cloud.
    Hetzner,
    /// DigitalOcean.
    DigitalOcean,
}

/// What a machine knows of where it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Platform {
    /// SMBIOS type 1, manufacturer (`/sys/class/dmi/id/sys_vendor`).
    pub vendor: String,
    /// SMBIOS type 1, product name.
    pub product: String,
    /// SMBIOS type 3, asset tag.
    pub asset_tag: String,
    /// Whether a hypervisor says that it is there.
    pub hypervisor: bool,
    /// The labels of the volumes.
    pub labels: Vec<String>,
    /// What `basalt.datasource=` of the kernel command line says: a name, `none`, or nothing.
    pub asked: Option<String>,
}

/// What a cloud says of a machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Instance {
    /// Its name, as the cloud writes it.
    pub hostname: Option<String>,
    /// Who may log in.
    pub keys: Vec<String>,
    /// What its owner wrote for it.
    pub user_data: Option<String>,
}

/// Why what a cloud says is no document.
#[derive(Debug, thiserror::Error)]
pub enum CloudError {
    /// There is no such datasource.
    #[error("`basalt.datasource={0}` is no datasource: expected one of {names}, or none", names = names())]
    Unknown(String),
    /// A name that no machine can have.
    #[error("the cloud calls this machine `{0}`, which is no host name")]
    Hostname(String),
    /// A key that is none.
    #[error("key {0} of the cloud is no SSH key")]
    Key(usize),
    /// What the owner wrote can't be translated.
    #[error("the user data can't be followed")]
    UserData(#[source] SpecError),
    /// What was translated is no document.
    #[error("the user data can't be followed: nothing of it is a document")]
    NoDocument,
}

/// Who logs in with the cloud's keys. It has no password, so sudo asks for none.
pub const CLOUD_USER: &str = "admin";
/// Azure's asset tag of every virtual machine.
const AZURE_TAG: &str = "7783-7084-3265-9085-8269-3286-77";

impl Cloud {
    /// Every cloud.
    pub const ALL: [Self; 8] = [
        Self::NoCloud,
        Self::ConfigDrive,
        Self::Ec2,
        Self::Gce,
        Self::Azure,
        Self::OpenStack,
        Self::Hetzner,
        Self::DigitalOcean,
    ];

    /// Its name on the kernel command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoCloud => "nocloud",
            Self::ConfigDrive => "configdrive",
            Self::Ec2 => "ec2",
            Self::Gce => "gce",
            Self::Azure => "azure",
            Self::OpenStack => "openstack",
            Self::Hetzner => "hetzner",
            Self::DigitalOcean => "digitalocean",
        }
    }

    /// The label of its volume; none if it answers over the network.
    pub const fn label(self) -> Option<&'static str> {
        match self {
            Self::NoCloud => Some("cidata"),
            Self::ConfigDrive => Some("config-2"),
            Self::Ec2 | Self::Gce | Self::Azure | Self::OpenStack | Self::Hetzner | Self::DigitalOcean => {
                None
            }
        }
    }

    fn is_here(self, platform: &Platform) -> bool {
        let Platform { vendor, product, asset_tag, hypervisor: _, labels, asked: _ } = platform;
        match self {
            Self::NoCloud | Self::ConfigDrive => {
                labels.iter().any(|label| Some(label.to_ascii_lowercase().as_str()) == self.label())
            }
            Self::Ec2 => vendor == "Amazon EC2",
            Self::Gce => product == "Google Compute Engine",
            Self::Azure => asset_tag == AZURE_TAG,
            Self::OpenStack => product.starts_with("OpenStack "),
            Self::Hetzner => vendor == "Hetzner",
            Self::DigitalOcean => vendor == "DigitalOcean",
        }
    }
}

fn names() -> String {
    Cloud::ALL.map(Cloud::name).join(", ")
}

/// The cloud that this machine is in, if any. A volume comes first: it needs no network.
///
/// # Errors
/// When the command line names one that is not known.
pub fn detect(platform: &Platform) -> Result<Option<Cloud>, CloudError> {
    match platform.asked.as_deref() {
        Some("none") => Ok(None),
        Some(asked) => {
            let named = Cloud::ALL.into_iter().find(|cloud| cloud.name() == asked);
            named.map(Some).ok_or_else(|| CloudError::Unknown(asked.to_owned()))
        }
        None if platform.hypervisor => Ok(Cloud::ALL.into_iter().find(|cloud| cloud.is_here(platform))),
        None => Ok(None),
    }
}

/// The documents of what a cloud says, each with its name, by rising precedence: the cloud's own words, then the owner's.
///
/// # Errors
/// When something of it can't be followed. Nothing is left out.
pub fn documents(cloud: Cloud, instance: &Instance) -> Result<Vec<(String, String)>, CloudError> {
    let Instance { hostname, keys, user_data } = instance;
    let mut spec = serde_json::Map::new();
    if let Some(hostname) = hostname {
        // Clouds give whole domain names, which may be longer than a host's name can be.
        let short = hostname.split('.').next().unwrap_or_default();
        let parsed = hostname.parse::<Hostname>().or_else(|_too_long| short.parse());
        let parsed = parsed.map_err(|_error| CloudError::Hostname(hostname.clone()))?;
        spec.insert("hostname".into(), json!(parsed));
    }
    if !keys.is_empty() {
        let parse = |(index, key): (usize, &String)| {
            key.trim().parse::<SshKey>().map_err(|_error| CloudError::Key(index + 1))
        };
        let keys = keys.iter().enumerate().map(parse).collect::<Result<Vec<_>, _>>()?;
        let user = json!({"name": CLOUD_USER, "sudo": true, "sshAuthorizedKeys": keys});
        spec.insert("users".into(), json!([user]));
    }
    let head = json!({"apiVersion": "basalt.dev/v1alpha1", "kind": "NodeConfig", "spec": spec});
    let mut documents = vec![(format!("50-{}.yaml", cloud.name()), format!("{head:#}\n"))];
    if let Some(text) = user_data.as_deref().filter(|text| !text.trim().is_empty()) {
        documents.push((format!("60-{}-user-data.yaml", cloud.name()), owner(text)?));
    }
    Ok(documents)
}

/// What the owner wrote: a document of ours as it is, or a `#cloud-config` that is translated whole.
fn owner(text: &str) -> Result<String, CloudError> {
    const NAME: &str = "user-data";
    if NodeConfig::parse(NAME, text).is_ok() || text.contains("kind: NodeConfig") {
        return Ok(text.to_owned());
    }
    let converted = cloud::convert(NAME, text, None).map_err(CloudError::UserData)?;
    match (converted.refused, converted.document) {
        (Some(refused), _) => Err(CloudError::UserData(refused)),
        (None, Some(document)) => Ok(document),
        (None, None) => Err(CloudError::NoDocument),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vm(vendor: &str, product: &str) -> Platform {
        Platform { vendor: vendor.into(), product: product.into(), hypervisor: true, ..Platform::default() }
    }

    #[test]
    fn a_cloud_is_known_by_its_firmware() {
        let found = |platform: &Platform| detect(platform).unwrap();
        assert_eq!(found(&vm("Amazon EC2", "t3.micro")), Some(Cloud::Ec2));
        assert_eq!(found(&vm("Google", "Google Compute Engine")), Some(Cloud::Gce));
        assert_eq!(found(&vm("OpenStack Foundation", "OpenStack Nova")), Some(Cloud::OpenStack));
        assert_eq!(found(&vm("Hetzner", "vServer")), Some(Cloud::Hetzner));
        assert_eq!(found(&vm("DigitalOcean", "Droplet")), Some(Cloud::DigitalOcean));
        let azure =
            Platform { asset_tag: AZURE_TAG.into(), ..vm("Microsoft Corporation", "Virtual Machine") };
        assert_eq!(found(&azure), Some(Cloud::Azure));
        assert_eq!(found(&vm("QEMU", "Standard PC")), None);
        let seeded = Platform { labels: vec!["CIDATA".into()], ..vm("Hetzner", "vServer") };
        assert_eq!(found(&seeded), Some(Cloud::NoCloud));
    }

    /// A stick in a computer configures nothing, unless its owner asks.
    #[test]
    fn a_computer_follows_no_volume_unasked() {
        let mut computer = Platform { labels: vec!["cidata".into()], ..Platform::default() };
        assert_eq!(detect(&computer).unwrap(), None);
        computer.asked = Some("nocloud".into());
        assert_eq!(detect(&computer).unwrap(), Some(Cloud::NoCloud));
        computer.asked = Some("floppy".into());
        assert!(detect(&computer).unwrap_err().to_string().contains("expected one of nocloud, configdrive"));
        let refused = Platform { asked: Some("none".into()), ..vm("Amazon EC2", "") };
        assert_eq!(detect(&refused).unwrap(), None);
    }

    #[test]
    fn what_a_cloud_says_is_documents() {
        let instance = Instance {
            hostname: Some("node-1.eu.internal".into()),
            keys: vec!["ssh-ed25519 AAAAC3 me\n".into()],
            user_data: Some("#cloud-config\ntimezone: Europe/Rome\n".into()),
        };
        let documents = documents(Cloud::Ec2, &instance).unwrap();
        let specs: Vec<NodeConfig> =
            documents.iter().map(|(name, text)| NodeConfig::parse(name, text).unwrap()).collect();
        assert_eq!(specs[0].spec.hostname.as_ref().unwrap().as_str(), "node-1.eu.internal");
        assert_eq!(specs[0].spec.users[0].ssh_authorized_keys.len(), 1);
        assert_eq!(specs[1].spec.timezone.as_ref().unwrap().as_str(), "Europe/Rome");
        assert_eq!(documents[1].0, "60-ec2-user-data.yaml");
    }

    #[test]
    fn a_long_domain_gives_its_first_label_and_nonsense_nothing() {
        let named = |name: &str| {
            documents(Cloud::Gce, &Instance { hostname: Some(name.into()), ..Instance::default() })
        };
        let long = format!("vm.{}.internal", "a".repeat(63));
        assert!(named(&long).unwrap()[0].1.contains("\"hostname\": \"vm\""));
        assert_eq!(
            named("not a name").unwrap_err().to_string(),
            "the cloud calls this machine `not a name`, which is no host name"
        );
    }

    #[test]
    fn nothing_of_user_data_is_left_out() {
        let of = |text: &str| {
            documents(Cloud::Hetzner, &Instance { user_data: Some(text.into()), ..Instance::default() })
        };
        assert!(matches!(of("#!/bin/sh\nreboot\n").unwrap_err(), CloudError::UserData(_)));
        assert!(matches!(of("#cloud-config\npackages: [vim]\n").unwrap_err(), CloudError::UserData(_)));
        assert_eq!(of("  \n").unwrap().len(), 1);
        let own = "apiVersion: basalt.dev/v1alpha1\nkind: NodeConfig\nspec: {hostname: a}\n";
        assert_eq!(of(own).unwrap()[1].1, own);
    }
}
