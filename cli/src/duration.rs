//! Durations on the command line.

use std::time::Duration;

/// The longest that is taken: what is longer was not meant.
const SECONDS_MAX: f64 = 365.0 * 24.0 * 3600.0;

/// Reads a number with a unit: `500ms`, `1.5s`, `2min`.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let units = [("ms", 0.001), ("min", 60.0), ("s", 1.0)];
    let seconds = units.iter().find_map(|(unit, seconds)| {
        let number: f64 = text.strip_suffix(unit)?.trim().parse().ok()?;
        Some(number * seconds)
    });
    match seconds {
        Some(seconds) if seconds > 0.0 && seconds <= SECONDS_MAX => {
            Ok(Duration::from_secs_f64(seconds))
        }
        Some(_) => Err("it has to be more than nothing and at most a year".into()),
        None => Err("write a number and a unit, as in 500ms, 30s or 2min".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units() {
        for (text, ms) in [
            ("500ms", 500),
            ("1.5s", 1500),
            ("2min", 120_000),
            ("1 s", 1000),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for text in ["", "1", "s", "0s", "-1s", "NaNs", "infs", "1h", "1e99s"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
