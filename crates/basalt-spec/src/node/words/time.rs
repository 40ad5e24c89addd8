use std::{fmt, str::FromStr, time::Duration};

use crate::words::{Timezone, WordError, serde_as_string, text_word};

/// A length of time: a whole number and one of `s`, `m`, `h`, `d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(u32);

/// Units and their seconds, the largest first.
const UNITS: [(&str, u32); 4] = [("d", 86_400), ("h", 3600), ("m", 60), ("s", 1)];

impl Span {
    /// As a number of seconds.
    pub const fn duration(self) -> Duration {
        Duration::from_secs(self.0 as u64)
    }
}

impl FromStr for Span {
    type Err = WordError;

    fn from_str(text: &str) -> Result<Self, WordError> {
        let refuse = || {
            WordError::new(
                text,
                "a length of time",
                "a whole number and one of s, m, h, d, such as `90s` or `10m`",
            )
        };
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let (_, scale) = UNITS.into_iter().find(|(name, _)| *name == unit).ok_or_else(refuse)?;
        number.parse::<u32>().ok().and_then(|number| number.checked_mul(scale)).map(Self).ok_or_else(refuse)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = |(_, scale): &(&str, u32)| self.0 >= *scale && self.0.is_multiple_of(*scale);
        let (unit, scale) = UNITS.into_iter().find(whole).unwrap_or(("s", 1));
        write!(f, "{}{unit}", self.0 / scale)
    }
}

serde_as_string!(
    Span,
    schemars::json_schema!({
        "type": "string", "description": "a whole number and one of s, m, h, d", "pattern": "^[0-9]+[smhd]$",
        "examples": ["90s", "10m", "7d"]
    })
);

/// A recurring window of time: days, hours, and a time zone (UTC if none is said). It may pass midnight.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Window {
    text: String,
    days: [bool; 7],
    from: u16,
    to: u16,
    zone: Timezone,
}

const WINDOW_FORM: &str = "days, hours and perhaps a time zone, such as `Sun 02:00-04:00 Europe/Rome`, `Mon-Fri 22:00-05:00` or \
                           `daily 03:00-04:00`";

impl Window {
    /// The days on which it opens, Monday first.
    pub const fn days(&self) -> [bool; 7] {
        self.days
    }

    /// The minute of the day at which it opens.
    pub const fn from(&self) -> u16 {
        self.from
    }

    /// The minute of the day at which it closes: of the next day, when it is not after the one at which it opens.
    pub const fn to(&self) -> u16 {
        self.to
    }

    /// The zone of its days and hours.
    pub const fn zone(&self) -> &Timezone {
        &self.zone
    }
}

impl FromStr for Window {
    type Err = WordError;

    fn from_str(text: &str) -> Result<Self, WordError> {
        let parsed = || {
            let mut words = text.split(' ');
            let (days, hours, zone) = (words.next()?, words.next()?, words.next().unwrap_or("UTC"));
            let (from, to) = hours.split_once('-')?;
            let (from, to) = (minute_of_day(from)?, minute_of_day(to)?);
            let window =
                Self { text: text.to_owned(), days: days_of_week(days)?, from, to, zone: zone.parse().ok()? };
            (from != to && words.next().is_none()).then_some(window)
        };
        parsed().ok_or_else(|| WordError::new(text, "a window of time", WINDOW_FORM))
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text, f)
    }
}

serde_as_string!(
    Window,
    schemars::json_schema!({
        "type": "string", "description": WINDOW_FORM,
        "pattern": "^(daily|[A-Z][a-z]{2}([,-][A-Z][a-z]{2})*) [0-2][0-9]:[0-5][0-9]-[0-2][0-9]:[0-5][0-9]( [A-Za-z0-9_+/-]+)?$"
    })
);

const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

/// `daily`, or days and ranges of days; a range may pass Sunday.
fn days_of_week(text: &str) -> Option<[bool; 7]> {
    if text == "daily" {
        return Some([true; 7]);
    }
    let day = |name: &str| DAYS.iter().position(|day| *day == name);
    let mut days = [false; 7];
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (day(first)?, day(last)?);
        let length = (last + 7 - first) % 7;
        (first..=first + length).for_each(|at| days[at % 7] = true);
    }
    Some(days)
}

fn minute_of_day(text: &str) -> Option<u16> {
    let (hour, minute) = text.split_once(':')?;
    let two = |text: &str| text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit());
    if !two(hour) || !two(minute) {
        return None;
    }
    let (hour, minute) = (hour.parse::<u16>().ok()?, minute.parse::<u16>().ok()?);
    (hour < 24 && minute < 60).then_some(hour * 60 + minute)
}

text_word!(
    /// Which versions an upgrade may choose from: numbers, and an `x` for the rest.
    Track,
    "a track of versions",
    "numbers and a last `x`, such as `1.x` or `1.2.x`, or `x` for every version",
    "^([0-9]+\\.)*x$",
    |text| {
        let Some(numbers) = text.strip_suffix('x') else { return false };
        let number = |part: &str| matches!(part.len(), 1..=9) && part.bytes().all(|b| b.is_ascii_digit());
        text.len() <= 64 && (numbers.is_empty() || numbers.strip_suffix('.').is_some_and(|n| n.split('.').all(number)))
    }
);
