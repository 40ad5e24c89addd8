//! Words that are secrets by their form.

use super::REDACTED;

/// Methods of crypt(5), and of other password hashes in the same form: `$METHOD$…`.
const HASHES: [&str; 14] =
    ["1", "2a", "2b", "2x", "2y", "5", "6", "7", "y", "gy", "sha1", "argon2i", "argon2d", "argon2id"];

/// How tokens begin: of GitHub, GitLab, age, Slack, k3s, JSON Web Tokens in base64 (`{"`).
const TOKENS: [&str; 13] = [
    "AGE-SECRET-KEY-1",
    "K10",
    "eyJ",
    "ghp_",
    "gho_",
    "ghu_",
    "ghs_",
    "ghr_",
    "github_pat_",
    "glpat-",
    "xoxb-",
    "xoxp-",
    "dckr_pat_",
];

/// Shorter words that begin so are words.
const LEAST_TOKEN: usize = 20;

/// A line without them.
pub(super) fn redact(line: &str) -> String {
    let ends = |c: char| {
        c.is_whitespace()
            || matches!(c, '"' | '\'' | ',' | ';' | '(' | ')' | '{' | '}' | '[' | ']' | '=' | '\\')
    };
    let mut out = String::new();
    let mut rest = line;
    while let Some(end) = rest.find(ends) {
        out.push_str(&word(&rest[..end]));
        let length = rest[end..].chars().next().map_or(1, char::len_utf8);
        out.push_str(&rest[end..end + length]);
        rest = &rest[end + length..];
    }
    out.push_str(&word(rest));
    out
}

fn word(word: &str) -> String {
    match word.find('$').filter(|at| is_hash(&word[*at..])) {
        // A hash has no colon, and stands between two in /etc/shadow.
        Some(at) => {
            let end = word[at..].find(':').map_or(word.len(), |colon| at + colon);
            format!("{}{REDACTED}{}", &word[..at], &word[end..])
        }
        None => {
            let bare = word.trim_start_matches(|c: char| !c.is_ascii_alphanumeric());
            let is_token = bare.len() >= LEAST_TOKEN && TOKENS.iter().any(|begin| is_token(bare, begin));
            if is_token { format!("{}{REDACTED}", &word[..word.len() - bare.len()]) } else { word.to_owned() }
        }
    }
}

fn is_token(word: &str, begin: &str) -> bool {
    let Some(rest) = word.strip_prefix(begin) else { return false };
    match begin {
        // The digest of the cluster's certificate, then who.
        "K10" => rest.contains("::"),
        "eyJ" => rest.matches('.').count() == 2,
        _ => true,
    }
}

fn is_hash(text: &str) -> bool {
    let mut parts = text.split('$').skip(1);
    let method = parts.next().unwrap_or_default();
    HASHES.contains(&method) && parts.any(|part| part.len() >= 8)
}
