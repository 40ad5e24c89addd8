use std::{
    fmt,
    hint::black_box,
    time::{Duration, Instant},
};

use basalt_types::Digest;

/// The characters of a code, none of which looks like another.
const LETTERS: &[u8; 31] = b"23456789abcdefghjkmnpqrstuvwxyz";
/// So many are a code: about 2³⁹ there are.
const LENGTH: usize = 8;
/// So many wrong codes in a row are answered; then nobody may try for a while.
const TRIES: u32 = 5;
/// How long.
const PAUSE: Duration = Duration::from_secs(60);

/// Who may use the page: whoever read a code on the console. A code opens once, and the next one that opens turns the
/// browser before it out.
pub(super) struct Door {
    seed: [u8; 32],
    /// How many codes have opened.
    opened: u64,
    pass: Option<Pass>,
    /// Wrong codes in a row.
    wrong: u32,
    shut_until: Option<Instant>,
}

/// What a browser has that knew a code.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Pass {
    /// Its cookie.
    pub(super) cookie: String,
    /// What each of its forms must hold: another site can make a browser send a form, but can't read this.
    pub(super) token: String,
}

/// What became of a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    Open,
    Wrong,
    /// Too many were wrong: try again after this.
    Shut(Duration),
}

impl Door {
    /// A door whose codes and passes come from 32 random bytes.
    pub(super) const fn new(seed: [u8; 32]) -> Self {
        Self { seed, opened: 0, pass: None, wrong: 0, shut_until: None }
    }

    /// What is shown on the console.
    pub(super) fn code(&self) -> String {
        let letter = |byte: &u8| char::from(LETTERS[usize::from(*byte) % LETTERS.len()]);
        let text: String = self.secret("code").as_bytes()[..LENGTH].iter().map(letter).collect();
        let (first, second) = text.split_at(LENGTH / 2);
        format!("{first}-{second}")
    }

    /// Tries a code, as a person types it.
    pub(super) fn enter(&mut self, typed: &str, now: Instant) -> Entry {
        if let Some(left) = self.shut_until.and_then(|until| until.checked_duration_since(now)) {
            return Entry::Shut(left);
        }
        if is_same(&dense(typed), &dense(&self.code())) {
            let [cookie, token] = ["cookie", "token"].map(|what| self.secret(what).hex());
            self.pass = Some(Pass { cookie, token });
            self.opened += 1;
            self.wrong = 0;
            return Entry::Open;
        }
        self.wrong += 1;
        if self.wrong.is_multiple_of(TRIES) {
            self.shut_until = Some(now + PAUSE);
        }
        Entry::Wrong
    }

    /// The pass that this cookie belongs to.
    pub(super) fn pass(&self, cookie: Option<&str>) -> Option<&Pass> {
        self.pass.as_ref().filter(|pass| cookie.is_some_and(|cookie| is_same(cookie, &pass.cookie)))
    }

    /// The pass of the browser that entered last.
    pub(super) const fn newest(&self) -> Option<&Pass> {
        self.pass.as_ref()
    }

    fn secret(&self, what: &str) -> Digest {
        let parts = [self.seed.as_slice(), what.as_bytes(), &self.opened.to_be_bytes()];
        Digest::of(&parts.concat())
    }
}

impl Pass {
    /// Whether a form came from a page of ours.
    pub(super) fn knows(&self, token: &str) -> bool {
        is_same(token, &self.token)
    }
}

/// A code without what people put between letters.
fn dense(text: &str) -> String {
    let letters = text.chars().filter(|letter| !letter.is_whitespace() && *letter != '-');
    letters.map(|letter| letter.to_ascii_lowercase()).collect()
}

/// Compares in a time that says nothing of where two texts of one length differ.
fn is_same(one: &str, other: &str) -> bool {
    let pairs = one.bytes().zip(other.bytes());
    let difference = pairs.fold(0, |all, (one, other)| black_box(all | (one ^ other)));
    one.len() == other.len() && black_box(difference) == 0
}

impl fmt::Debug for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Door(opened: {}, wrong: {})", self.opened, self.wrong)
    }
}

impl fmt::Debug for Pass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pass")
    }
}
