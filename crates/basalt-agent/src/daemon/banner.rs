//! What consoles show above their prompts: written when something of it changes, by the kernel's own news of addresses.

use std::{
    fs,
    path::Path,
    sync::{Mutex, PoisonError},
    thread,
    time::Duration,
};

use basalt_exec::{
    addresses::News,
    command::{Command, Program},
    files::{Access, write_atomic},
};
use basalt_node::banner::{BANNER, BannerFacts, banner};

use crate::{
    error::{AgentError, AgentResult, Kind, OrFail as _},
    observe, reconcile, report,
};

/// While it is there, this boot is a trial (`commands::health`).
const ON_TRIAL: &str = "/run/basalt/on-trial";
/// Addresses come several at a time.
const SETTLE: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(60);
/// The screen's prompt. A serial line shows the banner at its next prompt: to draw that one again would swallow what somebody
/// types there.
const SCREEN: &str = "getty@tty1.service";
/// Both threads write it.
static WRITER: Mutex<()> = Mutex::new(());

/// Keeps the banner true from now on, in a thread of its own. A machine without it is none the worse: it is told, once.
pub(super) fn start() {
    let spawned = thread::Builder::new().name("banner".into()).spawn(|| {
        if let Err(error) = watch() {
            report::failure(&error);
        }
    });
    if let Err(error) = spawned {
        report::failure(&AgentError::new(Kind::Host, error));
    }
}

fn watch() -> AgentResult<()> {
    let news = News::open().or_fail(Kind::Host)?;
    loop {
        renew()?;
        news.wait().or_fail(Kind::Host)?;
        thread::sleep(SETTLE);
    }
}

/// The same after documents were followed.
pub(super) fn show() {
    if let Err(error) = renew() {
        report::failure(&error);
    }
}

/// Writes what is so now; does nothing if that is what is written.
fn renew() -> AgentResult<()> {
    let _one_at_a_time = WRITER.lock().unwrap_or_else(PoisonError::into_inner);
    let facts = BannerFacts {
        slot: observe::start().map(|(_, boot)| boot.slot).unwrap_or_default(),
        on_trial: Path::new(ON_TRIAL).exists(),
        network: observe::network().or_fail(Kind::Host)?,
        configuration: reconcile::read_report()?,
    };
    let (text, path) = (banner(&facts), Path::new(BANNER));
    if fs::read_to_string(path).is_ok_and(|written| written == text) {
        return Ok(());
    }
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).or_fail(Kind::Host)?;
    }
    write_atomic(path, text.as_bytes(), Access::Public).or_fail(Kind::Host)?;
    redraw()
}

/// Draws the screen's prompt again, if nobody has logged in there.
fn redraw() -> AgentResult<()> {
    let systemctl = Program::find("systemctl", "systemd").or_fail(Kind::Host)?;
    let ask = Command::new(&systemctl).args(["show", "--property=MainPID", "--value", SCREEN]);
    let number = String::from_utf8_lossy(&ask.timeout(PATIENCE).run().or_fail(Kind::Host)?).trim().to_owned();
    let program = fs::read_to_string(format!("/proc/{number}/comm")).unwrap_or_default();
    if program.trim() != "agetty" {
        return Ok(());
    }
    let restart = Command::new(&systemctl).args(["--no-block", "try-restart", SCREEN]);
    restart.timeout(PATIENCE).run().map(drop).or_fail(Kind::Host)
}
