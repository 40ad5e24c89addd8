//! What a document wants of a machine, in the machine's words: paths, settings and units instead of keys.

use std::collections::{BTreeMap, BTreeSet};

use basalt_spec::{
    node::{InterfaceKind, NodeFile, NodeFileContent, NodeSpec, Unit, UnitState},
    words::{Owner, UnixMode},
};

use super::{
    Interest, Record, Refusal, accounts::TableName, extensions, mounts, step::Content, sysctl, users,
};
use crate::render::{FetchedKeys, render};

const ZONES: &str = "/usr/share/zoneinfo";
const UNITS: &str = "/etc/systemd/system";

/// Everything that a document wants, but accounts.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    pub(super) entries: BTreeMap<String, WantedEntry>,
    /// By path below `/proc/sys`.
    pub(super) sysctls: BTreeMap<String, String>,
    pub(super) modules: BTreeSet<String>,
    pub(super) units: Vec<UnitWish>,
    pub(super) hostname: Option<String>,
    pub(super) refusals: Vec<Refusal>,
    /// A time zone's file, which the image must have.
    pub(super) zone: Option<String>,
}

/// Something that should be in the file system.
#[derive(Clone, Debug)]
pub(super) struct WantedEntry {
    pub(super) want: Want,
    pub(super) owner: Owner,
}

/// What should be at a path.
#[derive(Clone, Debug)]
pub(super) enum Want {
    File { content: Content, mode: UnixMode },
    Link { target: String },
    Directory { mode: UnixMode },
    Nothing,
}

/// What should be true of a unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct UnitWish {
    pub(super) name: String,
    pub(super) state: Option<UnitState>,
    /// Whether its text comes from the document.
    pub(super) own: bool,
    pub(super) run: Run,
}

/// Whether a unit must run, whatever its state says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Run {
    AsItsStateSays,
    Always,
    /// And what comes later needs it.
    AlwaysAndWait,
}

impl Want {
    pub(super) fn file(text: impl Into<Vec<u8>>, mode: u16) -> Self {
        Self::File { content: Content::new(text), mode: UnixMode::from_bits(mode) }
    }
}

impl WantedEntry {
    pub(super) fn root(want: Want) -> Self {
        Self { want, owner: Owner::root() }
    }
}

impl Wanted {
    pub(super) fn new(spec: &NodeSpec, keys: &FetchedKeys) -> Self {
        let mut wanted = Self::default();
        // Who says nothing at all changes nothing, not even how cards get their addresses.
        if *spec == NodeSpec::default() {
            return wanted;
        }
        for file in render(spec, keys) {
            wanted.add(file.path.clone(), WantedEntry::root(Want::file(file.content, file.mode.bits())));
        }
        if let Some(zone) = &spec.timezone {
            wanted.zone = Some(format!("{ZONES}/{zone}"));
            let target = format!("..{ZONES}/{zone}");
            wanted.add("/etc/localtime".to_owned(), WantedEntry::root(Want::Link { target }));
        }
        spec.units.iter().for_each(|unit| wanted.unit(unit));
        for mount in &spec.mounts {
            match mounts::unit(mount) {
                Ok((wish, text)) => {
                    let path = format!("{UNITS}/{}", wish.name);
                    wanted.add(path, WantedEntry::root(Want::file(text, 0o644)));
                    wanted.units.push(wish);
                }
                Err(refusal) => wanted.refusals.push(refusal),
            }
        }
        wanted.implied(spec);
        spec.files.iter().for_each(|file| wanted.file(file));
        let paths = spec.sysctls.iter().filter_map(|(name, value)| Some((sysctl::path(name)?, value)));
        wanted.sysctls = paths.map(|(path, value)| (path, value.to_string())).collect();
        wanted.modules = spec.modules.iter().map(|module| module.to_string().replace('-', "_")).collect();
        wanted.hostname = spec.hostname.as_ref().map(ToString::to_string);
        wanted
    }

    fn add(&mut self, path: String, entry: WantedEntry) {
        self.entries.insert(path, entry);
    }

    fn file(&mut self, file: &NodeFile) {
        let NodeFile { path, content, mode, owner } = file;
        let path = path.to_string();
        let reserved = TableName::ALL.iter().any(|table| table.file().0 == path);
        if reserved || self.entries.contains_key(&path) {
            self.refusals.push(Refusal::TwoMeanings { path });
            return;
        }
        let want = match content {
            NodeFileContent::Text(text) => Want::File { content: Content::new(text.as_str()), mode: *mode },
            NodeFileContent::Bytes(bytes) => Want::File { content: Content::new(bytes.bytes()), mode: *mode },
            NodeFileContent::Link(target) => Want::Link { target: target.clone() },
            NodeFileContent::Directory => Want::Directory { mode: *mode },
        };
        self.add(path, WantedEntry { want, owner: owner.clone() });
    }

    fn unit(&mut self, unit: &Unit) {
        let Unit { name, state, content, drop_ins } = unit;
        if let Some(text) = content {
            self.add(format!("{UNITS}/{name}"), WantedEntry::root(Want::file(text.as_str(), 0o644)));
        }
        for drop_in in drop_ins {
            let path = format!("{UNITS}/{name}.d/{}.conf", drop_in.name);
            self.add(path, WantedEntry::root(Want::file(drop_in.content.as_str(), 0o644)));
        }
        let (name, own, state) = (name.to_string(), content.is_some(), *state);
        self.units.push(UnitWish { name, state, own, run: Run::AsItsStateSays });
    }

    /// What an interface needs to be brought up by.
    fn implied(&mut self, spec: &NodeSpec) {
        let mut names = Vec::new();
        if !spec.network.interfaces.is_empty() {
            names.push("systemd-networkd.service".to_owned());
        }
        let wireless = |kind: &InterfaceKind| matches!(kind, InterfaceKind::Card(_, Some(_)));
        let cards = spec.network.interfaces.iter().filter(|one| wireless(&one.kind));
        names.extend(cards.map(|one| format!("wpa_supplicant@{}.service", one.name)));
        for name in names {
            if !self.units.iter().any(|unit| unit.name == name) {
                let state = Some(UnitState::Enabled);
                self.units.push(UnitWish { name, state, own: false, run: Run::AsItsStateSays });
            }
        }
    }
}

/// What has to be observed before [`super::plan`] can tell what is to be done.
pub fn interest(spec: &NodeSpec, keys: &FetchedKeys, record: &Record) -> Interest {
    let wanted = Wanted::new(spec, keys);
    let (paths, present) = users::interest(&spec.users);
    let mut interest = Interest {
        paths: wanted.entries.into_keys().chain(paths).chain(record.paths.iter().cloned()).collect(),
        sysctls: wanted.sysctls.into_keys().chain(record.boot.sysctls.keys().cloned()).collect(),
        modules: wanted.modules,
        units: wanted.units.into_iter().map(|unit| unit.name).collect(),
        present: present.into_iter().chain(wanted.zone).collect(),
    };
    interest.paths.extend(extensions::paths(spec));
    interest.units.extend(record.boot.units.keys().cloned());
    interest
}
