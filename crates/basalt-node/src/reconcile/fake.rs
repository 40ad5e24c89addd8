//! A machine in memory that does what a plan says.

use std::collections::BTreeSet;

use basalt_image::extension::{Inspected, Sort};
use basalt_spec::words::UnixMode;
use basalt_types::Digest;

use super::*;

const UNITS: &str = "/etc/systemd/system/";

pub(super) fn file(text: &str, mode: u16) -> Entry {
    Entry {
        kind: EntryKind::File(Digest::of(text.as_bytes())),
        mode: UnixMode::from_bits(mode),
        uid: 0,
        gid: 0,
    }
}

pub(super) fn link(target: &str) -> Entry {
    Entry { kind: EntryKind::Link(target.to_owned()), mode: UnixMode::from_bits(0o777), uid: 0, gid: 0 }
}

/// A machine as its image has it, in the middle of its day.
pub(super) fn image() -> Machine {
    let table = |text: &str| basalt_image::AccountTable::parse(text);
    let accounts = Accounts {
        passwd: table("root:x:0:0:root:/root:/bin/bash\nadmin:x:1000:1000::/home/admin:/bin/bash\n"),
        group: table("root:x:0:\nadm:x:4:admin\nsudo:x:27:admin\nadmin:x:1000:\n"),
        shadow: table("root:*:0:0:99999:7:::\nadmin:$6$salt$image:0:0:99999:7:::\n"),
        gshadow: table("root:*::\nadm:*::admin\nsudo:*::admin\nadmin:!::\n"),
    };
    let image: std::collections::BTreeMap<String, Entry> = [
        ("/etc/motd", file("the image's\n", 0o644)),
        ("/etc/hosts", file("127.0.0.1 localhost\n", 0o644)),
        ("/etc/localtime", link("/usr/share/zoneinfo/Etc/UTC")),
    ]
    .map(|(path, entry)| (path.to_owned(), entry))
    .into();
    let unit = |enablement, active| UnitFacts { enablement, active, tried: active == Active::Active };
    Machine {
        phase: Phase::Running,
        boot_id: "one".into(),
        hostname: "edge".into(),
        entries: image.clone(),
        image,
        accounts: accounts.clone(),
        image_accounts: accounts,
        sysctls: [("net/ipv4/ip_forward", "0"), ("vm/swappiness", "60")]
            .map(|(path, value)| (path.to_owned(), value.to_owned()))
            .into(),
        modules: BTreeSet::new(),
        units: [
            ("ssh.service", unit(Enablement::Enabled, Active::Active)),
            ("cron.service", unit(Enablement::Disabled, Active::Inactive)),
            ("systemd-networkd.service", unit(Enablement::Enabled, Active::Active)),
        ]
        .map(|(name, facts)| (name.to_owned(), facts))
        .into(),
        present: ["/bin/bash", "/bin/sh", "/usr/bin/sudo", "/usr/share/zoneinfo/Europe/Rome"]
            .map(str::to_owned)
            .into(),
        keys: Default::default(),
        extensions: extensions(),
    }
}

/// The digest of the extension called so.
pub(super) fn digest(text: &str) -> Digest {
    Digest::of(text.as_bytes())
}

/// Release 1 runs, and the disk has release 2 beside it.
fn extensions() -> ExtensionFacts {
    let system = [("ID", "debian"), ("VERSION_ID", "13"), ("IMAGE_VERSION", "1.0.0")];
    ExtensionFacts {
        system: system.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        architecture: "x86-64".into(),
        release: Some(digest("release 1")),
        on_disk: Some(["release 1", "release 2"].map(|name| digest(name).hex()).into()),
        ..ExtensionFacts::default()
    }
}

/// The extensions that there are; every other digest is of something else.
pub(super) fn published() -> std::collections::BTreeMap<Digest, Stored> {
    let image = |(text, sort, version, units): (&str, Sort, &str, &[&str])| {
        let release = [("ID", "debian"), ("VERSION_ID", version), ("ARCHITECTURE", "x86-64")];
        let image = Inspected {
            sort,
            name: text.into(),
            strict: false,
            release: release.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            units: units.iter().map(|unit| (*unit).to_owned()).collect(),
            root_hash: None,
        };
        (digest(text), Stored::Image(image))
    };
    [
        ("tools 1", Sort::System, "13", &["tool.service"][..]),
        ("tools 2", Sort::System, "13", &["tool.service", "tool.socket"]),
        ("tools 14", Sort::System, "14", &["tool.service"]),
        ("site", Sort::Configuration, "13", &[]),
    ]
    .map(image)
    .into()
}

fn entry(kind: EntryKind, Attributes { mode, uid, gid }: Attributes) -> Entry {
    Entry { kind, mode, uid, gid }
}

impl Machine {
    /// Executes a plan; gives what is remembered then.
    pub(super) fn apply(&mut self, plan: &Plan) -> Record {
        plan.steps.iter().for_each(|step| self.step(step));
        plan.record.clone()
    }

