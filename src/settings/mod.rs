//! What a handle is set to: how long operations may take, and when somebody is told.

mod breaker;
mod dataless;
mod route;

use std::time::Duration;

use crate::base::global::Kept;
use crate::error::{Error, Errors};
use crate::events;
use crate::limits;
pub use breaker::Breaker;
pub use dataless::Dataless;
pub use route::{Route, Submit};

/// How long operations may take where their callers do not say; `None` means as long as they take.
///
/// It counts from the last sign that an operation gets on, or what it waits behind: a step of a copy, an operation of the
/// same mount that began before and is done, pages of the file that a sync has written, what the disk has done. So what is
/// slow and moves is waited for, and what is stuck is not. A limit that a caller sets counts from the start. No default applies
/// to what waits for a peer or goes through a tree: see
/// [`DeadlineClass::Unbounded`](crate::opcode::DeadlineClass::Unbounded).
///
/// The process's default is read once from `TIDEGATE_TIMEOUTS`, as in
/// `TIDEGATE_TIMEOUTS="metadata=30s,data=off,sync=60s"` (units `ms`, `s`, `min`; what is missing or means
/// nothing stays as it is, with a warning).
///
/// ```
/// # #[tokio::main] async fn main() -> Result<(), tidegate::Error> {
/// use std::time::Duration;
/// use tidegate::{Handle, Timeouts};
/// let mut timeouts = Timeouts::default();
/// assert_eq!(timeouts.metadata, Some(Duration::from_secs(30)));
/// timeouts.data = None;
/// let handle = Handle::builder().timeouts(timeouts).install()?;
/// assert_eq!(handle.settings().timeouts, timeouts);
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Timeouts {
    /// Names, attributes, directories.
    pub metadata: Option<Duration>,
    /// Reads and writes of data.
    pub data: Option<Duration>,
    /// Waiting for the device.
    pub sync: Option<Duration>,
}

impl Default for Timeouts {
    fn default() -> Timeouts {
        Timeouts {
            metadata: Some(limits::METADATA_TIMEOUT),
            data: Some(limits::DATA_TIMEOUT),
            sync: Some(limits::SYNC_TIMEOUT),
        }
    }
}

impl Timeouts {
    /// The shortest of them, if there is any.
    pub(crate) fn shortest(&self) -> Option<Duration> {
        [self.metadata, self.data, self.sync]
            .into_iter()
            .flatten()
            .min()
    }

    /// The process's default.
    fn of_process() -> Timeouts {
        static OF_PROCESS: Kept<Timeouts> = Kept::new();
        *OF_PROCESS.get_or_make(|| match std::env::var_os("TIDEGATE_TIMEOUTS") {
            Some(text) => Timeouts::parse(&text.to_string_lossy()),
            None => Timeouts::default(),
        })
    }

    fn parse(text: &str) -> Timeouts {
        let mut timeouts = Timeouts::default();
        for part in text
            .split(',')
            .map(str::trim)
            .filter(|part| !part.is_empty())
        {
            let value = part
                .split_once('=')
                .and_then(|(name, value)| Some((name.trim(), parse_timeout(value.trim())?)));
            match value {
                Some(("metadata", timeout)) => timeouts.metadata = timeout,
                Some(("data", timeout)) => timeouts.data = timeout,
                Some(("sync", timeout)) => timeouts.sync = timeout,
                _ => {
                    events::timeouts_variable(part);
                }
            }
        }
        timeouts
    }
}

/// A duration with its unit, or `off`.
fn parse_timeout(text: &str) -> Option<Option<Duration>> {
    if text == "off" {
        return Some(None);
    }
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let number = number.parse::<u32>().ok()?;
    let unit = match unit {
        "ms" => Duration::from_millis(1),
        "s" => Duration::from_secs(1),
        "min" => Duration::from_secs(60),
        _ => return None,
    };
    let timeout = unit * number;
    is_valid(timeout).then_some(Some(timeout))
}

fn is_valid(duration: Duration) -> bool {
    !duration.is_zero() && duration <= limits::SETTING_DURATION_MAX
}

