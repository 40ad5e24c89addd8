//! The example, built many times: undisturbed, and killed.

use basalt_exec::command::{Command, Exit, Program};
use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use super::chance;
use crate::{
    dist,
    error::{Done, TaskError},
    paths,
    report::say,
    tool,
};

const LIMIT: Duration = Duration::from_secs(3600);
/// Languages that a build must not depend on.
const LANGUAGES: [&str; 3] = ["C", "de_DE.UTF-8", "tr_TR.UTF-8"];
const UMASKS: [&str; 4] = ["0000", "0022", "0027", "0077"];
/// West and east of the date line.
const ZONES: [&str; 3] = ["UTC0", "Pacific/Kiritimati", "America/Adak"];

/// One reference build and the place for more.
struct Soak {
    basalt: PathBuf,
    node: PathBuf,
    work: PathBuf,
}

/// Builds the same lock `count` times more and compares every file that was made.
pub(super) fn repeat(count: u32, dist: Option<PathBuf>) -> Done<String> {
    let (soak, _) = Soak::begin(dist)?;
    for round in 1..=count {
        let place = soak.work.join(format!("round-{round}"));
        soak.copy_recipe(&place)?;
        let choose = |from: &[&'static str]| {
            chance::below(u32::try_from(from.len()).unwrap_or(1)).map(|index| from[index as usize])
        };
        let (umask, language, zone) = (choose(&UMASKS)?, choose(&LANGUAGES)?, choose(&ZONES)?);
        let script = format!("umask {umask}; exec \"$@\"");
        let shell = Command::new(&Program::find("sh", "dash")?).args(["-c", &script, "sh"]).arg(&soak.basalt);
        let build = soak.build(shell, &place, "--no-cache").env("LANG", language).env("LC_ALL", language);
        build.env("TZ", zone).run()?;
        soak.compare(&place)?;
        say(format!("soak: {round}/{count}: the same with umask {umask}, {language}, {zone}"));
        tool::remove_folder(&place)?;
    }
    Ok(format!("{count} builds from nothing but downloads: the same bytes each time"))
}

/// Kills `count` builds and lets the next one finish.
pub(super) fn kill(count: u32, dist: Option<PathBuf>) -> Done<String> {
    let (soak, window) = Soak::begin(dist)?;
    let program = Command::new(&Program::at(&soak.basalt)?);
    let mut killed = 0;
    for round in 1..=count {
        let place = soak.work.join(format!("round-{round}"));
        soak.copy_recipe(&place)?;
        let moment = chance::moment(window)?;
        let whole = soak.kill_after(moment, soak.build(program.clone(), &place, "--no-cache"))?;
        killed += u32::from(!whole);
        let unfinished = place.join("out/edge.raw");
        if !whole && unfinished.exists() {
            soak.compare(&place)?;
        }
        soak.build(program.clone(), &place, "--locked").run()?;
        soak.compare(&place)?;
        soak.check_nothing_left(program.clone())?;
        say(format!("soak: {round}/{count}: killed after {:.2} s, then the same", moment.as_secs_f64()));
        tool::remove_folder(&place)?;
    }
    Ok(format!(
        "{killed} builds killed within {:.1} s ({} ended before): the next one made the same bytes, `store gc` left nothing of them",
        window.as_secs_f64(),
        count - killed
    ))
}

impl Soak {
    /// Builds the reference; gives the time that it took from nothing but downloads.
    fn begin(dist: Option<PathBuf>) -> Done<(Self, Duration)> {
        let dist = match dist {
            Some(folder) => std::path::absolute(&folder).map_err(TaskError::io("find", folder))?,
            None => dist::run()?,
        };
        let work = paths::target().join("soak");
        let soak = Self { basalt: dist.join("bin/basalt"), node: dist.join("lib/basalt"), work };
        for stale in ["reference", "cache/work"] {
            tool::remove_folder(&soak.work.join(stale))?;
        }
        let reference = soak.work.join("reference");
        soak.copy_recipe(&reference)?;
        let program = Command::new(&Program::at(&soak.basalt)?);
        // The first may download; the second is timed.
        soak.build(program.clone(), &reference, "--no-cache").run()?;
        let start = Instant::now();
        soak.build(program, &reference, "--no-cache").run()?;
        Ok((soak, start.elapsed()))
    }

    /// The example with the reference's lock.
    fn copy_recipe(&self, to: &Path) -> Done {
        tool::remove_folder(to)?;
        tool::create_folder(to)?;
        let example = paths::example_recipe();
        let from = example.parent().unwrap_or(&example).join(".");
        tool::watch(tool::plan("cp", "coreutils")?.arg("-r").args([&from, to]))?;
        let (lock, copy) = (self.work.join("reference/recipe.lock"), to.join("recipe.lock"));
        // The reference itself brings the checkout's lock, or makes one.
        if copy != lock {
            fs::copy(&lock, copy).map_err(TaskError::io("copy", &lock))?;
        }
        Ok(())
    }

    fn build(&self, program: Command, place: &Path, option: &str) -> Command {
        program
            .args(["build", option, "recipe.yaml", "-o", "out"])
            .directory(place)
            .timeout(LIMIT)
            .env("HOME", &self.work)
            .env("BASALT_CACHE", self.work.join("cache"))
            .env("BASALT_NODE_DIR", &self.node)
    }

    /// Whether it ended by itself before.
    fn kill_after(&self, moment: Duration, build: Command) -> Done<bool> {
        let line = build.line();
        let mut running = build.start()?;
        let deadline = Instant::now() + moment;
        while Instant::now() < deadline {
            if let Some(exit) = running.poll_exit()? {
                return match exit {
                    Exit::Code(0) => Ok(true),
                    exit @ (Exit::Code(_) | Exit::Signal(_)) => {
                        Err(TaskError::Failed { command: line, exit })
                    }
                };
            }
            // The moment itself is what is waited for; the machine is the build's.
            std::thread::sleep(Duration::from_millis(2));
        }
        running.kill()?;
        Ok(false)
    }

    fn compare(&self, place: &Path) -> Done {
        let reference = self.work.join("reference/out");
        for name in ["edge.raw", "edge.manifest.json"] {
            let cmp = tool::plan("cmp", "diffutils")?;
            tool::watch(cmp.args([reference.join(name), place.join("out").join(name)]))?;
        }
        Ok(())
    }

    /// What killed builds left goes with the first `basalt store gc`.
    fn check_nothing_left(&self, program: Command) -> Done {
        program.args(["store", "gc"]).env("BASALT_CACHE", self.work.join("cache")).run()?;
        let work = self.work.join("cache/work");
        let entries = fs::read_dir(&work).map_err(TaskError::io("list", &work))?;
        let left: Vec<String> =
            entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        if left.is_empty() {
            return Ok(());
        }
        Err(TaskError::Broken(format!("left in {}: {}", work.display(), left.join(", "))))
    }
}
