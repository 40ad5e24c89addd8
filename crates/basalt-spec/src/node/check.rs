//! What no single value can know: contradictions between keys of one document.

use std::collections::BTreeMap;

use super::{InterfaceKind, Kubernetes, NodeSpec, Role, UnitState};
use crate::{
    diagnostic::{Problem, ProblemKind},
    yaml::{Node, Step},
};

/// Every contradiction, with its place in the tree that the document was read from.
pub(super) fn conflicts(spec: &NodeSpec, root: &Node) -> Vec<Problem> {
    let mut found = Conflicts { root, problems: Vec::new() };
    found.files(spec);
    found.mounts(spec);
    found.units(spec);
    found.numbers(spec);
    if let Some(kubernetes) = &spec.kubernetes {
        found.kubernetes(kubernetes);
    }
    found.problems.sort_by_key(Problem::offset);
    found.problems
}

/// What one key says of another one that may stand in another document: checked when all are there.
pub(super) fn references(spec: &NodeSpec, root: &Node) -> Vec<Problem> {
    let mut found = Conflicts { root, problems: Vec::new() };
    found.interfaces(spec);
    for (index, mount) in spec.mounts.iter().enumerate() {
        let disk = mount.source.as_str().strip_prefix("disk:");
        if let Some(disk) = disk.filter(|disk| !spec.disks.iter().any(|one| one.name.as_str() == *disk)) {
            let message = format!("no document has a disk called `{disk}`");
            found.add(&item(&["mounts"], index, "source"), message, "name it in `disks`");
        }
    }
    if let Some(cluster) = spec.kubernetes.as_ref().filter(|cluster| cluster.role != Role::Init) {
        let missing = match (&cluster.endpoint, cluster.token.is_some() || cluster.token_file.is_some()) {
            (None, _) => Some("`endpoint`"),
            (Some(_), false) => Some("`token` or `tokenFile`"),
            (Some(_), true) => None,
        };
        if let Some(missing) = missing {
            let message = format!("joining a cluster takes {missing}");
            found.add(
                &spec_path(&["kubernetes", "role"]),
                message,
                "write it, or make a cluster: `role: init`",
            );
        }
    }
    found.problems
}

/// Roots of what a machine may change: `/etc` is rendered at each boot, the rest is on the data partition or in memory.
const WRITABLE: [&str; 9] = ["/etc", "/var", "/home", "/root", "/srv", "/opt", "/usr/local", "/mnt", "/run"];
/// Below these, or on them, a mount would hide what the system itself needs.
const NOT_FOR_MOUNTS: [&str; 10] =
    ["/usr", "/etc", "/boot", "/efi", "/proc", "/sys", "/dev", "/run/systemd", "/bin", "/lib"];
/// The most PCR banks have (TCG PC Client Platform TPM Profile, section 4.6).
const LAST_PCR: u32 = 23;

struct Conflicts<'a> {
    root: &'a Node,
    problems: Vec<Problem>,
}

/// The path of `spec` and then these keys.
fn spec_path(keys: &[&str]) -> Vec<Step> {
    std::iter::once("spec").chain(keys.iter().copied()).map(|key| Step::Key(key.to_owned())).collect()
}

/// The path of a key in one item of a list.
fn item(list: &[&str], index: usize, key: &str) -> Vec<Step> {
    let mut path = spec_path(list);
    path.extend([Step::Index(index), Step::Key(key.to_owned())]);
    path
}

