//! The recipe as fields of a form: which there are, and what a filled-in form changes in the document.
//!
//! A form says what a key shall be and nothing about keys that it has no field for: those stay. Words are not checked here;
//! what is wrong with them is said of the document, as for whoever wrote it by hand.

use serde_json::{Map, Value, json};

use super::{
    document::Document,
    secret::{self, SecretError},
};

/// What a browser sent: names and values, in its order.
#[derive(Clone, Default)]
pub(super) struct Fields(Vec<(String, String)>);

/// So many lists of accounts and files a form can hold; a document may hold more, and they stay.
pub(super) const MOST_ITEMS: usize = 40;

impl Fields {
    /// Reads `application/x-www-form-urlencoded` bytes.
    pub(super) fn read(body: &[u8]) -> Self {
        Self(form_urlencoded::parse(body).into_owned().collect())
    }

    /// The value of a field; nothing when there is none.
    pub(super) fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str()).unwrap_or_default()
    }

    /// Whether a field was sent: a box is only when it is ticked.
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(known, _)| known == name)
    }

    /// The values of all fields of this name.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// A field's text as people typed it, with the line ends of this system (browsers send those of RFC 822).
    fn text(&self, name: &str) -> String {
        self.get(name).replace("\r\n", "\n")
    }

    fn lines(&self, name: &str) -> Vec<Value> {
        let text = self.text(name);
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        lines.map(Value::from).collect()
    }
}

