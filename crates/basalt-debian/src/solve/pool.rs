use std::collections::HashMap;

use basalt_types::Architecture;

use crate::{
    dependency::{DependencyError, Operator, Qualifier, Relation},
    index::{IndexError, MultiArch, Record, records},
    version,
};

/// Every package of every source, for one architecture.
#[derive(Debug, Clone)]
pub struct Pool<'a> {
    architecture: &'static str,
    packages: Vec<Entry<'a>>,
    names: Vec<Name<'a>>,
    by_name: HashMap<&'a str, u32>,
}

/// A package of a [`Pool`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PackageId(pub(super) u32);

/// Where a package is from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin {
    /// The caller's number of the source.
    pub source: u16,
    /// A package of a higher priority is preferred, whatever its version. 0 for ordinary sources, negative for
    /// backports and the like, positive for local files.
    pub priority: i16,
}

/// Why packages can't join a pool.
#[derive(Debug, thiserror::Error, Clone, PartialEq, Eq)]
pub enum PoolError {
    /// The index is damaged.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// A package of another architecture.
    #[error("the package `{package}` is for {found}, the image is for {wanted}")]
    Architecture {
        /// The package's name.
        package: String,
        /// Its architecture.
        found: String,
        /// The pool's.
        wanted: String,
    },
    /// A field that does not follow policy.
    #[error("the package `{package}` has a damaged `Provides` field")]
    Provides {
        /// The package's name.
        package: String,
        /// What is wrong.
        source: DependencyError,
    },
}

#[derive(Debug, Clone)]
pub(super) struct Entry<'a> {
    pub(super) record: Record<'a>,
    pub(super) origin: Origin,
    pub(super) name: u32,
}

#[derive(Debug, Clone)]
struct Name<'a> {
    text: &'a str,
    /// The real packages of this name, best first.
    packages: Vec<PackageId>,
    /// Who provides it.
    providers: Vec<Provider<'a>>,
}

#[derive(Debug, Clone)]
struct Provider<'a> {
    package: PackageId,
    version: Option<&'a str>,
}

impl<'a> Pool<'a> {
    /// A pool without packages.
    pub fn new(architecture: Architecture) -> Self {
        Self {
            architecture: architecture.debian(),
            packages: Vec::new(),
            names: Vec::new(),
            by_name: HashMap::new(),
        }
    }

    /// Adds every package of a Packages index. Packages of other architectures are an error.
    pub fn add_index(&mut self, text: &'a str, origin: Origin) -> Result<(), PoolError> {
        for record in records(text) {
            self.add(record?, origin)?;
        }
        Ok(())
    }

