//! Accounts: the image's, with what the document says of them.
//!
//! The tables are made anew from the image's at each boot. Numbers are kept for ever: files in `/var` belong to numbers, and
//! an account that is added to the document in front of another must not get the other one's files.

use std::collections::{BTreeMap, BTreeSet};

use basalt_spec::node::NodeUser;

use super::{
    AccountChange, AccountEdit, Accounts, Machine, Record, Refusal, Step,
    accounts::TableName,
    wanted::{Want, WantedEntry},
};

/// The numbers of accounts that people get (Debian policy 9.2.2).
const PEOPLE: std::ops::RangeInclusive<u32> = 1000..=59999;
const SUDO: &str = "/usr/bin/sudo";
const SUDO_GROUP: &str = "sudo";
const SHELLS: [&str; 2] = ["/bin/bash", "/bin/sh"];

/// What is planned for accounts.
#[derive(Debug, Default)]
pub(super) struct UserPlan {
    pub(super) steps: Vec<Step>,
    /// Homes that are missing.
    pub(super) homes: Vec<Step>,
    /// Files that let accounts use sudo, or must not be there.
    pub(super) entries: Vec<(String, WantedEntry)>,
    /// The tables when all is done.
    pub(super) after: Accounts,
    pub(super) uids: BTreeMap<String, u32>,
    pub(super) refusals: Vec<Refusal>,
}

/// What has to be observed for these accounts: paths, and what the image must have.
pub(super) fn interest(users: &[NodeUser]) -> (Vec<String>, Vec<String>) {
    let paths = users.iter().flat_map(|user| [user.home(), sudo_rule(&user.name.to_string())]);
    let shells = users.iter().filter_map(|user| user.shell.as_ref().map(ToString::to_string));
    let present = shells.chain(SHELLS.into_iter().chain([SUDO]).map(str::to_owned));
    (paths.collect(), present.collect())
}

fn sudo_rule(name: &str) -> String {
    format!("/etc/sudoers.d/90-basalt-{name}")
}

/// Plans every account of the document, and those that an earlier document had in this boot.
pub(super) fn plan(users: &[NodeUser], machine: &Machine, record: &Record) -> UserPlan {
    let mut plan =
        UserPlan { after: machine.accounts.clone(), uids: record.uids.clone(), ..UserPlan::default() };
    for user in users {
        match wanted(user, users, machine, &mut plan) {
            Ok(account) => account.plan(machine, &mut plan),
            Err(refusal) => plan.refusals.push(refusal),
        }
    }
    for name in record.boot.users.iter().filter(|name| !users.iter().any(|user| user.name.as_str() == **name))
    {
        Account::of_image(name, machine).plan(machine, &mut plan);
    }
    plan
}

/// An account as it should be: its entries in the four tables; it is taken away without.
struct Account {
    name: String,
    rows: [(TableName, Option<Vec<String>>); 4],
    groups: BTreeSet<String>,
    home: Option<String>,
}

fn row(accounts: &Accounts, table: TableName, name: &str) -> Option<Vec<String>> {
    accounts.table(table).find(name).map(<[String]>::to_vec)
}

fn texts<const N: usize>(fields: [&str; N]) -> Vec<String> {
    fields.map(str::to_owned).to_vec()
}

