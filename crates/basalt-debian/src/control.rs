//! Debian's control syntax (deb822; Debian policy section 5.1): paragraphs of `Name: value` fields, borrowed from the
//! text. Packages indices, Release files, `DEBIAN/control` and apt's `.sources` files are all written in it.

#[cfg(test)]
mod tests;

/// The paragraphs of a text, in order. Never fails: what is wrong inside a paragraph shows when its fields are read.
#[derive(Debug, Clone)]
pub struct Paragraphs<'a> {
    rest: &'a str,
    line: usize,
}

/// One paragraph: consecutive lines up to an empty one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Paragraph<'a> {
    text: &'a str,
    line: usize,
}

/// One field. Its value has the continuation lines in it as they were written, without the outermost white space.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field<'a> {
    /// The name as it was written; compare with [`Field::is`], because case does not matter.
    pub name: &'a str,
    /// The raw value; [`Field::lines`] takes it apart.
    pub value: &'a str,
}

/// A line that is neither a field, a continuation nor a comment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line} is neither `Name: value` nor a continuation of it: `{text}`")]
pub struct ControlError {
    /// Counted from 1 in the whole text.
    pub line: usize,
    /// The line itself.
    pub text: String,
}

impl<'a> Paragraphs<'a> {
    /// The paragraphs of `text`.
    pub fn new(text: &'a str) -> Self {
        Self { rest: text, line: 1 }
    }
}

impl<'a> Iterator for Paragraphs<'a> {
    type Item = Paragraph<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut length = 0;
        let mut lines = 0;
        while length < self.rest.len() {
            let line = first_line(&self.rest[length..]);
            if is_blank(line) {
                if length > 0 {
                    break;
                }
                self.rest = self.rest.get(line.len() + 1..).unwrap_or_default();
                self.line += 1;
                continue;
            }
            length = (length + line.len() + 1).min(self.rest.len());
            lines += 1;
        }
        if length == 0 {
            return None;
        }
        let (text, rest) = self.rest.split_at(length);
        let paragraph = Paragraph { text, line: self.line };
        self.rest = rest;
        self.line += lines;
        Some(paragraph)
    }
}

impl<'a> Paragraph<'a> {
    /// The fields in order. Comment lines (`#`) are skipped.
    pub fn fields(&self) -> Fields<'a> {
        Fields { rest: self.text, line: self.line }
    }

    /// The value of the first field of that name, or nothing. Lines that are wrong are passed over.
    pub fn get(&self, name: &str) -> Option<&'a str> {
        self.fields().flatten().find(|field| field.is(name)).map(|field| field.value)
    }

    /// The number of the first line in the whole text, counted from 1.
    pub const fn line(&self) -> usize {
        self.line
    }

    /// The lines of the paragraph as they were written.
    pub const fn text(&self) -> &'a str {
        self.text
    }
}

/// The fields of a paragraph; see [`Paragraph::fields`].
#[derive(Debug, Clone)]
pub struct Fields<'a> {
    rest: &'a str,
    line: usize,
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<Field<'a>, ControlError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if self.rest.is_empty() {
                return None;
            }
            let at = self.line;
            let head = first_line(self.rest);
            let mut length = (head.len() + 1).min(self.rest.len());
            self.line += 1;
            while matches!(self.rest.as_bytes().get(length), Some(b' ' | b'\t')) {
                length = (length + first_line(&self.rest[length..]).len() + 1).min(self.rest.len());
                self.line += 1;
            }
            let (whole, rest) = self.rest.split_at(length);
            self.rest = rest;
            if head.starts_with('#') {
                // A comment has no continuation: what follows belongs to the field before it, which is rare enough
                // to refuse instead of joining.
                if whole.len() > head.len() + 1 {
                    return Some(Err(ControlError {
                        line: at + 1,
                        text: whole[head.len() + 1..].trim_end().into(),
                    }));
                }
                continue;
            }
            return Some(match head.find(':') {
                Some(colon) if colon > 0 && !head[..colon].contains([' ', '\t']) => {
                    Ok(Field { name: &whole[..colon], value: whole[colon + 1..].trim() })
                }
                Some(_) | None => Err(ControlError { line: at, text: head.to_owned() }),
            });
        }
    }
}

impl<'a> Field<'a> {
    /// Whether the field has this name; ASCII case does not matter.
    pub fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }

    /// The lines of the value, trimmed, without empty ones.
    pub fn lines(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.value.lines().map(str::trim).filter(|line| !line.is_empty())
    }
}

/// The text up to, and without, the first line feed.
fn first_line(text: &str) -> &str {
    text.find('\n').map_or(text, |end| &text[..end])
}

fn is_blank(line: &str) -> bool {
    line.bytes().all(|b| matches!(b, b' ' | b'\t' | b'\r'))
}
