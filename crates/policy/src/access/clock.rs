//! Days, times and fixed offsets of time conditions. No time zones: a condition names its offset and keeps it all year.

/// Seconds of a day.
pub(crate) const DAY: i64 = 86_400;

/// Days from 1970-01-01 to a date of the proleptic Gregorian calendar; `None` if there is no such date.
pub(crate) fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => return None,
    };
    if !(1..=length).contains(&day) {
        return None;
    }
    // Years begin in March, so that the day that a leap year adds is the last one.
    let y = if month <= 2 { year - 1 } else { year };
    let era = y.div_euclid(400);
    let of_era = y.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    Some(era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468)
}

/// ISO weekday of a day counted from 1970-01-01: 1 is Monday.
pub(crate) fn weekday(days: i64) -> u8 {
    // 1970-01-01 was a Thursday.
    u8::try_from((days + 3).rem_euclid(7) + 1).unwrap_or(0)
}

/// Reads a fixed number of digits off the front.
fn digits(text: &str, n: usize) -> Option<(i64, &str)> {
    let (head, rest) = text.split_at_checked(n)?;
    head.bytes().all(|b| b.is_ascii_digit()).then_some(())?;
    Some((head.parse().ok()?, rest))
}

/// `±HH:MM` or `Z`, in seconds; nothing may follow.
pub(crate) fn offset(text: &str) -> Option<i64> {
    if text == "Z" {
        return Some(0);
    }
    let sign = match text.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let (hours, rest) = digits(text.get(1..)?, 2)?;
    let (minutes, rest) = digits(rest.strip_prefix(':')?, 2)?;
    (rest.is_empty() && hours <= 23 && minutes <= 59).then_some(sign * (hours * 3600 + minutes * 60))
}

/// `HH:MM:SS` off the front, in seconds. There is no second 60.
fn time(text: &str) -> Option<(i64, &str)> {
    let (hours, rest) = digits(text, 2)?;
    let (minutes, rest) = digits(rest.strip_prefix(':')?, 2)?;
    let (seconds, rest) = digits(rest.strip_prefix(':')?, 2)?;
    (hours <= 23 && minutes <= 59 && seconds <= 59).then_some((hours * 3600 + minutes * 60 + seconds, rest))
}

/// `YYYY-MM-DD` off the front, in days.
fn date(text: &str) -> Option<(i64, &str)> {
    let (year, rest) = digits(text, 4)?;
    let (month, rest) = digits(rest.strip_prefix('-')?, 2)?;
    let (day, rest) = digits(rest.strip_prefix('-')?, 2)?;
    Some((days(year, month, day)?, rest))
}

/// `HH:MM:SS±HH:MM`: second of the day, and the offset it is meant at.
pub(crate) fn time_of_day(text: &str) -> Option<(i64, i64)> {
    let (seconds, rest) = time(text)?;
    Some((seconds, offset(rest)?))
}

/// `YYYY-MM-DD±HH:MM`: day, and the offset it is meant at.
pub(crate) fn date_at(text: &str) -> Option<(i64, i64)> {
    let (day, rest) = date(text)?;
    Some((day, offset(rest)?))
}

/// `YYYY-MM-DDTHH:MM:SS±HH:MM` or with `Z`: the instant in seconds since 1970.
pub(crate) fn instant(text: &str) -> Option<i64> {
    let (day, rest) = date(text)?;
    let (seconds, rest) = time(rest.strip_prefix('T')?)?;
    Some(day * DAY + seconds - offset(rest)?)
}

/// `N±HH:MM` or a bare number: weekday 1 to 7, and the offset it is meant at. A bare number is meant at UTC.
pub(crate) fn day_of_week(value: &serde_json::Value) -> Option<(u8, i64)> {
    let (day, at) = match value {
        serde_json::Value::Number(n) => (n.as_u64()?, 0),
        serde_json::Value::String(s) => {
            let (day, rest) = digits(s, 1)?;
            (day.unsigned_abs(), offset(rest)?)
        }
        _ => return None,
    };
    (1..=7).contains(&day).then_some((u8::try_from(day).ok()?, at))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn days_agree_with_an_independent_calendar() {
        let epoch = jiff::civil::date(1970, 1, 1);
        for year in [1600, 1899, 1900, 1969, 1970, 1999, 2000, 2023, 2024, 2026, 2100, 2400, 9999] {
            for month in 1..=12 {
                for day in 1..=31 {
                    let want = jiff::civil::Date::new(year, month, day).ok();
                    let got = days(year.into(), month.into(), day.into());
                    assert_eq!(got.is_some(), want.is_some(), "{year}-{month}-{day}");
                    if let (Some(got), Some(want)) = (got, want) {
                        assert_eq!(got, i64::from((want - epoch).get_days()));
                        assert_eq!(i64::from(weekday(got)), i64::from(want.weekday().to_monday_one_offset()));
                    }
                }
            }
        }
    }

    #[test]
    fn texts_outside_the_grammar_are_refused() {
        for bad in ["", "+5:00", "+0500", "05:00", "+24:00", "+05:60", "+05:00 ", "z", "+٠٥:00"] {
            assert_eq!(offset(bad), None, "{bad}");
        }
        for bad in ["24:00:00Z", "23:60:00Z", "23:59:60Z", "23:59Z", "23:59:59", "23:59:59.5Z", " 23:59:59Z"]
        {
            assert_eq!(time_of_day(bad), None, "{bad}");
        }
        for bad in
            ["2026-02-29T00:00:00Z", "2026-13-01T00:00:00Z", "2026-01-01 00:00:00Z", "2026-01-01T00:00:00"]
        {
            assert_eq!(instant(bad), None, "{bad}");
        }
        for bad in
            [serde_json::json!(0), serde_json::json!(8), serde_json::json!("1"), serde_json::json!(1.5)]
        {
            assert_eq!(day_of_week(&bad), None, "{bad}");
        }
        assert_eq!(instant("2016-12-31T23:59:60Z"), None, "no leap second");
        assert_eq!(instant("2026-11-20T17:00:00-05:00"), instant("2026-11-20T22:00:00Z"));
        assert_eq!(offset("-05:30"), Some(-19_800));
    }
}
