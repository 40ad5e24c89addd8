//! Who may do what: accounts, one-time links, sessions, tokens, and what they did.

use rusqlite::{Connection, params};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{State, StateResult, all, first, now};
use crate::serve::secret::{self, Token};

/// How long a session lasts that nobody ends.
const SESSION: i64 = 7 * 24 * 3600;
/// How long a link of the first start, or an invitation, lasts.
const LINK: i64 = 48 * 3600;

/// An account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::serve) struct Account {
    pub(in crate::serve) id: i64,
    pub(in crate::serve) name: String,
    pub(in crate::serve) project: i64,
    pub(in crate::serve) project_name: String,
    pub(in crate::serve) admin: bool,
    pub(in crate::serve) created: i64,
}

/// What a token may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(in crate::serve) enum Scope {
    /// Look at recipes and builds, check and resolve recipes, download.
    Read,
    /// Save recipes, start and cancel builds.
    Build,
    /// Pin and delete builds.
    Manage,
}

/// Whoever asks, known by a session or a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::serve) struct Who {
    pub(in crate::serve) account: Account,
    /// What a form of this session must hold; none for a token, which no browser sends by itself.
    pub(in crate::serve) form: Option<Form>,
    pub(in crate::serve) scopes: Vec<Scope>,
}

/// What proves that a form is one of our pages'.
#[derive(Clone, PartialEq, Eq)]
pub(in crate::serve) struct Form(pub(in crate::serve) String);

/// What a one-time link opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::serve) struct Invitation {
    /// The project that the new account belongs to; a new one of its own if there is none.
    pub(in crate::serve) project: Option<i64>,
    pub(in crate::serve) admin: bool,
}

/// A token as its owner sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::serve) struct TokenRow {
    pub(in crate::serve) id: i64,
    pub(in crate::serve) name: String,
    pub(in crate::serve) scopes: Vec<Scope>,
    pub(in crate::serve) created: i64,
    pub(in crate::serve) expires: i64,
    pub(in crate::serve) used: Option<i64>,
}

/// One thing that somebody did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::serve) struct AuditRow {
    pub(in crate::serve) at: i64,
    pub(in crate::serve) account: String,
    pub(in crate::serve) action: String,
    pub(in crate::serve) subject: String,
}

impl Scope {
    pub(in crate::serve) const ALL: [Self; 3] = [Self::Read, Self::Build, Self::Manage];

    pub(in crate::serve) const fn word(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Build => "build",
            Self::Manage => "manage",
        }
    }

    fn of(words: &str) -> Vec<Self> {
        Self::ALL.into_iter().filter(|scope| words.split(' ').any(|word| word == scope.word())).collect()
    }
}

impl std::fmt::Debug for Form {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Form(…)")
    }
}

const ACCOUNT: &str = "SELECT accounts.id, accounts.name, project, projects.name, admin, created FROM accounts \
                       JOIN projects ON projects.id = project";

fn account(row: &rusqlite::Row<'_>) -> rusqlite::Result<Account> {
    Ok(Account {
        id: row.get(0)?,
        name: row.get(1)?,
        project: row.get(2)?,
        project_name: row.get(3)?,
        admin: row.get(4)?,
        created: row.get(5)?,
    })
}

impl State {
    /// Whether there is no account yet.
    pub(in crate::serve) fn is_new(&self) -> StateResult<bool> {
        Ok(first(&self.database(), "SELECT 1 FROM accounts", [], |_| Ok(()))?.is_none())
    }

    /// Makes a one-time link. The link of the first start replaces the one before.
    pub(in crate::serve) fn new_link(&self, invitation: Invitation) -> StateResult<Token> {
        let Invitation { project, admin } = invitation;
        let token = Token::new("")?;
        let database = self.database();
        if admin && project.is_none() {
            database.execute("DELETE FROM links WHERE project IS NULL AND admin", [])?;
        }
        let row = params![token.digest().hex(), project, admin, now() + LINK];
        database
            .execute("INSERT INTO links (digest, project, admin, expires) VALUES (?1, ?2, ?3, ?4)", row)?;
        Ok(token)
    }

    /// What this link opens, if it still does.
    pub(in crate::serve) fn link(&self, token: &str) -> StateResult<Option<Invitation>> {
        invitation(&self.database(), token)
    }

