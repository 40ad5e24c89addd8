use basalt_spec::{Problem, node::NodeConfig};

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
    /// What is wrong with it, in one line for each mistake.
    pub(super) fn document(&self) -> Result<Option<String>, Vec<String>> {
        let said = |field| Some(self.get(field).trim()).filter(|text| !text.is_empty());
        let orphan = |field, owner: Field| {
            (said(field).is_some() && said(owner).is_none())
                .then(|| format!("{} needs: {}", field.label().trim(), owner.label().trim()))
        };
        let orphans: Vec<String> = [
            orphan(Field::SshKey, Field::User),
            orphan(Field::Address, Field::Card),
            orphan(Field::Gateway, Field::Address),
            orphan(Field::Dns, Field::Card),
        ]
        .into_iter()
        .flatten()
        .collect();
        if !orphans.is_empty() {
            return Err(orphans);
        }
        let mut lines = Vec::new();
        lines.extend(said(Field::Hostname).map(|name| format!("  hostname: {}", quoted(name))));
        if let Some(user) = said(Field::User) {
            lines.push(format!("  users:\n    - name: {}\n      sudo: true", quoted(user)));
            lines
                .extend(said(Field::SshKey).map(|key| format!("      sshAuthorizedKeys: [{}]", quoted(key))));
        }
        if let Some(card) = said(Field::Card) {
            lines.push(format!("  network:\n    interfaces:\n      - name: {}", quoted(card)));
            match said(Field::Address) {
                None => lines.push("        dhcp: both".to_owned()),
                Some(address) => lines.push(format!("        addresses: [{}]", quoted(address))),
            }
            lines
                .extend(said(Field::Gateway).map(|router| format!("        gateways: [{}]", quoted(router))));
            lines.extend(said(Field::Dns).map(|server| format!("        dns: [{}]", quoted(server))));
        }
        if lines.is_empty() {
            return Ok(None);
        }
        let text =
            format!("apiVersion: basalt.dev/v1alpha1\nkind: NodeConfig\nspec:\n{}\n", lines.join("\n"));
        match NodeConfig::parse("what was typed", &text) {
            Ok(_) => Ok(Some(text)),
            Err(error) => {
                Err(error.problems().iter().map(|problem: &Problem| problem.message().to_owned()).collect())
            }
        }
    }
}

/// A text in the double quotes of YAML, which are those of JSON (YAML 1.2.2, section 1.3).
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
