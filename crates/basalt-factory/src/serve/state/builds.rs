//! Builds as rows: accepted, begun, ended; and the files that they made.

use rusqlite::{Connection, params};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{State, StateError, StateResult, all, first, now, signed, unsigned};
use crate::serve::turn::Waiting;

/// A build as its project sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::serve) struct Build {
    /// Its name in addresses.
    pub(in crate::serve) id: String,
    /// The account that asked for it first.
    pub(in crate::serve) account: String,
    /// The digest of what the recipe means.
    pub(in crate::serve) recipe: String,
    /// The image's name.
    pub(in crate::serve) name: String,
    /// The image's version.
    pub(in crate::serve) version: String,
    /// Where it is.
    pub(in crate::serve) state: BuildState,
    /// Whether retention leaves it alone.
    pub(in crate::serve) pinned: bool,
    /// When it was accepted, in Unix seconds.
    pub(in crate::serve) created: i64,
    /// When it began, in Unix seconds.
    pub(in crate::serve) started: Option<i64>,
    /// When it ended, in Unix seconds.
    pub(in crate::serve) ended: Option<i64>,
    /// The digest of the packages that it was made of.
    pub(in crate::serve) lock: Option<String>,
    /// The identity of the release that it made.
    pub(in crate::serve) image: Option<String>,
}

/// Where a build is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(in crate::serve) enum BuildState {
    /// It waits for its turn.
    Queued,
    /// It is being built.
    Running,
    /// It ended well.
    Succeeded,
    /// It ended badly.
    Failed,
    /// Somebody stopped it.
    Cancelled,
}

/// A file that a build made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(in crate::serve) struct Artifact {
    /// Its file name.
    pub(in crate::serve) name: String,
    /// In bytes.
    pub(in crate::serve) size: u64,
    /// Its SHA-256, in hex.
    pub(in crate::serve) sha256: String,
}

/// A build that somebody asks for.
#[derive(Clone, Copy, Debug)]
pub(in crate::serve) struct NewBuild<'a> {
    pub(in crate::serve) id: &'a str,
    pub(in crate::serve) project: i64,
    pub(in crate::serve) account: &'a str,
    pub(in crate::serve) recipe: &'a str,
    pub(in crate::serve) name: &'a str,
    pub(in crate::serve) version: &'a str,
    /// The lock that the recipe has now, if that is known: a finished build of it is the answer.
    pub(in crate::serve) lock: Option<&'a str>,
}

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::serve) enum Submitted {
    /// It waits for its turn.
    New(String),
    /// The same was asked for already: this build is the answer.
    Joined(String),
    /// Too many wait.
    Full {
        /// Whether the account's own share is full, or all of the queue.
        own: bool,
    },
}

/// How a build ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::serve) enum Ended {
    Succeeded { image: String, artifacts: Vec<Artifact> },
    Failed,
    Cancelled,
}

impl BuildState {
    pub(in crate::serve) const fn word(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether nothing happens to it any more.
    pub(in crate::serve) const fn has_ended(self) -> bool {
        match self {
            Self::Queued | Self::Running => false,
            Self::Succeeded | Self::Failed | Self::Cancelled => true,
        }
    }

    fn of(word: &str) -> Option<Self> {
        [Self::Queued, Self::Running, Self::Succeeded, Self::Failed, Self::Cancelled]
            .into_iter()
            .find(|state| state.word() == word)
    }
}

const BUILD: &str = "SELECT id, account, recipe, name, version, state, pinned, created, started, ended, lock, image \
                     FROM builds";

fn build(row: &rusqlite::Row<'_>) -> rusqlite::Result<Build> {
    let state: String = row.get(5)?;
    Ok(Build {
        id: row.get(0)?,
        account: row.get(1)?,
        recipe: row.get(2)?,
        name: row.get(3)?,
        version: row.get(4)?,
        // The table's own check has no other words.
        state: BuildState::of(&state).unwrap_or(BuildState::Failed),
        pinned: row.get(6)?,
        created: row.get(7)?,
        started: row.get(8)?,
        ended: row.get(9)?,
        lock: row.get(10)?,
        image: row.get(11)?,
    })
}

impl State {
    /// Takes a build in, or finds the one that answers the same request: whichever of 200 requests comes first makes it.
    ///
    /// `prepare` is called with a build that is new, before anybody can see it: it writes the folder.
    pub(in crate::serve) fn submit(
        &self,
        new: NewBuild<'_>,
        (most, most_own): (u32, u32),
        prepare: impl FnOnce() -> StateResult,
    ) -> StateResult<Submitted> {
        let NewBuild { id, project, account, recipe, name, version, lock } = new;
        let mut database = self.database();
        let transaction = database.transaction()?;
        if let Some(found) = same(&transaction, &new)? {
            return Ok(Submitted::Joined(found));
        }
        let count = |query: &str, parameters: &[&dyn rusqlite::ToSql]| {
            first(&transaction, query, parameters, |row| row.get::<_, u32>(0)).map(Option::unwrap_or_default)
        };
        if count("SELECT count(*) FROM builds WHERE state = 'queued'", &[])? >= most {
            return Ok(Submitted::Full { own: false });
        }
        let own = "SELECT count(*) FROM builds WHERE state = 'queued' AND project = ?1 AND account = ?2";
        if count(own, &[&project, &account])? >= most_own {
            return Ok(Submitted::Full { own: true });
        }
        prepare()?;
        let query = "INSERT INTO builds (id, project, account, recipe, name, version, state, created, lock) \
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, 'queued', ?7, ?8)";
        transaction.execute(query, params![id, project, account, recipe, name, version, now(), lock])?;
        transaction.commit()?;
        Ok(Submitted::New(id.to_owned()))
    }

