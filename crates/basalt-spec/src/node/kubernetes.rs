use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::words::{EnvironmentName, HttpUrl, Secret};
use crate::words::AbsolutePath;

/// What the machine is in a Kubernetes cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, expecting = "a mapping of `distribution` and `role`")]
pub struct Kubernetes {
    /// Which distribution runs here. An image or an extension must bring it.
    pub distribution: Distribution,
    /// What the machine is.
    pub role: Role,
    /// Where the cluster's API is. A machine that joins needs it.
    #[serde(default)]
    pub endpoint: Option<HttpUrl>,
    /// What a machine joins with. It is never shown.
    #[serde(default)]
    pub token: Option<Secret>,
    /// A file that holds what a machine joins with.
    #[serde(default)]
    pub token_file: Option<AbsolutePath>,
    /// Arguments of the distribution's program.
    #[serde(default)]
    pub arguments: Vec<String>,
    /// Its environment. Values are never shown.
    #[serde(default)]
    pub environment: BTreeMap<EnvironmentName, Secret>,
}

/// A distribution of Kubernetes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Distribution {
    /// k3s.
    K3s,
    /// k0s.
    K0s,
    /// RKE2.
    Rke2,
    /// Upstream's own, with kubeadm.
    Kubeadm,
}

/// What a machine is in a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Role {
    /// The first of the control plane: it makes the cluster.
    Init,
    /// One more of the control plane.
    ControlPlane,
    /// It only runs work.
    Worker,
}
