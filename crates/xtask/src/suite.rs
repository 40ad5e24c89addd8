//! The workspace's test programs, compiled by cargo and run two at a time, each with its time: what makes `cargo xtask
//! test` long is told by every run of it.

use serde::Deserialize;
use std::{
    path::{Path, PathBuf},
    sync::Mutex,
    thread,
    time::{Duration, Instant},
};

use basalt_exec::command::{Command, Exit, Finished, Program, Streams};

use crate::{
    error::{Done, TaskError},
    report::say,
    tool,
};

/// Longer than any test program takes on two slow, busy cores.
const LIMIT: Duration = Duration::from_secs(3600);
/// How many of the slowest are shown.
const SHOWN: usize = 15;
/// How many programs run at a time, each with one test at a time: an emulated machine keeps a processor and 1.5 GiB busy.
const LANES: usize = 2;
/// Those that drive machines start first, the longest before the others: what starts last ends last.
const FIRST: [&str; 13] = [
    "basalt-testkit tests/upgrade",
    "basalt-testkit tests/recovery",
    "basalt-factory tests/secure_boot",
    "basalt-factory tests/serve_page",
    "basalt-factory tests/serve_api",
    "basalt-factory tests/serve_machines",
    "basalt-testkit tests/install",
    "basalt-testkit tests/operate",
    "basalt-init tests/machines",
    "basalt-factory tests/containers",
    "basalt-factory tests/live",
    "basalt-testkit tests/machine",
    "basalt-testkit tests/reconcile",
];

/// One test program.
#[derive(Debug, PartialEq, Eq)]
struct TestProgram {
    /// `basalt-vm tests/driver`, `basalt-vm lib`.
    name: String,
    path: PathBuf,
    /// Its package's folder: where cargo would run it.
    folder: PathBuf,
}

/// What a test program finds and leaves.
#[derive(Debug)]
pub(crate) struct Setting<'a> {
    /// The variables that it finds.
    pub(crate) environment: &'a [(&'a str, PathBuf)],
    /// Run after each of them: keeps what they store within bounds.
    pub(crate) tidy_up: Command,
}

/// Runs every test, or those whose name contains `filter`; fails after all of them if one failed.
pub(crate) fn run(filter: Option<&str>, setting: &Setting<'_>) -> Done {
    let built =
        tool::cargo(["test", "--workspace", "--no-run", "--message-format", "json-render-diagnostics"])?;
    let programs = parse(&String::from_utf8_lossy(&built.timeout(LIMIT).run()?))?;
    let results = Mutex::new(Vec::new());
    let queue = Mutex::new(in_order(&programs));
    thread::scope(|scope| {
        for _ in 0..LANES {
            scope.spawn(|| {
                while let Some(program) = next(&queue) {
                    let start = Instant::now();
                    let done = watch(program, filter, setting);
                    lock(&results).push((start.elapsed(), program.name.as_str(), done));
                }
            });
        }
    });
    let (mut times, mut failed) = (Vec::new(), Vec::new());
    for (time, name, done) in results.into_inner().unwrap_or_default() {
        times.push((time, name));
        match done? {
            Exit::Code(0) => {}
            exit @ (Exit::Code(_) | Exit::Signal(_)) => failed.push(format!("{name} {exit}")),
        }
    }
    let documentation = tool::cargo(["test", "--workspace", "--doc", "--quiet"])?;
    tool::watch(filter.iter().fold(documentation, Command::arg))?;
    times.sort();
    say("\nslowest test programs                   seconds");
    for (time, name) in times.iter().rev().take(SHOWN) {
        say(format!("{name:<40}{:>7.1}", time.as_secs_f64()));
    }
    match failed.as_slice() {
        [] => Ok(()),
        some => Err(TaskError::Broken(format!("tests failed:\n  {}", some.join("\n  ")))),
    }
}

/// The programs, the next one last.
fn in_order(programs: &[TestProgram]) -> Vec<&TestProgram> {
    let mut queue: Vec<&TestProgram> = programs.iter().collect();
    queue.sort_by_key(|program| FIRST.iter().position(|name| *name == program.name).unwrap_or(FIRST.len()));
    queue.reverse();
    queue
}