/// What is in effect for a handle.
///
/// See [`Handle::settings`](crate::Handle::settings).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Settings {
    /// How long operations may take where their callers do not say.
    pub timeouts: Timeouts,
    /// How old an operation is when its age is logged.
    pub warn_after: Duration,
    /// How often a heartbeat comes while something is in flight.
    pub heartbeat_interval: Duration,
    /// How many blocking threads a mount may have, as each of them may get stuck.
    pub stuck_threads_max: usize,
    /// When a mount that does not answer is left alone.
    pub breaker: Breaker,
    /// What becomes of a file whose content is not on this machine.
    pub dataless: Dataless,
    /// How many groups of provided buffers each ring may have.
    pub buffer_groups_max: u32,
    /// How errors of the system are handed out.
    pub errors: Errors,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            timeouts: Timeouts::of_process(),
            warn_after: limits::WARN_AFTER,
            heartbeat_interval: limits::HEARTBEAT_INTERVAL,
            stuck_threads_max: limits::STUCK_THREADS_MAX,
            breaker: Breaker::default(),
            dataless: Dataless::default(),
            buffer_groups_max: limits::BUFFER_GROUPS_MAX,
            errors: Errors::of_process(),
        }
    }
}

impl Settings {
    /// Refuses what makes no sense.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let durations = [
            ("timeouts.metadata", self.timeouts.metadata),
            ("timeouts.data", self.timeouts.data),
            ("timeouts.sync", self.timeouts.sync),
            ("warn_after", Some(self.warn_after)),
            ("heartbeat_interval", Some(self.heartbeat_interval)),
            ("breaker.probe_every", Some(self.breaker.probe_every)),
            ("breaker.probe_patience", Some(self.breaker.probe_patience)),
        ];
        for (name, duration) in durations {
            if let Some(duration) = duration.filter(|duration| !is_valid(*duration)) {
                let value = format!("{duration:?}");
                return Err(Error::Setting { name, value });
            }
        }
        let groups = self.buffer_groups_max;
        if groups == 0 || groups > limits::BUFFER_GROUPS_MAX {
            return Err(Error::OutOfRange {
                name: "buffer_groups_max",
                value: groups.into(),
                expected: "1 up to 65536",
            });
        }
        let counts = [
            ("breaker.timeouts", self.breaker.timeouts as usize),
            ("stuck_threads_max", self.stuck_threads_max),
        ];
        match counts.into_iter().find(|(_, count)| *count == 0) {
            Some((name, _)) => Err(Error::Setting {
                name,
                value: "0".into(),
            }),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What means something is taken, the rest stays as it was.
    #[test]
    fn timeouts_are_parsed() {
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        let parsed = Timeouts::parse(" metadata=5s, data=off,sync=2min ");
        assert_eq!(parsed.metadata, seconds(5));
        assert_eq!((parsed.data, parsed.sync), (None, seconds(120)));
        let bad = [
            "metadata=0s",
            "data=1",
            "sync=-1s",
            "data=s",
            "what=1s",
            "metadata",
            "data=99999999999s",
            "sync=4000000min",
        ];
        for text in bad {
            assert_eq!(Timeouts::parse(text), Timeouts::default(), "{text}");
        }
    }

    #[test]
    fn settings_are_validated() {
        let settings = Settings::default();
        settings.check().unwrap();
        let zero = Settings {
            warn_after: Duration::ZERO,
            ..settings
        };
        let error = zero.check().unwrap_err();
        assert!(error.to_string().contains("warn_after"), "{error}");
        let mut long = settings;
        long.timeouts.data = Some(Duration::MAX);
        assert!(long.check().is_err());
        let mut never = settings;
        never.breaker.timeouts = 0;
        let error = never.check().unwrap_err();
        assert!(error.to_string().contains("breaker.timeouts"), "{error}");
        for (groups, is_fine) in [(0, false), (1, true), (65_536, true), (65_537, false)] {
            let capped = Settings {
                buffer_groups_max: groups,
                ..settings
            };
            let error = capped.check().err();
            assert_eq!(error.is_none(), is_fine, "{groups}");
            let text = error.map_or(String::new(), |error| error.to_string());
            assert!(is_fine || text.contains("1 up to 65536"), "{text}");
        }
    }
}
