use basalt_spec::node::words::Window;
use jiff::{Timestamp, ToSpan as _, civil::Date, tz::TimeZone};

/// A window at some moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    /// It is open.
    Open,
    /// It opens then, in seconds since 1970.
    Opens(i64),
}

/// Why nobody knows when a window is open.
#[derive(Debug, thiserror::Error)]
pub enum WindowError {
    /// The zone is not in the database.
    #[error("no time zone is called `{zone}`")]
    Zone {
        /// Its name.
        zone: String,
        /// What the database says.
        source: jiff::Error,
    },
    /// The clock is beyond every calendar.
    #[error("the machine's clock can't be right")]
    Clock(#[source] jiff::Error),
}

/// Whether `window` is open at `now`, in seconds since 1970, by the clocks of its zone. One whose hours a change of the clock
/// leaves out does not open on that day.
///
/// # Errors
/// When the zone is unknown, or the time is none.
pub fn opening(window: &Window, now: i64) -> Result<Opening, WindowError> {
    let zone = TimeZone::get(window.zone().as_str())
        .map_err(|source| WindowError::Zone { zone: window.zone().to_string(), source })?;
    let now = Timestamp::from_second(now).map_err(WindowError::Clock)?;
    let today = zone.to_datetime(now).date();
    // From yesterday, whose window may pass midnight, to this day of the next week.
    for days in -1..=7 {
        let day = today.checked_add(days.days()).map_err(WindowError::Clock)?;
        let opens_on = usize::try_from(day.weekday().to_monday_zero_offset()).ok();
        if !opens_on.and_then(|day| window.days().get(day).copied()).unwrap_or(false) {
            continue;
        }
        let last =
            if window.to() > window.from() { day } else { day.tomorrow().map_err(WindowError::Clock)? };
        let opens = at(day, window.from(), &zone)?;
        let closes = at(last, window.to(), &zone)?;
        if closes <= opens {
            continue;
        }
        if opens > now {
            return Ok(Opening::Opens(opens.as_second()));
        }
        if now < closes {
            return Ok(Opening::Open);
        }
    }
    // A window opens on some day of each week.
    Ok(Opening::Opens(now.as_second() + 7 * 86_400))
}

fn at(day: Date, minute: u16, zone: &TimeZone) -> Result<Timestamp, WindowError> {
    let midnight = day.at(0, 0, 0, 0);
    let time = midnight.checked_add(i64::from(minute).minutes()).map_err(WindowError::Clock)?;
    zone.to_timestamp(time).map_err(WindowError::Clock)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(window: &str, now: &str, expected: Result<(), &str>) {
        let now: Timestamp = now.parse().unwrap();
        let opening = opening(&window.parse().unwrap(), now.as_second()).unwrap();
        let expected = match expected {
            Ok(()) => Opening::Open,
            Err(opens) => Opening::Opens(opens.parse::<Timestamp>().unwrap().as_second()),
        };
        assert_eq!(opening, expected, "{window} at {now}");
    }

    /// 2026-11-22 is a Sunday; Rome is an hour ahead of UTC then, and two in summer.
    #[test]
    fn windows_open_on_their_days_in_their_zone() {
        check("Sun 02:00-04:00 Europe/Rome", "2026-11-22T01:00:00Z", Ok(()));
        check("Sun 02:00-04:00 Europe/Rome", "2026-11-22T02:59:59Z", Ok(()));
        check("Sun 02:00-04:00 Europe/Rome", "2026-11-22T03:00:00Z", Err("2026-11-29T01:00:00Z"));
        check("Sun 02:00-04:00 Europe/Rome", "2026-07-05T00:30:00Z", Ok(()));
        check("daily 03:00-04:00", "2026-11-22T04:00:00Z", Err("2026-11-23T03:00:00Z"));
    }

    #[test]
    fn windows_pass_midnight_and_sunday() {
        check("Mon-Fri 22:00-05:00", "2026-11-21T04:59:00Z", Ok(()));
        check("Mon-Fri 22:00-05:00", "2026-11-21T05:00:00Z", Err("2026-11-23T22:00:00Z"));
        check("Sat-Mon 22:00-23:00", "2026-11-22T22:30:00Z", Ok(()));
        check("Sat-Mon 22:00-23:00", "2026-11-24T22:30:00Z", Err("2026-11-28T22:00:00Z"));
        check("Tue,Thu 01:00-02:00", "2026-11-24T02:00:00Z", Err("2026-11-26T01:00:00Z"));
    }

    /// In Rome the clock went from 02:00 to 03:00 on 2026-03-29, and from 03:00 back to 02:00 on 2026-10-25.
    #[test]
    fn a_change_of_the_clock_takes_hours_or_gives_them() {
        check("daily 02:30-03:30 Europe/Rome", "2026-03-29T01:00:00Z", Err("2026-03-30T00:30:00Z"));
        check("daily 01:00-02:30 Europe/Rome", "2026-03-29T01:15:00Z", Ok(()));
        check("daily 02:30-03:30 Europe/Rome", "2026-10-25T01:30:00Z", Ok(()));
    }

    #[test]
    fn a_zone_that_is_none_is_named() {
        let error = opening(&"daily 03:00-04:00 Mars/Base".parse().unwrap(), 0).unwrap_err();
        assert_eq!(error.to_string(), "no time zone is called `Mars/Base`");
    }
}
