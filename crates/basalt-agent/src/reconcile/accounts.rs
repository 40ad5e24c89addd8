//! The tables of accounts in `/etc`.

use basalt_exec::files::{Attributes, Entry, EntryKind, FileError, Lock, Root};
use basalt_image::AccountTable;
use basalt_node::reconcile::{AccountEdit, Accounts, TableName};

use super::System;

/// Larger tables than these are somebody's mistake.
const MOST_BYTES: u64 = 16 << 20;
/// What programs that change the tables hold (lckpwdf(3)).
const LOCK: &str = "etc/.pwd.lock";

pub(super) fn read(root: &Root) -> Result<Accounts, FileError> {
    let mut accounts = Accounts::default();
    for name in TableName::ALL {
        let path = name.file().0.trim_start_matches('/');
        let bytes = root.read_if_present(path, MOST_BYTES)?.unwrap_or_default();
        *accounts.table_mut(name) = AccountTable::parse(&String::from_utf8_lossy(&bytes));
    }
    Ok(accounts)
}

/// Makes the changes, in the order in which no account is ever without its password.
pub(super) fn edit(system: &System, edits: &[AccountEdit]) -> Result<(), FileError> {
    let _lock = Lock::wait_fcntl(&system.root, LOCK)?;
    let mut accounts = read(&system.root)?;
    edits.iter().for_each(|edit| accounts.edit(edit));
    for name in TableName::ALL {
        let (path, mode) = name.file();
        let path = path.trim_start_matches('/');
        let table = accounts.table(name);
        if !table.changed() {
            continue;
        }
        // The group of shadow differs between distributions: it stays.
        let usual = Attributes { mode: u32::from(mode), uid: 0, gid: 0 };
        let attributes = system.root.entry(path, MOST_BYTES)?.map_or(usual, |entry| entry.attributes);
        let kind = EntryKind::File(table.to_string().into_bytes());
        system.root.write_entry(path, &Entry { kind, attributes })?;
    }
    Ok(())
}
