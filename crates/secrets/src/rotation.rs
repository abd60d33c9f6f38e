//! Rotation policies: every so many days or months (calendar months, clamped to their last day).

use avouch_gate::{Error, Result};
use avouch_wire::time::Timestamp;
use serde_json::{Value, json};

const DAY: i64 = 86_400;

/// A rotation policy of a secret whose values the server can make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rotation {
    /// Only by hand.
    Off,
    /// Every `interval` units.
    Every(i64, Unit),
}

/// Unit of an interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// 24 hours.
    Day,
    /// Calendar month.
    Month,
    /// Hour.
    Hour,
}

impl Unit {
    fn word(self) -> &'static str {
        match self {
            Unit::Day => "day",
            Unit::Month => "month",
            Unit::Hour => "hour",
        }
    }
}

impl Rotation {
    /// Reads the published shape.
    ///
    /// # Errors
    /// `Invalid` naming the member.
    pub fn parse(value: &Value) -> Result<Self> {
        let bad =
            |field: &'static str| Error::invalid(field, format!("The property '{field}' is not valid."));
        let on =
            value.get("auto_rotate").and_then(Value::as_bool).ok_or_else(|| bad("rotation.auto_rotate"))?;
        if !on {
            return Ok(Rotation::Off);
        }
        let interval =
            value.get("interval").and_then(Value::as_i64).ok_or_else(|| bad("rotation.interval"))?;
        let unit = match value.get("unit").and_then(Value::as_str) {
            Some("day") => Unit::Day,
            Some("month") => Unit::Month,
            Some("hour") => Unit::Hour,
            _ => return Err(bad("rotation.unit")),
        };
        if !(1..=10_000).contains(&interval) {
            return Err(bad("rotation.interval"));
        }
        Ok(Rotation::Every(interval, unit))
    }

    /// The published shape.
    pub fn render(&self) -> Value {
        match self {
            Rotation::Off => json!({"auto_rotate": false}),
            Rotation::Every(n, unit) => json!({"auto_rotate": true, "interval": n, "unit": unit.word()}),
        }
    }

    /// When a secret rotated at `from` is due again.
    pub fn next(&self, from: Timestamp) -> Option<Timestamp> {
        match self {
            Rotation::Off => None,
            Rotation::Every(n, Unit::Hour) => Some(from.plus_secs(n * 3600)),
            Rotation::Every(n, Unit::Day) => Some(from.plus_secs(n * DAY)),
            Rotation::Every(n, Unit::Month) => Some(plus_months(from, *n)),
        }
    }
}

/// Civil arithmetic on the proleptic Gregorian calendar, in UTC.
fn plus_months(from: Timestamp, months: i64) -> Timestamp {
    let days = from.secs().div_euclid(DAY);
    let in_day = from.millis() - days * DAY * 1000;
    let (year, month, day) = civil(days);
    let index = year * 12 + (month - 1) + months;
    let (year, month) = (index.div_euclid(12), index.rem_euclid(12) + 1);
    let day = day.min(days_in_month(year, month));
    Timestamp::from_millis(days_from(year, month, day) * DAY * 1000 + in_day)
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Days since 1970-01-01 of a civil date (era arithmetic: years start in March, eras are 400 years).
fn days_from(year: i64, month: i64, day: i64) -> i64 {
    let y = if month <= 2 { year - 1 } else { year };
    let era = y.div_euclid(400);
    let yoe = y - era * 400;
    let doy = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719_468
}

fn civil(days: i64) -> (i64, i64, i64) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z - era * 146_097;
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let day = doy - (153 * mp + 2) / 5 + 1;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    (yoe + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn months_are_calendar_months_clamped_to_the_last_day() {
        let at = |t: &str| Timestamp::parse_rfc3339(t).unwrap();
        for (from, months, to) in [
            ("2026-01-31T10:00:00Z", 1, "2026-02-28T10:00:00Z"),
            ("2028-01-31T10:00:00Z", 1, "2028-02-29T10:00:00Z"),
            ("2026-12-15T23:59:59Z", 1, "2027-01-15T23:59:59Z"),
            ("2026-03-31T00:00:00Z", 13, "2027-04-30T00:00:00Z"),
        ] {
            assert_eq!(Rotation::Every(months, Unit::Month).next(at(from)), Some(at(to)), "{from}");
        }
        assert_eq!(
            Rotation::Every(2, Unit::Day).next(at("2026-02-27T00:00:00Z")),
            Some(at("2026-03-01T00:00:00Z"))
        );
        assert_eq!(Rotation::Off.next(at("2026-02-27T00:00:00Z")), None);
    }
}
