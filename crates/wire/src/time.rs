//! Points in time, and the spellings that the services use for them.
//!
//! A [`Timestamp`] has no default spelling on the wire: each service has its own, so a field names the one it wants. All
//! spellings are UTC. Nothing here reads a clock.

use std::fmt;

use jiff::SignedDuration;
use jiff::civil::DateTime;

/// Years 1 to 9999, in milliseconds: what every spelling of this module can show.
const MIN_SHOWN: i64 = -62_135_596_800_000;
const MAX_SHOWN: i64 = 253_402_300_799_999;
const EPOCH: DateTime = DateTime::constant(1970, 1, 1, 0, 0, 0, 0);

/// A point in time as milliseconds since 1970-01-01T00:00:00Z, leap seconds not counted.
///
/// ```
/// use avouch_wire::Timestamp;
/// let t = Timestamp::from_millis(1_687_557_143_443);
/// assert_eq!(t.iam(), "2023-06-23T21:52+0000");
/// assert_eq!(t.rfc3339_millis(), "2023-06-23T21:52:23.443Z");
/// assert_eq!(Timestamp::parse_rfc3339("2023-06-23T23:52:23.443+02:00"), Ok(t));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Timestamp(i64);

/// The text is not a timestamp of the wanted form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a valid timestamp")]
pub struct TimestampError;

impl Timestamp {
    /// The epoch.
    pub const EPOCH: Timestamp = Timestamp(0);

    /// From milliseconds since the epoch. Any value is taken; the spellings show values outside the years 1 to 9999 as the
    /// nearest one inside.
    pub const fn from_millis(millis: i64) -> Timestamp {
        Timestamp(millis)
    }

    /// From whole seconds since the epoch, saturating.
    pub const fn from_secs(secs: i64) -> Timestamp {
        Timestamp(secs.saturating_mul(1000))
    }

    /// Milliseconds since the epoch.
    pub const fn millis(self) -> i64 {
        self.0
    }

    /// Whole seconds since the epoch, rounded down, as in `iat` and `exp`.
    pub const fn secs(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// Later by `secs` seconds (earlier when negative), saturating.
    #[must_use]
    pub const fn plus_secs(self, secs: i64) -> Timestamp {
        self.plus_millis(secs.saturating_mul(1000))
    }

    /// Later by `millis` milliseconds (earlier when negative), saturating.
    #[must_use]
    pub const fn plus_millis(self, millis: i64) -> Timestamp {
        Timestamp(self.0.saturating_add(millis))
    }

    /// Milliseconds from `earlier` to this, negative when `earlier` is later, saturating.
    pub const fn millis_since(self, earlier: Timestamp) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    /// `yyyy-MM-ddTHH:mm+0000`, as the IAM services write times.
    pub fn iam(self) -> String {
        let f = self.fields();
        format!("{:04}-{:02}-{:02}T{:02}:{:02}+0000", f.year, f.month, f.day, f.hour, f.minute)
    }

    /// `yyyy-MM-ddTHH:mm:ss.SSSZ`
    pub fn rfc3339_millis(self) -> String {
        let f = self.fields();
        format!(
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
            f.year, f.month, f.day, f.hour, f.minute, f.second, f.milli
        )
    }

    /// `yyyy-MM-ddTHH:mm:ssZ`
    pub fn rfc3339_secs(self) -> String {
        let f = self.fields();
        format!("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z", f.year, f.month, f.day, f.hour, f.minute, f.second)
    }

    /// `yyyy-MM-ddTHH:mm:ss.SS+0000` with hundredths of a second, as activity events write times.
    pub fn event(self) -> String {
        let f = self.fields();
        format!(
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:02}+0000",
            f.year,
            f.month,
            f.day,
            f.hour,
            f.minute,
            f.second,
            f.milli / 10
        )
    }

    /// `dd.MM.yyyy HH:mm:ss:SSS UTC`, as the context of a token error writes times.
    pub fn error_context(self) -> String {
        let f = self.fields();
        format!(
            "{:02}.{:02}.{:04} {:02}:{:02}:{:02}:{:03} UTC",
            f.day, f.month, f.year, f.hour, f.minute, f.second, f.milli
        )
    }

    /// `yyyyMMddHHmm`, the beginning of a key id.
    pub fn compact_minute(self) -> String {
        let f = self.fields();
        format!("{:04}{:02}{:02}{:02}{:02}", f.year, f.month, f.day, f.hour, f.minute)
    }

