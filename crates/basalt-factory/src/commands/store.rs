//! `basalt store`: what the cache takes, removing what nobody needs, finding damage.

use std::{fmt, path::PathBuf, time::Duration, time::SystemTime};

use basalt_types::ByteSize;
use serde::Serialize;

use crate::{
    engine::{
        cache::Cache,
        store_care::{self, Area, Contents, Entry, Limits, State, SweepPlan, Swept, Verified},
    },
    error::{CommandError, CommandResult, Kind, OrFail as _},
    report::count,
};

/// Look after the cache of downloads and step results
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    action: Action,
    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Show what takes how much
    Stat,
    /// Remove leftovers of dead builds and, least recently used first, what exceeds the limits
    Gc {
        /// The most that the cache may take, such as 20G
        #[arg(long, value_parser = store_care::parse_size)]
        max_size: Option<ByteSize>,
        /// How long something may lie unused, such as 30d or 12h
        #[arg(long, value_parser = parse_age)]
        older_than: Option<Duration>,
        /// Only show what would go
        #[arg(long)]
        dry_run: bool,
    },
    /// Read every download and open every step result; move aside what is damaged
    Verify,
}

/// Not an age.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an age: expected a whole number and one of m, h, d, w, such as `30d`")]
struct AgeError(String);

#[derive(Debug, Serialize)]
struct Statistics {
    root: PathBuf,
    areas: Vec<AreaStatistics>,
    bytes: u64,
    users: usize,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct AreaStatistics {
    area: Area,
    entries: usize,
    bytes: u64,
    in_use: u64,
    dead: u64,
}

/// Runs the command.
///
/// # Errors
/// When the cache can't be read or changed, or something in it was damaged.
pub fn run(arguments: &Arguments) -> CommandResult {
    let Arguments { action, json } = arguments;
    let cache = Cache::open().or_fail(Kind::Host)?;
    let root = cache.root();
    match action {
        Action::Stat => {
            let contents = store_care::observe(root).or_fail(Kind::Host)?;
            show(*json, &Statistics::of(root.to_owned(), &contents))
        }
        Action::Gc { max_size, older_than, dry_run } => {
            let limits = Limits { max_size: *max_size, older_than: *older_than };
            let contents = store_care::observe(root).or_fail(Kind::Host)?;
            let plan = store_care::plan(&contents, limits, SystemTime::now());
            match dry_run {
                true => show(*json, &plan),
                false => show(
                    *json,
                    &Outcome { swept: store_care::execute(root, &plan).or_fail(Kind::Host)?, plan },
                ),
            }
        }
        Action::Verify => {
            let verified = store_care::verify(root).or_fail(Kind::Host)?;
            show(*json, &verified)?;
            match verified.damaged.len() {
                0 => Ok(()),
                number => Err(CommandError::new(Kind::Host, format!("{number} of them are damaged"))
                    .hint("the next build fetches or makes again what it needs of them")),
            }
        }
    }
}

/// What was planned and what was done.
#[derive(Debug, Serialize)]
struct Outcome {
    plan: SweepPlan,
    swept: Swept,
}

impl Statistics {
    fn of(root: PathBuf, contents: &Contents) -> Self {
        let areas = Area::ALL.map(|area| {
            let size = |state: Option<State>| {
                let counts =
                    |entry: &Entry| entry.area == area && state.is_none_or(|state| entry.state == state);
                contents.size(counts)
            };
            AreaStatistics {
                area,
                entries: contents.entries.iter().filter(|entry| entry.area == area).count(),
                bytes: size(None),
                in_use: size(Some(State::InUse)),
                dead: size(Some(State::Dead)),
            }
        });
        Self { root, areas: areas.into(), bytes: contents.size(|_| true), users: contents.users }
    }
}

fn show(json: bool, value: &(impl Serialize + fmt::Display)) -> CommandResult {
    match json {
        true => super::print(&serde_json::to_string_pretty(value).or_fail(Kind::Bug)?),
        false => super::print(&value.to_string()),
    }
}

fn parse_age(text: &str) -> Result<Duration, AgeError> {
    let refuse = || AgeError(text.to_owned());
    let unit = text.chars().last().ok_or_else(refuse)?;
    let (_, seconds) = [('m', 60), ('h', 3600), ('d', 86_400), ('w', 604_800)]
        .into_iter()
        .find(|(name, _)| *name == unit)
        .ok_or_else(refuse)?;
    let number = text.strip_suffix(unit).and_then(|number| number.parse::<u64>().ok());
    let total = number.and_then(|number| number.checked_mul(seconds)).ok_or_else(refuse)?;
    Ok(Duration::from_secs(total))
}

fn human(bytes: u64) -> String {
    ByteSize::bytes(bytes).human()
}

impl fmt::Display for Statistics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { root, areas, bytes, users } = self;
        writeln!(f, "{}", root.display())?;
        for AreaStatistics { area, entries, bytes, in_use, dead } in areas {
            write!(f, "  {area:<18} {:>9}  {entries}", human(*bytes))?;
            if *in_use > 0 {
                write!(f, ", {} in use", human(*in_use))?;
            }
            if *dead > 0 {
                write!(f, ", {} left by the dead", human(*dead))?;
            }
            writeln!(f)?;
        }
        writeln!(f, "  {:<18} {:>9}", "together", human(*bytes))?;
        match users {
            0 => Ok(()),
            1 => writeln!(f, "1 process uses some of it now"),
            users => writeln!(f, "{users} processes use some of it now"),
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { plan, swept: Swept { removed, bytes, passed_over } } = self;
        write!(f, "{plan}")?;
        if *removed > 0 || !passed_over.is_empty() {
            write!(f, "removed {removed}, {}", human(*bytes))?;
        }
        match passed_over.len() {
            0 if *removed == 0 => Ok(()),
            0 => writeln!(f),
            number => writeln!(f, "; {number} stayed, because they were taken into use meanwhile"),
        }
    }
}

impl fmt::Display for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { downloads, steps, bytes, damaged } = self;
        let (downloads, steps) = (count(*downloads, "download"), count(*steps, "step result"));
        writeln!(f, "{downloads} and {steps}, {}: {} damaged", human(*bytes), damaged.len())?;
        for store_care::Damage { path, reason, moved_to } in damaged {
            writeln!(f, "  {}: {reason}", path.display())?;
            if let Some(place) = moved_to {
                writeln!(f, "    moved to {}", place.display())?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{AgeError, parse_age};

    #[test]
    fn ages_have_a_unit() {
        assert_eq!(parse_age("30d"), Ok(Duration::from_secs(30 * 86_400)));
        assert_eq!(parse_age("12h"), Ok(Duration::from_secs(12 * 3600)));
        for text in ["30", "d", "", "-1d", "1y", "99999999999999999999d"] {
            assert_eq!(parse_age(text), Err(AgeError(text.to_owned())), "{text}");
        }
    }
}