    pub(super) fn step(&mut self, step: &Step) {
        match step {
            Step::LoadModule { name } => {
                self.modules.insert(name.clone());
            }
            Step::SetSysctl { path, to, .. } => {
                self.sysctls.insert(path.clone(), to.clone());
            }
            Step::Account { edits, .. } => edits.iter().for_each(|edit| self.accounts.edit(edit)),
            Step::MakeHome { path, uid, gid } => {
                let attributes = Attributes { mode: UnixMode::from_bits(0o700), uid: *uid, gid: *gid };
                self.entries.insert(path.clone(), entry(EntryKind::Directory { empty: false }, attributes));
            }
            Step::WriteFile { path, attributes, content, .. } => {
                let kind = EntryKind::File(Digest::of(content.reveal()));
                self.entries.insert(path.clone(), entry(kind, *attributes));
            }
            Step::MakeLink { path, target, .. } => {
                self.entries.insert(path.clone(), link(target));
            }
            Step::MakeDirectory { path, attributes } => {
                self.entries.insert(path.clone(), entry(EntryKind::Directory { empty: true }, *attributes));
            }
            Step::SetAttributes { path, to, .. } => {
                let kind = self.entries[path].kind.clone();
                self.entries.insert(path.clone(), entry(kind, *to));
            }
            Step::Remove { path } | Step::RemoveDirectory { path } => {
                self.entries.remove(path).unwrap();
            }
            Step::Restore { path } => {
                self.entries.insert(path.clone(), self.image[path].clone());
            }
            Step::SetHostname { to, .. } => self.hostname.clone_from(to),
            Step::FetchKeys { source } => {
                self.keys.insert(source.clone(), vec!["ssh-ed25519 AAAAfetched".parse().unwrap()]);
            }
            Step::FetchExtension { digest, .. } => {
                let noise = || Stored::Unusable("it is no EROFS image".into());
                let stored = published().remove(digest).unwrap_or_else(noise);
                self.extensions.stored.insert(*digest, stored);
            }
            Step::ForgetExtension { digest } => drop(self.extensions.stored.remove(digest).unwrap()),
            Step::Reload { what: Reload::Extensions } => self.merge(Sort::System, "/run/extensions/"),
            Step::Reload { what: Reload::Configuration } => self.merge(Sort::Configuration, "/run/confexts/"),
            Step::Reload { what: Reload::Systemd } => self.read_units(),
            Step::Reload { .. } => {}
            Step::Unit { name, action } => self.unit(name, *action),
        }
    }

    /// The files that links of a folder lead to, by the links' names.
    fn linked(&self, folder: &str) -> Vec<(String, Digest)> {
        let named = |path: &str| Some(path.strip_prefix(folder)?.strip_suffix(".raw")?.to_owned());
        let stored = |entry: &Entry| match &entry.kind {
            EntryKind::Link(target) => {
                Digest::from_hex(target.rsplit('/').next()?.strip_suffix(".raw")?).ok()
            }
            EntryKind::File(_) | EntryKind::Directory { .. } | EntryKind::Special => None,
        };
        self.entries.iter().filter_map(|(path, entry)| Some((named(path)?, stored(entry)?))).collect()
    }

    /// What systemd-sysext and systemd-confext do: all that is linked, and it must be there.
    fn merge(&mut self, sort: Sort, folder: &str) {
        let linked = self.linked(folder);
        for (name, digest) in &linked {
            let Some(Stored::Image(image)) = self.extensions.stored.get(digest) else { panic!("{name}") };
            assert_eq!((image.sort, fits(&self.extensions, name, image)), (sort, Ok(())), "{name}");
        }
        self.extensions.merged.insert(sort, linked.into_iter().map(|(name, _)| name).collect());
    }

    /// systemd knows the units whose texts are there.
    fn read_units(&mut self) {
        let own = |path: &str| path.strip_prefix(UNITS).filter(|name| !name.contains('/')).map(str::to_owned);
        let texts: BTreeSet<String> = self.entries.keys().filter_map(|path| own(path)).collect();
        let of_image = image().units;
        let merged = self.linked("/run/extensions/").into_iter();
        let merged = merged.filter_map(|(_, digest)| match self.extensions.stored.get(&digest) {
            Some(Stored::Image(image)) => Some(image.units.clone()),
            Some(Stored::Partial | Stored::Damaged | Stored::Unusable(_)) | None => None,
        });
        let texts: BTreeSet<String> = texts.into_iter().chain(merged.flatten()).collect();
        self.units.retain(|name, _| texts.contains(name) || of_image.contains_key(name));
        for name in texts {
            let fresh =
                UnitFacts { enablement: Enablement::Disabled, active: Active::Inactive, tried: false };
            self.units.entry(name).or_insert(fresh);
        }
    }

    fn unit(&mut self, name: &str, action: UnitAction) {
        let unit = self.units.get_mut(name).unwrap_or_else(|| panic!("systemd does not know {name}"));
        match action {
            UnitAction::Enable => unit.enablement = Enablement::Enabled,
            UnitAction::Disable | UnitAction::Unmask => unit.enablement = Enablement::Disabled,
            UnitAction::Mask => unit.enablement = Enablement::Masked,
            UnitAction::Start | UnitAction::StartAndWait | UnitAction::Restart => {
                assert!(unit.enablement != Enablement::Masked, "{name} is masked");
                (unit.active, unit.tried) = (Active::Active, true);
            }
            UnitAction::Stop | UnitAction::StopAndWait => unit.active = Active::Inactive,
        }
    }

    /// The next boot: memory is empty, `/etc` is the image's.
    pub(super) fn reboot(&mut self) {
        let entries = std::mem::take(&mut self.entries).into_iter();
        let kept = entries.filter(|(path, _)| !record::is_volatile(path));
        let fresh = image();
        *self = Self {
            boot_id: format!("{}+", self.boot_id),
            entries: kept.chain(self.image.clone()).collect(),
            keys: self.keys.clone(),
            phase: Phase::Early,
            extensions: ExtensionFacts { merged: Default::default(), ..self.extensions.clone() },
            ..fresh
        };
    }
}
