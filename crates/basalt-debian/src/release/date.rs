/// The months as RFC 5322 section 3.3 writes them.
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];

/// Reads `Sat, 12 Sep 2026 07:55:41 UTC` into seconds since 1970-01-01 UTC. Only UTC is meant by the repository
/// format, so any other zone is refused.
pub fn parse_date(text: &str) -> Option<i64> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let [weekday, day, month, year, time, zone] = words[..] else { return None };
    if !weekday.ends_with(',') || !matches!(zone, "UTC" | "GMT" | "Z" | "+0000" | "-0000") {
        return None;
    }
    let number = |text: &str, below: i64| text.parse().ok().filter(|number| (0..below).contains(number));
    let month = MONTHS.iter().position(|name| *name == month)?;
    let mut clock = time.split(':');
    let hours = number(clock.next()?, 24)?;
    let minutes = number(clock.next()?, 60)?;
    let seconds = number(clock.next()?, 61)?;
    let month = i64::try_from(month).ok()? + 1;
    let days = days_from_civil(number(year, 10_000)?, month, number(day, 32)?);
    clock.next().is_none().then_some(days * 86_400 + hours * 3600 + minutes * 60 + seconds)
}

/// Writes seconds since 1970-01-01 UTC as Release files do.
pub fn format_date(seconds: i64) -> String {
    let (days, clock) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, day) = civil_from_days(days);
    let name = |names: &[&'static str], index: i64| {
        usize::try_from(index).ok().and_then(|index| names.get(index).copied()).unwrap_or("?")
    };
    format!(
        "{}, {day:02} {} {year:04} {:02}:{:02}:{:02} UTC",
        name(&DAYS, days.rem_euclid(7)),
        name(&MONTHS, month - 1),
        clock / 3600,
        clock / 60 % 60,
        clock % 60
    )
}

/// Writes seconds since 1970-01-01 UTC as RFC 3339 does.
pub fn format_rfc3339(seconds: i64) -> String {
    let (days, clock) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, day) = civil_from_days(days);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", clock / 3600, clock / 60 % 60, clock % 60)
}

/// Days since 1970-01-01 in the proleptic Gregorian calendar. Years are counted from March, so that the leap day is
/// the last of its year; 400 years are one era of 146 097 days.
const fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// The inverse of [`days_from_civil`]: year, month, day.
const fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + if month <= 2 { 1 } else { 0 };
    (year, month, day_of_year - (153 * shifted + 2) / 5 + 1)
}
