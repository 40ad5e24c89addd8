//! What a console shows above its prompt: how the machine is reached, and how it is.

use std::fmt::Write as _;

use crate::{
    BootSlot,
    doctor::{Interface, Network},
    reconcile::Report,
};

/// Where it is written: agetty(8) shows the files of this folder behind those of `/etc/issue.d`.
pub const BANNER: &str = "/run/issue.d/50-basalt.issue";

/// What a banner is made of.
#[derive(Clone, Debug, Default)]
pub struct BannerFacts {
    /// From where this boot came.
    pub slot: Option<BootSlot>,
    /// Whether it is a trial that was not found good yet.
    pub on_trial: bool,
    /// The interfaces.
    pub network: Network,
    /// How the documents are followed, if that was tried yet.
    pub configuration: Option<Report>,
}

/// The text; backslashes would be agetty's.
pub fn banner(facts: &BannerFacts) -> String {
    let BannerFacts { slot, on_trial, network, configuration } = facts;
    let mut states = Vec::new();
    states.extend(slot.map(|slot| match slot {
        BootSlot::A | BootSlot::B => format!("slot {slot}"),
        BootSlot::Recovery => "recovery".to_owned(),
        BootSlot::Live => "live".to_owned(),
    }));
    if *on_trial {
        states.push("on trial".to_owned());
    }
    states.extend(configuration.as_ref().map(|report| {
        let good = report.is_good();
        let said =
            if good { "as its documents say" } else { "not as its documents say: `basalt-agent doctor`" };
        said.to_owned()
    }));
    let mut text = String::new();
    let mut line = |words: std::fmt::Arguments<'_>| match writeln!(text, "{words}") {
        // Writing to a text can't fail.
        Ok(()) | Err(std::fmt::Error) => {}
    };
    if !states.is_empty() {
        line(format_args!("{}", states.join(" · ")));
    }
    let width = network.interfaces.iter().map(|one| one.name.len()).max().unwrap_or(0);
    for Interface { name, carrier, addresses } in &network.interfaces {
        let said = match (addresses.is_empty(), carrier) {
            (false, _) => addresses.join("  "),
            (true, true) => "no address".to_owned(),
            (true, false) => "no cable".to_owned(),
        };
        line(format_args!("  {name:<width$}  {said}"));
    }
    if !text.is_empty() {
        text.push('\n');
    }
    text.replace('\\', "\\\\")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reconcile::Condition;

    #[test]
    fn a_console_says_how_the_machine_is_reached_and_how_it_is() {
        let interface = |name: &str, carrier, addresses: &[&str]| Interface {
            name: name.into(),
            carrier,
            addresses: addresses.iter().map(|one| (*one).to_owned()).collect(),
        };
        let condition = Condition {
            kind: "Applied".into(),
            status: false,
            reason: String::new(),
            message: String::new(),
        };
        let facts = BannerFacts {
            slot: Some(BootSlot::B),
            on_trial: true,
            network: Network {
                interfaces: vec![
                    interface("eth0", true, &["192.0.2.7/24", "2001:db8::7/64"]),
                    interface("wlan0", true, &[]),
                    interface("x\\y", false, &[]),
                ],
                ..Network::default()
            },
            configuration: Some(Report { conditions: vec![condition], ..Report::default() }),
        };
        assert_eq!(
            banner(&facts),
            "slot b · on trial · not as its documents say: `basalt-agent doctor`\n  \
             eth0   192.0.2.7/24  2001:db8::7/64\n  wlan0  no address\n  x\\\\y    no cable\n\n"
        );
        assert_eq!(banner(&BannerFacts::default()), "");
    }
}