    /// A build of this project.
    pub(in crate::serve) fn build(&self, project: i64, id: &str) -> StateResult<Option<Build>> {
        let query = format!("{BUILD} WHERE project = ?1 AND id = ?2");
        first(&self.database(), &query, params![project, id], build)
    }

    /// The newest builds of this project.
    pub(in crate::serve) fn builds(&self, project: i64, most: u32) -> StateResult<Vec<Build>> {
        let query = format!("{BUILD} WHERE project = ?1 ORDER BY created DESC, rowid DESC LIMIT ?2");
        all(&self.database(), &query, params![project, most], build)
    }

    /// The builds of images of this name, or the build of this id, newest first.
    pub(in crate::serve) fn builds_named(&self, project: i64, name: &str) -> StateResult<Vec<Build>> {
        let query =
            format!("{BUILD} WHERE project = ?1 AND (name = ?2 OR id = ?2) ORDER BY rowid DESC LIMIT 50");
        all(&self.database(), &query, params![project, name], build)
    }

    /// The last build of an image of this name that succeeded.
    pub(in crate::serve) fn last_good(&self, project: i64, name: &str) -> StateResult<Option<Build>> {
        let query = format!(
            "{BUILD} WHERE project = ?1 AND name = ?2 AND state = 'succeeded' ORDER BY ended DESC, rowid DESC LIMIT 1"
        );
        first(&self.database(), &query, params![project, name], build)
    }

    /// How many wait before this one, if it waits.
    pub(in crate::serve) fn place_in_queue(&self, id: &str) -> StateResult<u32> {
        let query = "SELECT count(*) FROM builds WHERE state = 'queued' AND rowid < (SELECT rowid FROM builds WHERE id = ?1)";
        Ok(first(&self.database(), query, [id], |row| row.get(0))?.unwrap_or_default())
    }

    /// The files of a build.
    pub(in crate::serve) fn artifacts(&self, build: &str) -> StateResult<Vec<Artifact>> {
        let query = "SELECT name, size, sha256 FROM artifacts WHERE build = ?1 ORDER BY size DESC, name";
        all(&self.database(), query, [build], |row| {
            Ok(Artifact { name: row.get(0)?, size: unsigned(row.get(1)?), sha256: row.get(2)? })
        })
    }

    /// Those that wait, oldest first, and when each account's last build began.
    pub(in crate::serve) fn waiting(&self) -> StateResult<Vec<Waiting>> {
        let query = "SELECT id, project, account, \
                     (SELECT count(*) FROM builds AS other WHERE other.state = 'running' AND other.project = builds.project \
                      AND other.account = builds.account), \
                     (SELECT coalesce(max(other.started), 0) FROM builds AS other WHERE other.project = builds.project \
                      AND other.account = builds.account AND other.started IS NOT NULL) \
                     FROM builds WHERE state = 'queued' ORDER BY rowid";
        all(&self.database(), query, [], |row| {
            Ok(Waiting {
                id: row.get(0)?,
                owner: (row.get(1)?, row.get(2)?),
                running: row.get(3)?,
                last_turn: row.get(4)?,
            })
        })
    }

    /// Marks a build as begun; whether it still waited.
    pub(in crate::serve) fn begin(&self, id: &str) -> StateResult<bool> {
        let query = "UPDATE builds SET state = 'running', started = ?2 WHERE id = ?1 AND state = 'queued'";
        Ok(self.database().execute(query, params![id, now()])? > 0)
    }