impl Conflicts<'_> {
    fn add(&mut self, path: &[Step], message: String, help: &str) {
        let at = self.root.find(path).at;
        self.problems.push(Problem::new(ProblemKind::Conflict, at, message).help(help));
    }

    fn files(&mut self, spec: &NodeSpec) {
        for (index, file) in spec.files.iter().enumerate() {
            if !WRITABLE.iter().any(|root| below(file.path.as_str(), root)) {
                let message = format!("`{}` is on the verified root, which nothing can change", file.path);
                let help = format!("write below one of {}, or put it into the recipe", WRITABLE.join(", "));
                self.add(&item(&["files"], index, "path"), message, &help);
            }
        }
    }

    fn mounts(&mut self, spec: &NodeSpec) {
        for (index, mount) in spec.mounts.iter().enumerate() {
            let path = mount.path.as_str();
            let hides = NOT_FOR_MOUNTS.iter().any(|root| below(path, root)) && !below(path, "/usr/local");
            if hides || path == "/var" {
                let message = format!("a mount on `{path}` would hide a part of the system");
                self.add(
                    &item(&["mounts"], index, "path"),
                    message,
                    "mount it below /var, /srv, /mnt or /opt",
                );
            }
        }
    }

    fn units(&mut self, spec: &NodeSpec) {
        for (index, unit) in spec.units.iter().enumerate() {
            let has_text = unit.content.is_some() || !unit.drop_ins.is_empty();
            if unit.state == Some(UnitState::Masked) && has_text {
                let message = format!("`{}` is masked, so its text would never be read", unit.name);
                self.add(&item(&["units"], index, "state"), message, "mask it, or give it a text");
            }
        }
    }

    fn numbers(&mut self, spec: &NodeSpec) {
        for (index, bad) in spec.encryption.data.iter().flat_map(|data| data.pcrs.iter().enumerate()) {
            if *bad > LAST_PCR {
                let mut path = spec_path(&["encryption", "data", "pcrs"]);
                path.push(Step::Index(index));
                self.add(&path, format!("there is no PCR {bad}"), "PCRs are numbered from 0 to 23");
            }
        }
        if spec.encryption.data.as_ref().is_some_and(|data| data.unlock.is_empty()) {
            let path = spec_path(&["encryption", "data", "unlock"]);
            self.add(
                &path,
                "nothing would open the data partition".to_owned(),
                "name `tpm2`, `passphrase` or `recoveryKey`",
            );
        }
        let mut seen = BTreeMap::new();
        for (index, (user, uid)) in
            spec.users.iter().enumerate().filter_map(|(i, user)| Some((i, (user, user.uid?))))
        {
            if let Some(other) = seen.insert(uid, &user.name) {
                let message = format!("`{other}` has the number {uid} too");
                self.add(&item(&["users"], index, "uid"), message, "each account has its own number");
            }
        }
        for (index, disk) in spec.disks.iter().enumerate() {
            let (least, most) = (disk.rule.min_size, disk.rule.max_size);
            if least.zip(most).is_some_and(|(least, most)| least > most) {
                let message = format!("no disk is in `{}`: its least size is above its most", disk.name);
                self.add(&item(&["disks"], index, "match"), message, "change `minSize` or `maxSize`");
            }
        }
    }

    /// What interfaces are made of is there, and each is a part of one other at most.
    fn interfaces(&mut self, spec: &NodeSpec) {
        const LIST: [&str; 2] = ["network", "interfaces"];
        let interfaces = &spec.network.interfaces;
        let mut owners = BTreeMap::new();
        for (index, one) in interfaces.iter().enumerate() {
            let (key, parts): (_, &[_]) = match &one.kind {
                InterfaceKind::Card(..) => continue,
                InterfaceKind::Vlan(vlan) => (["vlan", "link"], std::slice::from_ref(&vlan.link)),
                InterfaceKind::Bond(bond) => (["bond", "members"], &bond.members),
                InterfaceKind::Bridge(bridge) => (["bridge", "members"], &bridge.members),
            };
            let mut path = item(&LIST, index, key[0]);
            path.push(Step::Key(key[1].to_owned()));
            for part in parts {
                if *part == one.name || !interfaces.iter().any(|other| other.name == *part) {
                    let message = format!(
                        "no document has an interface called `{part}` that `{}` is made of",
                        one.name
                    );
                    self.add(&path, message, "name it in `network.interfaces`");
                }
                let shared = matches!(one.kind, InterfaceKind::Vlan(_));
                if let Some(owner) = (!shared).then(|| owners.insert(part, &one.name)).flatten() {
                    let message = format!("`{part}` is a part of `{owner}` already");
                    self.add(&path, message, "an interface is a part of one bond or bridge");
                }
            }
        }
    }

    fn kubernetes(&mut self, kubernetes: &Kubernetes) {
        if kubernetes.token.is_some() && kubernetes.token_file.is_some() {
            let path = spec_path(&["kubernetes", "tokenFile"]);
            self.add(&path, "`token` is written too".to_owned(), "leave one of them out");
        }
        if kubernetes.role == Role::Init && kubernetes.endpoint.is_some() {
            let path = spec_path(&["kubernetes", "endpoint"]);
            let message = "`role: init` makes a cluster, so there is none to join".to_owned();
            self.add(&path, message, "leave `endpoint` out, or choose `controlPlane` or `worker`");
        }
    }
}

/// `path` is `root` or something below it.
fn below(path: &str, root: &str) -> bool {
    path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
