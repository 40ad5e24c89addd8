//! The base tree as a whole: equal bytes for every user, umask and place; every bad input told; nothing left behind.
//!
//! This program is its own worker, and starts itself again as an ordinary user, as one to be killed, and as one without
//! namespaces; therefore its `main` is its own. Run as root: it becomes others.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::wildcard_enum_match_arm,
    reason = "a test fails by panicking"
)]

mod base_support;

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    process::{Child, ExitCode, Stdio},
    time::{Duration, Instant},
};

use basalt_exec::command::Command;
use basalt_factory::base::{self, BaseError, BaseRequest, Failure, ScriptRequest, Workshop};
use basalt_testkit::require_tool;
use base_support::{EPOCH, as_ordinary_user, essential, make_package, request};

/// First argument of a copy of this program that shall only build: then the folder of packages, work, result.
const BUILD: &str = "build-only";

fn main() -> ExitCode {
    if let Some(code) = base::worker_main_if_asked() {
        return code;
    }
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, first, debs, work, out] = arguments.as_slice()
        && first == BUILD
    {
        return build_only(Path::new(debs), Path::new(work), Path::new(out));
    }
    let filter = arguments.iter().skip(1).find(|argument| !argument.starts_with('-'));
    let checks: [(&str, fn()); 12] = [
        ("umask_place_and_time_change_nothing", umask_place_and_time_change_nothing),
        ("an_ordinary_user_makes_the_same_bytes", an_ordinary_user_makes_the_same_bytes),
        (
            "forbidden_namespaces_are_told_with_the_next_step",
            forbidden_namespaces_are_told_with_the_next_step,
        ),
        ("a_killed_build_leaves_nothing", a_killed_build_leaves_nothing),
        ("damaged_packages_are_told_by_name", damaged_packages_are_told_by_name),
        ("a_failing_preinst_is_told_with_its_words", a_failing_preinst_is_told_with_its_words),
        ("a_failing_postinst_is_told_with_its_words", a_failing_postinst_is_told_with_its_words),
        ("a_path_of_two_packages_is_judged_by_dpkg", a_path_of_two_packages_is_judged_by_dpkg),
        ("scripts_find_no_network_and_no_host", scripts_find_no_network_and_no_host),
        ("a_script_changes_what_it_says_and_nothing_else", a_script_changes_what_it_says_and_nothing_else),
        ("an_archive_from_the_future_is_refused", an_archive_from_the_future_is_refused),
        ("packages_without_dpkg_are_refused", packages_without_dpkg_are_refused),
    ];
    let mut failed = 0;
    for (name, check) in checks {
        if filter.is_some_and(|filter| !name.contains(filter.as_str())) {
            continue;
        }
        let passed = catch_unwind(AssertUnwindSafe(check)).is_ok();
        println!("test {name} ... {}", if passed { "ok" } else { "FAILED" });
        failed += usize::from(!passed);
    }
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn build_only(debs: &Path, work: &Path, out: &Path) -> ExitCode {
    match Workshop::new(work).build_base(&request(debs), out, &|_| ()) {
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// A folder that every user may enter; the target folder may be below one that not everybody may.
fn scratch() -> tempfile::TempDir {
    let scratch = tempfile::tempdir_in("/var/tmp").unwrap();
    fs::set_permissions(scratch.path(), fs::Permissions::from_mode(0o755)).unwrap();
    scratch
}

fn build(request: &BaseRequest, scratch: &Path) -> Result<Vec<u8>, BaseError> {
    let out = scratch.join("tree.erofs");
    Workshop::new(scratch.join("work")).build_base(request, &out, &|_| ())?;
    Ok(fs::read(out).unwrap())
}

#[track_caller]
fn check_failure(request: &BaseRequest, expected: &dyn Fn(&Failure) -> bool) {
    let scratch = scratch();
    match build(request, scratch.path()) {
        Err(BaseError::Failed(failure)) => assert!(expected(&failure), "{failure}"),
        Err(BaseError::Sandbox(error)) => panic!("{error}"),
        Ok(_) => panic!("it was built"),
    }
    assert!(!scratch.path().join("tree.erofs").exists() && !scratch.path().join("tree.erofs.part").exists());
    assert_eq!(fs::read_dir(scratch.path().join("work")).unwrap().count(), 0);
}

/// The essential set with these packages beside it.
fn with(extra: &dyn Fn(&Path) -> Vec<basalt_factory::base::DebPackage>, folder: &Path) -> BaseRequest {
    let mut request = request(&essential());
    request.packages.extend(extra(folder));
    request
}

fn umask_place_and_time_change_nothing() {
    let (one, two) = (scratch(), scratch());
    let request = request(&essential());
    let first = build(&request, one.path()).unwrap();
    let before = rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    let mut reversed = request.clone();
    reversed.packages.reverse();
    let second = build(&reversed, &two.path().join("another/place"));
    rustix::process::umask(before);
    assert!(first == second.unwrap(), "two builds differ");
}

fn an_ordinary_user_makes_the_same_bytes() {
    let scratch = scratch();
    let place = |name: &str| scratch.path().join(name);
    let debs = place("debs");
    fs::create_dir(&debs).unwrap();
    for package in request(&essential()).packages {
        fs::copy(&package.path, debs.join(package.path.file_name().unwrap())).unwrap();
    }
    fs::copy("/proc/self/exe", place("program")).unwrap();
    let home = place("home");
    fs::create_dir(&home).unwrap();
    as_ordinary_user(scratch.path(), &home)
        .args(["./program", BUILD, "debs", "home/work", "home/out"])
        .run()
        .unwrap();
    let theirs = fs::read(home.join("out")).unwrap();
    let ours = build(&request(&debs), &place("root")).unwrap();
    assert!(theirs == ours, "root's tree and the user's differ");
    assert_eq!(fs::read_dir(home.join("work")).unwrap().count(), 0);
}

fn forbidden_namespaces_are_told_with_the_next_step() {
    let scratch = scratch();
    let script =
        "echo 0 >/proc/sys/user/max_user_namespaces; exec \"$0\" build-only \"$1\" \"$2/work\" \"$2/out\"";
    let run = Command::new(&require_tool("unshare", "util-linux"))
        .args(["--user", "--map-root-user", "sh", "-c", script])
        .arg(std::env::current_exe().unwrap())
        .arg(essential())
        .arg(scratch.path())
        .finish()
        .unwrap();
    assert_eq!(
        run.stderr_tail.trim_end(),
        "this machine forbids user namespaces: user.max_user_namespaces is 0; \
         set it with `sysctl -w user.max_user_namespaces=10000`"
    );
}

/// Waits until `condition`, and panics when it takes a minute.
#[track_caller]
fn wait_for(what: &str, condition: &mut dyn FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !condition() {
        assert!(Instant::now() < deadline, "{what}: not within a minute");
        std::thread::yield_now();
    }
}

/// The processes whose command line or environment mentions `mark`.
fn processes_with(mark: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        if String::from_utf8_lossy(&line).contains(mark) {
            found.push(entry.path().display().to_string());
        }
    }
    found
}

fn a_killed_build_leaves_nothing() {
    let scratch = scratch();
    let debs = scratch.path().join("debs");
    fs::create_dir(&debs).unwrap();
    for package in request(&essential()).packages {
        symlink(&package.path, debs.join(package.path.file_name().unwrap())).unwrap();
    }
    // A postinst that never ends: the build is surely in the middle of configuring when it is killed.
    let mark = format!("basalt-test-{}", std::process::id());
    let waiting = format!("#!/bin/sh\nexec sh -c 'while :; do sleep 60; done' {mark}\n");
    make_package(&debs, "never-ending", &[("postinst", waiting.as_str())], &[]);
    let (work, out) = (scratch.path().join("work"), scratch.path().join("out"));
    let mut child: Child = std::process::Command::new("/proc/self/exe")
        .arg(BUILD)
        .args([&debs, &work, &out])
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    wait_for("the endless script", &mut || !processes_with(&mark).is_empty());
    child.kill().unwrap();
    child.wait().unwrap();
    wait_for("the end of all processes", &mut || processes_with(&mark).is_empty());
    assert!(
        !fs::read_to_string("/proc/mounts").unwrap().contains(work.to_str().unwrap()),
        "a mount was left"
    );
    assert!(!out.exists());
    assert_eq!(
        fs::read_dir(&work).unwrap().count(),
        1,
        "the killed build's directory is there until the next one"
    );

    fs::remove_file(debs.join("never-ending.deb")).unwrap();
    Workshop::new(&work).build_base(&request(&debs), &out, &|_| ()).unwrap();
    assert_eq!(fs::read_dir(&work).unwrap().count(), 0);
}

fn damaged_packages_are_told_by_name() {
    let folder = scratch();
    let damaged = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut request = request(&essential());
        let package = &mut request.packages[0];
        let mut bytes = fs::read(&package.path).unwrap();
        change(&mut bytes);
        package.path = folder.path().join("damaged.deb");
        fs::write(&package.path, bytes).unwrap();
        request
    };
    let told = |failure: &Failure, words: &str| {
        let text = failure.to_string();
        matches!(failure, Failure::Package { .. }) && text.contains("damaged.deb") && text.contains(words)
    };
    check_failure(&damaged(&|bytes| bytes.truncate(1000)), &|f| told(f, "has 1000 bytes"));
    check_failure(&damaged(&|bytes| bytes.truncate(0)), &|f| told(f, "has 0 bytes"));
    check_failure(&damaged(&|bytes| *bytes.last_mut().unwrap() ^= 1), &|f| told(f, "is corrupt"));
    check_failure(&damaged(&|bytes| bytes[200] ^= 1), &|f| told(f, "is corrupt"));
    let mut other = request(&essential());
    other.packages[0].version = "0".to_owned();
    check_failure(&other, &|failure| failure.to_string().ends_with("is wanted"));
    other.packages[0].path = PathBuf::from("/no/such.deb");
    check_failure(&other, &|failure| failure.to_string().starts_with("can't open `/no/such.deb`"));
}

