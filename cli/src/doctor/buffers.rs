//! What rings can register here, and what the handle of this process has of it.

use std::fmt::Write as _;

use serde::Serialize;
use tidegate::BgidStats;
use tidegate::probe::{self, FeatureReport};

#[derive(Debug, Serialize)]
pub(super) struct Buffers {
    features: Vec<Feature>,
    /// Ids of groups of provided buffers; `null` where there can be no handle.
    groups: Option<Groups>,
}

#[derive(Debug, Serialize)]
struct Feature {
    name: &'static str,
    available: bool,
    first_kernel: String,
    reason: Option<String>,
    errno: Option<i32>,
    remedy: Option<String>,
}

#[derive(Debug, Serialize)]
struct Groups {
    in_flight: u64,
    in_flight_delta: i64,
    peak: u32,
    remaining: u32,
    exhausted: u64,
    per_ring_max: u32,
    rings: usize,
}

impl Buffers {
    pub(super) fn new(groups: Option<BgidStats>) -> Buffers {
        Buffers {
            features: probe::features().iter().map(Feature::of).collect(),
            groups: groups.map(|groups| Groups::of(&groups)),
        }
    }

    /// The same for people.
    pub(super) fn text(&self, text: &mut String) {
        let (available, missing): (Vec<_>, Vec<_>) =
            self.features.iter().partition(|feature| feature.available);
        let names: Vec<_> = available.iter().map(|feature| feature.words()).collect();
        let names = match names.is_empty() {
            true => "nothing can be registered with a ring".into(),
            false => names.join(", "),
        };
        // Writing to a string does not fail.
        let _ = writeln!(text, "buffers     {names}");
        for feature in missing {
            let reason = feature.reason.as_deref().unwrap_or_default();
            let remedy = feature.remedy.as_deref().unwrap_or_default();
            let words = feature.words();
            let _ = writeln!(text, "            no {words}: {reason}; {remedy}");
        }
        if let Some(groups) = &self.groups {
            let _ = writeln!(
                text,
                "group ids   {} in use, at most {} on one ring, {} left; none left {} times",
                groups.in_flight, groups.peak, groups.remaining, groups.exhausted
            );
        }
    }
}

impl Feature {
    fn of(found: &FeatureReport) -> Feature {
        let (major, minor) = found.feature.first_kernel();
        let reason = found.reason.as_ref();
        Feature {
            name: found.feature.name(),
            available: reason.is_none(),
            first_kernel: format!("{major}.{minor}"),
            reason: reason.map(ToString::to_string),
            errno: reason.and_then(probe::Reason::errno),
            remedy: found.remedy(),
        }
    }

    fn words(&self) -> String {
        self.name.replace('_', " ")
    }
}

impl Groups {
    fn of(groups: &BgidStats) -> Groups {
        Groups {
            in_flight: groups.in_flight,
            in_flight_delta: groups.in_flight_delta,
            peak: groups.peak,
            remaining: groups.remaining,
            exhausted: groups.exhausted,
            per_ring_max: groups.per_ring_max,
            rings: groups.rings,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What rings have not is told with its reason, and the ids with all their numbers.
    #[test]
    fn the_text_has_features_reasons_and_numbers() {
        let feature = |name, reason: Option<&str>| Feature {
            name,
            available: reason.is_none(),
            first_kernel: "5.19".into(),
            reason: reason.map(str::to_owned),
            errno: reason.map(|_| 12),
            remedy: reason.map(|_| "raise RLIMIT_MEMLOCK".into()),
        };
        let buffers = Buffers {
            features: vec![
                feature("provided_buffers", None),
                feature("registered_buffers", Some("too little may be locked")),
            ],
            groups: Some(Groups {
                in_flight: 3,
                in_flight_delta: 3,
                peak: 2,
                remaining: 1,
                exhausted: 7,
                per_ring_max: 4,
                rings: 2,
            }),
        };
        let mut text = String::new();
        buffers.text(&mut text);
        let lines: Vec<_> = text.lines().map(str::trim_start).collect();
        let ids = "group ids   3 in use, at most 2 on one ring, 1 left; none left 7 times";
        let missing = "no registered buffers: too little may be locked; raise RLIMIT_MEMLOCK";
        assert_eq!(lines, ["buffers     provided buffers", missing, ids]);
    }
}
