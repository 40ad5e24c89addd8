use super::SignatureError;

const BEGIN: &str = "-----BEGIN PGP SIGNED MESSAGE-----";
const SIGNATURE: &str = "-----BEGIN PGP SIGNATURE-----";
const END: &str = "-----END PGP SIGNATURE-----";

/// A cleartext signed message, taken apart.
pub(super) struct Message<'a> {
    /// The lines that are signed: dash-escapes undone, white space at their ends taken off, as both sides hash them.
    pub(super) text: Vec<&'a str>,
    /// The armored signature.
    pub(super) armor: &'a str,
}

/// Takes a message apart (RFC 9580 section 7). Stricter than the RFC where leniency would let a reader see text that
/// nobody signed: nothing may come before the message or after the signature, and only `Hash` headers are known.
pub(super) fn parse(bytes: &[u8]) -> Result<Message<'_>, SignatureError> {
    let refuse = SignatureError::Malformed;
    let whole = std::str::from_utf8(bytes).map_err(|_no_detail| refuse("it is not UTF-8"))?;
    let (first, mut rest) = next_line(whole);
    if first.trim_end() != BEGIN {
        return Err(refuse("it does not begin with a PGP signed message"));
    }
    loop {
        let (line, after) = next_line(rest);
        rest = after;
        match line.trim_end() {
            "" if after.is_empty() => return Err(refuse("it ends before the signed text")),
            "" => break,
            header if header.starts_with("Hash: ") => {}
            _ => return Err(refuse("it has a header other than Hash")),
        }
    }
    let mut text = Vec::new();
    let armor = loop {
        if rest.is_empty() {
            return Err(refuse("it ends before the signature"));
        }
        let (line, after) = next_line(rest);
        if line.trim_end() == SIGNATURE {
            break rest;
        }
        let plain = match line.strip_prefix("- ") {
            Some(escaped) => escaped,
            None if line.starts_with('-') => {
                return Err(refuse("a line begins with a dash that is not escaped"));
            }
            None => line,
        };
        text.push(plain.trim_end_matches([' ', '\t', '\r']));
        rest = after;
    };
    let end = armor.find(END).ok_or(refuse("the signature is cut off"))? + END.len();
    if !armor[end..].trim().is_empty() {
        return Err(refuse("there is text after the signature"));
    }
    Ok(Message { text, armor: &armor[..end] })
}

fn next_line(text: &str) -> (&str, &str) {
    text.split_once('\n').unwrap_or((text, ""))
}
