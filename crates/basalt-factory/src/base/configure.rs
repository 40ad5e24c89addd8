//! Runs what packages bring: preinst scripts, the image's own dpkg, a user's script.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    time::Instant,
};

use basalt_debian::{
    control::Paragraphs,
    dpkgdb::ADMIN_DIRECTORY,
    unpack::{self, Unpackable},
};
use basalt_exec::{
    files::{Root, Scope},
    sandbox::{Chroot, ChrootError, ChrootEvent, Copy, Cover, SandboxFile, Step},
    walk::remove_tree,
};

use super::{BaseRequest, Event, error::Failure, plant, unpack::Planted};

/// Where the sandbox keeps its own files; a tmpfs.
const PRIVATE: &str = "/run/basalt";
/// Tells invoke-rc.d(8) that nothing is to be started.
const POLICY: &str = "usr/sbin/policy-rc.d";
/// Puts a package's control files where dpkg has them while it unpacks, which is how debconf knows whose questions a
/// preinst script asks, and runs the script from there. `$1` is the package as dpkg's files name it.
const PREINST: &str = r#"set -e
ci=/var/lib/dpkg/tmp.ci
rm -rf "$ci"
mkdir "$ci"
for file in /var/lib/dpkg/info/"$1".*; do cp -p "$file" "$ci/${file#/var/lib/dpkg/info/"$1".}"; done
cp "/run/basalt/$1" "$ci/control"
exec "$ci/preinst" install
"#;
/// What init scripts start daemons with.
const START_STOP_DAEMON: &str = "usr/sbin/start-stop-daemon";
/// The longest that one step may take: dpkg configures all packages in one.
const STEP_SECONDS: u64 = 3600;

type Report<'r> = &'r (dyn Fn(Event) + Sync);

/// A chroot with what maintainer scripts may expect to find, and nothing that differs from host to host.
fn chroot(tree: &Path, epoch: i64) -> Chroot {
    let variables = [
        ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
        ("HOME", "/root"),
        ("LANG", "C.UTF-8"),
        ("LC_ALL", "C.UTF-8"),
        ("TZ", "UTC0"),
        ("DEBIAN_FRONTEND", "noninteractive"),
        ("DEBCONF_NONINTERACTIVE_SEEN", "true"),
        ("SYSTEMD_OFFLINE", "1"),
        // Perl's and Python's hashes are in random order, which leaks into files that scripts write.
        ("PERL_HASH_SEED", "0"),
        ("PYTHONHASHSEED", "0"),
    ];
    let mut environment: Vec<(String, String)> =
        variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    environment.push(("SOURCE_DATE_EPOCH".to_owned(), epoch.to_string()));
    Chroot {
        root: tree.to_owned(),
        hostname: "localhost".to_owned(),
        environment,
        files: Vec::new(),
        copies: Vec::new(),
        covers: Vec::new(),
        step_seconds: STEP_SECONDS,
    }
}

/// Runs the preinst scripts of the packages that we unpacked, as `dpkg --unpack` would have.
pub(super) fn run_preinsts(
    request: &BaseRequest,
    planted: &Planted,
    tree: &Path,
    report: Report<'_>,
) -> Result<(), Failure> {
    let mut scripted: Vec<&Unpackable> =
        planted.plan.registered.iter().map(|i| &planted.packages[*i]).collect();
    scripted.retain(|package| package.file("preinst").is_some());
    // The users and groups that other scripts name are made by this one.
    scripted.sort_by_key(|package| package.name != "base-passwd");
    let dpkg = planted.packages.iter().find(|package| package.name == "dpkg");
    let steps: Vec<Step> = scripted.iter().map(|package| preinst(package, dpkg)).collect();
    let mut chroot = chroot(tree, request.epoch);
    chroot.files.extend(scripted.iter().map(|package| SandboxFile {
        path: format!("{PRIVATE}/{}", package.key()).into(),
        mode: 0o644,
        text: package.control.clone(),
    }));
    let run = chroot.run(&steps, &mut |event| pass_on(event, report));
    remove_tree(&tree.join(ADMIN_DIRECTORY).join("tmp.ci"))?;
    run.map_err(|error| match error {
        ChrootError::Step { index, command: _, ending, tail } => Failure::Script {
            package: scripted.get(index).map(|package| package.name.clone()).unwrap_or_default(),
            script: "preinst".to_owned(),
            ending,
            tail,
        },
        other @ (ChrootError::Start(_) | ChrootError::Setup(_) | ChrootError::Died(_)) => {
            setup_failure(&other)
        }
    })
}

