//! Values behind names that say what they are, and what stands in addresses.

use super::REDACTED;

/// Ends of names, without `-`, `_` and `.`, of which the value is a secret.
const NAMES: [&str; 19] = [
    "accesskey",
    "apikey",
    "authorization",
    "authtoken",
    "cookie",
    "credential",
    "credentials",
    "pass",
    "passphrase",
    "passwd",
    "password",
    "passwordhash",
    "presharedkey",
    "privatekey",
    "psk",
    "recoverykey",
    "secret",
    "secretkey",
    "token",
];

/// A line without them.
pub(super) fn redact(line: &str) -> String {
    named(&addresses(line))
}

fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.')
}

fn is_secret(name: &str) -> bool {
    let dense: String =
        name.chars().filter(|c| c.is_ascii_alphanumeric()).collect::<String>().to_ascii_lowercase();
    NAMES.iter().any(|end| dense.ends_with(end))
}

/// `NAME=VALUE`, `NAME: VALUE`, `"NAME": "VALUE"`, `--NAME VALUE`.
fn named(line: &str) -> String {
    let bytes = line.as_bytes();
    let (mut out, mut done, mut at) = (String::new(), 0, 0);
    while at < bytes.len() {
        if !is_name(bytes[at]) {
            at += 1;
            continue;
        }
        let start = at;
        while at < bytes.len() && is_name(bytes[at]) {
            at += 1;
        }
        let name = &line[start..at];
        if !is_secret(name) {
            continue;
        }
        if let Some((begin, end)) = value(line, name, at) {
            out.push_str(&line[done..begin]);
            out.push_str(REDACTED);
            (done, at) = (end, end);
        }
    }
    out.push_str(&line[done..]);
    out
}

/// Where the value behind a name that ends at `at` begins and ends.
fn value(line: &str, name: &str, at: usize) -> Option<(usize, usize)> {
    let rest = &line[at..];
    let unquoted = rest.strip_prefix(['"', '\'']).unwrap_or(rest);
    let spaced = unquoted.trim_start_matches([' ', '\t']);
    let (separator, behind) = match spaced.chars().next() {
        Some(sign @ ('=' | ':')) => (sign, &spaced[1..]),
        // An option of a command.
        Some(_) if name.starts_with("--") && spaced.len() < unquoted.len() => ('=', spaced),
        Some(_) | None => return None,
    };
    // `C::name` and `==` are no assignments.
    if behind.starts_with(separator) {
        return None;
    }
    let behind = behind.trim_start_matches([' ', '\t']);
    let begin = line.len() - behind.len();
    let length = match behind.chars().next() {
        None | Some('\n' | '\r' | '{' | '[' | '|' | '>') => return None,
        Some(quote @ ('"' | '\'')) => {
            let inner = quoted(&behind[1..], quote);
            return (!behind[1..].starts_with(REDACTED)).then_some((begin + 1, begin + 1 + inner));
        }
        // A header or YAML goes on to the end of its line; what is assigned ends with its word.
        Some(_) if separator == ':' => behind.trim_end().trim_end_matches(['}', ',', ']']).len(),
        Some(_) => behind
            .find(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '&' | ',' | ';'))
            .unwrap_or(behind.len()),
    };
    (length > 0 && !behind.starts_with(REDACTED)).then_some((begin, begin + length))
}

/// Bytes until the quote that is not escaped, or the end.
fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, sign) in text.char_indices() {
        match (escaped, sign) {
            (false, '\\') => escaped = true,
            (false, sign) if sign == quote || sign == '\n' => return at,
            (_, _) => escaped = false,
        }
    }
    text.len()
}

/// `scheme://USER:PASSWORD@host/path?name=VALUE`: the host, the path and the names stay.
fn addresses(line: &str) -> String {
    let mut out = String::new();
    let mut rest = line;
    while let Some(at) = rest.find("://") {
        let (head, tail) = rest.split_at(at + 3);
        out.push_str(head);
        let end = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '<' | '>' | '`' | '\\' | ')' | '}');
        // What was redacted before has brackets.
        let (done, tail) = match tail.strip_prefix(REDACTED) {
            Some(behind) => (REDACTED, behind),
            None => ("", tail),
        };
        out.push_str(done);
        let (url, behind) = tail.split_at(tail.find(end).unwrap_or(tail.len()));
        out.push_str(&address(url));
        rest = behind;
    }
    out.push_str(rest);
    out
}

fn address(url: &str) -> String {
    let (place, query) = url.split_once('?').unwrap_or((url, ""));
    let (host, path) = place.split_at(place.find('/').unwrap_or(place.len()));
    let host = match host.rsplit_once('@') {
        Some(("", host)) => format!("@{host}"),
        Some((_, host)) => format!("{REDACTED}@{host}"),
        None => host.to_owned(),
    };
    let parameters: Vec<String> = query
        .split('&')
        .map(|one| match one.split_once('=') {
            Some((name, "")) => format!("{name}="),
            Some((name, _)) => format!("{name}={REDACTED}"),
            None => one.to_owned(),
        })
        .collect();
    let mark = if url.contains('?') { "?" } else { "" };
    format!("{host}{path}{mark}{}", parameters.join("&"))
}
