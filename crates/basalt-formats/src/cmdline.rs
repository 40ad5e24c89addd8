//! Kernel command lines, split as the kernel splits them (Linux `lib/cmdline.c`, `next_arg`;
//! Documentation/admin-guide/kernel-parameters.rst).
//!
//! Words are separated by white space outside of `"`. A quoted value loses its quotes: `a="b c"` and `"a=b c"` both
//! set `a` to `b c`. There is no escape, so a value can't hold `"`. In names `-` and `_` are the same.
//!
//! Only ASCII is accepted: the kernel works on bytes and takes 0xA0, which is inside many UTF-8 characters, as white
//! space.

use std::{borrow::Cow, fmt, str::FromStr};

/// The longest command line in bytes: COMMAND_LINE_SIZE of x86-64 and arm64 is 2048 with the NUL.
pub const MAX_LENGTH: usize = 2047;

/// One word of a command line, as it is written: `quiet`, `console=ttyS0,115200`, `dyndbg="file a.c +p"`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KernelArg(String);

/// A whole command line: words in the order in which the kernel takes them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommandLine {
    args: Vec<KernelArg>,
}

/// Why a text is not a command line or a word of one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommandLineError {
    /// A word is empty.
    #[error("an empty text is not a kernel argument")]
    Empty,
    /// A control character, such as a line break, or one outside ASCII.
    #[error("`{text}` is not a kernel argument: the character {character:?} is not printable ASCII")]
    Character {
        /// The word.
        text: String,
        /// The character.
        character: char,
    },
    /// A `"` has no partner.
    #[error("`{0}` is not a kernel argument: a `\"` is not closed")]
    Quote(String),
    /// White space outside of quotes: these are several arguments.
    #[error(
        "`{0}` is several kernel arguments: write them one by one, or quote the value: name=\"two words\""
    )]
    Several(String),
    /// More than [`MAX_LENGTH`] bytes.
    #[error("the command line has {0} bytes, the kernel takes {MAX_LENGTH}")]
    Length(usize),
}

impl KernelArg {
    /// `name=value`, quoted when the value needs it.
    ///
    /// # Errors
    /// When the name or the value holds what no argument can: `"`, a line break, a character outside ASCII; or the
    /// name is empty or has white space.
    pub fn assignment(name: &str, value: &str) -> Result<Self, CommandLineError> {
        let text = match value.contains(is_space) {
            true => format!("{name}=\"{value}\""),
            false => format!("{name}={value}"),
        };
        if name.is_empty() {
            return Err(CommandLineError::Empty);
        }
        if name.contains('"') || value.contains('"') {
            return Err(CommandLineError::Quote(text));
        }
        text.parse()
    }

    /// The argument as it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What is before `=`, or all of it.
    pub fn name(&self) -> &str {
        let text = self.0.strip_prefix('"').unwrap_or(&self.0);
        match split_assignment(text) {
            Some((name, _)) => name,
            None if text.len() < self.0.len() => text.strip_suffix('"').unwrap_or(text),
            None => text,
        }
    }

    /// What is behind `=`, without its quotes; `None` when there is no `=`.
    pub fn value(&self) -> Option<&str> {
        let text = self.0.strip_prefix('"').unwrap_or(&self.0);
        let (_, value) = split_assignment(text)?;
        let (value, was_quoted) = match value.strip_prefix('"') {
            Some(value) => (value, true),
            None => (value, text.len() < self.0.len()),
        };
        Some(if was_quoted { value.strip_suffix('"').unwrap_or(value) } else { value })
    }

    /// Whether the argument has this name; `-` and `_` are the same, as for the kernel.
    pub fn is_named(&self, name: &str) -> bool {
        let same = |a: u8, b: u8| a == b || (matches!(a, b'-' | b'_') && matches!(b, b'-' | b'_'));
        let own = self.name().as_bytes();
        own.len() == name.len() && own.iter().zip(name.as_bytes()).all(|(a, b)| same(*a, *b))
    }
}