/// What the document makes of an account.
fn wanted(
    user: &NodeUser,
    all: &[NodeUser],
    machine: &Machine,
    plan: &mut UserPlan,
) -> Result<Account, Refusal> {
    let name = user.name.as_str();
    let mut account = Account::of_image(name, machine);
    let [passwd, shadow, group, gshadow] = account.rows.each_mut().map(|(_, row)| row);
    let uid = number(user, all, machine, &plan.uids)?;
    plan.uids.insert(name.to_owned(), uid);
    let gid = match machine.accounts.group.number(name) {
        Some(gid) => gid,
        None => {
            let taken = machine.accounts.group.numbers();
            let free = std::iter::once(uid).chain(PEOPLE).find(|gid| !taken.contains_key(gid));
            let gid = free.ok_or_else(|| Refusal::NoNumber { user: name.to_owned() })?;
            *group = Some(texts([name, "x", &gid.to_string(), ""]));
            *gshadow = Some(texts([name, "!", "", ""]));
            gid
        }
    };
    if group.is_none() {
        (*group, *gshadow) = (
            row(&machine.accounts, TableName::Group, name),
            row(&machine.accounts, TableName::Gshadow, name),
        );
    }
    let shell = shell(user, passwd.as_deref(), machine)?;
    let fresh = || texts([name, "x", &uid.to_string(), &gid.to_string(), "", &user.home(), ""]);
    let fields = passwd.get_or_insert_with(fresh);
    fields.resize(7, String::new());
    fields[6] = shell;
    if let Some(gecos) = &user.gecos {
        fields[4] = gecos.chars().filter(|c| *c != ':' && !c.is_control()).collect();
    }
    if let Some(home) = &user.home {
        fields[5] = home.to_string();
    }
    account.home = Some(fields[5].clone());
    // No day of the last change: its age would end it one day (shadow(5)).
    let secret = shadow.get_or_insert_with(|| texts([name, "!", "", "0", "99999", "7", "", "", ""]));
    if let Some(hash) = &user.password_hash {
        secret.resize(9, String::new());
        hash.as_str().clone_into(&mut secret[1]);
    }
    let has_password = secret.get(1).is_some_and(|hash| hash.starts_with('$'));
    account.groups.extend(groups(user, machine, &mut plan.refusals));
    account.sudo(user, has_password, machine, plan);
    Ok(account)
}

fn groups(user: &NodeUser, machine: &Machine, refusals: &mut Vec<Refusal>) -> Vec<String> {
    let mut known = Vec::new();
    for group in &user.groups {
        if machine.accounts.group.find(group.as_str()).is_some() {
            known.push(group.to_string());
        } else {
            refusals.push(Refusal::NoGroup { user: user.name.to_string(), group: group.to_string() });
        }
    }
    known
}

fn shell(user: &NodeUser, passwd: Option<&[String]>, machine: &Machine) -> Result<String, Refusal> {
    let has = |shell: &str| machine.present.contains(shell);
    match (&user.shell, passwd.and_then(|fields| fields.get(6))) {
        (Some(shell), _) if has(&shell.to_string()) => Ok(shell.to_string()),
        (Some(shell), _) => Err(Refusal::NoShell { user: user.name.to_string(), shell: shell.to_string() }),
        (None, Some(shell)) => Ok(shell.clone()),
        (None, None) => Ok(SHELLS.into_iter().find(|shell| has(shell)).unwrap_or(SHELLS[1]).to_owned()),
    }
}

/// The account's number: the image's, the document's, the one that it always had, the one that it has, or the next free one.
fn number(
    user: &NodeUser,
    all: &[NodeUser],
    machine: &Machine,
    uids: &BTreeMap<String, u32>,
) -> Result<u32, Refusal> {
    let name = user.name.as_str();
    let image = machine.image_accounts.passwd.number(name);
    if let (Some(found), Some(wanted)) = (image, user.uid)
        && found != wanted
    {
        return Err(Refusal::OtherNumber { user: name.to_owned(), found, wanted });
    }
    let taken = machine.accounts.passwd.numbers();
    let others = |uid: u32| taken.get(&uid).filter(|owner| *owner != name).cloned();
    let chosen = image.or(user.uid).or_else(|| uids.get(name).copied());
    let chosen = chosen.or_else(|| machine.accounts.passwd.number(name));
    if let Some(uid) = chosen {
        return match others(uid) {
            Some(owner) => Err(Refusal::NumberTaken { user: name.to_owned(), uid, owner }),
            None => Ok(uid),
        };
    }
    let asked =
        |uid: u32| all.iter().any(|other| other.uid == Some(uid)) || uids.values().any(|kept| *kept == uid);
    let groups = machine.accounts.group.numbers();
    PEOPLE
        .into_iter()
        .find(|uid| !taken.contains_key(uid) && !groups.contains_key(uid) && !asked(*uid))
        .ok_or_else(|| Refusal::NoNumber { user: name.to_owned() })
}

impl Account {
    /// As the image has it.
    fn of_image(name: &str, machine: &Machine) -> Self {
        let image = &machine.image_accounts;
        let order = [TableName::Passwd, TableName::Shadow, TableName::Group, TableName::Gshadow];
        Self {
            name: name.to_owned(),
            rows: order.map(|table| (table, row(image, table, name))),
            groups: image.group.groups_of(name).map(str::to_owned).collect(),
            home: None,
        }
    }

