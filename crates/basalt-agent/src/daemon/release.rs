//! When documents want another release than before, the unit that moves there is started at once, and not when its timer says.

use std::time::Duration;

use basalt_exec::command::{Command, Program};
use basalt_spec::node::{ImageWish, Upgrade};

use crate::reconcile::Wish;

/// What moves to another release; it runs apart from the daemon, for it takes long.
const UNIT: &str = "basalt-upgrade.service";
/// How long it may take to ask for it.
const SOON: Duration = Duration::from_secs(10);

/// What was asked for before.
#[derive(Debug, Default)]
pub(super) struct Asked(Option<(ImageWish, Upgrade)>);

impl Asked {
    /// Starts the unit if what is wanted has changed; also when nobody has asked since the daemon began.
    pub(super) fn look(&mut self) {
        // Documents that can't be read were told of already.
        let Ok(Wish { spec, .. }) = Wish::observe() else { return };
        let wanted = spec.image.map(|image| (image, spec.upgrade));
        if wanted == self.0 {
            return;
        }
        self.0 = wanted;
        if self.0.is_some()
            && let Err(error) = start()
        {
            crate::report::failure(&error);
        }
    }
}

fn start() -> crate::error::AgentResult<()> {
    use crate::error::{Kind, OrFail as _};
    let systemctl = Program::find("systemctl", "systemd").or_fail(Kind::Host)?;
    Command::new(&systemctl).args(["start", "--no-block", UNIT]).timeout(SOON).run().or_fail(Kind::Host)?;
    Ok(())
}
