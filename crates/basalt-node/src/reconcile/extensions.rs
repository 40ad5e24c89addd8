//! System and configuration extensions (systemd-sysext(8)): what is fetched, what is merged, and what nobody wants any more.
//!
//! An extension is a link in `/run` to a file on the data volume, so `/run` says what this boot merges and nothing of another
//! one's. Each release remembers what it merged last ([`Record::extensions`]): while what the document names now is not here, or is
//! for another system, the release keeps what it had. What no release of the disk remembers is forgotten.

use std::collections::{BTreeMap, BTreeSet};

use basalt_image::extension::{Inspected, Sort};
use basalt_spec::node::{
    Extension, ExtensionSource, NodeSpec,
    words::{ItemName, Pattern},
};
use basalt_types::Digest;
use serde::{Deserialize, Serialize};

use super::{
    Entry, EntryKind, Machine, Phase, Plan, Record, Refusal, Reload, Step, UnitAction, Waiting,
    wanted::{Want, Wanted, WantedEntry},
};

/// Where the files are: `DIGEST.raw`, and beside it what was found in it.
pub const STORE: &str = "/var/lib/basalt/extensions";
/// The name of a release that was not started by `basalt-init`.
const UNNAMED: &str = "none";

/// What there is, as far as extensions are concerned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExtensionFacts {
    /// The running system's os-release.
    pub system: BTreeMap<String, String>,
    /// Its processor, in systemd's words (os-release(5), `ARCHITECTURE=`).
    pub architecture: String,
    /// The root hash of the release that runs.
    pub release: Option<Digest>,
    /// Those root hashes of the record that a slot of the disk has; none if that could not be found out.
    pub on_disk: Option<BTreeSet<String>>,
    /// What the store has, by the digests of documents.
    pub stored: BTreeMap<Digest, Stored>,
    /// The names that systemd has merged now.
    pub merged: BTreeMap<Sort, BTreeSet<String>>,
}

/// What the store has under a digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Stored {
    /// A part of it.
    Partial,
    /// All of it, but its bytes are others than they were.
    Damaged,
    /// What the document named, and no extension.
    Unusable(String),
    /// An extension.
    Image(Inspected),
}

/// What became of an extension of the document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ExtensionReport {
    /// Its name.
    pub name: String,
    /// What is so when the plan is done.
    pub state: ExtensionState,
    /// Why it is not what the document names.
    pub why: Option<String>,
}

/// What is merged under an extension's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum ExtensionState {
    /// What the document names.
    Merged,
    /// What this release had before.
    Earlier,
    /// Nothing.
    Absent,
    /// Nothing, for it is for other releases.
    OtherRelease,
}

/// Why an extension is not for this system.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
pub enum Mismatch {
    /// A field that must be the system's.
    #[error("its {field} is {}, and this system's is {}", shown(.found), shown(.expected))]
    Field {
        /// Which.
        field: &'static str,
        /// The extension's.
        found: Option<String>,
        /// The system's.
        expected: Option<String>,
    },
    /// It is for something that is no running system, such as an initrd.
    #[error("it is for {0}, and not for a running system")]
    Scope(String),
    /// It insists on its name.
    #[error("it calls itself `{0}`, and must have that name")]
    Name(String),
}

fn shown(value: &Option<String>) -> String {
    value.as_ref().map_or("not said".to_owned(), |value| format!("`{value}`"))
}

/// Whether systemd merges an extension into this system (systemd-sysext(8), extension-release in os-release(5)).
///
/// # Errors
/// The first rule that it breaks.
pub fn fits(facts: &ExtensionFacts, name: &str, image: &Inspected) -> Result<(), Mismatch> {
    let Inspected { sort, name: own, strict, release, units: _, root_hash: _ } = image;
    if *strict && own != name {
        return Err(Mismatch::Name(own.clone()));
    }
    let (level, scope) = match sort {
        Sort::System => ("SYSEXT_LEVEL", "SYSEXT_SCOPE"),
        Sort::Configuration => ("CONFEXT_LEVEL", "CONFEXT_SCOPE"),
    };
    if let Some(scopes) =
        release.get(scope).filter(|text| !text.split_whitespace().any(|one| one == "system"))
    {
        return Err(Mismatch::Scope(scopes.clone()));
    }
    let differs = |field, found: Option<&String>, expected: Option<&String>| {
        Err(Mismatch::Field { field, found: found.cloned(), expected: expected.cloned() })
    };
    let processor = release.get("ARCHITECTURE").filter(|value| *value != "_any");
    if processor.is_some_and(|processor| *processor != facts.architecture) {
        return differs("ARCHITECTURE", processor, Some(&facts.architecture));
    }
    let of = |field| (release.get(field), facts.system.get(field));
    match of("ID") {
        (Some(any), _) if any == "_any" => return Ok(()),
        (Some(one), Some(other)) if one == other => {}
        (found, expected) => return differs("ID", found, expected),
    }
    // A level counts instead of the version, where both have one.
    let (found, expected, field) = match (of(level), of("VERSION_ID")) {
        ((Some(found), Some(expected)), _) => (Some(found), Some(expected), level),
        // A rolling distribution has no version.
        (_, (_, None)) => return Ok(()),
        (_, (found, expected)) => (found, expected, "VERSION_ID"),
    };
    if found == expected { Ok(()) } else { differs(field, found, expected) }
}