    fn sudo(&mut self, user: &NodeUser, has_password: bool, machine: &Machine, plan: &mut UserPlan) {
        let path = sudo_rule(&self.name);
        match user.sudo {
            None => {}
            Some(false) => {
                self.groups.remove(SUDO_GROUP);
                plan.entries.push((path, WantedEntry::root(Want::Nothing)));
            }
            Some(true)
                if !machine.present.contains(SUDO) || machine.accounts.group.find(SUDO_GROUP).is_none() =>
            {
                plan.refusals.push(Refusal::NoSudo { user: self.name.clone() });
            }
            Some(true) if has_password => {
                self.groups.insert(SUDO_GROUP.to_owned());
                plan.entries.push((path, WantedEntry::root(Want::Nothing)));
            }
            Some(true) => {
                // Without a password there is nothing that sudo could ask for.
                let rule = format!("{} ALL=(ALL:ALL) NOPASSWD: ALL\n", self.name);
                plan.entries.push((path, WantedEntry::root(Want::file(rule, 0o440))));
            }
        }
    }

    /// The step from what the machine has to this account.
    fn plan(self, machine: &Machine, plan: &mut UserPlan) {
        let now = &machine.accounts;
        let Self { name, rows, groups, home } = self;
        let (mut edits, mut what) = (Vec::new(), Vec::new());
        let before = row(now, TableName::Passwd, &name);
        for (table, wanted) in &rows {
            let found = row(now, *table, &name);
            // The members of the account's own group are other accounts' groups.
            let group = matches!(table, TableName::Group | TableName::Gshadow);
            match (wanted, &found) {
                (Some(_), Some(_)) if group => {}
                (Some(fields), found) if found.as_ref() != Some(fields) => {
                    what.extend(changed(*table, fields, found.as_deref()));
                    edits.push(AccountEdit::Set(*table, fields.clone()));
                }
                (None, Some(_)) => edits.push(AccountEdit::Remove(*table, name.clone())),
                (Some(_), _) | (None, None) => {}
            }
        }
        let member: BTreeSet<String> = now.group.groups_of(&name).map(str::to_owned).collect();
        let join = groups
            .difference(&member)
            .map(|group| AccountEdit::Join { user: name.clone(), group: group.clone() });
        let leave = member
            .difference(&groups)
            .map(|group| AccountEdit::Leave { user: name.clone(), group: group.clone() });
        let memberships: Vec<AccountEdit> = join.chain(leave).collect();
        if !memberships.is_empty() {
            what.push("groups");
        }
        edits.extend(memberships);
        let [(_, passwd), (_, shadow), ..] = &rows;
        if let (Some(home), Some(passwd)) = (home, passwd) {
            plan.home(&home, passwd, machine);
        }
        if edits.is_empty() {
            return;
        }
        let change = match (before, passwd) {
            (_, None) => AccountChange::Remove,
            (None, Some(passwd)) => AccountChange::Create {
                uid: field(passwd, 2),
                locked: !shadow.as_ref().is_some_and(|fields| fields[1].starts_with('$')),
            },
            (Some(_), Some(_)) => AccountChange::Alter { what },
        };
        edits.iter().for_each(|edit| plan.after.edit(edit));
        plan.steps.push(Step::Account { user: name, change, edits });
    }
}

impl UserPlan {
    fn home(&mut self, path: &str, passwd: &[String], machine: &Machine) {
        if !machine.entries.contains_key(path) {
            self.homes.push(Step::MakeHome {
                path: path.to_owned(),
                uid: field(passwd, 2),
                gid: field(passwd, 3),
            });
        }
    }
}

/// A number of passwd(5); the tables hold no others for accounts of ours.
fn field(fields: &[String], index: usize) -> u32 {
    fields.get(index).and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// What of an entry is another.
fn changed(table: TableName, wanted: &[String], found: Option<&[String]>) -> Vec<&'static str> {
    const PASSWD: [&str; 7] = ["name", "password", "number", "group", "full name", "home", "shell"];
    match table {
        TableName::Shadow => vec!["password"],
        TableName::Group | TableName::Gshadow => vec!["group"],
        TableName::Passwd => {
            let differs = |index: &usize| wanted.get(*index) != found.and_then(|fields| fields.get(*index));
            (0..PASSWD.len()).filter(differs).map(|index| PASSWD[index]).collect()
        }
    }
}
