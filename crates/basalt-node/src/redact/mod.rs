//! Taking secrets out of texts that leave a machine: logs, states, command lines.
//!
//! `Redactor::new(secrets that are known) → text → text`
//!
//! What is taken out: the secrets that documents name, wherever they stand; values behind names such as `password`, `token` and
//! `PrivateKey`; passwords and parameters of addresses; password hashes; private keys; and words that are tokens by their form.
//! What is left is never changed, and what was redacted stays as it is.
//!
//! Not here: what nobody can tell from any other word. A password that a program wrote into its log without saying so is found
//! only if a document names it too.

mod values;
mod words;

#[cfg(test)]
mod tests;

/// What stands in place of a secret.
pub const REDACTED: &str = "<redacted>";

/// Shorter texts are in everything.
const LEAST_SECRET: usize = 4;

/// Takes secrets out of texts.
#[derive(Clone, Default)]
pub struct Redactor {
    known: Vec<String>,
}

impl Redactor {
    /// One that also takes out these, wherever they are.
    pub fn new(secrets: impl IntoIterator<Item = String>) -> Self {
        let mut known: Vec<String> =
            secrets.into_iter().filter(|secret| secret.len() >= LEAST_SECRET && secret != REDACTED).collect();
        // One that is a part of another comes behind it.
        known.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        known.dedup();
        Self { known }
    }

    /// The text without its secrets.
    pub fn text(&self, text: &str) -> String {
        let bare = without_keys(text);
        let bare = self.known.iter().fold(bare, |text, secret| text.replace(secret.as_str(), REDACTED));
        let mut out = String::with_capacity(bare.len());
        for line in bare.split_inclusive('\n') {
            out.push_str(&words::redact(&values::redact(line)));
        }
        out
    }
}

impl std::fmt::Debug for Redactor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Redactor").field("known", &self.known.len()).finish()
    }
}

/// Private keys in PEM (RFC 7468), whatever they are called; one without an end goes on to the end of the text.
fn without_keys(text: &str) -> String {
    const BEGIN: &str = "-----BEGIN ";
    const END: &str = "-----END ";
    const DASHES: &str = "-----";
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(BEGIN) {
        let (before, block) = rest.split_at(at);
        let label = block[BEGIN.len()..].split(DASHES).next().unwrap_or_default();
        let head = BEGIN.len() + label.len();
        out.push_str(before);
        if !label.contains("PRIVATE KEY") || label.contains('\n') {
            out.push_str(&block[..head.min(block.len())]);
            rest = &block[head.min(block.len())..];
            continue;
        }
        out.push_str(REDACTED);
        let end = block.find(END).and_then(|end| {
            let label = end + END.len();
            Some(label + block[label..].find(DASHES)? + DASHES.len())
        });
        rest = end.map_or("", |end| &block[end..]);
    }
    out.push_str(rest);
    out
}
