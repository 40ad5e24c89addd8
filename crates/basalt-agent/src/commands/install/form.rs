//! What a person is asked of the machine, and the document that says it.

use std::fmt;

use basalt_spec::{SpecError, node::NodeConfig};

/// What every document begins with.
const HEAD: &str = "apiVersion: basalt.dev/v1alpha1\nkind: NodeConfig\nspec:\n";

/// What a person types of the machine. What is empty is not said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Form {
    fields: [String; Field::ALL.len()],
}

/// One line of the form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    Hostname,
    User,
    SshKey,
    Card,
    Address,
    Gateway,
    Dns,
}

/// What is wrong with what was typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mistake {
    /// Where, if in one line of the form.
    pub(super) field: Option<Field>,
    pub(super) message: String,
}

impl Field {
    pub(super) const ALL: [Self; 7] =
        [Self::Hostname, Self::User, Self::SshKey, Self::Card, Self::Address, Self::Gateway, Self::Dns];

    /// What stands before it.
    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::Hostname => "Name of the machine",
            Self::User => "Administrator",
            Self::SshKey => "  SSH key",
            Self::Card => "Network card",
            Self::Address => "  address",
            Self::Gateway => "  router",
            Self::Dns => "  name server",
        }
    }

    /// Its name on a page.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Hostname => "hostname",
            Self::User => "user",
            Self::SshKey => "key",
            Self::Card => "card",
            Self::Address => "address",
            Self::Gateway => "gateway",
            Self::Dns => "dns",
        }
    }

    /// What may be typed.
    pub(super) const fn help(self) -> &'static str {
        match self {
            Self::Hostname => "such as edge-7; empty: the image's",
            Self::User => "may use sudo; empty: only the accounts of the image",
            Self::SshKey => "a line such as `ssh-ed25519 AAAA… me@laptop`",
            Self::Card => "its name, such as ens3; empty: the image's network",
            Self::Address => "such as 192.0.2.10/24; empty: DHCP",
            Self::Gateway => "such as 192.0.2.1",
            Self::Dns => "such as 192.0.2.53",
        }
    }
}

impl Form {
    pub(super) fn get(&self, field: Field) -> &str {
        &self.fields[field as usize]
    }

    pub(super) fn get_mut(&mut self, field: Field) -> &mut String {
        &mut self.fields[field as usize]
    }

    /// The document that says it; none when nothing was typed.
    ///
    /// # Errors
    /// Every mistake.
    pub(super) fn document(&self) -> Result<Option<String>, Vec<Mistake>> {
        let orphans = self.orphans();
        if !orphans.is_empty() {
            return Err(orphans);
        }
        let parts = self.parts();
        if parts.is_empty() {
            return Ok(None);
        }
        let body: String = parts.iter().map(|(_, text)| text.as_str()).collect();
        let text = format!("{HEAD}{body}");
        match NodeConfig::parse("what was typed", &text) {
            Ok(_) => Ok(Some(text)),
            Err(error) => Err(mistakes(&error, &parts)),
        }
    }

    fn said(&self, field: Field) -> Option<&str> {
        Some(self.get(field).trim()).filter(|text| !text.is_empty())
    }

    /// What was typed without what it belongs to.
    fn orphans(&self) -> Vec<Mistake> {
        let owners = [
            (Field::SshKey, Field::User),
            (Field::Address, Field::Card),
            (Field::Gateway, Field::Address),
            (Field::Dns, Field::Card),
        ];
        let orphans = owners
            .into_iter()
            .filter(|(field, owner)| self.said(*field).is_some() && self.said(*owner).is_none());
        orphans
            .map(|(field, owner)| Mistake {
                field: Some(field),
                message: format!("needs {}", owner.label().trim()),
            })
            .collect()
    }

    /// The document's `spec` in pieces, each with the field that it is made of.
    fn parts(&self) -> Vec<(Field, String)> {
        let mut parts = Vec::new();
        let mut add = |field, before: &str, after: &str| {
            parts.extend(self.said(field).map(|text| (field, format!("{before}{}{after}", quoted(text)))));
        };
        add(Field::Hostname, "  hostname: ", "\n");
        add(Field::User, "  users:\n    - name: ", "\n      sudo: true\n");
        add(Field::SshKey, "      sshAuthorizedKeys: [", "]\n");
        let dhcp = if self.said(Field::Address).is_none() { "        dhcp: both\n" } else { "" };
        add(Field::Card, "  network:\n    interfaces:\n      - name: ", &format!("\n{dhcp}"));
        add(Field::Address, "        addresses: [", "]\n");
        add(Field::Gateway, "        gateways: [", "]\n");
        add(Field::Dns, "        dns: [", "]\n");
        parts
    }
}

/// Finds the field of each problem by the line that it is in.
fn mistakes(error: &SpecError, parts: &[(Field, String)]) -> Vec<Mistake> {
    let of_line = |line: usize| {
        let mut end = HEAD.lines().count();
        let part = parts.iter().find(|(_, text)| {
            end += text.lines().count();
            line <= end
        });
        part.map(|(field, _)| *field)
    };
    let problems = error.problems().iter();
    problems
        .map(|problem| {
            let (line, _) = error.position(problem);
            Mistake { field: of_line(line), message: problem.message().to_owned() }
        })
        .collect()
}

impl Mistake {
    /// All of them, one a line.
    pub(super) fn list(mistakes: &[Self]) -> String {
        mistakes.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.field {
            Some(field) => write!(f, "{}: {}", field.label().trim(), self.message),
            None => f.write_str(&self.message),
        }
    }
}

/// A text in the double quotes of YAML, which are those of JSON (YAML 1.2.2, section 1.3).
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
