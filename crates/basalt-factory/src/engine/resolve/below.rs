//! The packages of the recipe below, as the one above sees them: they stay as they are, also when the archive has moved on
//! and has other versions by now.

use basalt_debian::{
    index,
    solve::{Origin as PoolOrigin, Pool, Request, Wanted},
};
use basalt_fetch::debian::Indices;
use basalt_spec::{Lock, LockedPackage, Origin};

use crate::error::{CommandResult, Kind, OrFail as _};

/// Asks for everything that is below, at its version.
pub(super) fn keep(request: &mut Request, below: &Lock) {
    for package in &below.packages {
        let version = Some(package.version.to_string());
        match request.wanted.iter_mut().find(|wanted| wanted.name == package.name.as_str()) {
            Some(wanted) => wanted.version = wanted.version.take().or(version),
            None => request.wanted.push(Wanted { name: package.name.to_string(), version }),
        }
    }
}

/// What an index would say of a package that none has at the locked version any more, with its source.
///
/// What it provides and is at odds with is taken from the version that is there now, for the lock does not know. What it
/// depends on is left out: the set below is whole, and none of it is taken away.
#[derive(Debug)]
pub(super) struct Gone {
    paragraph: String,
    source: u16,
}

/// The packages below that are not in the pool.
pub(super) fn gone(pool: &Pool<'_>, indices: &Indices, below: &Lock) -> CommandResult<Vec<Gone>> {
    let mut found = Vec::new();
    for package in &below.packages {
        let versions = pool.versions(package.name.as_str());
        let there = versions.iter().any(|id| pool.record(*id).version == package.version.as_str());
        let Origin::Archive { source, path } = &package.origin else { continue };
        if there {
            continue;
        }
        let suite = below.sources.get(usize::try_from(*source).or_fail(Kind::Config)?);
        let suite = suite.and_then(|locked| {
            indices.suites.iter().position(|suite| suite.source.suite == locked.suite.as_str())
        });
        let now = versions.first().map(|id| pool.record(*id));
        found.push(Gone {
            paragraph: paragraph(package, path.as_str(), now),
            source: u16::try_from(suite.unwrap_or_default()).or_fail(Kind::Bug)?,
        });
    }
    Ok(found)
}

fn paragraph(package: &LockedPackage, path: &str, now: Option<&index::Record<'_>>) -> String {
    let LockedPackage { name, version, architecture, size, sha256, origin: _, reason: _ } = package;
    let mut text = format!(
        "Package: {name}\nVersion: {version}\nArchitecture: {architecture}\nFilename: {path}\nSize: {size}\nSHA256: {}\n",
        sha256.hex()
    );
    let Some(now) = now else { return text };
    if now.essential {
        text.push_str("Essential: yes\n");
    }
    let fields = [("Provides", now.provides), ("Conflicts", now.conflicts), ("Breaks", now.breaks)];
    for (field, value) in fields.into_iter().filter(|(_, value)| !value.is_empty()) {
        text.push_str(&format!("{field}: {value}\n"));
    }
    text
}

/// Adds them to the pool.
pub(super) fn add<'a>(pool: &mut Pool<'a>, gone: &'a [Gone], priority: i16) -> CommandResult {
    for Gone { paragraph, source } in gone {
        for record in index::records(paragraph) {
            let origin = PoolOrigin { source: *source, priority };
            pool.add(record.or_fail(Kind::Bug)?, origin).or_fail(Kind::Config)?;
        }
    }
    Ok(())
}