/// The call of a preinst script with the environment that dpkg(1) documents.
fn preinst(package: &Unpackable, dpkg: Option<&Unpackable>) -> Step {
    let variables = [
        ("DPKG_MAINTSCRIPT_PACKAGE", package.name.as_str()),
        ("DPKG_MAINTSCRIPT_PACKAGE_REFCOUNT", "1"),
        ("DPKG_MAINTSCRIPT_ARCH", package.architecture.as_str()),
        ("DPKG_MAINTSCRIPT_NAME", "preinst"),
        ("DPKG_MAINTSCRIPT_DEBUG", "0"),
        ("DPKG_RUNNING_VERSION", dpkg.map(|dpkg| dpkg.version.as_str()).unwrap_or_default()),
        ("DPKG_ADMINDIR", "/var/lib/dpkg"),
        ("DPKG_ROOT", ""),
        ("DPKG_FORCE", "security-mac,downgrade"),
    ];
    Step {
        argv: ["/bin/sh", "-c", PREINST, "sh", &package.key()].map(str::to_owned).into(),
        environment: variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        directory: "/".into(),
    }
}

/// The packages for dpkg to unpack: those of the plan, and those with a path that a preinst script has diverted.
pub(super) fn left_to_dpkg(planted: &Planted, tree: &Path) -> Result<Vec<(usize, String)>, Failure> {
    let mut left: Vec<(usize, String)> =
        planted.plan.by_dpkg.iter().map(|(index, reason)| (*index, format!("{reason:?}"))).collect();
    let root = open(tree)?;
    let diversions = root.read_if_present(format!("{ADMIN_DIRECTORY}/diversions"), 16 << 20);
    let diversions = diversions.map_err(|error| Failure::io(error.action, &error.path, &error.source))?;
    let text = String::from_utf8_lossy(&diversions.unwrap_or_default()).into_owned();
    let mut ships = |path: &str| {
        let path = path.trim_start_matches('/').as_bytes();
        let has = |index: &usize| planted.paths[*index].iter().any(|own| own == path);
        (0..planted.packages.len()).filter(has).collect::<Vec<usize>>()
    };
    let diverted = unpack::diverted(&text, &mut ships, &|index| planted.packages[index].name.clone());
    let known: BTreeSet<usize> = left.iter().map(|(index, _)| *index).collect();
    left.extend(diverted.difference(&known).map(|index| (*index, "Diverted".to_owned())));
    Ok(left)
}

/// Lets the image's dpkg unpack these packages over what is there.
pub(super) fn unpack_by_dpkg(
    request: &BaseRequest,
    packages: &[(usize, String)],
    tree: &Path,
    report: Report<'_>,
) -> Result<(), Failure> {
    let mut chroot = chroot(tree, request.epoch);
    let mut argv = dpkg_call(&["--force-depends", "--unpack"]);
    for (index, _) in packages {
        let copy = PathBuf::from(format!("{PRIVATE}/{index}.deb"));
        argv.push(copy.display().to_string());
        chroot.copies.push(Copy { from: request.packages[*index].path.clone(), to: copy });
    }
    if packages.is_empty() {
        return Ok(());
    }
    let step = Step { argv, environment: Vec::new(), directory: "/".into() };
    let run = chroot.run(&[step], &mut |event| pass_on(event, report));
    run.map_err(|error| dpkg_failure(&error, tree))
}

/// Lets the image's dpkg configure everything, the packages named `first` before the others, and checks that it did.
pub(super) fn configure(
    epoch: i64,
    first: &[String],
    tree: &Path,
    report: Report<'_>,
) -> Result<(), Failure> {
    let mut chroot = chroot(tree, epoch);
    let root = open(tree)?;
    plant::write_new(&root, POLICY, b"#!/bin/sh\nexit 101\n", 0o755, None)?;
    if tree.join(START_STOP_DAEMON).symlink_metadata().is_ok() {
        let stub = PathBuf::from(format!("{PRIVATE}/start-stop-daemon"));
        chroot.files.push(SandboxFile {
            path: stub.clone(),
            mode: 0o755,
            text: "#!/bin/sh\necho 'no daemon is started in an image under construction'\nexit 0\n"
                .to_owned(),
        });
        chroot.covers.push(Cover { with: stub, over: format!("/{START_STOP_DAEMON}").into() });
    }
    // One error is enough, and then the last lines are about it.
    let options = ["--status-fd", "3", "--abort-after=1", "--force-confdef", "--force-confold"];
    let step = |packages: &[String]| {
        // dpkg keeps the status descriptor from scripts, which need their standard output.
        let shell = ["/bin/sh", "-c", "exec \"$@\" 3>&1", "sh"].map(str::to_owned);
        let call = dpkg_call(&[&options[..], &["--configure"]].concat());
        let argv = [&shell[..], &call, packages].concat();
        Step { argv, environment: Vec::new(), directory: "/".into() }
    };
    let mut steps = vec![step(&["--pending".to_owned()])];
    if !first.is_empty() {
        steps.insert(0, step(first));
    }
    let mut clock = PackageClock { current: None };
    let run = chroot.run(&steps, &mut |event| clock.listen(event, report));
    run.map_err(|error| dpkg_failure(&error, tree))?;
    root.remove_file(POLICY).map_err(|error| Failure::io(error.action, &error.path, &error.source))?;
    let left = not_installed(tree)?;
    if !left.is_empty() {
        return Err(Failure::NotInstalled { packages: left, tail: String::new() });
    }
    audit(epoch, tree)
}

