//! What each cloud calls the same three things: the machine's name, its owner's keys, and what the owner wrote for it.
//!
//! Sources: the clouds' own documentation of their instance metadata (EC2: IMDSv2; Google: `computeMetadata/v1`; Azure: IMDS
//! 2021-02-01; OpenStack: Nova's metadata service and config drive; Hetzner: `hetzner/v1`; DigitalOcean: `metadata/v1`), and
//! cloud-init's NoCloud reference.

use basalt_fetch::http::{Ask, AskBody, Client, Header, Method};
use basalt_node::cloud::{Cloud, Instance};
use base64::Engine as _;
use serde::{Deserialize, de::DeserializeOwned};

use super::{Answers, DatasourceError};

/// The clouds give user data of at most 256 KiB.
const MOST_BYTES: u64 = 4 << 20;
/// How long EC2's token is good for, in seconds: all is asked at once.
const TOKEN_SECONDS: &str = "300";

/// A metadata service.
#[derive(Debug)]
pub(super) struct Service<'a> {
    base: &'a str,
    client: &'a Client,
    headers: Vec<Header>,
}

impl<'a> Service<'a> {
    /// The service of a cloud, with the headers that it wants: none can be made to send them by a web page.
    pub(super) fn new(cloud: Cloud, base: &'a str, client: &'a Client) -> Result<Self, DatasourceError> {
        let mut service = Self { base, client, headers: Vec::new() };
        match cloud {
            Cloud::Gce => service.headers.push(("Metadata-Flavor", "Google".to_owned())),
            Cloud::Azure => service.headers.push(("Metadata", "true".to_owned())),
            Cloud::Ec2 => {
                let wanted = [("X-aws-ec2-metadata-token-ttl-seconds", TOKEN_SECONDS.to_owned())];
                let path = "/latest/api/token";
                let token = service.request(Method::Put, path, &wanted)?;
                let token =
                    token.ok_or_else(|| DatasourceError::Status { path: path.to_owned(), status: 404 })?;
                service.headers.push(("X-aws-ec2-metadata-token", token));
            }
            Cloud::NoCloud | Cloud::ConfigDrive | Cloud::OpenStack | Cloud::Hetzner | Cloud::DigitalOcean => {
            }
        }
        Ok(service)
    }

    fn request(
        &self,
        method: Method,
        path: &str,
        headers: &[Header],
    ) -> Result<Option<String>, DatasourceError> {
        let url = format!("{}{path}", self.base);
        let ask = Ask { method, url: &url, headers, body: AskBody::Bytes(&[]), limit: MOST_BYTES };
        let answer = self.client.exchange(&ask)?;
        match answer.status {
            200 => utf8(path, answer.body).map(Some),
            404 => Ok(None),
            status => Err(DatasourceError::Status { path: path.to_owned(), status }),
        }
    }
}

impl Answers for Service<'_> {
    fn get(&self, path: &str) -> Result<Option<String>, DatasourceError> {
        self.request(Method::Get, path, &self.headers)
    }
}

pub(super) fn utf8(path: &str, bytes: Vec<u8>) -> Result<String, DatasourceError> {
    String::from_utf8(bytes).map_err(|_bytes| DatasourceError::Encoding { path: path.to_owned() })
}

fn json<T: DeserializeOwned>(path: &str, text: &str) -> Result<T, DatasourceError> {
    serde_json::from_str(text).map_err(|source| DatasourceError::Json { path: path.to_owned(), source })
}

/// What must be there.
fn required(from: &dyn Answers, path: &str) -> Result<String, DatasourceError> {
    from.get(path)?.ok_or_else(|| DatasourceError::Status { path: path.to_owned(), status: 404 })
}

fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty())
}

/// EC2: keys are listed as `0=NAME`.
pub(super) fn ec2(from: &dyn Answers) -> Result<Instance, DatasourceError> {
    let hostname = from.get("/latest/meta-data/local-hostname")?;
    let listed = from.get("/latest/meta-data/public-keys/")?.unwrap_or_default();
    let mut keys = Vec::new();
    for (number, _name) in lines(&listed).filter_map(|line| line.split_once('=')) {
        keys.push(required(from, &format!("/latest/meta-data/public-keys/{number}/openssh-key"))?);
    }
    Ok(Instance { hostname, keys, user_data: from.get("/latest/user-data")? })
}

