use std::path::{Path, PathBuf};

use basalt_debian::control::{ControlError, Paragraphs};

/// One source of apt with one URI.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AptSource {
    /// The archive's root.
    pub uri: String,
    /// Suites or codenames.
    pub suites: Vec<String>,
    /// Components.
    pub components: Vec<String>,
    /// `Signed-By`: the paths of keyrings, or nothing.
    pub signed_by: Option<String>,
    /// The file that has it.
    pub file: PathBuf,
}

/// Why a list of sources can't be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SourcesError {
    /// Not deb822.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// A line that is not `deb [options] uri suite component…`.
    #[error("line {line} is not `deb [options] uri suite component...`: `{text}`")]
    Line {
        /// Counted from 1.
        line: usize,
        /// The line.
        text: String,
    },
}

impl AptSource {
    /// Whether the source looks like the Debian archive; see the module's documentation.
    pub fn is_debian(&self) -> bool {
        let keyring = |path: &str| {
            Path::new(path)
                .file_name()
                .is_some_and(|name| name.to_string_lossy().starts_with("debian-archive"))
        };
        let signed = self.signed_by.as_deref().is_none_or(|paths| paths.split_whitespace().any(keyring));
        let fetched = ["http://", "https://", "file:/"].iter().any(|scheme| self.uri.starts_with(scheme));
        signed && fetched && self.components.iter().any(|component| component == "main")
    }
}

/// Reads a `.sources` file (sources.list(5), deb822 style). Disabled and source-only entries are left out.
pub fn parse_sources(text: &str, file: &Path) -> Result<Vec<AptSource>, SourcesError> {
    let mut found = Vec::new();
    for paragraph in Paragraphs::new(text) {
        let (mut types, mut uris, mut enabled) = (Vec::new(), Vec::new(), true);
        let (mut suites, mut components, mut signed_by) = (Vec::new(), Vec::new(), None);
        for field in paragraph.fields() {
            let field = field?;
            let lines = field.value.lines().filter(|line| !line.trim_start().starts_with('#'));
            let words =
                || lines.clone().flat_map(str::split_whitespace).map(str::to_owned).collect::<Vec<_>>();
            match field.name.to_ascii_lowercase().as_str() {
                "types" => types = words(),
                "uris" => uris = words(),
                "suites" => suites = words(),
                "components" => components = words(),
                "signed-by" => signed_by = Some(field.value.to_owned()),
                "enabled" => enabled = !matches!(field.value, "no" | "false" | "0"),
                _ => {}
            }
        }
        if enabled && types.iter().any(|kind| kind == "deb") {
            found.extend(uris.into_iter().map(|uri| AptSource {
                uri,
                suites: suites.clone(),
                components: components.clone(),
                signed_by: signed_by.clone(),
                file: file.to_owned(),
            }));
        }
    }
    Ok(found)
}

/// Reads a `.list` file (sources.list(5), one line per source).
pub fn parse_list(text: &str, file: &Path) -> Result<Vec<AptSource>, SourcesError> {
    let mut found = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let refuse = || SourcesError::Line { line: index + 1, text: line.to_owned() };
        let content = line.split('#').next().unwrap_or_default().trim();
        let (kind, mut rest) = content.split_once(char::is_whitespace).unwrap_or((content, ""));
        match kind {
            "" | "deb-src" => continue,
            "deb" => {}
            _ => return Err(refuse()),
        }
        let mut signed_by = None;
        rest = rest.trim_start();
        if let Some(options) = rest.strip_prefix('[') {
            let (options, after) = options.split_once(']').ok_or_else(refuse)?;
            let option = |word: &str| word.strip_prefix("signed-by=").map(|paths| paths.replace(',', " "));
            signed_by = options.split_whitespace().find_map(option);
            rest = after;
        }
        let mut words = rest.split_whitespace().map(str::to_owned);
        let (Some(uri), Some(suite)) = (words.next(), words.next()) else { return Err(refuse()) };
        let (suites, components) = (vec![suite], words.collect());
        found.push(AptSource { uri, suites, components, signed_by, file: file.to_owned() });
    }
    Ok(found)
}