fn next<'a>(queue: &Mutex<Vec<&'a TestProgram>>) -> Option<&'a TestProgram> {
    lock(queue).pop()
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Runs a program and shows what it said when it has ended, so that what two say is not mixed.
fn watch(program: &TestProgram, filter: Option<&str>, setting: &Setting<'_>) -> Done<Exit> {
    let Finished { exit, stdout, stderr_tail, .. } =
        command(program, filter, setting.environment)?.streams(Streams::Captured).finish()?;
    say(format!("\n--> {}\n{}{stderr_tail}", program.name, String::from_utf8_lossy(&stdout)));
    setting.tidy_up.clone().run()?;
    Ok(exit)
}

fn command(program: &TestProgram, filter: Option<&str>, environment: &[(&str, PathBuf)]) -> Done<Command> {
    let inherited = std::env::vars_os()
        .fold(Command::new(&Program::at(&program.path)?), |command, (name, value)| command.env(name, value));
    let command = environment.iter().fold(inherited, |command, (name, value)| command.env(name, value));
    let command = command.env("RUST_TEST_THREADS", "1").env("INSTA_UPDATE", "no");
    let command = command.env("CARGO_MANIFEST_DIR", &program.folder);
    Ok(filter.iter().fold(command.directory(&program.folder).timeout(LIMIT), Command::arg))
}

/// Reads cargo's messages (the reference of cargo, "External tools": JSON messages).
fn parse(messages: &str) -> Done<Vec<TestProgram>> {
    #[derive(Deserialize)]
    struct Message {
        #[serde(default)]
        manifest_path: PathBuf,
        #[serde(default)]
        target: Target,
        #[serde(default)]
        profile: Profile,
        executable: Option<PathBuf>,
    }
    #[derive(Default, Deserialize)]
    struct Target {
        name: String,
        kind: Vec<String>,
    }
    #[derive(Default, Deserialize)]
    struct Profile {
        test: bool,
    }
    let mut programs = Vec::new();
    for line in messages.lines().filter(|line| line.contains("\"compiler-artifact\"")) {
        let Message { manifest_path, target, profile, executable } = serde_json::from_str(line)
            .map_err(|source| TaskError::Json { what: "cargo's message".to_owned(), source })?;
        let (Some(path), true) = (executable, profile.test) else { continue };
        let folder = manifest_path.parent().unwrap_or(Path::new("/")).to_owned();
        let package = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let kind = target.kind.first().map_or("", String::as_str);
        let what = if kind == "test" { format!("tests/{}", target.name) } else { kind.to_owned() };
        programs.push(TestProgram { name: format!("{package} {what}"), path, folder });
    }
    programs.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(programs)
}

#[cfg(test)]
mod tests {
    use super::{FIRST, TestProgram, in_order, parse};

    #[test]
    fn what_takes_long_starts_first() {
        let program =
            |name: &str| TestProgram { name: name.to_owned(), path: "/t".into(), folder: "/w".into() };
        let programs = ["a lib", FIRST[1], "b lib", FIRST[0]].map(program);
        let order: Vec<&str> =
            in_order(&programs).iter().rev().map(|program| program.name.as_str()).collect();
        assert_eq!(order, [FIRST[0], FIRST[1], "a lib", "b lib"]);
    }

    #[test]
    fn only_test_programs_of_cargos_messages_count() {
        let messages = concat!(
            r#"{"reason":"compiler-artifact","manifest_path":"/w/crates/a/Cargo.toml","target":{"name":"x","kind":["test"]},"profile":{"test":true},"executable":"/t/x"}"#,
            "\n",
            r#"{"reason":"compiler-artifact","manifest_path":"/w/crates/a/Cargo.toml","target":{"name":"a","kind":["bin"]},"profile":{"test":false},"executable":"/t/a"}"#,
            "\n",
            r#"{"reason":"compiler-artifact","manifest_path":"/w/crates/a/Cargo.toml","target":{"name":"a","kind":["lib"]},"profile":{"test":true},"executable":"/t/l"}"#,
            "\n",
            r#"{"reason":"build-finished","success":true}"#,
        );
        let program = |name: &str, path: &str| TestProgram {
            name: name.to_owned(),
            path: path.into(),
            folder: "/w/crates/a".into(),
        };
        assert_eq!(parse(messages).unwrap(), [program("a lib", "/t/l"), program("a tests/x", "/t/x")]);
    }
}
