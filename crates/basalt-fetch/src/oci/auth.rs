//! How a registry wants to know who asks: the challenge in its 401, and the token service that it may name.
//!
//! Sources: RFC 9110 section 11.6.1 (challenges), RFC 7617 (Basic), RFC 6750 section 3 (Bearer); the Docker registry v2
//! token specification (`realm`, `service`, `scope`; `token` or `access_token` in the answer), and its OAuth2 variant for
//! identity tokens.

use serde::Deserialize;

use super::credentials::Credential;
use crate::http::{Answer, Ask, AskBody, Client, HttpError, Method};

/// One way that a registry offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Challenge {
    /// A name and a password with every request.
    Basic,
    /// A token from a service.
    Bearer {
        /// The service's URL.
        realm: String,
        /// What it calls the registry.
        service: Option<String>,
        /// What to ask for.
        scope: Option<String>,
    },
}

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub(super) enum TokenError {
    #[error(transparent)]
    Http(#[from] HttpError),
    #[error("its token service is at `{0}`, which is not HTTPS; credentials are not sent there")]
    Plain(String),
    #[error("its token service answered with status {0}")]
    Status(u16),
    #[error("its token service gave no token")]
    NoToken,
}

#[derive(Deserialize)]
struct TokenAnswer {
    #[serde(default)]
    token: Option<String>,
    #[serde(default)]
    access_token: Option<String>,
}

/// The longest answer of a token service.
const TOKEN_LIMIT: u64 = 1 << 20;

/// The challenges in the values of `WWW-Authenticate`, those that are known.
pub(super) fn challenges<'v>(values: impl Iterator<Item = &'v str>) -> Vec<Challenge> {
    values.flat_map(parse).collect()
}

fn parse(value: &str) -> Vec<Challenge> {
    let mut found: Vec<(String, Vec<(String, String)>)> = Vec::new();
    let mut rest = value.trim_start_matches([' ', ',']);
    while !rest.is_empty() {
        let end = rest.find([' ', '=', ',']).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        let after = after.trim_start_matches(' ');
        if let Some(value) = after.strip_prefix('=') {
            let (value, after) = parameter(value.trim_start_matches(' '));
            if let Some((_, parameters)) = found.last_mut() {
                parameters.push((word.to_ascii_lowercase(), value));
            }
            rest = after.trim_start_matches([' ', ',']);
        } else {
            found.push((word.to_ascii_lowercase(), Vec::new()));
            rest = after.trim_start_matches([' ', ',']);
        }
    }
    found.into_iter().filter_map(|(scheme, parameters)| challenge(&scheme, parameters)).collect()
}

fn challenge(scheme: &str, parameters: Vec<(String, String)>) -> Option<Challenge> {
    let get = |name: &str| parameters.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
    match scheme {
        "basic" => Some(Challenge::Basic),
        "bearer" => {
            Some(Challenge::Bearer { realm: get("realm")?, service: get("service"), scope: get("scope") })
        }
        _ => None,
    }
}

/// A quoted string or a token, and what is behind it.
fn parameter(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([',', ' ']).unwrap_or(text.len());
        return (text[..end].to_owned(), &text[end..]);
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return (value, &quoted[at + 1..]),
            '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
            other => value.push(other),
        }
    }
    (value, "")
}

/// Asks a token service; `plain` allows one without TLS.
pub(super) fn fetch_token(
    client: &Client,
    (realm, service): (&str, Option<&str>),
    scope: &str,
    credential: Option<&Credential>,
    plain: bool,
) -> Result<String, TokenError> {
    if !realm.starts_with("https://") && !plain {
        return Err(TokenError::Plain(realm.to_owned()));
    }
    let mut query = format!("scope={}", percent_encoded(scope));
    if let Some(service) = service {
        query.push_str(&format!("&service={}", percent_encoded(service)));
    }
    let answer = match credential {
        Some(Credential::Refresh(token)) => {
            let token = percent_encoded(token);
            let form = format!("grant_type=refresh_token&client_id=basalt&refresh_token={token}&{query}");
            let headers = [("Content-Type", "application/x-www-form-urlencoded".to_owned())];
            let body = AskBody::Bytes(form.as_bytes());
            let ask = Ask { method: Method::Post, url: realm, headers: &headers, body, limit: TOKEN_LIMIT };
            client.exchange(&ask)?
        }
        Some(Credential::Password { .. }) | None => {
            let basic = credential.and_then(Credential::basic);
            let headers: Vec<_> = basic.map(|value| ("Authorization", value)).into_iter().collect();
            let url = format!("{realm}{}{query}", if realm.contains('?') { '&' } else { '?' });
            let body = AskBody::Bytes(&[]);
            client.exchange(&Ask {
                method: Method::Get,
                url: &url,
                headers: &headers,
                body,
                limit: TOKEN_LIMIT,
            })?
        }
    };
    token(&answer)
}

fn token(answer: &Answer) -> Result<String, TokenError> {
    if !(200..300).contains(&answer.status) {
        return Err(TokenError::Status(answer.status));
    }
    let found: Option<TokenAnswer> = serde_json::from_slice(&answer.body).ok();
    let token = found.and_then(|found| found.token.or(found.access_token));
    token.filter(|token| !token.is_empty()).ok_or(TokenError::NoToken)
}

/// RFC 3986 section 2.1: all but unreserved characters.
pub(super) fn percent_encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

#[cfg(test)]
mod tests;
