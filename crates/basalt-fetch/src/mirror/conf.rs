use std::collections::BTreeMap;

/// Why apt configuration can't be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ConfError {
    /// A string or comment has no end.
    #[error("a string or comment that begins on line {0} does not end")]
    Open(usize),
    /// A brace too many or too few.
    #[error("the braces do not match on line {0}")]
    Braces(usize),
}

enum Token<'a> {
    Word(&'a str),
    Open,
    Close,
    End,
}

/// Reads apt configuration (apt.conf(5)) into options with their full names in lower case, such as
/// `acquire::http::proxy`. Lists keep their last entry, because nothing here reads one. `#clear` and `#include` are
/// not followed; as comments begin with `#` they are passed over.
pub fn parse_conf(text: &str) -> Result<BTreeMap<String, String>, ConfError> {
    let mut options = BTreeMap::new();
    let mut scopes: Vec<String> = Vec::new();
    let mut words: Vec<&str> = Vec::new();
    let (mut rest, mut line) = (text, 1);
    let full = |scopes: &[String], name: &str| {
        let mut parts: Vec<&str> =
            scopes.iter().map(String::as_str).filter(|scope| !scope.is_empty()).collect();
        parts.push(name.trim_end_matches("::"));
        parts.join("::").to_ascii_lowercase()
    };
    while let Some((token, at)) = next(&mut rest, &mut line)? {
        match token {
            Token::Word(word) => words.push(word),
            Token::Open => {
                scopes.push(words.first().copied().unwrap_or_default().to_owned());
                words.clear();
            }
            Token::Close => {
                scopes.pop().ok_or(ConfError::Braces(at))?;
                words.clear();
            }
            Token::End => {
                if let [name, value] = words[..] {
                    options.insert(full(&scopes, name), value.to_owned());
                }
                words.clear();
            }
        }
    }
    if scopes.is_empty() { Ok(options) } else { Err(ConfError::Braces(line)) }
}

/// The next token and the line it begins on.
fn next<'a>(rest: &mut &'a str, line: &mut usize) -> Result<Option<(Token<'a>, usize)>, ConfError> {
    loop {
        let trimmed = rest.trim_start();
        *line += rest[..rest.len() - trimmed.len()].matches('\n').count();
        let at = *line;
        let (token, length) = match trimmed.as_bytes() {
            [] => return Ok(None),
            [b'#', ..] | [b'/', b'/', ..] => {
                *rest = &trimmed[trimmed.find('\n').unwrap_or(trimmed.len())..];
                continue;
            }
            [b'/', b'*', ..] => {
                let end = trimmed.find("*/").ok_or(ConfError::Open(at))? + 2;
                *line += trimmed[..end].matches('\n').count();
                *rest = &trimmed[end..];
                continue;
            }
            [b'{', ..] => (Token::Open, 1),
            [b'}', ..] => (Token::Close, 1),
            [b';', ..] => (Token::End, 1),
            [b'"', ..] => {
                let end = trimmed[1..].find('"').ok_or(ConfError::Open(at))? + 1;
                (Token::Word(&trimmed[1..end]), end + 1)
            }
            _ => {
                let ends = |c: char| c.is_whitespace() || matches!(c, '{' | '}' | ';' | '"');
                let end = trimmed.find(ends).unwrap_or(trimmed.len());
                (Token::Word(&trimmed[..end]), end)
            }
        };
        *line += trimmed[..length].matches('\n').count();
        *rest = &trimmed[length..];
        return Ok(Some((token, at)));
    }
}
