//! Lines of tmpfiles.d(5): written for a seed, and read just enough to know what packages make themselves.

use std::{collections::BTreeSet, fmt};

use basalt_formats::tree::Device;

use basalt_spec::ImageInfo;

use super::{Editor, FinaliseCause, writable::FOLDERS};
use crate::{customise::EditError, layout::LayoutSpec};

/// One line, with everything it needs and nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) path: String,
    pub(super) sort: Sort,
}

/// What a line makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Sort {
    /// `d`: a directory.
    Directory(Owned),
    /// `C`: a copy of the file at the same path below `/usr/share/factory`, if nothing is there yet.
    Copy(Owned),
    /// `C`: a copy of the whole folder, with the owners and modes of what is in it, if nothing is there yet.
    CopyAll,
    /// `L`: a symbolic link, if nothing is there yet.
    Link(Vec<u8>),
    /// `L+`: a symbolic link, whatever is there.
    ForceLink(String),
    /// `p`: a named pipe.
    Fifo(Owned),
    /// `c`: a character device.
    CharDevice(Owned, Device),
}

/// Mode and numeric owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Owned {
    pub(super) mode: u16,
    pub(super) uid: u32,
    pub(super) gid: u32,
}

impl fmt::Display for Owned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04o} {} {}", self.mode, self.uid, self.gid)
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = escaped(self.path.as_bytes());
        match &self.sort {
            Sort::Directory(owned) => write!(f, "d {path} {owned} -"),
            Sort::Copy(owned) => write!(f, "C {path} {owned} -"),
            Sort::CopyAll => write!(f, "C {path} - - - -"),
            Sort::Link(target) => write!(f, "L {path} - - - - {}", escaped(target)),
            Sort::ForceLink(target) => write!(f, "L+ {path} - - - - {}", escaped(target.as_bytes())),
            Sort::Fifo(owned) => write!(f, "p {path} {owned} -"),
            Sort::CharDevice(owned, Device { major, minor }) => {
                write!(f, "c {path} {owned} - {major}:{minor}")
            }
        }
    }
}

/// A word of a line: `%` starts a specifier, and what C would escape is escaped as C does (tmpfiles.d(5),
/// "Configuration Directories and Precedence" on quoting; systemd.syntax(7)).
fn escaped(text: &[u8]) -> String {
    let mut word = String::new();
    for (index, byte) in text.iter().enumerate() {
        match byte {
            b'%' => word.push_str("%%"),
            // `-` alone means "not given".
            b'-' if index == 0 => word.push_str("\\x2d"),
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => word.push(char::from(*byte)),
            b'/' | b'.' | b'_' | b'-' | b'+' | b'@' | b',' | b':' | b'=' | b'~' => {
                word.push(char::from(*byte));
            }
            other => word.push_str(&format!("\\x{other:02x}")),
        }
    }
    word
}

/// Puts a copy into `/etc/tmpfiles.d` of each file of a package that has lines for a folder which is a link now: the
/// link itself is left alone, and what is below it is made where the link leads.
pub(super) fn follow_links(editor: &mut Editor<'_>, _: &ImageInfo<LayoutSpec>) -> Result<(), FinaliseCause> {
    let hidden = editor.names("/etc/tmpfiles.d");
    let own = |name: &String| name.ends_with(".conf") && !hidden.contains(name);
    for name in editor.names("/usr/lib/tmpfiles.d").into_iter().filter(own) {
        let text = editor.text(&format!("/usr/lib/tmpfiles.d/{name}"))?.unwrap_or_default();
        let followed: String = text.lines().map(|line| followed(line) + "\n").collect();
        if followed.trim_end() != text.trim_end() {
            editor.write(&format!("/etc/tmpfiles.d/{name}"), followed, 0o644)?;
        }
    }
    Ok(())
}

/// A line with its path where the links of [`FOLDERS`] lead, or as a comment when it is about a link itself.
fn followed(line: &str) -> String {
    let Some(path) = line.split_whitespace().nth(1).filter(|_| !line.starts_with('#')) else {
        return line.to_owned();
    };
    for (link, place, _) in FOLDERS {
        match path.strip_prefix(link) {
            Some("" | "/") => return format!("# {line}"),
            Some(below) if below.starts_with('/') => {
                return line.replacen(path, &format!("{place}{below}"), 1);
            }
            Some(_) | None => {}
        }
    }
    line.to_owned()
}

/// The paths that lines of packages make: a second line for one of them would only shadow the first.
pub(super) fn made_by_packages(editor: &Editor<'_>) -> Result<BTreeSet<String>, EditError> {
    let mut paths = BTreeSet::new();
    let hidden: BTreeSet<String> = editor.names("/etc/tmpfiles.d").into_iter().collect();
    for (folder, name) in editor
        .names("/usr/lib/tmpfiles.d")
        .into_iter()
        .filter(|name| !hidden.contains(name))
        .map(|name| ("/usr/lib/tmpfiles.d", name))
        .chain(hidden.iter().map(|name| ("/etc/tmpfiles.d", name.clone())))
        .filter(|(_, name)| name.ends_with(".conf"))
    {
        let path = format!("{folder}/{name}");
        // A link to /dev/null hides the file of the same name.
        if editor.link_target(&path).as_deref() == Some("/dev/null") {
            continue;
        }
        let text = editor.text(&path)?.unwrap_or_default();
        paths.extend(text.lines().filter_map(made));
    }
    Ok(paths)
}

/// The path that a line makes if it is missing, when the line says so without specifiers.
fn made(line: &str) -> Option<String> {
    let mut words = line.split_whitespace();
    let (sort, path) = (words.next()?, words.next()?);
    // `f`, `C` and `w` of packages often have content or conditions of their own: the seed's copy comes beside them.
    let makes = matches!(
        sort.trim_end_matches(['!', '+', '-', '=', '~', '^', '$']),
        "d" | "D" | "v" | "q" | "Q" | "L"
    );
    let plain = path.starts_with('/') && !path.contains(['%', '\\', '"', '\'']);
    (makes && plain && !sort.contains('!')).then(|| path.trim_end_matches('/').to_owned())
}
