//! `cargo xtask soak`: what holds once must hold always. Dangerous or random things, many times; each soak adds a dated
//! line with its commit, its command and its counts to `docs/results`.

mod bases;
mod boots;
mod builds;
mod chance;
mod clients;
mod fallback;
mod fuzz;
mod properties;
mod trees;
mod upgrades;

use basalt_exec::command::{Command, Program};
use std::{fs::OpenOptions, io::Write as _, path::PathBuf};

use crate::{
    bench,
    error::{Done, TaskError},
    paths,
    report::say,
};

/// What to repeat.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Arguments {
    /// Make OCI images of bookworm, trixie, sid and trixie with OpenRC, build upon each from a registry, and boot it
    Bases {
        /// The folder with our programs, instead of building them (`bin/basalt`, `lib/basalt`)
        #[arg(long)]
        dist: Option<PathBuf>,
    },
    /// Cut the power at a random moment of the first boot, boot again, expect a healthy machine
    Boots {
        /// How often
        #[arg(long, default_value_t = 20)]
        count: u32,
        /// The folder with the image
        #[arg(long, default_value = "out")]
        image: PathBuf,
        /// The longest time before the cut, in seconds; the default is the time that an uncut first boot takes
        #[arg(long)]
        window: Option<u64>,
    },
    /// Build the example again and again, each time elsewhere with another umask and language, and expect the same bytes
    Builds {
        /// How often
        #[arg(long, default_value_t = 20)]
        count: u32,
        /// The folder with our programs, instead of building them (`bin/basalt`, `lib/basalt`)
        #[arg(long)]
        dist: Option<PathBuf>,
    },
    /// Kill a build (SIGKILL) at a random moment, build again, expect the same bytes and nothing left
    Kills {
        /// How often
        #[arg(long, default_value_t = 20)]
        count: u32,
        /// The folder with our programs, instead of building them (`bin/basalt`, `lib/basalt`)
        #[arg(long)]
        dist: Option<PathBuf>,
    },
    /// Let oras copy from the factory's registry, and cosign verify what we signed and sign what we verify
    Clients,
    /// Let an upgraded machine fail in each way of the fallback table, and expect the old release and the reason
    Fallback {
        /// Only rows whose name contains this; the others' outcomes stay those of their last run
        #[arg(long)]
        only: Option<String>,
        /// The disk of an upgraded machine that an earlier run made, instead of upgrading one
        #[arg(long)]
        base: Option<PathBuf>,
    },
    /// Read changed bytes: no panic, no memory without a bound
    Fuzz {
        /// By what
        #[arg(value_enum, default_value = "erofs")]
        readers: fuzz::Readers,
        /// How many
        #[arg(long, default_value_t = 10_000_000)]
        executions: u64,
        /// Where the random numbers start
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// Pack a Debian tree of over 300 packages and the Rust toolchain with every method; the kernel and fsck.erofs read them
    Trees,
    /// Kill a machine (SIGKILL) at a random moment of an upgrade, boot it again, expect the old or the new release, and finish
    Upgrades {
        /// How often
        #[arg(long, default_value_t = 50)]
        count: u32,
    },
    /// Run the property tests of the pure crates with new random cases
    Properties {
        /// How often
        #[arg(long, default_value_t = 10)]
        count: u32,
        /// Cases of each property that does not set its own number
        #[arg(long, default_value_t = 4096)]
        cases: u32,
    },
}

/// Runs the task.
pub(crate) fn run(arguments: &Arguments) -> Done {
    let (command, result) = match arguments {
        Arguments::Bases { dist } => ("bases".to_owned(), bases::run(dist.clone())?),
        Arguments::Boots { count, image, window } => {
            (format!("boots --count {count}"), boots::run(*count, image, *window)?)
        }
        Arguments::Builds { count, dist } => {
            (format!("builds --count {count}"), builds::repeat(*count, dist.clone())?)
        }
        Arguments::Kills { count, dist } => {
            (format!("kills --count {count}"), builds::kill(*count, dist.clone())?)
        }
        Arguments::Clients => ("clients".to_owned(), clients::run()?),
        Arguments::Fallback { only, base } => {
            let result = fallback::run(only.as_deref(), base.clone())?;
            if only.is_some() {
                return Ok(());
            }
            ("fallback".to_owned(), result)
        }
        Arguments::Fuzz { readers, executions, seed } => (
            format!("fuzz {} --executions {executions} --seed {seed}", readers.name()),
            fuzz::run(*readers, *executions, *seed)?,
        ),
        Arguments::Trees => ("trees".to_owned(), trees::run()?),
        Arguments::Upgrades { count } => (format!("upgrades --count {count}"), upgrades::run(*count)?),
        Arguments::Properties { count, cases } => {
            (format!("properties --count {count} --cases {cases}"), properties::run(*count, *cases)?)
        }
    };
    record(&command, &result)
}

/// Adds a line to the day's file.
fn record(command: &str, result: &str) -> Done {
    let (day, time) = now()?;
    let path = paths::root().join(format!("docs/results/{day}-soak.md"));
    let title = format!(
        "# {day}: soak\n\n| ended (UTC) | commit | `cargo xtask soak …` | result |\n|---|---|---|---|\n"
    );
    let new = if path.exists() { String::new() } else { title };
    let line = format!("{new}| {time} | {} | `{command}` | {result} |\n", bench::commit()?);
    say(&line);
    let mut file =
        OpenOptions::new().create(true).append(true).open(&path).map_err(TaskError::io("open", &path))?;
    file.write_all(line.as_bytes()).map_err(TaskError::io("write", &path))
}

/// The day and the time, in UTC.
fn now() -> Done<(String, String)> {
    let date = Command::new(&Program::find("date", "coreutils")?).args(["-u", "+%F %H:%M"]).run()?;
    let date = String::from_utf8_lossy(&date).trim().to_owned();
    let (day, time) = date.split_once(' ').unwrap_or((&date, ""));
    Ok((day.to_owned(), time.to_owned()))
}
