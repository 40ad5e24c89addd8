use super::{Found, UnitError, drop_ins};
use crate::customise::Editor;

/// A unit's name and its parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Names {
    /// The whole name, such as `getty@tty1.service`.
    pub(super) full: String,
    /// For an instance: its template, `getty@.service`.
    pub(super) template: Option<String>,
    /// For an instance: `tty1`.
    pub(super) instance: Option<String>,
}

impl Names {
    pub(super) fn parse(name: &str) -> Self {
        let (stem, kind) = name.rsplit_once('.').unwrap_or((name, ""));
        let (template, instance) = match stem.split_once('@') {
            Some((prefix, instance)) if !instance.is_empty() => {
                (Some(format!("{prefix}@.{kind}")), Some(instance.to_owned()))
            }
            Some(_) | None => (None, None),
        };
        Self { full: name.to_owned(), template, instance }
    }

    /// `getty@.service` itself.
    pub(super) fn is_template(&self) -> bool {
        self.full.contains("@.")
    }

    /// The instance of this template.
    pub(super) fn with_instance(&self, instance: &str) -> Self {
        Self::parse(&self.full.replacen("@.", &format!("@{instance}."), 1))
    }

    /// Whether a link of this name starts the unit: the same, or an instance of this template.
    pub(super) fn covers(&self, link: &str) -> bool {
        link == self.full || (self.is_template() && Self::parse(link).template.as_ref() == Some(&self.full))
    }

    /// The specifiers of systemd.unit(5) that don't need a running system.
    fn expand(&self, word: &str) -> Option<String> {
        let stem = self.full.rsplit_once('.').map_or(self.full.as_str(), |(stem, _)| stem);
        let prefix = stem.split_once('@').map_or(stem, |(prefix, _)| prefix);
        let mut text = String::new();
        let mut characters = word.chars();
        while let Some(c) = characters.next() {
            if c != '%' {
                text.push(c);
                continue;
            }
            match characters.next()? {
                '%' => text.push('%'),
                'n' => text.push_str(&self.full),
                'N' => text.push_str(stem),
                'p' => text.push_str(prefix),
                'i' => text.push_str(self.instance.as_deref().unwrap_or_default()),
                'j' => text.push_str(prefix.rsplit('-').next().unwrap_or_default()),
                _ => return None,
            }
        }
        Some(text)
    }
}

/// The `[Install]` section of a unit and its drop-ins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Install {
    alias: Vec<String>,
    wanted_by: Vec<String>,
    required_by: Vec<String>,
    upheld_by: Vec<String>,
    also: Vec<String>,
    pub(super) default_instance: Option<String>,
}

impl Install {
    pub(super) fn read(editor: &Editor<'_>, found: &Found) -> Result<Self, UnitError> {
        let mut install = Self::default();
        let unit = editor.text(&found.path)?.unwrap_or_default();
        install.take(&unit);
        for text in drop_ins(editor, &found.names)? {
            install.take(&text);
        }
        Ok(install)
    }

    /// Nothing says when the unit starts.
    pub(super) fn is_empty(&self) -> bool {
        let Self { alias, wanted_by, required_by, upheld_by, also, default_instance: _ } = self;
        [alias, wanted_by, required_by, upheld_by, also].into_iter().all(Vec::is_empty)
    }

    /// The links to make, relative to the folder of links, and their targets.
    pub(super) fn links(&self, names: &Names, path: &str) -> Result<Vec<(String, String)>, UnitError> {
        let mut links = Vec::new();
        for alias in self.expanded(&self.alias, names)? {
            let kind = |name: &str| name.rsplit_once('.').map(|(_, kind)| kind.to_owned());
            let other = Names::parse(&alias);
            if other.instance != names.instance || kind(&alias) != kind(&names.full) {
                return Err(UnitError::Alias { unit: names.full.clone(), alias });
            }
            // An alias to itself is how some units name their own template; it needs no link.
            if alias != names.full {
                links.push((alias, path.to_owned()));
            }
        }
        let lists =
            [(&self.wanted_by, "wants"), (&self.required_by, "requires"), (&self.upheld_by, "upholds")];
        for (list, kind) in lists {
            for starter in self.expanded(list, names)? {
                links.push((format!("{starter}.{kind}/{}", names.full), path.to_owned()));
            }
        }
        Ok(links)
    }

    /// The units to enable or disable with this one.
    pub(super) fn also(&self, names: &Names) -> Result<Vec<String>, UnitError> {
        self.expanded(&self.also, names)
    }

    fn expanded(&self, words: &[String], names: &Names) -> Result<Vec<String>, UnitError> {
        let expand = |word: &String| {
            let refuse = || UnitError::Specifier { unit: names.full.clone(), value: word.clone() };
            // A name with `/` would leave the folder of links.
            names.expand(word).filter(|word| !word.contains('/')).ok_or_else(refuse)
        };
        words.iter().map(expand).collect()
    }

    /// Adds what one file says. An empty value empties the list (systemd.syntax(7)).
    fn take(&mut self, text: &str) {
        let mut section = "";
        for line in joined(text).lines() {
            let line = line.trim();
            if line.starts_with('[') {
                section = if line == "[Install]" { "Install" } else { "" };
                continue;
            }
            let (true, Some((key, value))) = (section == "Install", line.split_once('=')) else { continue };
            let list = match key.trim() {
                "Alias" => &mut self.alias,
                "WantedBy" => &mut self.wanted_by,
                "RequiredBy" => &mut self.required_by,
                "UpheldBy" => &mut self.upheld_by,
                "Also" => &mut self.also,
                "DefaultInstance" => {
                    self.default_instance = Some(value.trim().to_owned()).filter(|value| !value.is_empty());
                    continue;
                }
                _other => continue,
            };
            if value.trim().is_empty() {
                list.clear();
            }
            list.extend(value.split_whitespace().map(str::to_owned));
        }
    }
}

/// The text without comments and with continued lines joined (systemd.syntax(7)).
fn joined(text: &str) -> String {
    let mut joined = String::new();
    for line in text.lines() {
        if line.trim_start().starts_with(['#', ';']) {
            continue;
        }
        match line.strip_suffix('\\') {
            Some(start) => {
                joined.push_str(start);
                joined.push(' ');
            }
            None => {
                joined.push_str(line);
                joined.push('\n');
            }
        }
    }
    joined
}
