//! Commit times as text: seconds in JSON lines, dates for people.
//!
//! Owns: [`seconds`], [`parse_seconds`], [`rfc3339`]. A time is a whole number of nanoseconds since the
//! Unix epoch; no floating point number comes near it.

use jiff::Timestamp;

const NANOS_PER_SECOND: u64 = 1_000_000_000;
const DECIMALS_MAX: usize = 9;

/// Why a text is no time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TimeError {
    #[error("time {0} is no number of seconds, like 1427842295 or 1427842295.25")]
    NotSeconds(String),
    #[error("time {0} has more than 9 decimals")]
    TooFine(String),
    #[error("time {0} is too late, the last second is 18446744073")]
    TooLate(String),
}

/// Seconds as JSON lines carry them: an integer when whole, else a decimal.
pub(crate) fn seconds(nanos: u64) -> String {
    let (whole, rest) = (nanos / NANOS_PER_SECOND, nanos % NANOS_PER_SECOND);
    if rest == 0 {
        return whole.to_string();
    }
    let text = format!("{whole}.{rest:09}");
    text.trim_end_matches('0').to_owned()
}

/// Reads what [`seconds`] writes.
pub(crate) fn parse_seconds(text: &str) -> Result<u64, TimeError> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(decimals) {
        return Err(TimeError::NotSeconds(text.to_owned()));
    }
    if decimals.len() > DECIMALS_MAX {
        return Err(TimeError::TooFine(text.to_owned()));
    }
    let too_late = || TimeError::TooLate(text.to_owned());
    let rest: u64 = format!("{decimals:0<9}").parse().map_err(|_| too_late())?;
    let whole: u64 = whole.parse().map_err(|_| too_late())?;
    whole
        .checked_mul(NANOS_PER_SECOND)
        .and_then(|nanos| nanos.checked_add(rest))
        .ok_or_else(too_late)
}

/// A date and time in UTC.
pub(crate) fn rfc3339(nanos: u64) -> String {
    // Every u64 of nanoseconds lies before the year 2555.
    Timestamp::from_nanosecond(i128::from(nanos)).unwrap_or(Timestamp::MAX).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_go_both_ways() {
        for (nanos, text) in [
            (0, "0"),
            (1_427_842_295_000_000_000, "1427842295"),
            (1_427_842_295_250_000_000, "1427842295.25"),
            (1, "0.000000001"),
            (u64::MAX, "18446744073.709551615"),
        ] {
            assert_eq!(seconds(nanos), text);
            assert_eq!(parse_seconds(text), Ok(nanos));
        }
        assert_eq!(parse_seconds("1.500"), Ok(1_500_000_000));
    }

    #[test]
    fn what_is_no_time_is_refused_with_its_reason() {
        for text in ["", "-1", "1e9", "1.", ".5", "\"1\"", "1.2.3", "null", "+1"] {
            assert_eq!(parse_seconds(text), Err(TimeError::NotSeconds(text.to_owned())));
        }
        let fine = "1.0000000001";
        assert_eq!(parse_seconds(fine), Err(TimeError::TooFine(fine.to_owned())));
        for text in ["18446744073.709551616", "18446744074", "99999999999999999999999"] {
            assert_eq!(parse_seconds(text), Err(TimeError::TooLate(text.to_owned())));
        }
    }

    #[test]
    fn dates_are_in_utc() {
        assert_eq!(rfc3339(1_427_842_295_250_000_000), "2015-03-31T22:51:35.25Z");
        assert_eq!(rfc3339(u64::MAX), "2554-07-21T23:34:33.709551615Z");
    }
}
