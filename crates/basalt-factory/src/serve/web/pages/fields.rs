//! The form's fields, drawn from the document.

use basalt_spec::{Output, OutputSource};
use maud::{Markup, html};
use serde_json::Value;

use crate::serve::{
    check::{Checked, Severity},
    document::Document,
    form::MOST_ITEMS,
};

/// The whole form.
pub(super) fn all(document: &Document, checked: &Checked) -> Markup {
    let draw = Draw { document, checked };
    html! {
        (draw.section(("What it is", "identity"), true, &draw.identity()))
        (draw.section(("What is in it", "content"), true, &draw.content()))
        (draw.section(("Who may log in", "users"), true, &draw.users()))
        (draw.section(("Files", "files"), draw.has("files"), &draw.files()))
        (draw.section(("Services and start", "system"), draw.has("units") || draw.has("script"), &draw.system()))
        (draw.section(("Disk", "disk"), draw.has("disk"), &draw.disk()))
        (draw.section(("What to make", "outputs"), true, &draw.outputs()))
    }
}

struct Draw<'a> {
    document: &'a Document,
    checked: &'a Checked,
}

/// A line of text to fill in.
struct Line<'a> {
    name: &'a str,
    label: &'a str,
    value: &'a str,
    /// What counts when nothing is filled in.
    empty: &'a str,
    /// The key whose problems are this field's.
    key: &'a str,
    help: &'a str,
}