    /// Makes the account that a link opens, and uses the link up: both or neither. `None` when the link opens nothing (any
    /// more); the name is taken when that is the error.
    pub(in crate::serve) fn new_account(
        &self,
        token: &str,
        (name, password): (&str, &str),
    ) -> StateResult<Option<Result<i64, NameTaken>>> {
        let hash = secret::hash_password(password)?;
        let mut database = self.database();
        let transaction = database.transaction()?;
        let Some(Invitation { project, admin }) = invitation(&transaction, token)? else { return Ok(None) };
        if first(&transaction, "SELECT 1 FROM accounts WHERE name = ?1", [name], |_| Ok(()))?.is_some() {
            return Ok(Some(Err(NameTaken)));
        }
        let project = match project {
            Some(project) => project,
            None => {
                transaction.execute("INSERT INTO projects (name) VALUES (?1)", [name])?;
                transaction.last_insert_rowid()
            }
        };
        let query =
            "INSERT INTO accounts (name, password, project, admin, created) VALUES (?1, ?2, ?3, ?4, ?5)";
        transaction.execute(query, params![name, hash, project, admin, now()])?;
        let id = transaction.last_insert_rowid();
        transaction.execute("DELETE FROM links WHERE digest = ?1", [secret::digest_of(token).hex()])?;
        let what = if admin { "made the account of an administrator" } else { "made an account" };
        audit(&transaction, (name, Some(project)), what, name)?;
        transaction.commit()?;
        Ok(Some(Ok(id)))
    }

