//! Accounts: `/etc/passwd`, `group`, `shadow`, `gshadow`, `subuid`, `subgid` as useradd(8) would leave them.
//!
//! `tables read → each user added or changed → tables written, homes made`. The day of a password's last change is
//! the image's epoch, not today: the same lock gives the same bytes.

mod table;

use std::collections::{BTreeMap, BTreeSet};

use basalt_formats::tree::{Kind, NodeId, TreeError};
use basalt_spec::{
    User, nearest,
    words::{Owner, Principal},
};

pub use table::Table;

use crate::customise::{EditError, Editor};

/// Why an account can't be as the recipe says.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// The tree can't be edited.
    #[error(transparent)]
    Edit(#[from] EditError),
    /// The image has no accounts at all.
    #[error("the image has no `{0}`: is `base-passwd` in it?")]
    NoTable(&'static str),
    /// A group that nobody makes.
    #[error("there is no group `{group}`{}", near(.nearest))]
    UnknownGroup {
        /// The group.
        group: String,
        /// One that was perhaps meant.
        nearest: Option<String>,
    },
    /// A user that nobody makes.
    #[error("there is no user `{user}`{}", near(.nearest))]
    UnknownUser {
        /// The user.
        user: String,
        /// One that was perhaps meant.
        nearest: Option<String>,
    },
    /// A number that another account has.
    #[error("the number {uid} belongs to `{owner}` already")]
    NumberTaken {
        /// The number.
        uid: u32,
        /// Who has it.
        owner: String,
    },
    /// A package made the account with another number.
    #[error("`{user}` is there already with the number {found}, not {wanted}")]
    OtherNumber {
        /// The account.
        user: String,
        /// The number it has.
        found: String,
        /// The number asked for.
        wanted: u32,
    },
    /// No number is left.
    #[error("no number from 1000 to 59999 is free")]
    NoNumber,
    /// A shell that is not in the image.
    #[error("the shell `{0}` is not in the image: add the package that has it")]
    NoShell(String),
    /// sudo was asked for and is not in the image.
    #[error("`sudo` is not in the image: add the package `sudo`, or take it out of `deselect`")]
    NoSudo,
}

fn near(nearest: &Option<String>) -> String {
    nearest.as_ref().map_or_else(String::new, |near| format!("; did you mean `{near}`?"))
}

/// The numbers of accounts that people get (Debian policy 9.2.2).
const PEOPLE: std::ops::RangeInclusive<u32> = 1000..=59999;
/// Subordinate ids as Debian's login.defs has them: `SUB_UID_MIN`, `SUB_UID_COUNT`.
const SUBORDINATE: (u64, u64) = (100_000, 65_536);
/// `HOME_MODE` of Debian's login.defs.
const HOME_MODE: u16 = 0o700;

/// The six tables of accounts.
#[derive(Clone, Debug)]
pub(crate) struct Accounts {
    passwd: Table,
    group: Table,
    shadow: Table,
    gshadow: Table,
    subuid: Option<Table>,
    subgid: Option<Table>,
    /// The numbers that users of the recipe ask for: not free for others.
    reserved: BTreeSet<u32>,
}

/// Who a user became.
struct Account {
    name: String,
    uid: u32,
    gid: u32,
    home: String,
}

impl Accounts {
    pub(crate) fn read(editor: &Editor<'_>) -> Result<Self, AccountError> {
        let required = |path: &'static str| -> Result<Table, AccountError> {
            Ok(Table::parse(&editor.text(path)?.ok_or(AccountError::NoTable(path))?))
        };
        let optional = |path: &str| -> Result<Option<Table>, AccountError> {
            Ok(editor.text(path)?.map(|text| Table::parse(&text)))
        };
        Ok(Self {
            passwd: required("/etc/passwd")?,
            group: required("/etc/group")?,
            shadow: optional("/etc/shadow")?.unwrap_or_default(),
            gshadow: optional("/etc/gshadow")?.unwrap_or_default(),
            subuid: optional("/etc/subuid")?,
            subgid: optional("/etc/subgid")?,
            reserved: BTreeSet::new(),
        })
    }

    /// Keeps a number for the user of the recipe that asks for it.
    pub(crate) fn reserve(&mut self, uid: u32) {
        self.reserved.insert(uid);
    }

    /// Adds a user, or changes one that a package made; makes its home.
    pub(crate) fn apply(&mut self, editor: &mut Editor<'_>, user: &User) -> Result<(), AccountError> {
        let shell = user.shell.as_ref().map(ToString::to_string);
        if let Some(missing) = shell.iter().find(|shell| !editor.exists(shell)) {
            return Err(AccountError::NoShell(missing.clone()));
        }
        self.check_groups(user)?;
        let days = (editor.epoch() / 86_400).to_string();
        let account = if self.passwd.find(user.name.as_str()).is_some() {
            self.change(user, shell, &days)?
        } else {
            self.add(user, shell, &days)?
        };
        for group in &user.groups {
            self.join(group.as_str(), &account.name);
        }
        self.sudo(editor, user)?;
        home(editor, &account)?;
        keys(editor, user, &account)
    }

    /// Locks root's password if it is empty: whoever reaches a console would be root.
    pub(crate) fn lock_root(&mut self) {
        if let Some(root) = self.shadow.find_mut("root")
            && root.get(1).is_some_and(String::is_empty)
        {
            "*".clone_into(&mut root[1]);
        }
    }

    pub(crate) fn write(self, editor: &mut Editor<'_>) -> Result<(), AccountError> {
        let Self { passwd, group, shadow, gshadow, subuid, subgid, reserved: _ } = self;
        let tables = [
            ("/etc/passwd", Some(passwd), 0o644),
            ("/etc/group", Some(group), 0o644),
            ("/etc/shadow", Some(shadow), 0o640),
            ("/etc/gshadow", Some(gshadow), 0o640),
            ("/etc/subuid", subuid, 0o644),
            ("/etc/subgid", subgid, 0o644),
        ];
        for (path, table, mode) in tables {
            if let Some(table) = table.filter(Table::changed) {
                editor.write(path, table.to_string(), mode)?;
            }
        }
        Ok(())
    }

    /// The numbers of an owner, by the image's own tables.
    pub(crate) fn numbers(&self, owner: &Owner) -> Result<(u32, u32), AccountError> {
        let uid = match &owner.user {
            Principal::Number(number) => *number,
            Principal::Name(name) => self.passwd.number(name).ok_or_else(|| {
                let nearest = nearest(name, self.passwd.names()).map(str::to_owned);
                AccountError::UnknownUser { user: name.clone(), nearest }
            })?,
        };
        let gid = match &owner.group {
            Principal::Number(number) => *number,
            Principal::Name(name) => self.group.number(name).ok_or_else(|| self.unknown_group(name))?,
        };
        Ok((uid, gid))
    }

    fn unknown_group(&self, name: &str) -> AccountError {
        let nearest = nearest(name, self.group.names()).map(str::to_owned);
        AccountError::UnknownGroup { group: name.to_owned(), nearest }
    }

    fn check_groups(&self, user: &User) -> Result<(), AccountError> {
        let missing = user.groups.iter().find(|group| self.group.find(group.as_str()).is_none());
        missing.map_or(Ok(()), |group| Err(self.unknown_group(group.as_str())))
    }

    fn change(&mut self, user: &User, shell: Option<String>, days: &str) -> Result<Account, AccountError> {
        let name = user.name.as_str();
        let entry = self.passwd.find_mut(name).ok_or(AccountError::NoTable("/etc/passwd"))?;
        entry.resize(7, String::new());
        if let Some(wanted) = user.uid.filter(|uid| uid.to_string() != entry[2]) {
            let found = entry[2].clone();
            return Err(AccountError::OtherNumber { user: name.to_owned(), found, wanted });
        }
        if !user.gecos.is_empty() {
            entry[4] = gecos(&user.gecos);
        }
        if let Some(home) = &user.home {
            entry[5] = home.to_string();
        }
        if let Some(shell) = shell {
            entry[6] = shell;
        }
        let number = |field: &str| field.parse::<u32>().unwrap_or(0);
        let (uid, gid, home) = (number(&entry[2]), number(&entry[3]), entry[5].clone());
        if let Some(hash) = &user.password_hash {
            let fields = [name, hash.as_str(), days, "0", "99999", "7", "", "", ""];
            self.shadow.set(fields.map(str::to_owned).to_vec());
        }
        Ok(Account { name: name.to_owned(), uid, gid, home })
    }

    fn add(&mut self, user: &User, shell: Option<String>, days: &str) -> Result<Account, AccountError> {
        let name = user.name.as_str();
        let uid = self.choose_uid(user)?;
        let gid = self.primary_group(name, uid)?;
        let home = user.home.as_ref().map_or_else(|| format!("/home/{name}"), ToString::to_string);
        let shell = shell.unwrap_or_else(|| "/bin/bash".to_owned());
        let (uid_text, gid_text) = (uid.to_string(), gid.to_string());
        let comment = gecos(&user.gecos);
        let fields = [name, "x", &uid_text, &gid_text, &comment, &home, &shell];
        self.passwd.set(fields.map(str::to_owned).to_vec());
        let hash = user.password_hash.as_ref().map_or("!", |hash| hash.as_str());
        let fields = [name, hash, days, "0", "99999", "7", "", "", ""];
        self.shadow.set(fields.map(str::to_owned).to_vec());
        for table in [&mut self.subuid, &mut self.subgid].into_iter().flatten() {
            table.add_range(name, SUBORDINATE);
        }
        Ok(Account { name: name.to_owned(), uid, gid, home })
    }

    fn choose_uid(&self, user: &User) -> Result<u32, AccountError> {
        let taken = self.passwd.numbers();
        match user.uid {
            Some(uid) => match taken.get(&uid) {
                Some(owner) => Err(AccountError::NumberTaken { uid, owner: owner.clone() }),
                None => Ok(uid),
            },
            None => PEOPLE
                .into_iter()
                .find(|uid| !taken.contains_key(uid) && !self.reserved.contains(uid))
                .ok_or(AccountError::NoNumber),
        }
    }

    /// The group of the user's own name: the one that is there, else a new one with the user's number if that is free.
    fn primary_group(&mut self, name: &str, uid: u32) -> Result<u32, AccountError> {
        if let Some(gid) = self.group.number(name) {
            return Ok(gid);
        }
        let taken: BTreeMap<u32, String> = self.group.numbers();
        let mut candidates = std::iter::once(uid).chain(PEOPLE);
        let gid = candidates.find(|gid| !taken.contains_key(gid)).ok_or(AccountError::NoNumber)?;
        self.group.set(vec![name.to_owned(), "x".to_owned(), gid.to_string(), String::new()]);
        self.gshadow.set(vec![name.to_owned(), "!".to_owned(), String::new(), String::new()]);
        Ok(gid)
    }

    fn join(&mut self, group: &str, user: &str) {
        self.group.add_member(group, user);
        self.gshadow.add_member(group, user);
    }

    fn sudo(&mut self, editor: &mut Editor<'_>, user: &User) -> Result<(), AccountError> {
        if !user.sudo {
            return Ok(());
        }
        if !editor.exists("/usr/bin/sudo") || self.group.find("sudo").is_none() {
            return Err(AccountError::NoSudo);
        }
        if user.password_hash.is_some() {
            self.join("sudo", user.name.as_str());
            return Ok(());
        }
        // Without a password there is nothing that sudo could ask for.
        let rule = format!("{} ALL=(ALL:ALL) NOPASSWD: ALL\n", user.name);
        // sudo skips files whose name has a dot (sudoers(5)); a UserName has none.
        editor.write(&format!("/etc/sudoers.d/90-basalt-{}", user.name), rule, 0o440)?;
        Ok(())
    }
}

