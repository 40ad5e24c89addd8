//! What the stub measures of an image, and what the register holds at each stage of the boot that follows.
//!
//! For each section that is there, in the order of the specification and not of the file: its name with a zero byte, then its content. Then
//! programs measure a word at each stage of the boot.
//!
//! Source: UAPI.5, "PE Sections" and "JSON Format for .pcrsig"; systemd-stub(7), "TPM PCR Notes"; systemd-pcrphase.service(8) for the words.

use crate::{
    pe::Pe,
    tpm::{
        Pcr, PcrIndex,
        log::{self, Event},
        policy,
    },
};
use basalt_types::Digest;

use super::UkiError;

/// What is measured, in this order (systemd's `UnifiedSection`). `.pcrsig` is not: it is about the result.
const MEASURED: [&str; 12] = [
    ".linux", ".osrel", ".cmdline", ".initrd", ".ucode", ".splash", ".dtb", ".uname", ".sbat", ".pcrpkey",
    ".profile", ".hwids",
];

/// A stage of the boot, named by the word that begins it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// The initramfs looks for the root.
    EnterInitrd,
    /// The root is there, its init starts.
    LeaveInitrd,
    /// File systems are mounted, services start.
    Sysinit,
    /// The machine is up.
    Ready,
}

impl Phase {
    /// All of them, in the order of time.
    pub const ALL: [Self; 4] = [Self::EnterInitrd, Self::LeaveInitrd, Self::Sysinit, Self::Ready];

    /// The word that is measured.
    pub fn word(self) -> &'static str {
        match self {
            Self::EnterInitrd => "enter-initrd",
            Self::LeaveInitrd => "leave-initrd",
            Self::Sysinit => "sysinit",
            Self::Ready => "ready",
        }
    }

    /// All words up to this one, as systemd-measure(1) writes a path of phases.
    pub fn path(self) -> String {
        let words: Vec<&str> = Self::ALL.into_iter().filter(|phase| *phase <= self).map(Self::word).collect();
        words.join(":")
    }
}

/// What is measured of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Measured {
    /// Each section with the digest of its content, in the order in which they are measured.
    pub sections: Vec<(&'static str, Digest)>,
}

/// What register 11 holds at a stage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Predicted {
    /// The stage.
    pub phase: Phase,
    /// The register.
    pub pcr: Pcr,
    /// The policy that only this value meets.
    pub policy: Digest,
}

/// What the stub will measure of this image; of one with several profiles the base profile.
///
/// # Errors
/// When it is no EFI program, or has no kernel.
pub fn measure(image: &[u8]) -> Result<Measured, UkiError> {
    let pe = Pe::parse(image).map_err(UkiError::Image)?;
    let base = || pe.sections().iter().take_while(|section| !section.is(".profile"));
    if !base().any(|section| section.is(".linux")) {
        return Err(UkiError::Missing(".linux"));
    }
    let find = |name: &'static str| {
        let section = base().find(|section| section.is(name))?;
        Some((name, Digest::of(pe.content(section))))
    };
    Ok(Measured { sections: MEASURED.into_iter().filter_map(find).collect() })
}

/// What a log and an image say differently.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Difference {
    /// The log has other content of it.
    Changed(&'static str),
    /// The log has none of it.
    Missing(&'static str),
    /// The image has none of it.
    Added(&'static str),
    /// The log has something that no stub measures.
    Foreign(Digest),
    /// The log has an event without a SHA-256 digest.
    NoDigest,
    /// They are the same parts in another order.
    Order,
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Changed(name) => write!(f, "`{name}` is another one"),
            Self::Missing(name) => write!(f, "`{name}` was not measured"),
            Self::Added(name) => write!(f, "`{name}` was measured, and the image has none"),
            Self::Foreign(digest) => {
                write!(f, "something was measured that is no part of an image: {digest}")
            }
            Self::NoDigest => f.write_str("an event has no SHA-256 digest"),
            Self::Order => f.write_str("its parts were measured in another order"),
        }
    }
}