    /// Reads `yyyy-MM-ddTHH:mm` or `yyyy-MM-ddTHH:mm:ss`, followed by `+0000`, `+00:00` or `Z`.
    ///
    /// # Errors
    /// [`TimestampError`] for any other text, also for a day that does not exist.
    ///
    /// ```
    /// use avouch_wire::Timestamp;
    /// assert_eq!(Timestamp::parse_iam("2049-01-02T18:30+0000"), Timestamp::parse_iam("2049-01-02T18:30:00Z"));
    /// ```
    pub fn parse_iam(text: &str) -> Result<Timestamp, TimestampError> {
        let mut scan = Scan(text.as_bytes());
        let mut local = scan.up_to_minute()?;
        local.second = if scan.eat(b':') { scan.number()? } else { 0 };
        match scan.0 {
            b"Z" | b"+0000" | b"+00:00" => local.instant(),
            _ => Err(TimestampError),
        }
    }

    /// Reads an RFC 3339 timestamp with seconds, an optional fraction (1 to 9 digits; what is finer than a millisecond is cut
    /// off) and `Z` or a numeric offset. Upper-case `T` and `Z` only.
    ///
    /// # Errors
    /// [`TimestampError`] for any other text, also for a leap second or a day that does not exist.
    pub fn parse_rfc3339(text: &str) -> Result<Timestamp, TimestampError> {
        let mut scan = Scan(text.as_bytes());
        let mut local = scan.up_to_minute()?;
        scan.want(b':')?;
        local.second = scan.number()?;
        local.milli = if scan.eat(b'.') { scan.fraction()? } else { 0 };
        let offset_minutes = if scan.eat(b'Z') {
            0
        } else {
            let sign = if scan.eat(b'+') {
                1
            } else {
                scan.want(b'-')?;
                -1
            };
            let hours = scan.digits(2)?;
            scan.want(b':')?;
            let minutes = scan.digits(2)?;
            if hours > 23 || minutes > 59 {
                return Err(TimestampError);
            }
            sign * i64::from(hours * 60 + minutes)
        };
        if !scan.0.is_empty() {
            return Err(TimestampError);
        }
        Ok(local.instant()?.plus_secs(-offset_minutes * 60))
    }

    fn fields(self) -> Fields {
        let shown = self.0.clamp(MIN_SHOWN, MAX_SHOWN);
        // Calendar arithmetic without a zone: the zoned type ends a day before the calendar does. INVARIANT: `shown` is inside
        // the calendar, so the addition does not fail.
        let civil = EPOCH.checked_add(SignedDuration::from_millis(shown)).unwrap_or(EPOCH);
        Fields {
            year: civil.year(),
            month: civil.month(),
            day: civil.day(),
            hour: civil.hour(),
            minute: civil.minute(),
            second: civil.second(),
            milli: civil.millisecond(),
        }
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.rfc3339_millis())
    }
}

struct Fields {
    year: i16,
    month: i8,
    day: i8,
    hour: i8,
    minute: i8,
    second: i8,
    milli: i16,
}

impl Fields {
    /// The instant, when the day exists. Second 60 does not.
    fn instant(&self) -> Result<Timestamp, TimestampError> {
        if self.year == 0 {
            return Err(TimestampError);
        }
        let nanos = i32::from(self.milli) * 1_000_000;
        let local =
            DateTime::new(self.year, self.month, self.day, self.hour, self.minute, self.second, nanos)
                .map_err(|_| TimestampError)?;
        i64::try_from(local.duration_since(EPOCH).as_millis()).map(Timestamp).map_err(|_| TimestampError)
    }
}

struct Scan<'a>(&'a [u8]);

