//! The machine's watchdog, armed as soon as its driver is there and handed over armed.
//!
//! From then on a machine that hangs restarts, and the boot loader counts. The image's systemd takes the device over
//! (`RuntimeWatchdogSec=`, in the package `basalt-node`); any other init would not, so for that it is stopped.

use std::{
    path::Path,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use basalt_exec::watchdog::Watchdog;

use crate::report::{phase, warn};

/// The first watchdog of the kernel, whatever drives it.
const DEVICE: &str = "/dev/watchdog0";

/// As long as systemd's, so that the hand-over changes nothing.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(60);

/// The longest wait without a sign of life.
pub(crate) const BETWEEN_PINGS: Duration = Duration::from_secs(10);

/// One for the process: a failure that nobody expected has to find it, too.
static ARMED: Mutex<Option<Watchdog>> = Mutex::new(None);

/// Whether a driver has made the device.
pub(crate) fn is_there() -> bool {
    Path::new(DEVICE).exists()
}

/// Arms it. A machine without one, or whose watchdog is broken, boots all the same.
pub(crate) fn arm(timeout: Duration) {
    if !is_there() {
        phase("there is no watchdog: a machine that hangs stays as it is");
        return;
    }
    match Watchdog::arm(Path::new(DEVICE), timeout) {
        Ok(watchdog) => {
            phase(&format!(
                "the watchdog restarts a machine that hangs for {} s",
                watchdog.timeout().as_secs()
            ));
            *ARMED.lock().unwrap_or_else(PoisonError::into_inner) = Some(watchdog);
        }
        Err(error) => warn(&format!("the watchdog can't be armed: {error}")),
    }
}

/// Says that all is well.
pub(crate) fn ping() {
    if let Some(watchdog) = ARMED.lock().unwrap_or_else(PoisonError::into_inner).as_mut()
        && let Err(error) = watchdog.ping()
    {
        warn(&format!("the watchdog does not listen: {error}"));
    }
}

/// Stops it: what runs next does not know of it.
pub(crate) fn disarm() {
    if let Some(watchdog) = ARMED.lock().unwrap_or_else(PoisonError::into_inner).take()
        && let Err(error) = watchdog.disarm()
    {
        warn(&format!("the watchdog can't be stopped: {error}"));
    }
}
