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
