use std::collections::BTreeMap;

use basalt_formats::tree::{Content, Kind};
use basalt_spec::{FileContent, FileEntry, words::RelativePath};

use super::{Editor, Refusal};
use crate::users::Accounts;

/// Adds one entry of `files:`. What was there is replaced, except that a directory keeps what is in it.
pub(super) fn add(
    editor: &mut Editor<'_>,
    accounts: &Accounts,
    sources: &BTreeMap<RelativePath, Content>,
    file: &FileEntry,
) -> Result<(), Refusal> {
    let FileEntry { path, content, mode, owner } = file;
    let (uid, gid) = accounts.numbers(owner)?;
    let kind = match content {
        FileContent::Inline(text) => Kind::File(Content::inline(text.as_bytes())),
        FileContent::Source(source) => {
            let content = sources.get(source).ok_or_else(|| Refusal::NoSource(source.clone()))?;
            Kind::File(content.clone())
        }
        FileContent::Link(target) => Kind::Symlink(target.as_bytes().to_vec()),
        FileContent::Directory => Kind::Directory(BTreeMap::new()),
    };
    editor.put(path.as_str(), kind, editor.owned(mode.bits(), uid, gid))?;
    Ok(())
}
