use serde_json::{Value, json};

use super::{Document, emit, key_of_line};

const TEXT: &str = "# A machine.
apiVersion: basalt.dev/v1alpha1
kind: Recipe

# Its name
name: edge

packages: # what it has
  # Reached from outside
  - openssh-server
  - less

# Who
users:
- name: admin
  sudo: true
files:
  - path: /etc/motd
    content: |
      # not a comment

      name: not a key
outputs: [disk]
";

fn edit(changes: Vec<(&str, Option<Value>)>) -> String {
    Document::read(TEXT).unwrap().with(changes).text().to_owned()
}

#[test]
fn only_the_lines_of_what_changed_change() {
    assert_eq!(edit(vec![("name", Some(json!("edge")))]), TEXT, "the same value is no change");
    let renamed = edit(vec![("name", Some(json!("node")))]);
    assert_eq!(renamed, TEXT.replace("name: edge", "name: node"));
    let outputs = edit(vec![("outputs", Some(json!(["disk", "iso"])))]);
    assert_eq!(outputs, TEXT.replace("outputs: [disk]", "outputs:\n  - disk\n  - iso"));
    let without = edit(vec![("files", None)]);
    assert!(without.contains("sudo: true\noutputs: [disk]"), "{without}");
    let packages = edit(vec![("packages", Some(json!(["less"])))]);
    assert!(packages.contains("name: edge\n\npackages:\n  - less\n\n# Who\nusers:\n"), "{packages}");
}

#[test]
fn a_new_key_goes_where_the_reference_has_it() {
    let text = edit(vec![("version", Some(json!("1.2"))), ("script", Some(json!("echo a\necho b\n")))]);
    assert!(text.contains("name: edge\nversion: 1.2\n\npackages:"), "{text}");
    assert!(text.contains("not a key\nscript: |\n  echo a\n  echo b\noutputs: [disk]\n"), "{text}");
}

#[test]
fn a_text_without_lines_to_replace_is_written_anew() {
    let document = Document::read("{name: edge, kind: Recipe}").unwrap();
    let changed = document.with(vec![("name", Some(json!("node")))]);
    assert_eq!(changed.text(), "kind: Recipe\nname: node\n");
}

#[test]
fn what_is_written_reads_as_the_same() {
    let texts = [
        "plain",
        "with space",
        "- dash",
        "a: b",
        "a #b",
        "#x",
        "",
        "null",
        "~",
        "true",
        "1.10",
        "0644",
        "@at",
        "quote\"d",
        "two\nlines",
        "two\nlines\n",
        "three\n\n\nlines\n\n\n",
        " leading\nspace",
        "tab\there",
        "umlaut ü",
        "colon:",
        "[x]",
        "{x}",
        "*x",
        "&x",
        "!x",
        "%x",
        "ends with space ",
        "\n",
        "a\r\nb",
        "$6$salt$hash",
        "  \n x",
    ];
    for text in texts {
        let value = json!({"key": text, "list": [text, text], "maps": [{"name": text, "path": text}], "in": {"x": text}});
        let Value::Object(map) = &value else { panic!() };
        let written: String = map.iter().map(|(key, value)| emit::entry(key, value, 0)).collect();
        let read = Document::read(&written).unwrap_or_else(|error| panic!("{text:?}: {error:#}\n{written}"));
        assert_eq!(Value::Object(read.keys), value, "{text:?}:\n{written}");
    }
}

#[test]
fn a_line_belongs_to_the_key_above_it() {
    assert_eq!(key_of_line(TEXT, 6), Some("name"));
    assert_eq!(key_of_line(TEXT, 10), Some("packages"));
    assert_eq!(key_of_line(TEXT, 1), None);
}