/// Where the link of an extension is.
fn link(sort: Sort, name: &str) -> String {
    let folder = match sort {
        Sort::System => "extensions",
        Sort::Configuration => "confexts",
    };
    format!("/run/{folder}/{name}.raw")
}

/// The file of a digest.
pub fn stored_file(digest: &Digest) -> String {
    format!("{STORE}/{}.raw", digest.hex())
}

/// The digest whose file an entry leads to.
fn linked(entry: &Entry) -> Option<Digest> {
    match &entry.kind {
        EntryKind::Link(target) => stored_as(target),
        EntryKind::File(_) | EntryKind::Directory { .. } | EntryKind::Special => None,
    }
}

/// The digest that a file of the store is named by.
fn stored_as(path: &str) -> Option<Digest> {
    let hex = path.strip_prefix(STORE)?.strip_prefix('/')?.strip_suffix(".raw")?;
    Digest::from_hex(hex).ok()
}

/// The paths that have to be looked at: an extension can be of either sort.
pub(super) fn paths(spec: &NodeSpec) -> impl Iterator<Item = String> + '_ {
    let sorts = [Sort::System, Sort::Configuration];
    spec.extensions.iter().flat_map(move |one| sorts.map(|sort| link(sort, one.name.as_str())))
}

impl ExtensionFacts {
    /// The record's name of the release that runs.
    fn release_name(&self) -> String {
        self.release.map_or(UNNAMED.to_owned(), |hash| hash.hex())
    }

    fn image(&self, digest: &Digest) -> Option<&Inspected> {
        match self.stored.get(digest)? {
            Stored::Image(image) => Some(image),
            Stored::Partial | Stored::Damaged | Stored::Unusable(_) => None,
        }
    }
}

/// Plans what is fetched and stopped, and what is linked; gives the units that are to be started once it is merged.
pub(super) fn plan(
    spec: &NodeSpec,
    machine: &Machine,
    record: &Record,
    (wanted, plan): (&mut Wanted, &mut Plan),
) -> Vec<Step> {
    let facts = &machine.extensions;
    let running = facts.release_name();
    let before = record.extensions.get(&running).cloned().unwrap_or_default();
    let damaged = facts.stored.iter().filter(|(_, stored)| **stored == Stored::Damaged);
    plan.steps.extend(damaged.map(|(digest, _)| Step::ForgetExtension { digest: *digest }));
    let mut now = BTreeMap::new();
    for extension in &spec.extensions {
        let name = extension.name.as_str();
        let Choice { state, why, image } = choose(extension, before.get(name), machine, plan);
        plan.extensions.push(ExtensionReport { name: name.to_owned(), state, why });
        if let Some((digest, image)) = image {
            let target = stored_file(&digest);
            wanted.entries.insert(link(image.sort, name), WantedEntry::root(Want::Link { target }));
            now.insert(name.to_owned(), digest);
        }
    }
    let start = units(machine, record, wanted, plan);
    plan.record.extensions.insert(running, now);
    plan.record.extensions.retain(|_, names| !names.is_empty());
    start
}

/// What is merged under an extension's name.
struct Choice<'m> {
    state: ExtensionState,
    why: Option<String>,
    image: Option<(Digest, &'m Inspected)>,
}

fn choose<'m>(
    extension: &Extension,
    before: Option<&Digest>,
    machine: &'m Machine,
    plan: &mut Plan,
) -> Choice<'m> {
    let Extension { name, source: _, digest, releases } = extension;
    let facts = &machine.extensions;
    let version = facts.system.get("IMAGE_VERSION").map_or("", String::as_str);
    if !releases.is_empty() && !releases.iter().any(|one| one.matches(version)) {
        let of: Vec<&str> = releases.iter().map(Pattern::as_str).collect();
        let why = Some(format!("it is for {}, and {version} runs", of.join(", ")));
        return Choice { state: ExtensionState::OtherRelease, why, image: None };
    }
    let why = match usable(name, digest.as_ref(), facts) {
        Ok(image) => return Choice { state: ExtensionState::Merged, why: None, image: Some(image) },
        Err(Unusable::NotHere(digest)) => {
            missing(extension, digest, machine.phase, plan);
            "it is not here yet".to_owned()
        }
        Err(Unusable::Refused(refusal)) => {
            let why = refusal.to_string();
            plan.refusals.push(*refusal);
            why
        }
    };
    let earlier = before.and_then(|digest| Some((*digest, facts.image(digest)?)));
    let image = earlier.filter(|(_, image)| fits(facts, name.as_str(), image).is_ok());
    let state = if image.is_some() { ExtensionState::Earlier } else { ExtensionState::Absent };
    Choice { state, why: Some(why), image }
}

/// Why what the document names can't be merged.
enum Unusable {
    NotHere(Digest),
    Refused(Box<Refusal>),
}