fn a_failing_preinst_is_told_with_its_words() {
    let folder = scratch();
    let script = "#!/bin/sh\necho 'no room on the raft' >&2\nexit 3\n";
    let extra = |folder: &Path| vec![make_package(folder, "raft", &[("preinst", script)], &[])];
    check_failure(&with(&extra, folder.path()), &|failure| {
        failure.to_string() == "the preinst script of raft ended with exit status 3:\nno room on the raft"
    });
}

fn a_failing_postinst_is_told_with_its_words() {
    let folder = scratch();
    let script = "#!/bin/sh\necho 'no room on the raft' >&2\nexit 3\n";
    let extra = |folder: &Path| vec![make_package(folder, "raft", &[("postinst", script)], &[])];
    check_failure(&with(&extra, folder.path()), &|failure| {
        let text = failure.to_string();
        text.starts_with("dpkg left raft (install ok half-configured) not installed:")
            && text.contains("no room on the raft")
    });
}

fn a_path_of_two_packages_is_judged_by_dpkg() {
    let folder = scratch();
    let extra = |folder: &Path| {
        vec![
            make_package(folder, "first", &[], &[("usr/share/shared", "1")]),
            make_package(folder, "second", &[], &[("usr/share/shared", "2")]),
        ]
    };
    check_failure(&with(&extra, folder.path()), &|failure| {
        let text = failure.to_string();
        text.contains("trying to overwrite '/usr/share/shared', which is also in package first")
    });
}

