//! systemd, by `systemctl`: what units are, and what is done with them.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use basalt_exec::command::{Command, CommandError, Program};
use basalt_node::reconcile::{Active, Enablement, Reload, UnitAction, UnitFacts};

/// What is asked of each unit (systemctl(1), `show`).
const PROPERTIES: &str = "--property=LoadState,ActiveState,UnitFileState,ConditionTimestampMonotonic";
/// Longer than `DefaultTimeoutStartSec=`, after which systemd itself gives up.
const PATIENCE: Duration = Duration::from_secs(120);

fn systemctl<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Result<String, CommandError> {
    let program = Program::find("systemctl", "systemd")?;
    let output = Command::new(&program).args(arguments).timeout(PATIENCE).run()?;
    Ok(String::from_utf8_lossy(&output).into_owned())
}

/// The units that systemd knows of these.
pub(super) fn units(names: &BTreeSet<String>) -> Result<BTreeMap<String, UnitFacts>, CommandError> {
    if names.is_empty() {
        return Ok(BTreeMap::new());
    }
    let words = ["show", PROPERTIES, "--"].into_iter().chain(names.iter().map(String::as_str));
    Ok(parse(names, &systemctl(words)?))
}

/// One block of `KEY=VALUE` lines for each name, in the order of the names, with an empty line between two.
fn parse(names: &BTreeSet<String>, text: &str) -> BTreeMap<String, UnitFacts> {
    let facts = names.iter().zip(text.split("\n\n")).filter_map(|(name, block)| {
        let property = |key: &str| {
            let line = block.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
            line.unwrap_or_default()
        };
        let enablement = match property("UnitFileState") {
            "enabled" | "enabled-runtime" => Enablement::Enabled,
            "disabled" => Enablement::Disabled,
            "masked" | "masked-runtime" => Enablement::Masked,
            _static_or_made_by_a_program => Enablement::Fixed,
        };
        let active = match property("ActiveState") {
            "active" | "activating" | "reloading" | "refreshing" => Active::Active,
            "failed" => Active::Failed,
            _inactive_or_on_its_way => Active::Inactive,
        };
        let tried = !matches!(property("ConditionTimestampMonotonic"), "" | "0");
        let known = property("LoadState") != "not-found";
        known.then(|| (name.clone(), UnitFacts { enablement, active, tried }))
    });
    facts.collect()
}

pub(super) fn act(name: &str, action: UnitAction) -> Result<(), CommandError> {
    let words: &[&str] = match action {
        UnitAction::Enable => &["--quiet", "enable"],
        UnitAction::Disable => &["--quiet", "disable"],
        UnitAction::Mask => &["--quiet", "mask"],
        UnitAction::Unmask => &["--quiet", "unmask"],
        // Early in a boot what it needs may wait for whoever asks.
        UnitAction::Start => &["--no-block", "start"],
        UnitAction::StartAndWait => &["start"],
        UnitAction::Stop => &["--no-block", "stop"],
        UnitAction::StopAndWait => &["stop"],
        UnitAction::Restart => &["--no-block", "restart"],
    };
    systemctl(words.iter().copied().chain(["--", name])).map(drop)
}

/// Tells who reads a file that it is another now. Who does not run reads it when it starts.
pub(super) fn reload(what: Reload) -> Result<(), CommandError> {
    let restart = |unit: &'static str| systemctl(["--no-block", "try-reload-or-restart", unit]).map(drop);
    match what {
        // Programs of their own merge extensions: `extensions::refresh`.
        Reload::Extensions | Reload::Configuration => Ok(()),
        Reload::Systemd => systemctl(["daemon-reload"]).map(drop),
        Reload::Sysctl => systemctl(["restart", "systemd-sysctl.service"]).map(drop),
        Reload::Network => {
            if systemctl(["is-active", "systemd-networkd.service"]).is_err() {
                return Ok(());
            }
            let program = Program::find("networkctl", "systemd")?;
            Command::new(&program).arg("reload").timeout(PATIENCE).run().map(drop)
        }
        Reload::Resolver => restart("systemd-resolved.service"),
        Reload::Time => restart("systemd-timesyncd.service"),
        Reload::Console => restart("systemd-vconsole-setup.service"),
        Reload::Ssh => restart("ssh.service").and_then(|()| restart("sshd.service")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_systemctl_shows_is_read() {
        let names: BTreeSet<String> = ["a.service", "b.mount", "c.service"].map(str::to_owned).into();
        let text = "LoadState=loaded\nActiveState=active\nUnitFileState=enabled\nConditionTimestampMonotonic=17\n\n\
                    LoadState=not-found\nActiveState=inactive\nUnitFileState=\nConditionTimestampMonotonic=0\n\n\
                    LoadState=masked\nActiveState=failed\nUnitFileState=masked\nConditionTimestampMonotonic=0\n";
        let units = parse(&names, text);
        let facts = |enablement, active, tried| UnitFacts { enablement, active, tried };
        assert_eq!(units["a.service"], facts(Enablement::Enabled, Active::Active, true));
        assert_eq!(units.get("b.mount"), None);
        assert_eq!(units["c.service"], facts(Enablement::Masked, Active::Failed, false));
    }
}
