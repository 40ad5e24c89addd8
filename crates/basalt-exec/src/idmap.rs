//! Which users and groups exist inside the sandbox, and what they are outside.
//!
//! ```text
//! Facts::observe()  → who runs us, subuid(5) and subgid(5), the kernel's switches, newuidmap(1)
//!   → IdMap::plan(&facts)   pure: the map, or the refusal that names the next step
//! ```
//!
//! Root maps 0..65535 to itself. An ordinary user becomes 0 and lends its subordinate ids as 1..65535: what the
//! sandbox's root owns is the user's own outside, so its caches and results need no help to be read or removed.
//!
//! Not here: making the namespace and writing the map ([`crate::sandbox`]).

use std::{fs, io, path::PathBuf};

use crate::command::Program;

/// Ids below this one are mapped; 65534 is `nobody`, 65535 is reserved (Debian policy 9.2.2).
const WANTED: u32 = 65_535;

/// A user-namespace map that the kernel will accept from us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdMap {
    /// Lines of `/proc/PID/uid_map`.
    pub uids: Vec<Extent>,
    /// Lines of `/proc/PID/gid_map`.
    pub gids: Vec<Extent>,
    /// Who writes them.
    pub writer: MapWriter,
}

/// A run of ids: `count` ids from `inside` on are the ids from `outside` on (user_namespaces(7)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// First id in the namespace.
    pub inside: u32,
    /// First id out of it.
    pub outside: u32,
    /// How many.
    pub count: u32,
}

/// Who writes the map: root may do it alone, a user needs the set-uid helpers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MapWriter {
    /// This program.
    Direct,
    /// `newuidmap` and `newgidmap`.
    Helpers {
        /// newuidmap(1).
        uid: Program,
        /// newgidmap(1).
        gid: Program,
    },
}

/// What the host says about user namespaces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// The effective user id.
    pub uid: u32,
    /// The effective group id.
    pub gid: u32,
    /// The user's name, when `/etc/passwd` knows it.
    pub name: Option<String>,
    /// `/proc/self/uid_map`.
    pub own_uids: String,
    /// `/etc/subuid`; empty when there is none.
    pub subuid: String,
    /// `/etc/subgid`; empty when there is none.
    pub subgid: String,
    /// The two set-uid helpers, when installed.
    pub helpers: Option<(Program, Program)>,
    /// The kernel's switches.
    pub switches: Switches,
}

/// Kernel switches that forbid user namespaces; `None` when the kernel has no such switch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Switches {
    /// `user.max_user_namespaces`.
    pub max_user_namespaces: Option<u64>,
    /// `kernel.unprivileged_userns_clone` (Debian's and Arch's kernels).
    pub unprivileged_userns_clone: Option<u64>,
    /// `kernel.apparmor_restrict_unprivileged_userns` (Ubuntu's kernels).
    pub apparmor_restrict_unprivileged_userns: Option<u64>,
}

/// Why there can be no sandbox, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdMapError {
    /// A file that must be there can't be read.
    #[error("can't read `{}`: {reason}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        reason: String,
    },
    /// A kernel switch forbids it.
    #[error("this machine forbids user namespaces: {switch} is {value}; set it with `sysctl -w {advice}`")]
    Forbidden {
        /// The switch, as sysctl(8) names it.
        switch: &'static str,
        /// Its value.
        value: u64,
        /// The assignment that allows namespaces.
        advice: &'static str,
    },
    /// The kernel refused and no known switch tells why: a container's seccomp filter, most often.
    #[error(
        "the kernel refuses a user namespace ({reason}); inside a container, allow it there (for docker: \
         --security-opt seccomp=unconfined --security-opt apparmor=unconfined), or build on the host"
    )]
    Refused {
        /// What the kernel said.
        reason: String,
    },
    /// The user has too few subordinate ids.
    #[error(
        "user {user} has {have} subordinate ids in {file}, {WANTED} are needed; as root: usermod {advice}"
    )]
    TooFewSubordinateIds {
        /// Name or id of the user.
        user: String,
        /// `/etc/subuid` or `/etc/subgid`.
        file: &'static str,
        /// How many there are.
        have: u32,
        /// The arguments for usermod(8).
        advice: String,
    },
    /// newuidmap or newgidmap is missing.
    #[error(
        "newuidmap and newgidmap are needed to build as an ordinary user; on Debian: apt-get install uidmap"
    )]
    HelpersMissing,
    /// This program itself runs in a namespace that is too small.
    #[error("only {have} of {WANTED} ids are mapped here (/proc/self/uid_map); give this container more ids")]
    TooFewIds {
        /// How many ids from 0 on are mapped.
        have: u32,
    },
}

impl Facts {
    /// Reads them from the host.
    ///
    /// # Errors
    /// When a file that is there can't be read.
    pub fn observe() -> Result<Self, IdMapError> {
        let uid = rustix::process::geteuid().as_raw();
        let passwd = read_if_present("/etc/passwd")?;
        let helpers = (Program::find("newuidmap", "uidmap"), Program::find("newgidmap", "uidmap"));
        Ok(Self {
            uid,
            gid: rustix::process::getegid().as_raw(),
            name: user_name(&passwd, uid),
            own_uids: read_if_present("/proc/self/uid_map")?,
            subuid: read_if_present("/etc/subuid")?,
            subgid: read_if_present("/etc/subgid")?,
            helpers: match helpers {
                (Ok(uid), Ok(gid)) => Some((uid, gid)),
                (Err(_), _) | (_, Err(_)) => None,
            },
            switches: Switches::observe()?,
        })
    }
}

