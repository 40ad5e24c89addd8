//! The table from Debian's short names to identifiers of SPDX's licence list (version 3.22 and later have all of them).

/// Names that are written otherwise than the identifier, in lower case. Debian's `Artistic` is the text in
/// /usr/share/common-licenses, which is Perl's.
const ALIASES: [(&str, &str); 16] = [
    ("expat", "MIT"),
    ("apache-2", "Apache-2.0"),
    ("apache-1", "Apache-1.0"),
    ("artistic", "Artistic-1.0-Perl"),
    ("artistic-1", "Artistic-1.0-Perl"),
    ("artistic-2", "Artistic-2.0"),
    ("cc0", "CC0-1.0"),
    ("mpl-1", "MPL-1.0"),
    ("mpl-2", "MPL-2.0"),
    ("boost-1.0", "BSL-1.0"),
    ("python-2", "Python-2.0"),
    ("zope-2.1", "ZPL-2.1"),
    ("sil-1.1", "OFL-1.1"),
    ("w3c-software", "W3C"),
    ("bsd-2-clause-netbsd", "BSD-2-Clause"),
    ("bsd-4-clause-ucb", "BSD-4-Clause-UC"),
];

/// Identifiers that are names too; case does not matter.
const IDENTIFIERS: [&str; 60] = [
    "0BSD",
    "AFL-1.1",
    "AFL-2.0",
    "AFL-2.1",
    "AFL-3.0",
    "Apache-1.0",
    "Apache-1.1",
    "Apache-2.0",
    "Artistic-2.0",
    "Beerware",
    "BSD-1-Clause",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSD-4-Clause",
    "BSD-4-Clause-UC",
    "BSL-1.0",
    "CC-BY-2.0",
    "CC-BY-2.5",
    "CC-BY-3.0",
    "CC-BY-4.0",
    "CC-BY-SA-2.0",
    "CC-BY-SA-2.5",
    "CC-BY-SA-3.0",
    "CC-BY-SA-4.0",
    "CC0-1.0",
    "CDDL-1.0",
    "CPL-1.0",
    "curl",
    "EPL-1.0",
    "EPL-2.0",
    "EUPL-1.1",
    "EUPL-1.2",
    "FSFAP",
    "FSFUL",
    "FSFULLR",
    "HPND",
    "IJG",
    "ISC",
    "Latex2e",
    "Libpng",
    "LPPL-1.3c",
    "MIT",
    "MIT-0",
    "MPL-1.0",
    "MPL-1.1",
    "MPL-2.0",
    "NCSA",
    "NTP",
    "OFL-1.1",
    "OpenSSL",
    "PostgreSQL",
    "PSF-2.0",
    "Python-2.0",
    "QPL-1.0",
    "TCL",
    "Unicode-DFS-2016",
    "Unlicense",
    "Vim",
    "X11",
    "Zlib",
];

/// GNU licences: Debian's start, SPDX's start, the versions that there are.
const GNU: [(&str, &str, &[&str]); 4] = [
    ("agpl", "AGPL", &["3.0"]),
    ("gpl", "GPL", &["1.0", "2.0", "3.0"]),
    ("lgpl", "LGPL", &["2.0", "2.1", "3.0"]),
    ("gfdl", "GFDL", &["1.1", "1.2", "1.3"]),
];

/// Exceptions by Debian's words, in lower case, and SPDX's identifiers.
const EXCEPTIONS: [(&str, &str); 6] = [
    ("linux-syscall-note", "Linux-syscall-note"),
    ("bison", "Bison-exception-2.2"),
    ("bison-2.2", "Bison-exception-2.2"),
    ("libtool", "Libtool-exception"),
    ("font", "Font-exception-2.0"),
    ("classpath", "Classpath-exception-2.0"),
];

/// The SPDX identifier, perhaps `WITH` an exception, that means the same as this name; `None` when there is none.
pub(super) fn spdx(name: &str) -> Option<String> {
    let folded = name.to_ascii_lowercase();
    if let Some((licence, exception)) = folded.split_once(" with ") {
        let words = exception.trim_end_matches(" exception").trim();
        let (_, id) = EXCEPTIONS.iter().find(|(name, _)| *name == words)?;
        return Some(format!("{} WITH {id}", gnu(licence.trim())?));
    }
    let alias = ALIASES.iter().find(|(name, _)| *name == folded).map(|(_, id)| *id);
    let listed = IDENTIFIERS.iter().find(|id| id.eq_ignore_ascii_case(&folded)).copied();
    alias.or(listed).map(str::to_owned).or_else(|| gnu(&folded))
}

/// `gpl-2+` → `GPL-2.0-or-later`, `gfdl-niv-1.3` → `GFDL-1.3-no-invariants-only`. A name without a version does not say
/// which are meant.
fn gnu(name: &str) -> Option<String> {
    let (family, rest) = name.split_once('-')?;
    let (_, family, versions) = GNU.iter().find(|(start, ..)| *start == family)?;
    let (invariants, rest) = match rest.strip_prefix("niv-") {
        Some(rest) if *family == "GFDL" => ("-no-invariants", rest),
        Some(_) => return None,
        None => ("", rest),
    };
    let (version, grant) = [("+", "or-later"), ("-or-later", "or-later"), ("-only", "only")]
        .iter()
        .find_map(|(end, grant)| Some((rest.strip_suffix(end)?, *grant)))
        .unwrap_or((rest, "only"));
    let full = if version.contains('.') { version.to_owned() } else { format!("{version}.0") };
    versions.contains(&full.as_str()).then(|| format!("{family}-{full}{invariants}-{grant}"))
}