fn usable<'m>(
    name: &ItemName,
    digest: Option<&Digest>,
    facts: &'m ExtensionFacts,
) -> Result<(Digest, &'m Inspected), Unusable> {
    let name = name.to_string();
    let refused = |refusal| Err(Unusable::Refused(Box::new(refusal)));
    let Some(digest) = digest else { return refused(Refusal::ExtensionDigest { name }) };
    let image = match facts.stored.get(digest) {
        None | Some(Stored::Partial | Stored::Damaged) => return Err(Unusable::NotHere(*digest)),
        Some(Stored::Unusable(why)) => {
            return refused(Refusal::NoExtension { name, why: why.clone() });
        }
        Some(Stored::Image(image)) => image,
    };
    match fits(facts, &name, image) {
        Ok(()) => Ok((*digest, image)),
        Err(why) => refused(Refusal::OtherSystem { name, why }),
    }
}

fn missing(extension: &Extension, digest: Digest, phase: Phase, plan: &mut Plan) {
    let Extension { name, source, .. } = extension;
    match phase {
        Phase::Early => plan.waiting.push(Waiting::Extension { name: name.to_string() }),
        Phase::Running => {
            let (name, source) = (name.to_string(), source.clone());
            plan.steps.push(Step::FetchExtension { name, digest, source });
        }
    }
}

/// Stops the units of extensions that go; gives the starts of those that come, and of those that another one brings now.
fn units(machine: &Machine, record: &Record, wanted: &Wanted, plan: &mut Plan) -> Vec<Step> {
    let facts = &machine.extensions;
    let (mut old, mut new, mut changed) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    let links = record.paths.iter().chain(wanted.entries.keys()).filter(|path| is_link(path));
    for path in links.collect::<BTreeSet<_>>() {
        let is = machine.entries.get(path).and_then(linked);
        let becomes = wanted.entries.get(path).and_then(|entry| match &entry.want {
            Want::Link { target } => stored_as(target),
            Want::File { .. } | Want::Directory { .. } | Want::Nothing => None,
        });
        for (digest, units) in [(is, &mut old), (becomes, &mut new)] {
            let found = digest.and_then(|digest| facts.image(&digest)).map(|image| &image.units);
            let found = found.into_iter().flatten().cloned();
            units.extend(found.clone());
            if is != becomes {
                changed.extend(found);
            }
        }
    }
    let step = |name: &String, action| Step::Unit { name: name.clone(), action };
    plan.steps.extend(old.difference(&new).map(|name| step(name, UnitAction::StopAndWait)));
    let starts = new
        .intersection(&changed)
        .map(|name| step(name, if old.contains(name) { UnitAction::Restart } else { UnitAction::Start }));
    starts.collect()
}

fn is_link(path: &str) -> bool {
    path.starts_with("/run/extensions/") || path.starts_with("/run/confexts/")
}

/// Who has to look again although no link changes: somebody took apart what was merged.
pub(super) fn unmerged(wanted: &Wanted, facts: &ExtensionFacts) -> BTreeSet<Reload> {
    let mut found = BTreeSet::new();
    for path in wanted.entries.keys().filter(|path| is_link(path)) {
        let (sort, reload) = match Reload::of(path) {
            Some(reload @ Reload::Configuration) => (Sort::Configuration, reload),
            Some(_) | None => (Sort::System, Reload::Extensions),
        };
        let name = path.rsplit('/').next().and_then(|name| name.strip_suffix(".raw")).unwrap_or_default();
        if !facts.merged.get(&sort).is_some_and(|names| names.contains(name)) {
            found.insert(reload);
        }
    }
    found
}

/// Forgets what no release of the disk merged last and no document names; and the releases that are gone.
pub(super) fn collect(spec: &NodeSpec, machine: &Machine, plan: &mut Plan) {
    let facts = &machine.extensions;
    if machine.phase == Phase::Early {
        return;
    }
    // Where the disk can't be looked at, nothing is forgotten.
    let Some(on_disk) = &facts.on_disk else { return };
    let running = facts.release_name();
    plan.record.extensions.retain(|release, _| *release == running || on_disk.contains(release));
    let remembered = plan.record.extensions.values().flat_map(BTreeMap::values);
    let named = spec.extensions.iter().filter_map(|one| one.digest.as_ref());
    let wanted: BTreeSet<Digest> = remembered.chain(named).copied().collect();
    let gone = facts.stored.keys().filter(|digest| !wanted.contains(digest));
    plan.steps.extend(gone.map(|digest| Step::ForgetExtension { digest: *digest }));
}

/// A source as messages show it: without a password or a token that may be in an address.
pub(super) fn source_text(source: &ExtensionSource) -> String {
    match source {
        ExtensionSource::Image(reference) => reference.to_string(),
        ExtensionSource::Path(path) => path.to_string(),
        ExtensionSource::Url(url) => {
            let bare = url.as_str().split(['?', '#']).next().unwrap_or_default();
            match bare.split_once("://") {
                Some((scheme, rest)) => {
                    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
                    format!("{scheme}://{}/{path}", host.rsplit('@').next().unwrap_or(host))
                }
                None => String::new(),
            }
        }
    }
}