fn audit(epoch: i64, tree: &Path) -> Result<(), Failure> {
    let argv = vec!["/usr/bin/dpkg".to_owned(), "--audit".to_owned()];
    let step = Step { argv, environment: Vec::new(), directory: "/".into() };
    let mut complaints = Vec::new();
    let run = chroot(tree, epoch).run(&[step], &mut |event| {
        if let ChrootEvent::Line(line) = event {
            complaints.push(line.clone());
        }
    });
    run.map_err(|error| setup_failure(&error))?;
    if complaints.is_empty() { Ok(()) } else { Err(Failure::Audit(complaints.join("\n"))) }
}

/// Runs a user's script, from a file that vanishes with the sandbox.
pub(super) fn run_script(script: &str, epoch: i64, tree: &Path, report: Report<'_>) -> Result<(), Failure> {
    let path = PathBuf::from(format!("{PRIVATE}/script"));
    let mut argv = vec![path.display().to_string()];
    if !script.starts_with("#!") {
        argv.splice(0..0, ["/bin/sh".to_owned(), "-eu".to_owned()]);
    }
    let mut chroot = chroot(tree, epoch);
    chroot.files.push(SandboxFile { path, mode: 0o755, text: script.to_owned() });
    let step = Step { argv, environment: Vec::new(), directory: "/".into() };
    let run = chroot.run(&[step], &mut |event| pass_on(event, report));
    run.map_err(|error| match error {
        ChrootError::Step { index: _, command: _, ending, tail } => Failure::UserScript { ending, tail },
        other @ (ChrootError::Start(_) | ChrootError::Setup(_) | ChrootError::Died(_)) => {
            setup_failure(&other)
        }
    })
}

fn dpkg_call(arguments: &[&str]) -> Vec<String> {
    let common = ["/usr/bin/dpkg", "--force-unsafe-io", "--log=/dev/null"];
    common.iter().chain(arguments).map(|word| (*word).to_owned()).collect()
}

fn open(tree: &Path) -> Result<Root, Failure> {
    Root::open(tree, Scope::NoLinks).map_err(|error| Failure::io(error.action, &error.path, &error.source))
}

fn pass_on(event: &ChrootEvent, report: Report<'_>) {
    if let ChrootEvent::Line(line) = event {
        report(Event::Line(line.clone()));
    }
}

/// Reads dpkg's `--status-fd` lines: how long each package takes.
struct PackageClock {
    current: Option<(String, Instant)>,
}

impl PackageClock {
    fn listen(&mut self, event: &ChrootEvent, report: Report<'_>) {
        match event {
            ChrootEvent::Line(line) => {
                if let Some(package) =
                    line.strip_prefix("processing: ").and_then(|rest| rest.split(": ").nth(1))
                {
                    self.next(Some(package.to_owned()), report);
                } else if !line.starts_with("status: ") {
                    report(Event::Line(line.clone()));
                }
            }
            ChrootEvent::Ended(_) => self.next(None, report),
            ChrootEvent::Began(_) | ChrootEvent::Fault(_) => {}
        }
    }

    fn next(&mut self, package: Option<String>, report: Report<'_>) {
        let next = package.map(|package| (package, Instant::now()));
        if let Some((package, began)) = std::mem::replace(&mut self.current, next) {
            let milliseconds = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
            report(Event::Configured { package, milliseconds });
        }
    }
}

/// The packages whose state is not `install ok installed`.
fn not_installed(tree: &Path) -> Result<Vec<(String, String)>, Failure> {
    let status = open(tree)?.read(format!("{ADMIN_DIRECTORY}/status"), 256 << 20);
    let status = status.map_err(|error| Failure::io(error.action, &error.path, &error.source))?;
    let text = String::from_utf8_lossy(&status);
    Ok(Paragraphs::new(&text)
        .filter_map(|paragraph| {
            let state = paragraph.get("Status").unwrap_or("no status");
            let name = paragraph.get("Package").unwrap_or("a package without a name");
            (state != "install ok installed").then(|| (name.to_owned(), state.to_owned()))
        })
        .collect())
}

/// What dpkg's failure left: the half-done packages if there are any, because the others only wait for them.
fn dpkg_failure(error: &ChrootError, tree: &Path) -> Failure {
    let ChrootError::Step { tail, .. } = error else { return setup_failure(error) };
    match not_installed(tree) {
        Ok(mut packages) => {
            if packages.iter().any(|(_, state)| state.contains("half-")) {
                packages.retain(|(_, state)| state.contains("half-"));
            }
            let kept: Vec<&str> = tail.lines().filter(|line| !is_status(line)).collect();
            Failure::NotInstalled { packages, tail: kept.join("\n") }
        }
        Err(failure) => failure,
    }
}

fn is_status(line: &str) -> bool {
    line.starts_with("status: ") || line.starts_with("processing: ")
}

fn setup_failure(error: &ChrootError) -> Failure {
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}")).unwrap_or_default();
    Failure::Chroot(format!("{error}{cause}"))
}