    /// Adds one package. If its name and version are there already, the one of the higher priority stays, or the
    /// earlier one.
    pub fn add(&mut self, record: Record<'a>, origin: Origin) -> Result<(), PoolError> {
        if record.architecture != "all" && record.architecture != self.architecture {
            return Err(PoolError::Architecture {
                package: record.name.to_owned(),
                found: record.architecture.to_owned(),
                wanted: self.architecture.to_owned(),
            });
        }
        let name = self.name(record.name);
        let id = PackageId(index_u32(self.packages.len()));
        let (packages, versions) = (&self.packages, &self.names[name as usize].packages);
        let rank = |entry: &Entry<'_>| {
            (entry.origin.priority.cmp(&origin.priority))
                .then(version::compare(entry.record.version, record.version))
        };
        let of = |known: &PackageId| rank(&packages[known.0 as usize]);
        let same = |known: &PackageId| {
            let entry = &packages[known.0 as usize];
            entry.origin.priority >= origin.priority
                && version::compare(entry.record.version, record.version).is_eq()
        };
        if versions.iter().any(same) {
            return Ok(());
        }
        let place = versions.iter().position(|known| of(known).is_lt()).unwrap_or(versions.len());
        self.names[name as usize].packages.insert(place, id);
        self.add_provides(&record, id)?;
        self.packages.push(Entry { record, origin, name });
        Ok(())
    }

    fn add_provides(&mut self, record: &Record<'a>, package: PackageId) -> Result<(), PoolError> {
        for entry in record.provides.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
            let refuse = |source| PoolError::Provides { package: record.name.to_owned(), source };
            let relation = Relation::parse(entry).map_err(refuse)?;
            // Policy 7.5: only `=` is meaningful in Provides.
            let version = relation.version.filter(|(operator, _)| *operator == Operator::Equal);
            let name = self.name(relation.name);
            let provider = Provider { package, version: version.map(|(_, version)| version) };
            self.names[name as usize].providers.push(provider);
        }
        Ok(())
    }

    fn name(&mut self, text: &'a str) -> u32 {
        *self.by_name.entry(text).or_insert_with(|| {
            self.names.push(Name { text, packages: Vec::new(), providers: Vec::new() });
            index_u32(self.names.len() - 1)
        })
    }

    /// The number of packages.
    pub fn len(&self) -> usize {
        self.packages.len()
    }

    /// Whether there is no package.
    pub fn is_empty(&self) -> bool {
        self.packages.is_empty()
    }

    /// What the index says about a package, and where it is from.
    pub fn get(&self, id: PackageId) -> (&Record<'a>, Origin) {
        let entry = self.entry(id);
        (&entry.record, entry.origin)
    }

    /// The packages of that name, best first: by priority of the source, then by version.
    pub fn versions(&self, name: &str) -> &[PackageId] {
        self.by_name.get(name).map_or(&[], |&name| &self.names[name as usize].packages)
    }

    pub(super) fn architecture(&self) -> &'static str {
        self.architecture
    }

    pub(super) fn entry(&self, id: PackageId) -> &Entry<'a> {
        &self.packages[id.0 as usize]
    }

    /// What the index says about a package.
    pub fn record(&self, id: PackageId) -> &Record<'a> {
        &self.entry(id).record
    }

    /// The packages of a name, by the name's number.
    pub(super) fn packages_of(&self, name: u32) -> &[PackageId] {
        self.names.get(name as usize).map_or(&[], |name| &name.packages)
    }

    /// The number of names, real and virtual.
    pub(super) fn name_count(&self) -> usize {
        self.names.len()
    }

    /// Every name that a real package has, in the order in which they were added.
    pub(super) fn real_names(&self) -> impl Iterator<Item = (&'a str, &[PackageId])> {
        self.names.iter().filter(|name| !name.packages.is_empty()).map(|name| (name.text, &*name.packages))
    }

    /// The packages that satisfy a relation, in the order in which they should be tried: real ones, best first, then
    /// providers by priority of the source, `Priority`, name and version.
    pub(super) fn matching(&self, relation: &Relation<'_>) -> Vec<PackageId> {
        let Some(&name) = self.by_name.get(relation.name) else { return Vec::new() };
        let name = &self.names[name as usize];
        let any = match relation.qualifier {
            Qualifier::Same | Qualifier::Native => false,
            Qualifier::Any => true,
            Qualifier::Named(architecture) if architecture == self.architecture => false,
            Qualifier::Named(_) => return Vec::new(),
        };
        let reachable = |id: &PackageId| !any || self.record(*id).multi_arch == MultiArch::Allowed;
        let real = name.packages.iter().copied().filter(|id| relation.allows(self.record(*id).version));
        let mut found: Vec<PackageId> = real.filter(reachable).collect();
        let provided = |provider: &&Provider<'_>| match (relation.version, provider.version) {
            (None, _) => true,
            (Some(_), Some(version)) => relation.allows(version),
            (Some(_), None) => false,
        };
        let mut providers: Vec<PackageId> =
            name.providers.iter().filter(provided).map(|p| p.package).filter(reachable).collect();
        providers.retain(|id| !found.contains(id));
        providers.sort_by(|&left, &right| self.compare_providers(left, right));
        providers.dedup();
        found.extend(providers);
        found
    }

    fn compare_providers(&self, left: PackageId, right: PackageId) -> std::cmp::Ordering {
        let (a, b) = (self.entry(left), self.entry(right));
        (b.origin.priority.cmp(&a.origin.priority))
            .then_with(|| a.record.priority.cmp(&b.record.priority))
            .then_with(|| a.record.name.cmp(b.record.name))
            .then_with(|| version::compare(b.record.version, a.record.version))
            .then_with(|| left.cmp(&right))
    }
}

/// A pool never holds 2^32 packages: their index texts alone would be terabytes.
fn index_u32(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}