impl Draw<'_> {
    fn has(&self, key: &str) -> bool {
        self.document.key(key).is_some()
    }

    fn refused(&self, key: &str) -> bool {
        let refused = |finding: &&crate::serve::check::Finding| {
            finding.severity == Severity::Refusal && finding.key.as_deref() == Some(key)
        };
        self.checked.findings.iter().any(|finding| refused(&finding))
    }

    fn section(&self, (title, id): (&str, &str), open: bool, inside: &Markup) -> Markup {
        html! {
            details .section id={ "section-" (id) } open[open] {
                summary { h2 { (title) } }
                div .inside { (inside) }
            }
        }
    }

    fn line(&self, line: &Line<'_>) -> Markup {
        let Line { name, label, value, empty, key, help } = line;
        let id = name.replace('.', "-");
        html! {
            div .field data-key=(key) {
                label for=(id) { (label) }
                input id=(id) name=(name) value=(value) placeholder=(empty) autocapitalize="none" autocomplete="off" spellcheck="false"
                    aria-invalid=[self.refused(key).then_some("true")]
                    aria-describedby=[(!help.is_empty()).then(|| format!("{id}-help"))];
                @if !help.is_empty() { p .help id={ (id) "-help" } { (help) } }
            }
        }
    }

    fn area(&self, (name, label): (&str, &str), value: &str, (key, help): (&str, &str)) -> Markup {
        let id = name.replace('.', "-");
        let rows = value.lines().count().clamp(2, 14) + 1;
        html! {
            div .field data-key=(key) {
                label for=(id) { (label) }
                textarea id=(id) name=(name) rows=(rows) wrap="off" autocapitalize="none" autocomplete="off" spellcheck="false"
                    aria-invalid=[self.refused(key).then_some("true")]
                    aria-describedby=[(!help.is_empty()).then(|| format!("{id}-help"))] { "\n" (value) }
                @if !help.is_empty() { p .help id={ (id) "-help" } { (help) } }
            }
        }
    }

    fn choice(&self, (name, label): (&str, &str), value: &str, choices: &[(&str, &str)]) -> Markup {
        let known = choices.iter().any(|(word, _)| *word == value);
        html! {
            div .field {
                label for=(name) { (label) }
                select id=(name) name=(name) {
                    @if !known { option value=(value) selected { (value) } }
                    @for (word, text) in choices { option value=(word) selected[*word == value] { (text) } }
                }
            }
        }
    }

    fn tick(&self, (name, label): (&str, &str), ticked: bool, help: &str) -> Markup {
        let id = name.replace('.', "-");
        html! {
            div .tick {
                input id=(id) type="checkbox" name=(name) checked[ticked];
                label for=(id) { (label) @if !help.is_empty() { span .help { " " (help) } } }
            }
        }
    }

    fn text(&self, path: &[&str]) -> &str {
        self.document.text_at(path)
    }

    fn lines(&self, path: &[&str]) -> String {
        joined(self.document.list_at(path), "\n")
    }

    fn top<'b>(&'b self, name: &'b str, label: &'b str, (empty, help): (&'b str, &'b str)) -> Markup {
        self.line(&Line { name, label, value: self.text(&[name]), empty, key: name, help })
    }

    fn identity(&self) -> Markup {
        let image = self.text(&["name"]);
        html! {
            div .pair {
                (self.top("name", "Name", ("", "Names the image, its files and, unless you say otherwise, the machine.")))
                (self.top("version", "Version", ("0.1.0", "A machine boots the newest that works.")))
            }
            div .pair {
                (self.top("hostname", "Host name", (image, "")))
                (self.top("locale", "Language", ("C.UTF-8", "")))
            }
            div .pair {
                (self.top("timezone", "Time zone", ("Etc/UTC", "")))
                (self.top("keymap", "Keyboard", ("us", "")))
            }
        }
    }

    fn content(&self) -> Markup {
        let oci = match self.document.at(&["base", "oci"]) {
            Some(Value::Object(long)) => long.get("ref").and_then(Value::as_str).unwrap_or_default(),
            Some(Value::String(short)) => short,
            _none => "",
        };
        let base = |name, label, value, empty, help| {
            self.line(&Line { name, label, value, empty, key: "base", help })
        };
        let components = joined(self.document.list_at(&["base", "debian", "components"]), " ");
        let kernel = self.text(&["kernel", "package"]);
        html! {
            div .pair {
                (base("suite", "Debian suite", self.text(&["base", "debian", "suite"]), "trixie", ""))
                (base("components", "Components", &components, "main", ""))
            }
            div .pair {
                (base("snapshot", "As of", self.text(&["base", "debian", "snapshot"]), "now", "A moment of a snapshot archive: 20260801T000000Z."))
                (base("oci", "Or an OCI image", oci, "none", "Packages and kernel are the image's then."))
            }
            (self.area(("packages", "Packages"), &self.lines(&["packages"]), ("packages", "One a line. The kernel, systemd and the boot loader come by themselves.")))
            (self.tick(("recommends", "With recommended packages"), self.text(&["recommends"]) == "true", ""))
            (self.area(("deselect", "Never these"), &self.lines(&["deselect"]), ("deselect", "Packages that must not be there, whoever asks for them.")))
            (self.line(&Line { name: "kernel", label: "Kernel", value: kernel, empty: "linux-image-amd64", key: "kernel", help: "A package, or none for a tree that is not booted." }))
            (self.area(("arguments", "Kernel command line"), &self.lines(&["kernelArguments"]), ("kernelArguments", "One argument a line, after those that Basalt writes.")))
        }
    }

    fn users(&self) -> Markup {
        let users = self.document.list_at(&["users"]);
        let shown = users.len().min(MOST_ITEMS - 1);
        html! {
            @for (index, user) in users.iter().take(shown).enumerate() { (self.user(index, user)) }
            details .more {
                summary { "Another account" }
                (self.user(shown, &Value::Null))
            }
        }
    }

    fn user(&self, index: usize, user: &Value) -> Markup {
        let text = |key: &str| user.get(key).and_then(Value::as_str).unwrap_or_default();
        let list = |key: &str, by| {
            joined(user.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default(), by)
        };
        let name = |field: &str| format!("user.{index}.{field}");
        let has_password = !text("passwordHash").is_empty();
        let title = if text("name").is_empty() { "New account" } else { text("name") };
        let line = |field, label, value: &str, empty, help| {
            self.line(&Line { name: &name(field), label, value, empty, key: "users", help })
        };
        let password = format!("user-{index}-password");
        html! {
            fieldset {
                legend { (title) }
                div .pair {
                    (line("name", "Login name", text("name"), "", "Empty takes the account away."))
                    (line("gecos", "Full name", text("gecos"), "", ""))
                }
                div .field {
                    label for=(password) { "Password" }
                    input id=(password) name=(name("password")) type="password" autocomplete="new-password"
                        placeholder=(if has_password { "as it is" } else { "none: locked" }) aria-describedby={ (password) "-help" };
                    p .help id={ (password) "-help" } { "The recipe gets its hash and never the password." }
                }
                @if has_password { (self.tick((&name("unlock"), "Take the password away"), false, "")) }
                (self.area((&name("keys"), "SSH keys"), &list("sshAuthorizedKeys", "\n"), ("users", "Public keys, one a line.")))
                (line("groups", "Groups", &list("groups", " "), "none", ""))
                (self.tick((&name("sudo"), "May become root with sudo"), text("sudo") == "true", ""))
            }
        }
    }

    fn files(&self) -> Markup {
        let files = self.document.list_at(&["files"]);
        let shown = files.len().min(MOST_ITEMS - 1);
        html! {
            @for (index, file) in files.iter().take(shown).enumerate() { (self.file(index, file)) }
            details .more {
                summary { "Another file" }
                (self.file(shown, &Value::Null))
            }
        }
    }

    fn file(&self, index: usize, file: &Value) -> Markup {
        let text = |key: &str| file.get(key).and_then(Value::as_str).unwrap_or_default();
        let name = |field: &str| format!("file.{index}.{field}");
        let kind = match (file.get("target").is_some(), text("directory") == "true") {
            (true, _) => "link",
            (false, true) => "directory",
            (false, false) => "text",
        };
        let content = if kind == "link" { text("target") } else { text("content") };
        let title = if text("path").is_empty() { "New file" } else { text("path") };
        let kinds = [("text", "Text"), ("link", "Link"), ("directory", "Folder")];
        let line = |field, label, value: &str, empty, help| {
            self.line(&Line { name: &name(field), label, value, empty, key: "files", help })
        };
        html! {
            fieldset {
                legend { (title) }
                div .pair {
                    (line("path", "Path", text("path"), "", "Empty takes the file away."))
                    (self.choice((&name("kind"), "What it is"), kind, &kinds))
                }
                (self.area((&name("content"), "Text, or what the link points to"), content, ("files", "")))
                div .pair {
                    (line("mode", "Permissions", text("mode"), if kind == "directory" { "0755" } else { "0644" }, ""))
                    (line("owner", "Owner", text("owner"), "root:root", ""))
                }
            }
        }
    }

    fn system(&self) -> Markup {
        let units = |name, label| self.area((name, label), &self.lines(&["units", name]), ("units", ""));
        let script = match self.document.key("script") {
            Some(Value::String(text)) => text.as_str(),
            Some(Value::Object(long)) => long.get("inline").and_then(Value::as_str).unwrap_or_default(),
            _none => "",
        };
        html! {
            (units("enable", "Units that start"))
            (units("disable", "Units that don't start by themselves"))
            (units("mask", "Units that can't be started"))
            (self.area(("script", "Last step"), script, ("script", "Commands as root inside the image, without a network.")))
        }
    }

    fn disk(&self) -> Markup {
        let line = |name, label, empty, help| {
            let value = self.text(&["disk", name]);
            self.line(&Line { name, label, value, empty, key: "disk", help })
        };
        let systems = [("", "ext4 (default)"), ("ext4", "ext4"), ("xfs", "XFS"), ("btrfs", "btrfs")];
        let ways = [
            ("", "the best that the kernel reads"),
            ("auto", "auto"),
            ("zstd", "Zstandard: smallest"),
            ("lz4hc", "LZ4HC"),
            ("lz4", "LZ4: fastest"),
            ("none", "none"),
        ];
        html! {
            div .pair {
                (line("slot", "Each slot", "auto", "Twice the content and 2 GiB at least, unless you say."))
                (line("data", "Data, at least", "1GiB", "Grows to the end of the disk."))
            }
            div .pair {
                (line("esp", "EFI partition", "1GiB", ""))
                (self.choice(("dataFileSystem", "Data file system"), self.text(&["disk", "dataFileSystem"]), &systems))
            }
            (self.choice(("compression", "Compression"), self.text(&["disk", "compression"]), &ways))
            (self.tick(("slotB", "A second slot, which upgrades need"), self.text(&["disk", "slotB"]) != "false", ""))
            (self.tick(("recovery", "A recovery slot"), self.text(&["disk", "recovery"]) != "false", ""))
        }
    }

    fn outputs(&self) -> Markup {
        let wanted: Vec<&str> =
            self.document.list_at(&["outputs"]).iter().filter_map(Value::as_str).collect();
        let wanted = if self.has("outputs") { wanted } else { vec![Output::Disk.word()] };
        let offered = Output::ALL.into_iter().filter(|output| output.source() != OutputSource::Difference);
        html! {
            fieldset .outputs aria-invalid=[self.refused("outputs").then_some("true")] {
                legend .hidden { "Outputs" }
                @for output in offered {
                    div .tick {
                        input id={ "output-" (output.word()) } type="checkbox" name="output" value=(output.word())
                            checked[wanted.contains(&output.word())];
                        label for={ "output-" (output.word()) } { (output.word()) span .help { " " (about(output)) } }
                    }
                }
            }
        }
    }
}

/// What an output is for, in a few words.
pub(super) const fn about(output: Output) -> &'static str {
    match output {
        Output::Disk => "raw disk: write it to a disk or boot it",
        Output::Qcow2 => "for QEMU and its kin",
        Output::Qcow2Compressed => "for QEMU, small to fetch",
        Output::Vhd => "for Azure",
        Output::VhdDynamic => "for Hyper-V",
        Output::Vmdk => "for VMware",
        Output::Gce => "for Google Compute Engine",
        Output::Iso => "boots from a CD or a stick, live",
        Output::Uki => "the kernel image alone",
        Output::Netboot => "boots over the network, with an iPXE script",
        Output::Oci => "the update artifact that machines upgrade from",
        Output::Container => "a container image of the same tree",
        Output::Tar => "the tree as an archive",
        Output::Cpio => "the tree as a cpio archive",
        Output::Sysext => "a system extension",
        Output::Confext => "a configuration extension",
    }
}

fn joined(list: &[Value], by: &str) -> String {
    list.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(by)
}
