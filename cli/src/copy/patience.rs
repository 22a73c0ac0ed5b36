//! `--timeout`: how long each step of a copy may take.

use std::time::Duration;

use tidegate::Timeouts;

use crate::duration;

/// For every operation; `None` is as long as it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Patience(Option<Duration>);

impl Patience {
    /// Reads a duration, or `off`.
    pub(super) fn parse(text: &str) -> Result<Patience, String> {
        if text == "off" {
            return Ok(Patience(None));
        }
        match duration::parse(text)? {
            // Less than the clock can tell.
            Duration::ZERO => Err("it has to be more than nothing and at most a year".into()),
            patience => Ok(Patience(Some(patience))),
        }
    }
}

impl From<Patience> for Timeouts {
    fn from(Patience(patience): Patience) -> Timeouts {
        let mut timeouts = Timeouts::default();
        (timeouts.metadata, timeouts.data, timeouts.sync) = (patience, patience, patience);
        timeouts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_is_a_duration_or_off() {
        assert_eq!(Patience::parse("off"), Ok(Patience(None)));
        let half = Some(Duration::from_millis(500));
        assert_eq!(Patience::parse("500ms"), Ok(Patience(half)));
        assert_eq!(Timeouts::from(Patience(half)).data, half);
        for text in ["", "0s", "30", "-1s", "soon", "1e-30s", "526000min", "OFF"] {
            assert!(Patience::parse(text).is_err(), "{text}");
        }
    }
}