impl Measured {
    /// What the log says otherwise about register 11; nothing when it tells of the boot of this image.
    pub fn differences(&self, events: &[Event]) -> Vec<Difference> {
        let mut found = Vec::new();
        let mut logged = Vec::new();
        let mut digests = log::measured(events, PcrIndex::KERNEL_IMAGE).map(|event| event.sha256);
        while let Some(digest) = digests.next() {
            let Some(digest) = digest else {
                found.push(Difference::NoDigest);
                continue;
            };
            let named = |name: &&&str| Digest::of(format!("{name}\0").as_bytes()) == digest;
            match (MEASURED.iter().find(named), digests.next().flatten()) {
                (Some(name), Some(content)) => logged.push((*name, content)),
                (Some(_), None) | (None, _) => found.push(Difference::Foreign(digest)),
            }
        }
        let content = |of: &[(&'static str, Digest)], wanted: &str| {
            of.iter().find(|(name, _)| *name == wanted).map(|(_, digest)| *digest)
        };
        for (name, digest) in &self.sections {
            match content(&logged, name) {
                None => found.push(Difference::Missing(name)),
                Some(other) if other != *digest => found.push(Difference::Changed(name)),
                Some(_) => {}
            }
        }
        let is_added = |(name, _): &&(&'static str, Digest)| content(&self.sections, name).is_none();
        found.extend(logged.iter().filter(is_added).map(|(name, _)| Difference::Added(name)));
        if found.is_empty() && logged != self.sections {
            found.push(Difference::Order);
        }
        found
    }

    /// What register 11 holds before any word.
    pub fn image(&self) -> Pcr {
        self.sections.iter().fold(Pcr::START, |pcr, (name, content)| {
            pcr.measure(format!("{name}\0").as_bytes()).extend(content)
        })
    }

    /// What it holds at each stage.
    pub fn predict(&self) -> Vec<Predicted> {
        let mut pcr = self.image();
        let stages = Phase::ALL.into_iter().map(|phase| {
            pcr = pcr.measure(phase.word().as_bytes());
            Predicted { phase, pcr, policy: policy(PcrIndex::KERNEL_IMAGE, &pcr) }
        });
        stages.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(parts: &[(&'static str, &[u8])]) -> Measured {
        Measured { sections: parts.iter().map(|(name, content)| (*name, Digest::of(content))).collect() }
    }

    /// What the stub logs of an image: for each part its name, then its content.
    fn events(measured: &Measured) -> Vec<Event> {
        let event = |digest| Event { pcr: 11, kind: 13, sha256: Some(digest), data: Vec::new() };
        let pair = |(name, digest): &(&str, Digest)| [Digest::of(format!("{name}\0").as_bytes()), *digest];
        measured.sections.iter().flat_map(pair).map(event).collect()
    }

    #[test]
    fn a_log_is_compared_part_by_part() {
        let own = image(&[(".linux", b"kernel"), (".cmdline", b"roothash=1"), (".initrd", b"init")]);
        assert_eq!(own.differences(&events(&own)), []);
        assert_eq!(log::replay(&events(&own), PcrIndex::KERNEL_IMAGE), Some(own.image()));
        let told = |parts: &[(&'static str, &[u8])]| own.differences(&events(&image(parts)));
        let other =
            told(&[(".linux", b"kernel"), (".cmdline", b"roothash=1 init=/bin/sh"), (".initrd", b"init")]);
        assert_eq!(other, [Difference::Changed(".cmdline")]);
        let other = told(&[(".linux", b"kernel"), (".initrd", b"init"), (".pcrpkey", b"key")]);
        assert_eq!(other, [Difference::Missing(".cmdline"), Difference::Added(".pcrpkey")]);
        let other = told(&[(".cmdline", b"roothash=1"), (".linux", b"kernel"), (".initrd", b"init")]);
        assert_eq!(other, [Difference::Order]);
    }

    #[test]
    fn what_no_stub_measures_is_told() {
        let own = image(&[(".linux", b"kernel")]);
        let mut strange = events(&own);
        strange.push(Event { sha256: Some(Digest::of(b"?")), ..strange[0].clone() });
        assert_eq!(own.differences(&strange), [Difference::Foreign(Digest::of(b"?"))]);
        strange[0].sha256 = None;
        assert!(own.differences(&strange).contains(&Difference::NoDigest));
    }
}