impl Scan<'_> {
    fn eat(&mut self, byte: u8) -> bool {
        match self.0.split_first() {
            Some((first, rest)) if *first == byte => {
                self.0 = rest;
                true
            }
            _ => false,
        }
    }

    fn want(&mut self, byte: u8) -> Result<(), TimestampError> {
        if self.eat(byte) { Ok(()) } else { Err(TimestampError) }
    }

    fn digits(&mut self, count: usize) -> Result<u32, TimestampError> {
        let (head, rest) = self.0.split_at_checked(count).ok_or(TimestampError)?;
        self.0 = rest;
        head.iter().try_fold(0u32, |sum, b| {
            if b.is_ascii_digit() { Ok(sum * 10 + u32::from(b - b'0')) } else { Err(TimestampError) }
        })
    }

    /// Two digits.
    fn number(&mut self) -> Result<i8, TimestampError> {
        self.digits(2).and_then(|n| i8::try_from(n).map_err(|_| TimestampError))
    }

    /// One to nine digits as milliseconds, what is finer cut off.
    fn fraction(&mut self) -> Result<i16, TimestampError> {
        let len = self.0.iter().take_while(|b| b.is_ascii_digit()).count();
        if !(1..=9).contains(&len) {
            return Err(TimestampError);
        }
        let value = self.digits(len)?;
        let exponent = u32::try_from(len).map_err(|_| TimestampError)?;
        let milli =
            if exponent <= 3 { value * 10u32.pow(3 - exponent) } else { value / 10u32.pow(exponent - 3) };
        i16::try_from(milli).map_err(|_| TimestampError)
    }

    fn up_to_minute(&mut self) -> Result<Fields, TimestampError> {
        let year = i16::try_from(self.digits(4)?).map_err(|_| TimestampError)?;
        self.want(b'-')?;
        let month = self.number()?;
        self.want(b'-')?;
        let day = self.number()?;
        self.want(b'T')?;
        let hour = self.number()?;
        self.want(b':')?;
        let minute = self.number()?;
        Ok(Fields { year, month, day, hour, minute, second: 0, milli: 0 })
    }
}

macro_rules! spelling {
    ($(#[$doc:meta])* $name:ident, $print:ident, $parse:ident) => {
        $(#[$doc])*
        pub mod $name {
            use super::Timestamp;
            use serde::{Deserialize, Deserializer, Serializer};

            /// Writes the spelling of this module.
            ///
            /// # Errors
            /// Only those of the serializer.
            pub fn serialize<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&time.$print())
            }

            /// Reads the spelling of this module.
            ///
            /// # Errors
            /// When the text is not a timestamp of this form.
            pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                Timestamp::$parse(&text).map_err(serde::de::Error::custom)
            }

            /// The same for fields that may be absent; put `default` and `skip_serializing_if = "Option::is_none"` beside it.
            pub mod option {
                use super::Timestamp;
                use serde::{Deserialize, Deserializer, Serializer};

                /// Writes the spelling of the parent module, or null.
                ///
                /// # Errors
                /// Only those of the serializer.
                pub fn serialize<S: Serializer>(time: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
                    match time {
                        Some(time) => super::serialize(time, serializer),
                        None => serializer.serialize_none(),
                    }
                }

                /// Reads the spelling of the parent module; null gives `None`.
                ///
                /// # Errors
                /// When the text is not a timestamp of this form.
                pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
                    match Option::<std::borrow::Cow<'de, str>>::deserialize(deserializer)? {
                        Some(text) => Timestamp::$parse(&text).map(Some).map_err(serde::de::Error::custom),
                        None => Ok(None),
                    }
                }
            }
        }
    };
}