/// The kernel asks for `=` from the second character on.
fn split_assignment(text: &str) -> Option<(&str, &str)> {
    let at = text.bytes().skip(1).position(|byte| byte == b'=')? + 1;
    Some((&text[..at], &text[at + 1..]))
}

fn is_space(character: char) -> bool {
    matches!(character, ' ' | '\t' | '\n' | '\x0b' | '\x0c' | '\r')
}

impl CommandLine {
    /// A line without a word.
    pub fn new() -> Self {
        Self::default()
    }

    /// The words.
    pub fn args(&self) -> &[KernelArg] {
        &self.args
    }

    /// Adds a word at the end.
    pub fn append(&mut self, arg: KernelArg) {
        self.args.push(arg);
    }

    /// The last argument with this name, which is the one that counts for most of the kernel.
    pub fn find(&self, name: &str) -> Option<&KernelArg> {
        self.args.iter().rev().find(|arg| arg.is_named(name))
    }

    /// The value of the last argument with this name; `None` too when that has no `=`.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.find(name).and_then(KernelArg::value)
    }

    /// The values of all arguments with this name. Whoever trusts a value asks that there is one only.
    pub fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = Option<&'a str>> {
        self.args.iter().filter(move |arg| arg.is_named(name)).map(KernelArg::value)
    }

    /// Whether an argument has this name, with or without a value.
    pub fn has(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    /// Refuses a line that the kernel would cut.
    ///
    /// # Errors
    /// When the printed line has more than [`MAX_LENGTH`] bytes.
    pub fn check_length(&self) -> Result<(), CommandLineError> {
        match self.to_string().len() {
            length if length > MAX_LENGTH => Err(CommandLineError::Length(length)),
            _ => Ok(()),
        }
    }
}

impl FromStr for KernelArg {
    type Err = CommandLineError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() {
            return Err(CommandLineError::Empty);
        }
        if let Some(character) = text.chars().find(|c| !c.is_ascii() || c.is_ascii_control()) {
            return Err(CommandLineError::Character { text: text.to_owned(), character });
        }
        let (mut quoted, mut several) = (false, false);
        for character in text.chars() {
            quoted ^= character == '"';
            several |= !quoted && is_space(character);
        }
        match (quoted, several) {
            (true, _) => Err(CommandLineError::Quote(text.to_owned())),
            (false, true) => Err(CommandLineError::Several(text.to_owned())),
            (false, false) => Ok(Self(text.to_owned())),
        }
    }
}

impl FromStr for CommandLine {
    type Err = CommandLineError;

    /// Splits at white space outside of quotes; the line break at the end of `/proc/cmdline` is white space.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut quoted = false;
        let words = text.split(|character: char| {
            quoted ^= character == '"';
            !quoted && is_space(character)
        });
        let args: Result<_, _> = words.filter(|word| !word.is_empty()).map(str::parse).collect();
        Ok(Self { args: args? })
    }
}

impl FromIterator<KernelArg> for CommandLine {
    fn from_iter<I: IntoIterator<Item = KernelArg>>(args: I) -> Self {
        Self { args: args.into_iter().collect() }
    }
}

impl Extend<KernelArg> for CommandLine {
    fn extend<I: IntoIterator<Item = KernelArg>>(&mut self, args: I) {
        self.args.extend(args);
    }
}

impl fmt::Display for KernelArg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for KernelArg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for CommandLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, arg) in self.args.iter().enumerate() {
            let separator = if index == 0 { "" } else { " " };
            write!(f, "{separator}{arg}")?;
        }
        Ok(())
    }
}

impl serde::Serialize for KernelArg {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for KernelArg {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <Cow<'de, str> as serde::Deserialize>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl schemars::JsonSchema for KernelArg {
    fn schema_name() -> Cow<'static, str> {
        "KernelArg".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "minLength": 1,
            "pattern": r#"^([!#-~]|"[ !#-~]*")+$"#,
        })
    }
}

#[cfg(test)]
#[path = "cmdline_tests.rs"]
mod tests;
