//! Everything a console said, as plain text that can be searched from a cursor. Pure.

/// A growing console log. Terminal control sequences and carriage returns are dropped, so that a search sees words and not
/// how they were painted.
#[derive(Clone, Debug, Default)]
pub struct Transcript {
    text: String,
    pending: Vec<u8>,
    state: State,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Text,
    /// After ESC.
    Escape,
    /// After ESC [ : parameters, then a final byte 0x40–0x7e (ECMA-48 section 5.4).
    Control,
    /// After ESC ] , P, X, ^ or _ : a string that ends with BEL or ESC \ (ECMA-48 section 5.6).
    String,
    /// After ESC inside such a string.
    StringEscape,
    /// After ESC and an intermediate byte 0x20–0x2f (such as `ESC ( B`): one more byte.
    Intermediate,
}

impl Transcript {
    /// Adds what arrived; sequences and UTF-8 characters may be split anywhere.
    pub fn push(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.state = self.step(byte);
        }
        self.flush();
    }

    /// All of it.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The first of `wanted` that appears at or after byte `from`: its index and the byte after its end. When several
    /// appear, the earliest in the text wins.
    pub fn find(&self, from: usize, wanted: &[&str]) -> Option<(usize, usize)> {
        let rest = self.text.get(from..)?;
        wanted
            .iter()
            .enumerate()
            .filter_map(|(index, text)| rest.find(text).map(|at| (at, index, from + at + text.len())))
            .min()
            .map(|(_, index, end)| (index, end))
    }

    /// The last `count` lines that are not empty.
    pub fn tail(&self, count: usize) -> String {
        let mut lines: Vec<&str> =
            self.text.lines().rev().filter(|line| !line.trim().is_empty()).take(count).collect();
        lines.reverse();
        lines.join("\n")
    }

    fn step(&mut self, byte: u8) -> State {
        match (self.state, byte) {
            (State::Text, 0x1b) => State::Escape,
            (State::Text, b'\r' | 0x00 | 0x07) => State::Text,
            (State::Text, byte) => {
                self.pending.push(byte);
                State::Text
            }
            (State::Escape, b'[') => State::Control,
            (State::Escape, b']' | b'P' | b'X' | b'^' | b'_') => State::String,
            (State::Escape, 0x20..=0x2f) => State::Intermediate,
            (State::Control, byte) if !(0x40..=0x7e).contains(&byte) => State::Control,
            (State::String, 0x1b) => State::StringEscape,
            (State::String, byte) if byte != 0x07 => State::String,
            (State::StringEscape, byte) if byte != b'\\' => State::String,
            (
                State::Escape | State::Control | State::String | State::StringEscape | State::Intermediate,
                _,
            ) => State::Text,
        }
    }

    /// Moves complete characters over; keeps the beginning of a split one for the next push.
    fn flush(&mut self) {
        loop {
            match std::str::from_utf8(&self.pending) {
                Ok(text) => {
                    self.text.push_str(text);
                    self.pending.clear();
                    return;
                }
                Err(error) => {
                    let (valid, rest) = self.pending.split_at(error.valid_up_to());
                    self.text.push_str(&String::from_utf8_lossy(valid));
                    let Some(bad) = error.error_len() else {
                        self.pending = rest.to_vec();
                        return;
                    };
                    self.text.push(char::REPLACEMENT_CHARACTER);
                    self.pending = rest[bad..].to_vec();
                }
            }
        }
    }
}

/// `bytes` as a console would be searched: without terminal control.
pub fn plain_text(bytes: &[u8]) -> String {
    let mut transcript = Transcript::default();
    transcript.push(bytes);
    transcript.text
}
