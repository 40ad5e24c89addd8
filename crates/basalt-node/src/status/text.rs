use std::fmt::{self, Display, Write as _};

use super::{BootEntry, Data, Fact, Health, Root, Start, Status, SystemFacts, Tried, Unknown, Verification};

impl Status {
    /// For people: one line of what and how, the facts, the warnings.
    pub fn text(&self) -> String {
        let Self { health, image, root, verification, boot, data, system, start, machine_id, warnings } =
            self;
        let hash = root.and_then(|root| Fact::Known(root.hash.hex()));
        let rows: [(&str, String); 9] = [
            ("id", image.id.to_string()),
            ("root", shown(&hash)),
            ("", shown(verification)),
            ("slot", shown(root)),
            ("boot", shown(boot)),
            ("data", shown(data)),
            ("system", shown(system)),
            ("started", start.to_string()),
            ("machine", shown(machine_id)),
        ];
        let mut text = self.headline();
        text.push_str("\n\n");
        for (name, value) in rows {
            line(&mut text, format_args!("  {name:<9}{value}"));
        }
        if !warnings.is_empty() {
            text.push_str("\n  warnings\n");
        }
        for warning in warnings {
            line(&mut text, format_args!("    {warning}\n      next: {}", warning.hint()));
        }
        debug_assert_eq!(*health == Health::Healthy, warnings.is_empty());
        text
    }

    /// The first line, which is enough for a greeting at login.
    pub fn headline(&self) -> String {
        let image = &self.image;
        format!("{} {} · {} · {}", image.name, image.version, image.architecture, self.health)
    }
}

fn line(text: &mut String, arguments: fmt::Arguments<'_>) {
    // Writing to a string fails only when a `Display` of ours does, and then the line ends early.
    if text.write_fmt(arguments).is_err() {
        text.push('…');
    }
    text.push('\n');
}

fn shown<T: Display>(fact: &Fact<T>) -> String {
    match fact {
        Fact::Known(value) => value.to_string(),
        Fact::Unknown { unknown } => unknown.to_string(),
    }
}

impl Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NeedsRoot => "unknown: only root may ask (sudo basalt-agent status)",
            Self::Absent => "none",
            Self::Unreadable => "unknown: it could not be read",
            Self::NotYet => "still starting",
        })
    }
}

impl Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Healthy => "healthy",
            Self::Degraded => "degraded",
        })
    }
}

impl Display for Verification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Verified => "verified: every block that was read is what was built",
            Self::Corrupted => "CORRUPTED: a block that was read is not what was built",
            Self::NotVerified => "NOT VERIFIED against this boot's root hash",
        })
    }
}

impl Display for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.slot {
            Some(slot) => write!(f, "{slot}")?,
            None => f.write_str("none of ours")?,
        }
        write!(f, " on {}, hash tree on {}", self.device, self.hash_tree)
    }
}

impl Display for BootEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, assessment, tries_left, tries_done } = self;
        let (left, done) = (tries_left.unwrap_or(0), tries_done.unwrap_or(0));
        match assessment {
            Tried::Good => write!(f, "{file}, found good"),
            Tried::Indeterminate => write!(f, "{file}, on trial: {done} done, {left} left"),
            Tried::Bad => write!(f, "{file}, no try left after {done}"),
        }
    }
}

impl Display for Data {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { device, file_system, size, used } = self;
        write!(f, "{device} on /var, {file_system}, {} of {} used", used.human(), size.human())
    }
}

impl Display for SystemFacts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.failed_units.len() {
            0 => f.write_str(&self.state),
            1 => write!(f, "{}, 1 unit failed", self.state),
            count => write!(f, "{}, {count} units failed", self.state),
        }
    }
}

impl Display for Start {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { firmware, loader, kernel, initramfs, userspace } = self;
        let parts = [
            ("firmware", firmware),
            ("loader", loader),
            ("kernel", kernel),
            ("initramfs", initramfs),
            ("userspace", userspace),
        ];
        let known: Vec<(&str, u64)> =
            parts.iter().filter_map(|(name, fact)| fact.known().map(|usec| (*name, *usec))).collect();
        if known.is_empty() {
            return f.write_str("unknown");
        }
        let still = matches!(userspace, Fact::Unknown { unknown: Unknown::NotYet });
        let total = known.iter().map(|(_, usec)| usec).sum();
        write!(f, "{} {}:", if still { "still starting after" } else { "in" }, seconds(total))?;
        for (index, (name, usec)) in known.iter().enumerate() {
            write!(f, "{} {name} {}", if index == 0 { "" } else { "," }, seconds(*usec))?;
        }
        Ok(())
    }
}

/// Milliseconds below ten seconds matter, above they don't.
fn seconds(usec: u64) -> String {
    if usec < 10_000_000 {
        format!("{}.{:02} s", usec / 1_000_000, usec / 10_000 % 100)
    } else {
        format!("{}.{} s", usec / 1_000_000, usec / 100_000 % 10)
    }
}
