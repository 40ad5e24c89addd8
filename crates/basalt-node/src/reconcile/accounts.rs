//! The tables of accounts: `/etc/passwd`, `group`, `shadow`, `gshadow`, and edits of them.

use std::fmt;

use basalt_image::AccountTable as Table;
use basalt_spec::words::{Owner, Principal};

/// The four tables.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Accounts {
    /// passwd(5).
    pub passwd: Table,
    /// group(5).
    pub group: Table,
    /// shadow(5).
    pub shadow: Table,
    /// gshadow(5).
    pub gshadow: Table,
}

/// Which table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TableName {
    /// `/etc/passwd`.
    Passwd,
    /// `/etc/group`.
    Group,
    /// `/etc/shadow`.
    Shadow,
    /// `/etc/gshadow`.
    Gshadow,
}

/// One change of the tables.
#[derive(Clone, PartialEq, Eq)]
pub enum AccountEdit {
    /// Put this entry in place of the one of the same name, or at the end.
    Set(TableName, Vec<String>),
    /// Take the entry away.
    Remove(TableName, String),
    /// Make the user a member of the group.
    Join {
        /// The user.
        user: String,
        /// The group.
        group: String,
    },
    /// Make the user a member of the group no more.
    Leave {
        /// The user.
        user: String,
        /// The group.
        group: String,
    },
}

impl fmt::Debug for AccountEdit {
    /// Without password hashes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Set(table, fields) => {
                let name = fields.first().map_or("", String::as_str);
                write!(f, "Set({table:?}, {name})")
            }
            Self::Remove(table, name) => write!(f, "Remove({table:?}, {name})"),
            Self::Join { user, group } => write!(f, "Join({user}, {group})"),
            Self::Leave { user, group } => write!(f, "Leave({user}, {group})"),
        }
    }
}

impl TableName {
    /// Every table, in the order in which they are written: an account without a password before one with an unknown one.
    pub const ALL: [Self; 4] = [Self::Gshadow, Self::Group, Self::Shadow, Self::Passwd];

    /// The file's path and permissions.
    pub const fn file(self) -> (&'static str, u16) {
        match self {
            Self::Passwd => ("/etc/passwd", 0o644),
            Self::Group => ("/etc/group", 0o644),
            Self::Shadow => ("/etc/shadow", 0o640),
            Self::Gshadow => ("/etc/gshadow", 0o640),
        }
    }
}

impl Accounts {
    /// One of the tables.
    pub const fn table(&self, name: TableName) -> &Table {
        match name {
            TableName::Passwd => &self.passwd,
            TableName::Group => &self.group,
            TableName::Shadow => &self.shadow,
            TableName::Gshadow => &self.gshadow,
        }
    }

    /// One of the tables, to change.
    pub const fn table_mut(&mut self, name: TableName) -> &mut Table {
        match name {
            TableName::Passwd => &mut self.passwd,
            TableName::Group => &mut self.group,
            TableName::Shadow => &mut self.shadow,
            TableName::Gshadow => &mut self.gshadow,
        }
    }

    /// Makes one change.
    pub fn edit(&mut self, edit: &AccountEdit) {
        match edit {
            AccountEdit::Set(table, fields) => self.table_mut(*table).set(fields.clone()),
            AccountEdit::Remove(table, name) => self.table_mut(*table).remove(name),
            AccountEdit::Join { user, group } => {
                self.group.add_member(group, user);
                self.gshadow.add_member(group, user);
            }
            AccountEdit::Leave { user, group } => {
                self.group.remove_member(group, user);
                self.gshadow.remove_member(group, user);
            }
        }
    }

    /// The numbers of an owner; the name that nobody has otherwise.
    pub(super) fn numbers(&self, owner: &Owner) -> Result<(u32, u32), String> {
        let number = |table: &Table, principal: &Principal| match principal {
            Principal::Number(number) => Ok(*number),
            Principal::Name(name) => table.number(name).ok_or_else(|| name.clone()),
        };
        Ok((number(&self.passwd, &owner.user)?, number(&self.group, &owner.group)?))
    }
}
