//! What should not travel in an image: keys, passwords, accounts, what was typed.

use super::{Image, LintError, Notes};

/// Files of which the name says that they hold an account, wherever they are: how the path ends, what it is.
const CREDENTIALS: [(&str, &str); 20] = [
    ("/.aws/credentials", "an AWS account"),
    ("/.azure/accessTokens.json", "an Azure account"),
    ("/.azure/msal_token_cache.json", "an Azure account"),
    ("/.boto", "a cloud account"),
    ("/.cargo/credentials.toml", "a token of a package registry"),
    ("/.config/gcloud/application_default_credentials.json", "a Google Cloud account"),
    ("/.config/gcloud/credentials.db", "a Google Cloud account"),
    ("/.config/gh/hosts.yml", "a token of a code host"),
    ("/.docker/config.json", "accounts of container registries"),
    ("/.git-credentials", "accounts of code hosts"),
    ("/.kube/config", "an account of a cluster"),
    ("/.my.cnf", "a database account"),
    ("/.netrc", "accounts of servers"),
    ("/.npmrc", "a token of a package registry"),
    ("/.pgpass", "database accounts"),
    ("/.pypirc", "an account of a package registry"),
    ("/.vault-token", "a token of a secret store"),
    ("/containers/auth.json", "accounts of container registries"),
    ("/etc/apt/auth.conf", "accounts of package archives"),
    ("/etc/rancher/k3s/k3s.yaml", "an account of a cluster"),
];

/// Names of files that keep what was typed.
const HISTORIES: [&str; 11] = [
    ".ash_history",
    ".bash_history",
    ".lesshst",
    ".mysql_history",
    ".node_repl_history",
    ".psql_history",
    ".python_history",
    ".sqlite_history",
    ".viminfo",
    ".wget-hsts",
    ".zsh_history",
];

/// How private keys begin (RFC 7468, and OpenSSH's PROTOCOL.key).
const KEY_STARTS: [&str; 7] = [
    "-----BEGIN PRIVATE KEY-----",
    "-----BEGIN ENCRYPTED PRIVATE KEY-----",
    "-----BEGIN RSA PRIVATE KEY-----",
    "-----BEGIN EC PRIVATE KEY-----",
    "-----BEGIN DSA PRIVATE KEY-----",
    "-----BEGIN OPENSSH PRIVATE KEY-----",
    "-----BEGIN PGP PRIVATE KEY BLOCK-----",
];

/// No key that is used is longer, and certificates may stand before it.
const LONGEST_KEY: u64 = 64 << 10;

/// A key that a package ships is public already: it is for its tests or examples.
pub(super) fn private_keys(image: &Image<'_>, notes: &mut Notes) -> Result<(), LintError> {
    for (name, content) in image.files() {
        let small = (1..=LONGEST_KEY).contains(&content.size);
        if name.owner.is_some() || !small || is_host_key(&name.path) {
            continue;
        }
        let bytes = image.start(&name.path, content, 64 << 10)?;
        let text = String::from_utf8_lossy(&bytes);
        if let Some(start) = KEY_STARTS.iter().find(|start| text.lines().any(|line| line.trim() == **start)) {
            notes.at(&name.path, format!("it holds `{start}`"));
        }
    }
    Ok(())
}

pub(super) fn ssh_host_keys(image: &Image<'_>, notes: &mut Notes) -> Result<(), LintError> {
    for (name, content) in image.files() {
        if is_host_key(&name.path) && content.size > 0 {
            notes.at(&name.path, "a private host key of an SSH server");
        }
    }
    Ok(())
}

fn is_host_key(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or_default();
    name.starts_with("ssh_host_") && name.ends_with("_key")
}

pub(super) fn credentials(image: &Image<'_>, notes: &mut Notes) -> Result<(), LintError> {
    for (name, content) in image.files() {
        let in_parts = name.path.contains("/etc/apt/auth.conf.d/") && name.path.ends_with(".conf");
        let found = CREDENTIALS.iter().find(|(end, _)| name.path.ends_with(end)).map(|(_, what)| *what);
        let found = found.or(in_parts.then_some("accounts of package archives"));
        if content.size > 0
            && name.owner.is_none()
            && let Some(what) = found
        {
            notes.at(&name.path, format!("such a file holds {what}"));
        }
    }
    Ok(())
}

pub(super) fn histories(image: &Image<'_>, notes: &mut Notes) -> Result<(), LintError> {
    for (name, content) in image.files() {
        let last = name.path.rsplit('/').next().unwrap_or_default();
        if content.size > 0 && HISTORIES.contains(&last) {
            notes.at(&name.path, "a program keeps in it what was typed or visited");
        }
    }
    Ok(())
}

pub(super) fn empty_passwords(image: &Image<'_>, notes: &mut Notes) -> Result<(), LintError> {
    for (user, password) in passwords(image)? {
        if password.is_empty() {
            notes.at("/etc/shadow", format!("the account {user} has an empty password"));
        }
    }
    Ok(())
}

/// An account is open when its field is a hash; `!` and `*` before anything lock it (shadow(5)).
pub(super) fn shared_passwords(image: &Image<'_>, notes: &mut Notes) -> Result<(), LintError> {
    for (user, password) in passwords(image)? {
        if !password.is_empty() && !password.starts_with(['!', '*']) {
            notes.at("/etc/shadow", format!("the account {user} has a password that is in the image"));
        }
    }
    Ok(())
}

/// Names and password fields, of shadow(5) or, where passwd(5) does not refer to it, of that.
fn passwords(image: &Image<'_>) -> Result<Vec<(String, String)>, LintError> {
    let mut passwords = Vec::new();
    for (path, elsewhere) in [("/etc/shadow", ""), ("/etc/passwd", "x")] {
        for line in image.text(path)?.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let mut fields = line.split(':');
            if let (Some(user), Some(password)) = (fields.next(), fields.next())
                && (elsewhere.is_empty() || password != elsewhere)
            {
                passwords.push((user.to_owned(), password.to_owned()));
            }
        }
    }
    Ok(passwords)
}