impl std::fmt::Debug for Fields {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Passwords are among the values.
        f.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

/// The document as the form wants it.
///
/// # Errors
/// When a password that was typed can't be hashed.
pub(super) fn apply(fields: &Fields, document: &Document) -> Result<Document, SecretError> {
    let word = |name: &str| Some(fields.get(name).trim()).filter(|word| !word.is_empty()).map(Value::from);
    let list = |name: &str| Some(fields.lines(name)).filter(|list| !list.is_empty()).map(Value::from);
    let script = fields.text("script");
    let changes = vec![
        ("name", word("name")),
        ("version", word("version")),
        ("base", base(fields, document)),
        ("packages", list("packages")),
        ("recommends", fields.has("recommends").then(|| "true".into())),
        ("deselect", list("deselect")),
        ("kernel", nested(document, "kernel", &[("package", word("kernel"))])),
        ("kernelArguments", kernel_arguments(fields)),
        ("files", files(fields, document)),
        ("units", units(fields, document)),
        ("users", users(fields, document)?),
        ("locale", word("locale")),
        ("timezone", word("timezone")),
        ("hostname", word("hostname")),
        ("keymap", word("keymap")),
        ("script", (!script.trim().is_empty()).then(|| ended(script).into())),
        ("disk", disk(fields, document)),
        ("outputs", outputs(fields, document)),
    ];
    let keep = |(key, value): &(&str, Option<Value>)| !means_the_same(document.key(key), value.as_ref());
    Ok(document.with(changes.into_iter().filter(keep).collect()))
}

/// Whether the document says the same in other words: a key with its default is as good as none, white space is no change.
fn means_the_same(old: Option<&Value>, new: Option<&Value>) -> bool {
    let empty = |value: &Value| {
        *value == json!([])
            || *value == json!({})
            || *value == json!("")
            || *value == json!("false")
            || value.is_null()
    };
    match (old, new) {
        (Some(old), None) => empty(old),
        (Some(old), Some(new)) => old == new,
        (None, new) => new.is_none(),
    }
}

/// A text of several lines ends with a line's end.
fn ended(text: String) -> String {
    if text.is_empty() || text.ends_with('\n') { text } else { text + "\n" }
}

/// A mapping with these keys changed and its others as they are; none when nothing is in it.
fn nested(document: &Document, key: &str, changes: &[(&str, Option<Value>)]) -> Option<Value> {
    let old = document.key(key).and_then(Value::as_object).cloned().unwrap_or_default();
    some(merged(old, changes))
}

fn merged(mut map: Map<String, Value>, changes: &[(&str, Option<Value>)]) -> Map<String, Value> {
    for (key, value) in changes {
        if means_the_same(map.get(*key), value.as_ref()) {
            continue;
        }
        match value {
            Some(value) => drop(map.insert((*key).to_owned(), value.clone())),
            None => drop(map.remove(*key)),
        }
    }
    map
}

fn some(map: Map<String, Value>) -> Option<Value> {
    (!map.is_empty()).then_some(Value::Object(map))
}

fn base(fields: &Fields, document: &Document) -> Option<Value> {
    let word = |name: &str| Some(fields.get(name).trim()).filter(|word| !word.is_empty()).map(Value::from);
    let old = document.at(&["base", "debian"]).and_then(Value::as_object).cloned().unwrap_or_default();
    let components: Vec<Value> = fields.get("components").split_whitespace().map(Value::from).collect();
    let components = (!components.is_empty()).then(|| components.into());
    let debian = some(merged(
        old,
        &[("suite", word("suite")), ("components", components), ("snapshot", word("snapshot"))],
    ));
    let old = document.at(&["base", "oci"]);
    // The long form has keys that the form lacks.
    let oci = match (old, word("oci")) {
        (Some(Value::Object(old)), Some(word)) => some(merged(old.clone(), &[("ref", Some(word))])),
        (_, word) => word,
    };
    let known = nested(document, "base", &[("debian", debian), ("oci", oci)]);
    // A Debian base that is the default needs no words.
    known.filter(|base| *base != json!({"debian": {"suite": "trixie"}}) || document.key("base").is_some())
}

/// One a line; an argument may hold spaces in quotes only, so spaces part them too.
fn kernel_arguments(fields: &Fields) -> Option<Value> {
    let list: Vec<Value> = fields.get("arguments").split_whitespace().map(Value::from).collect();
    (!list.is_empty()).then(|| list.into())
}

fn units(fields: &Fields, document: &Document) -> Option<Value> {
    let list = |name: &str| Some(fields.lines(name)).filter(|list| !list.is_empty()).map(Value::from);
    nested(document, "units", &["enable", "disable", "mask"].map(|name| (name, list(name))))
}

fn disk(fields: &Fields, document: &Document) -> Option<Value> {
    let word = |name: &str| Some(fields.get(name).trim()).filter(|word| !word.is_empty()).map(Value::from);
    // On is the default of both.
    let unless = |name: &str| (!fields.has(name)).then(|| Value::from("false"));
    let on = |name: &str| match document.text_at(&["disk", name]) {
        "true" if fields.has(name) => Some(Value::from("true")),
        _default => unless(name),
    };
    let changes = [
        ("esp", word("esp")),
        ("slot", word("slot")),
        ("slotB", on("slotB")),
        ("recovery", on("recovery")),
        ("data", word("data")),
        ("dataFileSystem", word("dataFileSystem")),
        ("compression", word("compression")),
    ];
    nested_exact(document, "disk", &changes)
}

/// As [`nested`], where `false` means something.
fn nested_exact(document: &Document, key: &str, changes: &[(&str, Option<Value>)]) -> Option<Value> {
    let mut map = document.key(key).and_then(Value::as_object).cloned().unwrap_or_default();
    for (key, value) in changes {
        match value {
            Some(value) => drop(map.insert((*key).to_owned(), value.clone())),
            None => drop(map.remove(*key)),
        }
    }
    some(map)
}

/// What is not ticked is not made; the disk alone is the default.
fn outputs(fields: &Fields, document: &Document) -> Option<Value> {
    let wanted: Vec<&str> = fields.all("output").collect();
    let old: Vec<&str> = document.list_at(&["outputs"]).iter().filter_map(Value::as_str).collect();
    if document.key("outputs").is_none() && wanted == ["disk"] {
        return None;
    }
    // Another order is no change.
    if wanted.len() == old.len() && wanted.iter().all(|one| old.contains(one)) {
        return document.key("outputs").cloned();
    }
    Some(wanted.into())
}

/// The old item at this place as a mapping, for the keys that the form has no field for.
fn old_item(document: &Document, list: &str, index: usize) -> Map<String, Value> {
    document.list_at(&[list]).get(index).and_then(Value::as_object).cloned().unwrap_or_default()
}

fn users(fields: &Fields, document: &Document) -> Result<Option<Value>, SecretError> {
    let mut users = Vec::new();
    for index in 0..MOST_ITEMS {
        let field = |name: &str| format!("user.{index}.{name}");
        let word = |name: &str| {
            Some(fields.get(&field(name)).trim()).filter(|word| !word.is_empty()).map(Value::from)
        };
        // An account without a name is one that was taken away, or the empty one at the end.
        let Some(name) = word("name") else { continue };
        let old = old_item(document, "users", index);
        let password = fields.get(&field("password"));
        let hash = match (password.is_empty(), fields.has(&field("unlock"))) {
            (false, _) => Some(Value::from(secret::hash_for_image(password)?)),
            (true, true) => None,
            (true, false) => old.get("passwordHash").cloned(),
        };
        let groups: Vec<Value> = fields
            .get(&field("groups"))
            .split([' ', ',', '\r', '\n'])
            .filter(|group| !group.is_empty())
            .map(Value::from)
            .collect();
        let keys = fields.lines(&field("keys"));
        let user = merged(
            old,
            &[
                ("name", Some(name)),
                ("gecos", word("gecos")),
                ("groups", (!groups.is_empty()).then(|| groups.into())),
                ("sudo", fields.has(&field("sudo")).then(|| "true".into())),
                ("passwordHash", hash),
                ("sshAuthorizedKeys", (!keys.is_empty()).then(|| keys.into())),
            ],
        );
        users.push(Value::Object(user));
    }
    users.extend(document.list_at(&["users"]).iter().skip(MOST_ITEMS).cloned());
    Ok((!users.is_empty()).then(|| users.into()))
}

fn files(fields: &Fields, document: &Document) -> Option<Value> {
    let mut files = Vec::new();
    for index in 0..MOST_ITEMS {
        let field = |name: &str| format!("file.{index}.{name}");
        let word = |name: &str| {
            Some(fields.get(&field(name)).trim()).filter(|word| !word.is_empty()).map(Value::from)
        };
        let Some(path) = word("path") else { continue };
        let old = old_item(document, "files", index);
        let kind = fields.get(&field("kind"));
        let text = fields.text(&field("content"));
        // A text area takes the last line's end away from nobody, but people type none.
        let content = match old.get("content").and_then(Value::as_str) {
            Some(known) if known.trim_end_matches('\n') == text.trim_end_matches('\n') => known.to_owned(),
            Some(_) | None => ended(text.clone()),
        };
        let file = merged_file(
            old,
            &[
                ("path", Some(path)),
                ("content", (kind == "text").then(|| content.into())),
                ("target", (kind == "link").then(|| text.trim().into())),
                ("directory", (kind == "directory").then(|| "true".into())),
                ("mode", word("mode")),
                ("owner", word("owner")),
            ],
        );
        files.push(Value::Object(file));
    }
    files.extend(document.list_at(&["files"]).iter().skip(MOST_ITEMS).cloned());
    (!files.is_empty()).then(|| files.into())
}

/// As [`merged`], where an empty text means an empty file.
fn merged_file(mut map: Map<String, Value>, changes: &[(&str, Option<Value>)]) -> Map<String, Value> {
    for (key, value) in changes {
        match value {
            Some(value) => drop(map.insert((*key).to_owned(), value.clone())),
            None => drop(map.remove(*key)),
        }
    }
    map
}

#[cfg(test)]
mod tests {
    use super::{Fields, apply};
    use crate::serve::document::Document;