/// What passwd(5) can hold of a full name: no `:` and one line.
fn gecos(text: &str) -> String {
    text.chars().filter(|c| *c != ':' && !c.is_control()).collect()
}

/// Makes the home directory and fills it from `/etc/skel`, unless it is there already.
fn home(editor: &mut Editor<'_>, account: &Account) -> Result<(), AccountError> {
    if editor.exists(&account.home) {
        return Ok(());
    }
    let owned = |editor: &Editor<'_>, mode| editor.owned(mode, account.uid, account.gid);
    let home = Kind::Directory(BTreeMap::new());
    editor.put(&account.home, home, owned(editor, HOME_MODE))?;
    let mut pending: Vec<(String, NodeId)> =
        editor.tree.resolve("/etc/skel").map(|skel| (account.home.clone(), skel)).into_iter().collect();
    while let Some((path, id)) = pending.pop() {
        let Kind::Directory(entries) = &editor.tree.node(id).kind else { continue };
        for (name, id) in entries.clone() {
            let below = format!("{path}/{}", String::from_utf8_lossy(&name));
            let node = editor.tree.node(id).clone();
            let kind = match node.kind {
                Kind::Directory(_) => {
                    pending.push((below.clone(), id));
                    Kind::Directory(BTreeMap::new())
                }
                Kind::File(_) | Kind::Symlink(_) => node.kind,
                Kind::CharDevice(_) | Kind::BlockDevice(_) | Kind::Fifo | Kind::Socket => continue,
            };
            let metadata = owned(editor, node.metadata.mode);
            editor.put(&below, kind, metadata)?;
        }
    }
    Ok(())
}

/// Writes `~/.ssh/authorized_keys`, which sshd reads only when nobody else can write it.
fn keys(editor: &mut Editor<'_>, user: &User, account: &Account) -> Result<(), AccountError> {
    if user.ssh_authorized_keys.is_empty() {
        return Ok(());
    }
    let lines: String = user.ssh_authorized_keys.iter().map(|key| format!("{key}\n")).collect();
    let folder = format!("{}/.ssh", account.home);
    let owned = |editor: &Editor<'_>, mode| editor.owned(mode, account.uid, account.gid);
    editor.put(&folder, Kind::Directory(BTreeMap::new()), owned(editor, 0o700))?;
    let content = basalt_formats::tree::Content::inline(lines.into_bytes());
    editor.put(&format!("{folder}/authorized_keys"), Kind::File(content), owned(editor, 0o600))?;
    Ok(())
}

impl From<TreeError> for AccountError {
    fn from(error: TreeError) -> Self {
        Self::Edit(error.into())
    }
}