    /// The account with this name and password. Takes as long whether there is one or not.
    pub(in crate::serve) fn sign_in(&self, name: &str, password: &str) -> StateResult<Option<i64>> {
        let query = "SELECT id, password FROM accounts WHERE name = ?1";
        let read = |row: &rusqlite::Row<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?));
        let found = first(&self.database(), query, [name], read)?;
        let fits = secret::verify_password(password, found.as_ref().map(|(_, hash)| hash.as_str()));
        Ok(found.filter(|_| fits).map(|(id, _)| id))
    }

    /// Changes a password and ends all sessions of the account.
    pub(in crate::serve) fn change_password(&self, who: &Account, password: &str) -> StateResult {
        let hash = secret::hash_password(password)?;
        let mut database = self.database();
        let transaction = database.transaction()?;
        transaction.execute("UPDATE accounts SET password = ?1 WHERE id = ?2", params![hash, who.id])?;
        transaction.execute("DELETE FROM sessions WHERE account = ?1", [who.id])?;
        audit(&transaction, (&who.name, Some(who.project)), "changed the password", &who.name)?;
        Ok(transaction.commit()?)
    }

    /// Begins a session; what is given back is for the browser alone.
    pub(in crate::serve) fn new_session(&self, account: i64) -> StateResult<Token> {
        let (token, form) = (Token::new("")?, Token::new("")?);
        let database = self.database();
        database.execute("DELETE FROM sessions WHERE expires < ?1", [now()])?;
        let row = params![token.digest().hex(), account, form.reveal(), now() + SESSION];
        let query = "INSERT INTO sessions (digest, account, form, expires) VALUES (?1, ?2, ?3, ?4)";
        database.execute(query, row)?;
        Ok(token)
    }

    /// Ends a session.
    pub(in crate::serve) fn end_session(&self, token: &str) -> StateResult {
        let digest = secret::digest_of(token).hex();
        self.database().execute("DELETE FROM sessions WHERE digest = ?1", [digest])?;
        Ok(())
    }

    /// Whose session this is.
    pub(in crate::serve) fn session(&self, token: &str) -> StateResult<Option<Who>> {
        let database = self.database();
        let query = "SELECT account, form FROM sessions WHERE digest = ?1 AND expires > ?2";
        let digest = secret::digest_of(token).hex();
        let read = |row: &rusqlite::Row<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?));
        let Some((id, form)) = first(&database, query, params![digest, now()], read)? else {
            return Ok(None);
        };
        let account = first(&database, &format!("{ACCOUNT} WHERE accounts.id = ?1"), [id], account)?;
        Ok(account.map(|account| Who { account, form: Some(Form(form)), scopes: Scope::ALL.into() }))
    }

    /// Makes a token for programs.
    pub(in crate::serve) fn new_token(
        &self,
        who: &Account,
        name: &str,
        (scopes, days): (&[Scope], i64),
    ) -> StateResult<Token> {
        let token = Token::new("basalt_")?;
        let words: Vec<&str> = scopes.iter().map(|scope| scope.word()).collect();
        let expires = now() + days * 24 * 3600;
        let row = params![who.id, name, token.digest().hex(), words.join(" "), now(), expires];
        let query = "INSERT INTO tokens (account, name, digest, scopes, created, expires) \
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        let database = self.database();
        database.execute(query, row)?;
        audit(&database, (&who.name, Some(who.project)), "made a token", name)?;
        Ok(token)
    }

    /// Whose token this is.
    pub(in crate::serve) fn token(&self, token: &str) -> StateResult<Option<Who>> {
        let database = self.database();
        let digest = secret::digest_of(token).hex();
        let query =
            "UPDATE tokens SET used = ?2 WHERE digest = ?1 AND expires > ?2 RETURNING account, scopes";
        let read = |row: &rusqlite::Row<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?));
        let Some((id, scopes)) = first(&database, query, params![digest, now()], read)? else {
            return Ok(None);
        };
        let account = first(&database, &format!("{ACCOUNT} WHERE accounts.id = ?1"), [id], account)?;
        Ok(account.map(|account| Who { account, form: None, scopes: Scope::of(&scopes) }))
    }

    /// An account's tokens.
    pub(in crate::serve) fn tokens(&self, account: i64) -> StateResult<Vec<TokenRow>> {
        let query =
            "SELECT id, name, scopes, created, expires, used FROM tokens WHERE account = ?1 ORDER BY id";
        all(&self.database(), query, [account], |row| {
            Ok(TokenRow {
                id: row.get(0)?,
                name: row.get(1)?,
                scopes: Scope::of(&row.get::<_, String>(2)?),
                created: row.get(3)?,
                expires: row.get(4)?,
                used: row.get(5)?,
            })
        })
    }

    /// Takes a token back; whether the account had it.
    pub(in crate::serve) fn remove_token(&self, who: &Account, id: i64) -> StateResult<bool> {
        let database = self.database();
        let removed =
            database.execute("DELETE FROM tokens WHERE id = ?1 AND account = ?2", params![id, who.id])?;
        if removed > 0 {
            audit(&database, (&who.name, Some(who.project)), "took a token back", &id.to_string())?;
        }
        Ok(removed > 0)
    }

    /// All accounts, for administrators.
    pub(in crate::serve) fn accounts(&self) -> StateResult<Vec<Account>> {
        all(&self.database(), &format!("{ACCOUNT} ORDER BY accounts.name"), [], account)
    }

    /// Notes what somebody did.
    pub(in crate::serve) fn audit(&self, who: &Account, action: &str, subject: &str) -> StateResult {
        audit(&self.database(), (&who.name, Some(who.project)), action, subject)
    }

    /// Notes what somebody tried who is not known.
    pub(in crate::serve) fn audit_stranger(&self, action: &str, subject: &str) -> StateResult {
        // A name that was typed may be a password in the wrong field: it is not kept.
        audit(&self.database(), ("", None), action, subject)
    }

    /// The newest rows, for administrators.
    pub(in crate::serve) fn audit_rows(&self, most: u32) -> StateResult<Vec<AuditRow>> {
        let query = "SELECT at, account, action, subject FROM audit ORDER BY id DESC LIMIT ?1";
        all(&self.database(), query, [most], |row| {
            Ok(AuditRow { at: row.get(0)?, account: row.get(1)?, action: row.get(2)?, subject: row.get(3)? })
        })
    }
}

/// Somebody has this name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::serve) struct NameTaken;

fn invitation(connection: &Connection, token: &str) -> StateResult<Option<Invitation>> {
    let query = "SELECT digest, project, admin FROM links WHERE digest = ?1 AND expires > ?2";
    let digest = secret::digest_of(token).hex();
    let read = |row: &rusqlite::Row<'_>| {
        Ok((row.get::<_, String>(0)?, Invitation { project: row.get(1)?, admin: row.get(2)? }))
    };
    let found = first(connection, query, params![digest, now()], read)?;
    // The database compares digests its own way; this is the comparison that counts.
    Ok(found.filter(|(known, _)| secret::is_same(known, &digest)).map(|(_, invitation)| invitation))
}

fn audit(
    connection: &Connection,
    (account, project): (&str, Option<i64>),
    action: &str,
    subject: &str,
) -> StateResult {
    let query = "INSERT INTO audit (at, account, project, action, subject) VALUES (?1, ?2, ?3, ?4, ?5)";
    connection.execute(query, params![now(), account, project, action, subject])?;
    Ok(())
}
