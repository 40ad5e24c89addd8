use std::fmt;

use serde::Serialize;

use crate::plan::{NodePlan, Note, Step};

/// A kind of SSH host key, in the order in which they are made: the slow one last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum HostKey {
    /// Ed25519.
    Ed25519,
    /// ECDSA over the NIST curve P-256.
    Ecdsa,
    /// RSA.
    Rsa,
}

/// What there is of SSH on the node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SshFacts {
    /// Whether a server is installed.
    pub server: bool,
    /// The whole host keys that are there.
    pub keys: Vec<HostKey>,
}

impl HostKey {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Ed25519, Self::Ecdsa, Self::Rsa];

    /// The name for `ssh-keygen -t`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ed25519 => "ed25519",
            Self::Ecdsa => "ecdsa",
            Self::Rsa => "rsa",
        }
    }

    /// The private key's file name; the public key's has `.pub` behind it.
    pub fn file_name(self) -> String {
        format!("ssh_host_{}_key", self.name())
    }
}

impl fmt::Display for HostKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Plans the host keys that are missing. A key that is there is never made again: clients know it.
pub fn plan_identity(facts: &SshFacts) -> NodePlan {
    let SshFacts { server, keys } = facts;
    let mut plan = NodePlan::default();
    if !server {
        plan.notes.push(Note::NoSshServer);
        return plan;
    }
    for kind in HostKey::ALL {
        if keys.contains(&kind) {
            plan.notes.push(Note::HostKeyPresent { kind });
        } else {
            plan.steps.push(Step::GenerateHostKey { kind });
        }
    }
    plan
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(server: bool, keys: &[HostKey], steps: &[HostKey], notes: usize) {
        let plan = plan_identity(&SshFacts { server, keys: keys.to_vec() });
        let wanted: Vec<_> = steps.iter().map(|kind| Step::GenerateHostKey { kind: *kind }).collect();
        assert_eq!((plan.steps, plan.notes.len()), (wanted, notes));
    }

    #[test]
    fn only_missing_keys_are_made_and_only_for_a_server() {
        check(true, &[], &HostKey::ALL, 0);
        check(true, &[HostKey::Ecdsa], &[HostKey::Ed25519, HostKey::Rsa], 1);
        check(true, &HostKey::ALL, &[], 3);
        check(false, &[], &[], 1);
    }
}
