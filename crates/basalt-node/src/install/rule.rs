//! Which disk is meant: the rule's words on a command line, and whether a disk is what it says.

use std::fmt;

use basalt_spec::node::{DiskBus, DiskRule, Preference, words::Pattern};
use basalt_types::ByteSize;

use super::{BlockDisk, observed::bus_name};

/// Why a text is no rule for a disk.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// It is no `KEY=VALUE`.
    #[error(
        "`{0}` is no rule for a disk: expected `auto`, a path such as `/dev/sda`, or KEY=VALUE with `,` between them"
    )]
    Form(String),
    /// The key is none.
    #[error(
        "`{0}` is no key of a rule for a disk: expected path, serial, model, wwn, bus, min-size, max-size or prefer"
    )]
    Key(String),
    /// The key is there twice.
    #[error("`{0}` is there twice")]
    Twice(String),
    /// The value is none of that key.
    #[error("`{value}` is no value of `{key}`: {expected}")]
    Value {
        /// The key.
        key: String,
        /// What stands there.
        value: String,
        /// What should.
        expected: String,
    },
}

/// Reads a rule as it is typed: `auto` is the only disk there is, a path is that disk, otherwise
/// `bus=nvme,min-size=100GiB,model=Samsung*,prefer=smallest`.
///
/// # Errors
/// [`RuleError`] with the part that is wrong.
pub fn parse_rule(text: &str) -> Result<DiskRule, RuleError> {
    let mut rule = DiskRule::default();
    if text == "auto" {
        return Ok(rule);
    }
    if text.starts_with('/') {
        rule.path = Some(word("path", text)?);
        return Ok(rule);
    }
    let mut seen = Vec::new();
    for part in text.split(',') {
        let (key, value) = part.split_once('=').ok_or_else(|| RuleError::Form(text.to_owned()))?;
        if seen.contains(&key) {
            return Err(RuleError::Twice(key.to_owned()));
        }
        seen.push(key);
        set(&mut rule, key, value)?;
    }
    Ok(rule)
}

fn set(rule: &mut DiskRule, key: &str, value: &str) -> Result<(), RuleError> {
    match key {
        "path" => rule.path = Some(word(key, value)?),
        "serial" => rule.serial = Some(word(key, value)?),
        "model" => rule.model = Some(word(key, value)?),
        "wwn" => rule.wwn = Some(word(key, value)?),
        "min-size" => rule.min_size = Some(word(key, value)?),
        "max-size" => rule.max_size = Some(word(key, value)?),
        "bus" => rule.bus = Some(one_of(key, value, &BUSES.map(|bus| (bus_name(bus), bus)))?),
        "prefer" => {
            let known = [("smallest", Preference::Smallest), ("largest", Preference::Largest)];
            rule.prefer = Some(one_of(key, value, &known)?);
        }
        _ => return Err(RuleError::Key(key.to_owned())),
    }
    Ok(())
}

const BUSES: [DiskBus; 6] =
    [DiskBus::Nvme, DiskBus::Sata, DiskBus::Scsi, DiskBus::Usb, DiskBus::Mmc, DiskBus::Virtio];

fn word<T: std::str::FromStr<Err: fmt::Display>>(key: &str, value: &str) -> Result<T, RuleError> {
    value.parse().map_err(|error: T::Err| RuleError::Value {
        key: key.to_owned(),
        value: value.to_owned(),
        expected: error.to_string(),
    })
}

fn one_of<T: Copy>(key: &str, value: &str, known: &[(&str, T)]) -> Result<T, RuleError> {
    let found = known.iter().find(|(name, _)| *name == value).map(|(_, known)| *known);
    found.ok_or_else(|| {
        let names = known.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
        let expected = format!("expected one of {names}");
        RuleError::Value { key: key.to_owned(), value: value.to_owned(), expected }
    })
}

/// A part of a rule that a disk does not meet: what it asks for, and what the disk has.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Mismatch {
    /// The key of the rule.
    pub key: &'static str,
    /// What it asks for.
    pub wanted: String,
    /// What the disk has; none when it does not say.
    pub found: Option<String>,
}

/// Everything of the rule that is not true of the disk.
pub(super) fn mismatches(rule: &DiskRule, disk: &BlockDisk) -> Vec<Mismatch> {
    // Which of those that are left is not the disk's own affair.
    let DiskRule { path, serial, model, wwn, bus, min_size, max_size, prefer: _ } = rule;
    let mut found = Vec::new();
    let mut expect = |key, wanted: Option<String>, has: Option<String>, is_met: bool| {
        if let Some(wanted) = wanted.filter(|_| !is_met) {
            found.push(Mismatch { key, wanted, found: has });
        }
    };
    let leads_there = |path: &str| disk.device == path || disk.links.iter().any(|link| link == path);
    expect(
        "path",
        path.as_ref().map(ToString::to_string),
        Some(disk.device.clone()),
        path.as_ref().is_none_or(|path| leads_there(path.as_str())),
    );
    for (key, pattern, has) in
        [("serial", serial, &disk.serial), ("model", model, &disk.model), ("wwn", wwn, &disk.wwn)]
    {
        let is_met = |pattern: &Pattern| has.as_deref().is_some_and(|has| pattern.matches(has));
        let wanted = pattern.as_ref().map(ToString::to_string);
        expect(key, wanted, has.clone(), pattern.as_ref().is_none_or(is_met));
    }
    let has = disk.bus.map(|bus| bus_name(bus).to_owned());
    expect("bus", bus.map(|bus| bus_name(bus).to_owned()), has, *bus == disk.bus);
    let size = |limit: &Option<ByteSize>| limit.map(ByteSize::human);
    let (least, most) = (min_size.unwrap_or_default(), max_size.unwrap_or(ByteSize::bytes(u64::MAX)));
    expect("minSize", size(min_size), Some(disk.size.human()), disk.size >= least);
    expect("maxSize", size(max_size), Some(disk.size.human()), disk.size <= most);
    found
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, wanted, found } = self;
        match found {
            Some(found) => write!(f, "{key} is `{found}`, not `{wanted}`"),
            None => write!(f, "it does not say its {key}, and `{wanted}` is wanted"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_read_as_typed() {
        assert_eq!(parse_rule("auto").unwrap(), DiskRule::default());
        let path = parse_rule("/dev/disk/by-id/x").unwrap().path.unwrap();
        assert_eq!(path.as_str(), "/dev/disk/by-id/x");
        let rule = parse_rule("bus=nvme,min-size=100GiB,model=Samsung *,prefer=smallest").unwrap();
        assert_eq!((rule.bus, rule.prefer), (Some(DiskBus::Nvme), Some(Preference::Smallest)));
        assert_eq!(rule.min_size, Some(ByteSize::gib(100)));
    }

    #[test]
    fn what_is_no_rule_is_refused_by_its_part() {
        for (text, expected) in [
            ("sda", "`sda` is no rule for a disk: expected `auto`, a path"),
            ("size=1", "`size` is no key of a rule for a disk"),
            ("bus=ide", "`ide` is no value of `bus`: expected one of nvme, sata"),
            ("bus=usb,bus=usb", "`bus` is there twice"),
            ("min-size=1GB", "`1GB` is no value of `min-size`: `1GB` is not a size"),
            ("/etc/passwd", "`/etc/passwd` is no value of `path`"),
        ] {
            let error = parse_rule(text).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error}");
        }
    }
}