spelling!(
    /// `#[serde(with = "avouch_wire::time::iam")]`: [`Timestamp::iam`].
    iam, iam, parse_iam
);
spelling!(
    /// `#[serde(with = "avouch_wire::time::rfc3339_millis")]`: [`Timestamp::rfc3339_millis`].
    rfc3339_millis, rfc3339_millis, parse_rfc3339
);
spelling!(
    /// `#[serde(with = "avouch_wire::time::rfc3339_secs")]`: [`Timestamp::rfc3339_secs`].
    rfc3339_secs, rfc3339_secs, parse_rfc3339
);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use proptest::prelude::*;

    const T: Timestamp = Timestamp::from_millis(1_687_557_143_443);

    #[test]
    fn spellings_are_the_published_ones() {
        assert_eq!(T.iam(), "2023-06-23T21:52+0000");
        assert_eq!(T.rfc3339_millis(), "2023-06-23T21:52:23.443Z");
        assert_eq!(T.rfc3339_secs(), "2023-06-23T21:52:23Z");
        assert_eq!(T.event(), "2023-06-23T21:52:23.44+0000");
        assert_eq!(T.error_context(), "23.06.2023 21:52:23:443 UTC");
        assert_eq!(T.compact_minute(), "202306232152");
        assert_eq!(format!("{T:?}"), "2023-06-23T21:52:23.443Z");
    }

    #[test]
    fn times_before_the_epoch_and_beyond_the_calendar_do_not_panic() {
        assert_eq!(Timestamp::from_millis(-1).rfc3339_millis(), "1969-12-31T23:59:59.999Z");
        assert_eq!(Timestamp::from_millis(-1).secs(), -1);
        assert_eq!(Timestamp::from_millis(i64::MAX).rfc3339_millis(), "9999-12-31T23:59:59.999Z");
        assert_eq!(Timestamp::from_millis(i64::MIN).rfc3339_millis(), "0001-01-01T00:00:00.000Z");
        assert_eq!(Timestamp::from_millis(i64::MAX).plus_secs(i64::MAX).millis(), i64::MAX);
    }

    #[test]
    fn iam_form_is_read_with_minutes_or_seconds() {
        let want = Timestamp::parse_rfc3339("2049-01-02T18:30:00Z").unwrap();
        for text in [
            "2049-01-02T18:30+0000",
            "2049-01-02T18:30:00+0000",
            "2049-01-02T18:30Z",
            "2049-01-02T18:30:00Z",
            "2049-01-02T18:30+00:00",
            "2049-01-02T18:30:00+00:00",
        ] {
            assert_eq!(Timestamp::parse_iam(text), Ok(want), "{text}");
        }
        for text in [
            "",
            "2049-01-02",
            "2049-01-02T18:30",
            "2049-01-02T18:30+0100",
            "2049-01-02T18:30-0000",
            "2049-01-02 18:30+0000",
            "2049-02-30T18:30+0000",
            "2049-13-01T18:30+0000",
            "2049-01-02T24:00+0000",
            "2049-01-02T18:60+0000",
            "2049-01-02T18:30:60+0000",
            "0000-01-02T18:30+0000",
            "2049-01-02T18:30:00+0000 ",
            "+049-01-02T18:30+0000",
            "２049-01-02T18:30+0000",
        ] {
            assert_eq!(Timestamp::parse_iam(text), Err(TimestampError), "{text}");
        }
    }

    #[test]
    fn rfc3339_is_read_with_fraction_and_offset() {
        for text in [
            "2023-06-23T21:52:23.443Z",
            "2023-06-23T21:52:23.443999Z",
            "2023-06-23T23:52:23.443+02:00",
            "2023-06-23T16:22:23.443000000-05:30",
        ] {
            assert_eq!(Timestamp::parse_rfc3339(text), Ok(T), "{text}");
        }
        assert_eq!(Timestamp::parse_rfc3339("1970-01-01T00:00:00.5Z").unwrap().millis(), 500);
        for text in [
            "2023-06-23T21:52Z",
            "2023-06-23T21:52:23",
            "2023-06-23T21:52:23.Z",
            "2023-06-23T21:52:23.1234567890Z",
            "2023-06-23T21:52:23+0000",
            "2023-06-23T21:52:23+24:00",
            "2023-06-23T21:52:60Z",
            "2023-06-23t21:52:23Z",
            "2023-06-23T21:52:23z",
        ] {
            assert_eq!(Timestamp::parse_rfc3339(text), Err(TimestampError), "{text}");
        }
    }

    #[test]
    fn serde_modules_write_and_read_their_spelling() {
        #[derive(serde::Serialize, serde::Deserialize)]
        struct Row {
            #[serde(with = "crate::time::iam")]
            a: Timestamp,
            #[serde(
                with = "crate::time::rfc3339_millis::option",
                default,
                skip_serializing_if = "Option::is_none"
            )]
            b: Option<Timestamp>,
        }
        let row: Row = serde_json::from_str(r#"{"a":"2023-06-23T21:52+0000"}"#).unwrap();
        assert_eq!((row.b, row.a.iam().as_str()), (None, "2023-06-23T21:52+0000"));
        let text = serde_json::to_string(&Row { a: T, b: Some(T) }).unwrap();
        assert_eq!(text, r#"{"a":"2023-06-23T21:52+0000","b":"2023-06-23T21:52:23.443Z"}"#);
    }

    proptest! {
        #[test]
        fn millisecond_form_round_trips(millis in MIN_SHOWN..=MAX_SHOWN) {
            let t = Timestamp::from_millis(millis);
            prop_assert_eq!(Timestamp::parse_rfc3339(&t.rfc3339_millis()), Ok(t));
            prop_assert_eq!(Timestamp::parse_iam(&t.iam()).unwrap().millis(), millis.div_euclid(60_000) * 60_000);
        }

        #[test]
        fn any_time_can_be_shown(millis in any::<i64>()) {
            let t = Timestamp::from_millis(millis);
            prop_assert_eq!(t.iam().len(), 21);
            prop_assert_eq!(t.event().len(), 27);
        }

        #[test]
        fn reading_never_panics(text in "\\PC{0,40}") {
            let _ = Timestamp::parse_iam(&text);
            let _ = Timestamp::parse_rfc3339(&text);
        }
    }
}