fn scripts_find_no_network_and_no_host() {
    let folder = scratch();
    let script = "#!/bin/sh\nset -e\n\
        test \"$(id -u)\" = 0; test \"$(umask)\" = 0022; test \"$(hostname)\" = localhost\n\
        test \"$(ls /proc | grep -c '^[0-9]')\" -lt 12\n\
        test \"$(grep -c : /proc/net/dev)\" -le 1\n\
        test ! -e /dev/sda; test -w /dev/null; test -z \"$(ls -A /sys)\"\n\
        test \"$LANG\" = C.UTF-8; test \"$SYSTEMD_OFFLINE\" = 1; test \"$SOURCE_DATE_EPOCH\" = 1763000000\n\
        test -z \"$CARGO_MANIFEST_DIR$HOSTNAME$USER\"\n\
        /usr/sbin/policy-rc.d || test $? = 101\n\
        start-stop-daemon --start --exec /no/such/daemon\n\
        sync\n\
        touch /run/leak /tmp/leak\n";
    let extra = |folder: &Path| vec![make_package(folder, "curious", &[("postinst", script)], &[])];
    build(&with(&extra, folder.path()), folder.path()).unwrap();
}

fn a_script_changes_what_it_says_and_nothing_else() {
    let folder = scratch();
    let image = folder.path().join("tree.erofs");
    let before = build(&request(&essential()), folder.path()).unwrap();
    let workshop = Workshop::new(folder.path().join("work"));
    let run = |script: &str, out: &Path| {
        let request = ScriptRequest { image: image.clone(), script: script.to_owned(), epoch: EPOCH };
        workshop.run_script(&request, out, &|_| ())
    };
    let out = folder.path().join("out.erofs");
    run("true", &out).unwrap();
    assert!(fs::read(&out).unwrap() == before, "a script that does nothing changed the tree");
    run("#!/usr/bin/perl\nopen(my $f, '>', '/etc/made') or die; print $f 'by perl';", &out).unwrap();
    let tree = folder.path().join("extracted");
    workshop.extract_tree(&out, &tree, &|_| ()).unwrap();
    assert_eq!(fs::read_to_string(tree.join("etc/made")).unwrap(), "by perl");
    workshop.remove_tree(&tree, &|_| ()).unwrap();
    assert!(!tree.exists());
    let error = run("echo broken raft; exit 7", &folder.path().join("none")).unwrap_err();
    assert_eq!(error.to_string(), "the script ended with exit status 7:\nbroken raft");
}

fn an_archive_from_the_future_is_refused() {
    let mut request = request(&essential());
    request.epoch = i64::MAX;
    check_failure(&request, &|failure| matches!(failure, Failure::Clock { .. }));
}

fn packages_without_dpkg_are_refused() {
    let mut request = request(&essential());
    request.packages.retain(|package| package.name != "dpkg");
    check_failure(&request, &|failure| matches!(failure, Failure::NoDpkg(_)));
}
