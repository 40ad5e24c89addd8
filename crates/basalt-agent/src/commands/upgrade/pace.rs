//! How fast a release is fetched, and how long that will take.

use std::time::Duration;

use basalt_types::ByteSize;

/// The most bytes that are fetched in a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pace(Option<ByteSize>);

impl Pace {
    /// Without a number, as fast as it comes.
    pub(super) const fn new(bytes_per_second: Option<ByteSize>) -> Self {
        Self(bytes_per_second)
    }

    /// How long to wait when so many bytes were fetched in this time.
    pub(super) fn pause(self, fetched: u64, elapsed: Duration) -> Duration {
        let Some(limit) = self.0.map(ByteSize::get).filter(|limit| *limit > 0) else { return Duration::ZERO };
        Duration::from_secs_f64(fetched as f64 / limit as f64).saturating_sub(elapsed)
    }
}

/// How long the rest takes at the speed so far, in words; none when there is nothing to go by.
pub(super) fn left(fetched: u64, all: u64, elapsed: Duration) -> Option<String> {
    if fetched == 0 || fetched >= all {
        return None;
    }
    let seconds = elapsed.as_secs_f64() * (all - fetched) as f64 / fetched as f64;
    let seconds = Duration::try_from_secs_f64(seconds).ok()?.as_secs();
    Some(match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds} s"),
        (0, minutes, seconds) => format!("{minutes} min {seconds} s"),
        (hours, minutes, _) => format!("{hours} h {minutes} min"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_too_fast_is_waited_for() {
        let pace = Pace::new(Some(ByteSize::mib(1)));
        let second = Duration::from_secs(1);
        assert_eq!(pace.pause(3 << 20, second), 2 * second);
        assert_eq!(pace.pause(1 << 20, second), Duration::ZERO);
        assert_eq!(pace.pause(1 << 20, 5 * second), Duration::ZERO);
        assert_eq!(Pace::new(None).pause(u64::MAX, second), Duration::ZERO);
    }

    #[test]
    fn the_rest_takes_as_long_as_the_speed_says() {
        let elapsed = Duration::from_secs(10);
        assert_eq!(left(0, 100, elapsed), None);
        assert_eq!(left(100, 100, elapsed), None);
        assert_eq!(left(50, 100, elapsed).unwrap(), "10 s");
        assert_eq!(left(10, 100, elapsed).unwrap(), "1 min 30 s");
        assert_eq!(left(1, 1000, elapsed).unwrap(), "2 h 46 min");
    }
}