/// Google: keys are lines of `USER:KEY`, of the instance and of the project; some have a comment with the day of their end.
pub(super) fn gce(from: &dyn Answers) -> Result<Instance, DatasourceError> {
    const ROOT: &str = "/computeMetadata/v1";
    let mut keys = Vec::new();
    for place in ["instance", "project"] {
        let text = from.get(&format!("{ROOT}/{place}/attributes/ssh-keys"))?.unwrap_or_default();
        keys.extend(
            lines(&text).map(|line| line.split_once(':').map_or(line, |(_user, key)| key).to_owned()),
        );
    }
    let hostname = from.get(&format!("{ROOT}/instance/hostname"))?;
    Ok(Instance { hostname, keys, user_data: from.get(&format!("{ROOT}/instance/attributes/user-data"))? })
}

/// Azure: one JSON document; user data in base64.
pub(super) fn azure(from: &dyn Answers) -> Result<Instance, DatasourceError> {
    #[derive(Deserialize)]
    struct Document {
        compute: Compute,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Compute {
        #[serde(default)]
        name: Option<String>,
        #[serde(default)]
        os_profile: Option<Profile>,
        #[serde(default)]
        public_keys: Vec<Key>,
        #[serde(default)]
        user_data: Option<String>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Profile {
        computer_name: Option<String>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Key {
        key_data: String,
    }
    const PATH: &str = "/metadata/instance?api-version=2021-02-01";
    let Document { compute } = json(PATH, &required(from, PATH)?)?;
    let user_data = compute.user_data.filter(|text| !text.is_empty()).map(|text| {
        let bytes = base64::engine::general_purpose::STANDARD.decode(text.trim());
        bytes.map_err(|_error| DatasourceError::Encoding { path: "userData".to_owned() })
    });
    Ok(Instance {
        hostname: compute.os_profile.and_then(|profile| profile.computer_name).or(compute.name),
        keys: compute.public_keys.into_iter().map(|key| key.key_data).collect(),
        user_data: user_data.transpose()?.map(|bytes| utf8("userData", bytes)).transpose()?,
    })
}

/// OpenStack: the same paths in its metadata service and on its config drive.
pub(super) fn open_stack(from: &dyn Answers) -> Result<Instance, DatasourceError> {
    #[derive(Deserialize)]
    struct Document {
        #[serde(default)]
        hostname: Option<String>,
        #[serde(default)]
        public_keys: std::collections::BTreeMap<String, String>,
    }
    const PATH: &str = "/openstack/latest/meta_data.json";
    let Document { hostname, public_keys } = json(PATH, &required(from, PATH)?)?;
    let keys = public_keys.into_values().collect();
    Ok(Instance { hostname, keys, user_data: from.get("/openstack/latest/user_data")? })
}

/// Hetzner: keys are a list in JSON.
pub(super) fn hetzner(from: &dyn Answers) -> Result<Instance, DatasourceError> {
    const KEYS: &str = "/hetzner/v1/metadata/public-keys";
    let keys = from.get(KEYS)?.map(|text| json(KEYS, &text)).transpose()?.unwrap_or_default();
    let hostname = Some(required(from, "/hetzner/v1/metadata/hostname")?);
    Ok(Instance { hostname, keys, user_data: from.get("/hetzner/v1/userdata")? })
}

/// DigitalOcean: one JSON document.
pub(super) fn digital_ocean(from: &dyn Answers) -> Result<Instance, DatasourceError> {
    #[derive(Deserialize)]
    struct Document {
        hostname: Option<String>,
        #[serde(default)]
        public_keys: Vec<String>,
        #[serde(default)]
        user_data: Option<String>,
    }
    const PATH: &str = "/metadata/v1.json";
    let Document { hostname, public_keys, user_data } = json(PATH, &required(from, PATH)?)?;
    Ok(Instance { hostname, keys: public_keys, user_data })
}

/// NoCloud: `meta-data` is YAML, of which the name and the keys count.
pub(super) fn no_cloud(from: &dyn Answers) -> Result<Instance, DatasourceError> {
    #[derive(Default, Deserialize)]
    #[serde(rename_all = "kebab-case")]
    struct Document {
        #[serde(default)]
        local_hostname: Option<String>,
        #[serde(default)]
        hostname: Option<String>,
        #[serde(default)]
        public_keys: Vec<String>,
    }
    const PATH: &str = "/meta-data";
    let text = required(from, PATH)?;
    // An empty file is the usual way to say nothing.
    let Document { local_hostname, hostname, public_keys } = if text.trim().is_empty() {
        Document::default()
    } else {
        let of = |source| DatasourceError::Yaml { path: PATH.to_owned(), source };
        basalt_spec::read_yaml(PATH, &text).map_err(of)?
    };
    let hostname = local_hostname.or(hostname);
    Ok(Instance { hostname, keys: public_keys, user_data: from.get("/user-data")? })
}