impl Switches {
    /// Reads them from `/proc/sys`.
    ///
    /// # Errors
    /// When a switch is there and can't be read.
    pub fn observe() -> Result<Self, IdMapError> {
        let number = |path: &str| Ok::<_, IdMapError>(read_if_present(path)?.trim().parse().ok());
        Ok(Self {
            max_user_namespaces: number("/proc/sys/user/max_user_namespaces")?,
            unprivileged_userns_clone: number("/proc/sys/kernel/unprivileged_userns_clone")?,
            apparmor_restrict_unprivileged_userns: number(
                "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
            )?,
        })
    }

    /// The switch that forbids this user a namespace for sure. AppArmor's is not one: a profile may allow us.
    pub fn forbidding(&self, uid: u32) -> Option<IdMapError> {
        let forbidden = |switch, advice| Some(IdMapError::Forbidden { switch, value: 0, advice });
        if self.max_user_namespaces == Some(0) {
            return forbidden("user.max_user_namespaces", "user.max_user_namespaces=10000");
        }
        if self.unprivileged_userns_clone == Some(0) && uid != 0 {
            return forbidden("kernel.unprivileged_userns_clone", "kernel.unprivileged_userns_clone=1");
        }
        None
    }

    /// Why the kernel said no, after it has: the switch if one explains it, else what it said.
    pub fn explain(&self, uid: u32, reason: &str) -> IdMapError {
        let apparmor = self.apparmor_restrict_unprivileged_userns.filter(|value| *value != 0 && uid != 0);
        match (self.forbidding(uid), apparmor) {
            (Some(switch), _) => switch,
            (None, Some(value)) => IdMapError::Forbidden {
                switch: "kernel.apparmor_restrict_unprivileged_userns",
                value,
                advice: "kernel.apparmor_restrict_unprivileged_userns=0",
            },
            (None, None) => IdMapError::Refused { reason: reason.to_owned() },
        }
    }
}

impl IdMap {
    /// Observes the host and plans.
    ///
    /// # Errors
    /// When there can be no sandbox; the message names the next step.
    pub fn observe() -> Result<Self, IdMapError> {
        Self::plan(&Facts::observe()?)
    }

    /// The map for these facts.
    ///
    /// # Errors
    /// When there can be no sandbox; the message names the next step.
    pub fn plan(facts: &Facts) -> Result<Self, IdMapError> {
        if let Some(refusal) = facts.switches.forbidding(facts.uid) {
            return Err(refusal);
        }
        if facts.uid == 0 {
            let have = mapped_from_zero(&facts.own_uids);
            if have < WANTED {
                return Err(IdMapError::TooFewIds { have });
            }
            let same = vec![Extent { inside: 0, outside: 0, count: have.min(WANTED + 1) }];
            return Ok(Self { uids: same.clone(), gids: same, writer: MapWriter::Direct });
        }
        let uids = subordinate(facts, "/etc/subuid", &facts.subuid, facts.uid)?;
        let gids = subordinate(facts, "/etc/subgid", &facts.subgid, facts.gid)?;
        let (uid, gid) = facts.helpers.clone().ok_or(IdMapError::HelpersMissing)?;
        Ok(Self { uids, gids, writer: MapWriter::Helpers { uid, gid } })
    }
}

/// The user's own id as 0, then as many subordinate ids as it takes.
fn subordinate(facts: &Facts, file: &'static str, text: &str, own: u32) -> Result<Vec<Extent>, IdMapError> {
    let user = facts.name.clone().unwrap_or_else(|| facts.uid.to_string());
    let mut extents = vec![Extent { inside: 0, outside: own, count: 1 }];
    let mut inside = 1;
    for (outside, count) in ranges(text, &user, facts.uid) {
        let count = count.min(WANTED + 1 - inside);
        if count > 0 {
            extents.push(Extent { inside, outside, count });
            inside += count;
        }
    }
    if inside < WANTED {
        let (option, have) = (if file == "/etc/subuid" { "uids" } else { "gids" }, inside - 1);
        let advice = format!("--add-sub{option} 100000-165535 {user}");
        return Err(IdMapError::TooFewSubordinateIds { user, file, have, advice });
    }
    Ok(extents)
}

/// The ranges of a user in subuid(5)'s format: `name-or-id:first:count`, one a line.
fn ranges<'t>(text: &'t str, user: &'t str, uid: u32) -> impl Iterator<Item = (u32, u32)> + 't {
    text.lines().filter_map(move |line| {
        let mut parts = line.trim().split(':');
        let who = parts.next()?;
        let mut number = || parts.next()?.parse::<u32>().ok();
        let range = (number()?, number()?);
        (who == user || who == uid.to_string()).then_some(range)
    })
}

/// How many ids from 0 on without a gap are mapped, by the first column of `/proc/self/uid_map`.
fn mapped_from_zero(text: &str) -> u32 {
    let mut extents: Vec<(u32, u32)> = text
        .lines()
        .filter_map(|line| {
            let mut numbers = line.split_whitespace().map(str::parse::<u32>);
            match (numbers.next(), numbers.nth(1)) {
                (Some(Ok(inside)), Some(Ok(count))) => Some((inside, count)),
                _ => None,
            }
        })
        .collect();
    extents.sort_unstable();
    extents
        .iter()
        .fold(0, |end, (inside, count)| if *inside == end { end.saturating_add(*count) } else { end })
}

fn user_name(passwd: &str, uid: u32) -> Option<String> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == uid.to_string()).then(|| name.to_owned())
    })
}

fn read_if_present(path: &str) -> Result<String, IdMapError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(IdMapError::Unreadable { path: path.into(), reason: error.to_string() }),
    }
}

#[cfg(test)]
#[path = "idmap_tests.rs"]
mod tests;
