//! The fallback table: each way in which a release can fail, on a machine that was upgraded to it. A row is one machine with one
//! fault; it must end with the old release running, the reason in its history and nothing wiped, or with the new one kept where
//! the fault is none of the release's.
//!
//! All rows start from one disk: the example's image, upgraded once to a second release that has never run ([`base`]). A row
//! damages a copy of that disk from outside ([`damage`]), or wakes one of the units that sleep in the second release.

mod base;
mod damage;
mod hang;
mod row;
mod rows;

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    sync::Mutex,
    thread,
    time::Instant,
};

use serde::{Deserialize, Serialize};

use crate::{
    bench, demo,
    error::{Done, TaskError},
    paths,
    report::say,
    tool,
};
use base::Base;
use rows::{ROWS, Row};

/// An emulated machine keeps a processor and 1.5 GiB busy.
const AT_A_TIME: usize = 2;

/// What is not in the table, and why.
const FOOT: &str = "All rows but the first begin with one try left: what happens in the third happens in each. The firmware has no \
                    variables at the beginning of any row. There is no kexec yet, so there is no cold boot after one.\n";

/// What came of a row the last time that it ran, by its name.
type Outcomes = BTreeMap<String, Outcome>;

/// What came of a row.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Outcome {
    /// What ran.
    commit: String,
    /// How long, in seconds.
    took: u64,
    /// Whether it ended as it must.
    good: bool,
    /// What the history says, or what is wrong.
    said: String,
}

/// Runs all rows, or those whose name contains `only`. The table is written when each of them has run, now or before.
pub(super) fn run(only: Option<&str>, base: Option<PathBuf>) -> Done<String> {
    let work = paths::target().join("soak/fallback");
    tool::create_folder(&work)?;
    let shared = demo::shared()?;
    let base = match base {
        Some(disk) => Base::at(disk, &work, &shared),
        None => Base::make(&shared, &work)?,
    };
    let rows: Vec<&Row> = ROWS.iter().filter(|row| only.is_none_or(|only| row.name.contains(only))).collect();
    let book = work.join("outcomes.json");
    let known = if only.is_some() { read(&book)? } else { Outcomes::new() };
    let outcomes = run_all(&base, &rows, Mutex::new(known), &book)?;
    let (day, _) = super::now()?;
    let table = table(&outcomes);
    say(&table);
    if ROWS.iter().all(|row| outcomes.contains_key(row.name)) {
        let path = paths::root().join(format!("docs/results/{day}-fallback.md"));
        let text = format!("# {day}: fallback table\n\n`cargo xtask soak fallback`\n\n{table}\n{FOOT}");
        fs::write(&path, text).map_err(TaskError::io("write", &path))?;
    }
    let good = outcomes.values().filter(|outcome| outcome.good).count();
    let sum = format!("{good} of {} rows end as they must", ROWS.len());
    if rows.iter().all(|row| outcomes.get(row.name).is_some_and(|outcome| outcome.good)) {
        Ok(sum)
    } else {
        Err(TaskError::Broken(sum))
    }
}

fn read(book: &Path) -> Done<Outcomes> {
    if !book.exists() {
        return Ok(Outcomes::new());
    }
    let text = fs::read(book).map_err(TaskError::io("read", book))?;
    serde_json::from_slice(&text)
        .map_err(|source| TaskError::Json { what: book.display().to_string(), source })
}

/// Adds what comes of the rows to `outcomes`, which is kept in the file `book` too.
fn run_all(base: &Base, rows: &[&Row], outcomes: Mutex<Outcomes>, book: &Path) -> Done<Outcomes> {
    let next = Mutex::new(rows.iter());
    let take = || next.lock().ok()?.next().copied();
    let worker = || -> Done {
        while let Some(row) = take() {
            let outcome = tell(base, row)?;
            let Ok(mut outcomes) = outcomes.lock() else { return Ok(()) };
            outcomes.insert(row.name.to_owned(), outcome);
            let text = serde_json::to_vec_pretty(&*outcomes)
                .map_err(|source| TaskError::Json { what: "the outcomes".to_owned(), source })?;
            fs::write(book, text).map_err(TaskError::io("write", book))?;
        }
        Ok(())
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..AT_A_TIME).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().try_for_each(|worker| match worker.join() {
            Ok(done) => done,
            Err(_panic) => Err(TaskError::Broken("a row panicked".to_owned())),
        })
    })?;
    Ok(outcomes.into_inner().unwrap_or_default())
}

fn tell(base: &Base, row: &Row) -> Done<Outcome> {
    say(format!("soak: {}", row.name));
    let start = Instant::now();
    let ended = row::run(base, row);
    let took = start.elapsed().as_secs();
    let (good, said) = match ended {
        Ok(history) => (true, history),
        Err(error) => (false, error.to_string()),
    };
    let mark = if good { "" } else { "WRONG: " };
    say(format!("soak: {} ({took} s): {mark}{said}", row.name));
    Ok(Outcome { commit: bench::commit()?, took, good, said })
}

fn table(outcomes: &Outcomes) -> String {
    let mut text =
        "| what fails | the machine ends with | after | its history says | commit |\n|---|---|---|---|---|\n"
            .to_owned();
    let rows = ROWS.iter().filter_map(|row| Some((row, outcomes.get(row.name)?)));
    for (row, Outcome { commit, took, good, said }) in rows {
        let end = if *good { row.end.to_string() } else { "**wrong**".to_owned() };
        let said = said.lines().next().unwrap_or_default();
        // A String takes every write.
        if writeln!(text, "| {} | {end} | {took} s | {said} | {commit} |", row.what).is_err() {
            break;
        }
    }
    text
}