    /// Marks a build as ended, with what it made.
    pub(in crate::serve) fn end(&self, id: &str, ended: &Ended, lock: Option<&str>) -> StateResult {
        let mut database = self.database();
        let transaction = database.transaction()?;
        let (state, image) = match ended {
            Ended::Succeeded { image, artifacts } => {
                transaction.execute("DELETE FROM artifacts WHERE build = ?1", [id])?;
                for Artifact { name, size, sha256 } in artifacts {
                    let query = "INSERT INTO artifacts (build, name, size, sha256) VALUES (?1, ?2, ?3, ?4)";
                    transaction.execute(query, params![id, name, signed(*size), sha256])?;
                }
                (BuildState::Succeeded, Some(image))
            }
            Ended::Failed => (BuildState::Failed, None),
            Ended::Cancelled => (BuildState::Cancelled, None),
        };
        let query = "UPDATE builds SET state = ?2, ended = ?3, image = ?4, lock = coalesce(?5, lock) \
                     WHERE id = ?1 AND state IN ('queued', 'running')";
        transaction.execute(query, params![id, state.word(), now(), image, lock])?;
        Ok(transaction.commit()?)
    }

    /// Asks for a build to stop. One that waits has ended with this; one that runs is stopped by who runs it.
    pub(in crate::serve) fn stop(&self, project: i64, id: &str, by: &str) -> StateResult<Option<BuildState>> {
        let query = "UPDATE builds SET stop = ?3, \
                     ended = CASE state WHEN 'queued' THEN ?4 ELSE ended END, \
                     state = CASE state WHEN 'queued' THEN 'cancelled' ELSE state END \
                     WHERE project = ?1 AND id = ?2 AND state IN ('queued', 'running') RETURNING state";
        let database = self.database();
        let state = first(&database, query, params![project, id, by, now()], |row| row.get::<_, String>(0))?;
        state.map(|word| BuildState::of(&word).ok_or(StateError::Row(word))).transpose()
    }

    /// Who wants this build to stop, if anybody.
    pub(in crate::serve) fn stopped_by(&self, id: &str) -> StateResult<Option<String>> {
        let stop = first(&self.database(), "SELECT stop FROM builds WHERE id = ?1", [id], |row| row.get(0))?;
        Ok(stop.flatten())
    }

    /// Puts back what ran when the server ended without saying so; gives their names.
    pub(in crate::serve) fn resume(&self) -> StateResult<Vec<String>> {
        let query = "UPDATE builds SET state = 'queued', started = NULL WHERE state = 'running' RETURNING id";
        all(&self.database(), query, [], |row| row.get(0))
    }

    /// Pins a build or takes the pin out; whether it is there.
    pub(in crate::serve) fn pin(&self, project: i64, id: &str, pinned: bool) -> StateResult<bool> {
        let query = "UPDATE builds SET pinned = ?3 WHERE project = ?1 AND id = ?2";
        Ok(self.database().execute(query, params![project, id, pinned])? > 0)
    }

    /// Forgets a build that has ended; whether there was one. Its folder goes afterwards.
    pub(in crate::serve) fn forget(&self, project: i64, id: &str) -> StateResult<bool> {
        let query =
            "DELETE FROM builds WHERE project = ?1 AND id = ?2 AND state NOT IN ('queued', 'running')";
        Ok(self.database().execute(query, params![project, id])? > 0)
    }

    /// Builds that ended before this time and that nobody pinned.
    pub(in crate::serve) fn ended_before(&self, time: i64) -> StateResult<Vec<(i64, String)>> {
        let query = "SELECT project, id FROM builds WHERE ended < ?1 AND NOT pinned";
        all(&self.database(), query, [time], |row| Ok((row.get(0)?, row.get(1)?)))
    }

    /// Whether a build of this name is known.
    pub(in crate::serve) fn knows_build(&self, id: &str) -> StateResult<bool> {
        Ok(first(&self.database(), "SELECT 1 FROM builds WHERE id = ?1", [id], |_| Ok(()))?.is_some())
    }
}

/// A build that answers the same request: one on its way, or one that succeeded with the packages of now.
fn same(connection: &Connection, new: &NewBuild<'_>) -> StateResult<Option<String>> {
    let query = "SELECT id FROM builds WHERE project = ?1 AND recipe = ?2 AND stop IS NULL \
                 AND (state IN ('queued', 'running') OR (state = 'succeeded' AND lock = ?3)) \
                 ORDER BY rowid DESC LIMIT 1";
    first(connection, query, params![new.project, new.recipe, new.lock], |row| row.get(0))
}
