//! Links from which machines boot over the network, one for each build, and the machines that did.

use rusqlite::params;
use schemars::JsonSchema;
use serde::Serialize;

use super::{State, StateResult, all, first, now};
use crate::serve::secret::{Token, digest_of};

/// So many machines of a build are remembered.
const MOST_MACHINES: u32 = 256;

/// A machine that came by the link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(in crate::serve) struct Machine {
    /// Its address, or that of what is before it.
    pub(in crate::serve) address: String,
    /// The file that it asked for last: the script, the kernel, then the initramfs.
    pub(in crate::serve) file: String,
    /// When, in Unix seconds.
    pub(in crate::serve) at: i64,
}

impl State {
    /// Makes the link of a build; the one before opens nothing any more.
    pub(in crate::serve) fn open_boot(&self, build: &str) -> StateResult<Token> {
        let token = Token::brief()?;
        let query = "INSERT OR REPLACE INTO boot_links (build, digest) VALUES (?1, ?2)";
        self.database().execute(query, params![build, token.digest().hex()])?;
        Ok(token)
    }

    /// Ends the link of a build; whether there was one.
    pub(in crate::serve) fn end_boot(&self, build: &str) -> StateResult<bool> {
        Ok(self.database().execute("DELETE FROM boot_links WHERE build = ?1", [build])? > 0)
    }

    /// Whether a build has a link.
    pub(in crate::serve) fn has_boot(&self, build: &str) -> StateResult<bool> {
        Ok(first(&self.database(), "SELECT 1 FROM boot_links WHERE build = ?1", [build], |_| Ok(()))?
            .is_some())
    }

    /// The build that a link's secret opens.
    pub(in crate::serve) fn boot(&self, secret: &str) -> StateResult<Option<String>> {
        let query = "SELECT build FROM boot_links WHERE digest = ?1";
        first(&self.database(), query, [digest_of(secret).hex()], |row| row.get(0))
    }

    /// Remembers what a machine asked for, and forgets those that came long before.
    pub(in crate::serve) fn machine_asked(&self, build: &str, address: &str, file: &str) -> StateResult {
        let database = self.database();
        let query = "INSERT OR REPLACE INTO machines (build, address, file, at) VALUES (?1, ?2, ?3, ?4)";
        database.execute(query, params![build, address, file, now()])?;
        let query = "DELETE FROM machines WHERE build = ?1 AND address NOT IN \
                     (SELECT address FROM machines WHERE build = ?1 ORDER BY at DESC, rowid DESC LIMIT ?2)";
        database.execute(query, params![build, MOST_MACHINES])?;
        Ok(())
    }

    /// The machines that came by a build's links, the last first.
    pub(in crate::serve) fn machines(&self, build: &str) -> StateResult<Vec<Machine>> {
        let query = "SELECT address, file, at FROM machines WHERE build = ?1 ORDER BY at DESC, rowid DESC";
        all(&self.database(), query, [build], |row| {
            Ok(Machine { address: row.get(0)?, file: row.get(1)?, at: row.get(2)? })
        })
    }
}