    const TEXT: &str = "apiVersion: basalt.dev/v1alpha1
kind: Recipe
name: edge # the name
base:
  debian:
    suite: trixie
    checkValidUntil: false
packages: [less]
users:
  - name: admin
    uid: 1234
    passwordHash: $6$salt$0123456789
disk:
  slotB: false
";

    /// The fields of a form that shows `TEXT`, and one more.
    fn form(more: &str) -> Document {
        let shown = "name=edge&suite=trixie&packages=less%0D%0A&user.0.name=admin&recovery=on&output=disk";
        let fields =
            Fields::read(format!("{more}{}{shown}", if more.is_empty() { "" } else { "&" }).as_bytes());
        apply(&fields, &Document::read(TEXT).unwrap()).unwrap()
    }

    #[test]
    fn a_form_that_nobody_touched_changes_nothing() {
        assert_eq!(form("").text(), TEXT);
    }

    #[test]
    fn keys_without_a_field_stay() {
        assert_eq!(form("suite=sid").text(), TEXT.replace("suite: trixie", "suite: sid"));
        let text = form("user.0.sudo=on").text().to_owned();
        assert!(text.contains("uid: 1234") && text.contains("sudo: true"), "{text}");
        assert!(text.contains("name: edge # the name"), "{text}");
    }

    #[test]
    fn a_password_becomes_a_hash() {
        let text = form("user.0.password=hunter42").text().to_owned();
        assert!(
            !text.contains("hunter42") && text.contains("passwordHash: $6$") && !text.contains("0123456789")
        );
        let locked = form("user.0.unlock=on").text().to_owned();
        assert!(!locked.contains("passwordHash"), "{locked}");
    }

    #[test]
    fn what_is_emptied_goes() {
        let fields = Fields::read(b"name=edge&slotB=on&recovery=on&output=disk&output=iso");
        let text = apply(&fields, &Document::read(TEXT).unwrap()).unwrap().text().to_owned();
        for gone in ["packages", "users", "disk:"] {
            assert!(!text.contains(gone), "{gone}: {text}");
        }
        assert!(text.ends_with("outputs:\n  - disk\n  - iso\n"), "{text}");
    }

    #[test]
    fn files_of_each_sort_are_written() {
        let files = "file.0.path=/etc/motd&file.0.kind=text&file.0.content=hi%0D%0Athere&file.1.path=/etc/l&file.1.kind=link\
                     &file.1.content=/run/x&file.2.path=/srv&file.2.kind=directory&file.3.path=&file.3.kind=text";
        let text = form(files).text().to_owned();
        let files = "files:\n  - path: /etc/motd\n    content: |\n      hi\n      there\n  - path: /etc/l\n    target: /run/x\n  - path: /srv\n    directory: true\n";
        assert!(text.contains(files), "{text}");
    }
}
