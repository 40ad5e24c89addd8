//! That all contenders installed the same: every locked package in the locked version. Without this the times of two
//! builds say nothing about each other.

use basalt_exec::command::{Command, Program};
use serde::Deserialize;
use std::{collections::BTreeMap, fs};

use super::{contenders::Bench, ours::Locked};
use crate::error::{Done, TaskError};

/// Versions by package.
type Installed = BTreeMap<String, String>;

/// Compares what the last runs made with the lock; gives a line for each peer with what it installed beside that.
pub(super) fn check(bench: &Bench) -> Done<Vec<String>> {
    let made = [("mmdebstrap", of_tar(bench)?), ("mkosi", of_mkosi(bench)?)];
    made.iter().map(|(peer, installed)| compare(peer, &bench.packages, installed)).collect()
}

fn compare(peer: &str, locked: &[Locked], installed: &Installed) -> Done<String> {
    for Locked { name, version } in locked {
        let found = installed.get(name);
        if found != Some(version) {
            return Err(TaskError::Broken(format!(
                "{peer} has {name} in version {found:?} instead of {version}"
            )));
        }
    }
    let is_locked = |name: &str| locked.iter().any(|package| package.name == name);
    let beside: Vec<&str> = installed.keys().map(String::as_str).filter(|name| !is_locked(name)).collect();
    Ok(if beside.is_empty() {
        format!("{peer} installs exactly the same.")
    } else {
        format!("{peer} installs the same, and beside that: {}.", beside.join(", "))
    })
}

/// From dpkg's database in mmdebstrap's tar.
fn of_tar(bench: &Bench) -> Done<Installed> {
    let tar = Command::new(&Program::find("tar", "tar")?).arg("-xOf").arg(bench.work.join("mmdebstrap.tar"));
    let status = tar.arg("./var/lib/dpkg/status").run()?;
    let database = bench.work.join("mmdebstrap.dpkg");
    crate::tool::create_folder(&database)?;
    let path = database.join("status");
    fs::write(&path, status).map_err(TaskError::io("write", path))?;
    let query = Command::new(&Program::find("dpkg-query", "dpkg")?).arg("--admindir").arg(&database);
    let lines = query.args(["--show", "--showformat=${Package} ${Version}\n"]).run()?;
    let text = String::from_utf8_lossy(&lines).into_owned();
    Ok(text
        .lines()
        .filter_map(|line| line.split_once(' '))
        .map(|(name, version)| (name.to_owned(), version.to_owned()))
        .collect())
}

/// From mkosi's own manifest.
fn of_mkosi(bench: &Bench) -> Done<Installed> {
    #[derive(Deserialize)]
    struct Manifest {
        packages: Vec<Locked>,
    }
    let path = bench.work.join("mkosi-no/out/edge.manifest");
    let text = fs::read(&path).map_err(TaskError::io("read", &path))?;
    let Manifest { packages } = serde_json::from_slice(&text)
        .map_err(|source| TaskError::Json { what: path.display().to_string(), source })?;
    Ok(packages.into_iter().map(|Locked { name, version }| (name, version)).collect())
}

#[cfg(test)]
mod tests {
    use super::{Installed, Locked, compare};

    #[test]
    fn other_versions_are_refused_and_more_packages_are_told() {
        let locked = [Locked { name: "less".to_owned(), version: "2".to_owned() }];
        let installed = |pairs: &[(&str, &str)]| -> Installed {
            pairs.iter().map(|(name, version)| ((*name).to_owned(), (*version).to_owned())).collect()
        };
        assert_eq!(
            compare("x", &locked, &installed(&[("less", "2")])).unwrap(),
            "x installs exactly the same."
        );
        let more = compare("x", &locked, &installed(&[("less", "2"), ("vim", "1")])).unwrap();
        assert_eq!(more, "x installs the same, and beside that: vim.");
        assert!(compare("x", &locked, &installed(&[("less", "1")])).is_err());
        assert!(compare("x", &locked, &installed(&[])).is_err());
    }
}
