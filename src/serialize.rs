//! Snapshots and reports for serde, with the feature of that name.
//!
//! What they hold is written as people would read it in JSON: durations are seconds, paths are text in which what is not UTF-8
//! is replaced, kinds are their names, errors have their message, kind and number. Nothing is read back: a snapshot is
//! of the process that took it.
//!
//! A macro takes each type apart, so that a new field or variant does not compile without its name here.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::ser::{SerializeMap, SerializeStruct};
use serde::{Serialize, Serializer};

use crate::buf::{PoolStats, Registration};
use crate::error::raw_os_error;
use crate::fs::{
    Copied, TreeCopied, TreeError, TreeEvent, TreeKind, WalkCall, WalkError, WalkNow, WalkStats,
    Warning, WritebackClass, WritebackStats,
};
use crate::handle::ShutdownReport;
use crate::mounts::{BreakerState, MountAnswer, MountReport, MountStats};
use crate::observe::{BgidStats, Heartbeat, Latency, OpInFlight, OpState, OpStats, Stats, Way};
use crate::opcode::{CancelLeaves, DeadlineClass, Kind, Opcode, Row, TABLE};
use crate::probe;

/// A type with fields, of which each is written as it is, or by the function behind it.
macro_rules! fields {
    ($type:ident { $( $field:ident $(: $with:ident)? ),* $(,)? }) => {
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                let $type { $( $field ),* } = self;
                let count = [$( stringify!($field) ),*].len();
                let mut to = to.serialize_struct(stringify!($type), count)?;
                $( to.serialize_field(stringify!($field), fields!(@ $field $($with)?))?; )*
                to.end()
            }
        }
    };
    (@ $field:ident) => { $field };
    (@ $field:ident $with:ident) => { &$with($field) };
}

/// A type that is one of several words.
macro_rules! words {
    ($type:ident { $( $variant:ident: $word:literal ),* $(,)? }) => {
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.serialize_str(match self { $( $type::$variant => $word ),* })
            }
        }
    };
}

fn seconds(duration: &Duration) -> f64 {
    duration.as_secs_f64()
}

fn lossy(path: &Path) -> Cow<'_, str> {
    path.to_string_lossy()
}

fn lossy_word(word: &OsStr) -> Cow<'_, str> {
    word.to_string_lossy()
}

fn lossy_if_any(path: &Option<PathBuf>) -> Option<Cow<'_, str>> {
    path.as_deref().map(lossy)
}

fn name(row: &&Row) -> &'static str {
    row.name
}

/// An error of the system, as far as it can be written.
#[derive(Debug)]
struct Fault {
    message: String,
    kind: String,
    errno: Option<i32>,
}

fields!(Fault {
    message,
    kind,
    errno
});

fn fault(error: &io::Error) -> Fault {
    Fault {
        message: error.to_string(),
        kind: format!("{:?}", error.kind()),
        errno: raw_os_error(error),
    }
}

/// A part of the metadata that was not carried over.
#[derive(Debug)]
struct Lost {
    operation: &'static str,
    error: Fault,
}

fields!(Lost { operation, error });

fn lost(warnings: &[Warning]) -> Vec<Lost> {
    let one = |(operation, error): &Warning| Lost {
        operation,
        error: fault(error),
    };
    warnings.iter().map(one).collect()
}

// What a handle does.

fields!(Heartbeat {
    in_flight,
    orphans,
    oldest,
    entries_walked,
    entries_per_second,
    beat,
});
fields!(OpInFlight {
    operation,
    path: lossy_if_any,
    age: seconds,
    still_for: seconds,
    way,
    state,
    mount_point: lossy_if_any,
});
fields!(OpStats {
    row: name,
    at_poll,
    worker_ring,
    lane_ring,
    pool,
    started,
    ok,
    failed,
    timed_out,
    cancelled,
    dropped,
    refused,
    latency,
});
fields!(BgidStats {
    exhausted,
    in_flight,
    in_flight_delta,
    peak,
    remaining,
    per_ring_max,
    rings,
});
fields!(MountStats {
    point: lossy_if_any,
    fs_type,
    state,
    stuck,
    timeouts,
    refused,
});
fields!(ShutdownReport { left_behind, stuck });
fields!(PoolStats {
    count,
    in_use,
    waiting,
    acquires,
    misses,
});
words!(OpState {
    Orphaned: "orphaned",
    Running: "running",
    Waiting: "waiting"
});
words!(Way {
    AtPoll: "at_poll",
    WorkerRing: "worker_ring",
    LaneRing: "lane_ring",
    Pool: "pool"
});
words!(BreakerState {
    Closed: "closed",
    Open: "open",
    HalfOpen: "half_open"
});

impl Serialize for Stats {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut to = to.serialize_struct("Stats", 13)?;
        to.serialize_field("ops", &self.ops().collect::<Vec<_>>())?;
        to.serialize_field("fallbacks", &Counted(self.fallbacks().collect()))?;
        to.serialize_field("submissions", &Counted(self.submissions().collect()))?;
        to.serialize_field("buffer_groups", &self.buffer_groups)?;
        to.serialize_field("foreign_completions", &self.foreign_completions)?;
        to.serialize_field("in_flight", &self.in_flight)?;
        to.serialize_field("lanes", &self.lanes)?;
        to.serialize_field("lanes_replaced", &self.lanes_replaced)?;
        to.serialize_field("mounts", &self.mounts)?;
        to.serialize_field("orphans", &self.orphans)?;
        to.serialize_field("orphans_max", &self.orphans_max)?;
        to.serialize_field("polls_stuck", &self.polls_stuck)?;
        to.serialize_field("pool_threads", &self.pool_threads)?;
        to.end()
    }
}

/// Names with their counts.
struct Counted<T>(Vec<(T, u64)>);

impl<T: Serialize> Serialize for Counted<T> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut to = to.serialize_map(Some(self.0.len()))?;
        for (name, count) in &self.0 {
            to.serialize_entry(name, count)?;
        }
        to.end()
    }
}

impl Serialize for Latency {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let of = |time: Option<Duration>| time.map(|time| time.as_secs_f64());
        let buckets = self.buckets().map(|(to, count)| (seconds(&to), count));
        let mut to = to.serialize_struct("Latency", 6)?;
        to.serialize_field("count", &self.count())?;
        to.serialize_field("p50", &of(self.quantile(0.5)))?;
        to.serialize_field("p90", &of(self.quantile(0.9)))?;
        to.serialize_field("p99", &of(self.quantile(0.99)))?;
        to.serialize_field("max", &of(self.max()))?;
        to.serialize_field("buckets", &buckets.collect::<Vec<_>>())?;
        to.end()
    }
}

// What there is on this machine.

use probe::{
    DirectAlign, Feature, FeatureReport, Filesystem, Limits, Obstacle, PollAnswer, PollReport,
    Reason, Report, Support,
};

fields!(Limits {
    locked_memory_bytes,
    open_files,
    processes
});
fields!(DirectAlign {
    memory_bytes,
    offset_bytes
});
fields!(Filesystem {
    fs_type,
    mount_point: lossy_if_any,
    answers_at_poll,
    at_poll,
    direct_io,
});
fields!(PollReport { answer, obstacle });
fields!(MountReport {
    point: lossy,
    fs_type,
    source: lossy_word,
    options,
    is_local,
    answer,
});

impl Serialize for PollAnswer {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.name())
    }
}

impl Serialize for Feature {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.name())
    }
}

impl Serialize for FeatureReport {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let FeatureReport { feature, reason } = self;
        let mut to = to.serialize_struct("FeatureReport", 3)?;
        to.serialize_field("feature", feature)?;
        to.serialize_field("reason", reason)?;
        to.serialize_field("remedy", &self.remedy())?;
        to.end()
    }
}

impl Serialize for Reason {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let cause = match self {
            Reason::Disabled { .. } => "disabled",
            Reason::FdLimit => "fd_limit",
            Reason::KernelTooOld => "kernel_too_old",
            Reason::Memlock => "memlock",
            Reason::Other { .. } => "other",
            Reason::Platform => "platform",
            Reason::Seccomp => "seccomp",
        };
        let mut to = to.serialize_struct("Reason", 4)?;
        to.serialize_field("cause", cause)?;
        to.serialize_field("message", &self.to_string())?;
        to.serialize_field("remedy", self.remedy())?;
        to.serialize_field("errno", &self.errno())?;
        to.end()
    }
}

impl Serialize for Obstacle {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut to = to.serialize_struct("Obstacle", 2)?;
        to.serialize_field("message", &self.to_string())?;
        to.serialize_field("remedy", &self.remedy())?;
        to.end()
    }
}

impl Serialize for Support {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let (way, reason) = match self {
            Support::Pool { reason } => ("pool", Some(reason)),
            Support::Ring => ("ring", None),
            Support::Unsupported { reason } => ("unsupported", Some(reason)),
        };
        let mut to = to.serialize_struct("Support", 2)?;
        to.serialize_field("way", way)?;
        to.serialize_field("reason", &reason)?;
        to.end()
    }
}

impl Serialize for Report {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut to = to.serialize_struct("Report", 5)?;
        to.serialize_field("kernel", self.kernel())?;
        to.serialize_field("ring_reason", &self.ring_reason())?;
        to.serialize_field("opcode_count", &self.opcode_count())?;
        to.serialize_field("limits", &self.limits())?;
        to.serialize_field("operations", &Supported(self))?;
        to.end()
    }
}

/// Each operation, and how it is done.
struct Supported<'a>(&'a Report);

impl Serialize for Supported<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_map(TABLE.iter().map(|row| (row.name, self.0.support(row.kind))))
    }
}

impl Serialize for MountAnswer {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let (state, time, error) = match self {
            MountAnswer::Answered(time) => ("answered", Some(time), None),
            MountAnswer::Failed(error) => ("failed", None, Some(error)),
            MountAnswer::NotAsked(error) => ("not_asked", None, Some(error)),
            MountAnswer::Silent(time) => ("silent", Some(time), None),
        };
        let mut to = to.serialize_struct("MountAnswer", 3)?;
        to.serialize_field("state", state)?;
        to.serialize_field("after", &time.map(seconds))?;
        to.serialize_field("error", &error.map(fault))?;
        to.end()
    }
}

impl Serialize for Registration {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let (state, bytes, refused, reason) = match self {
            Registration::Disabled => ("disabled", 0, 0, None),
            Registration::Enabled { bytes } => ("enabled", *bytes, 0, None),
            Registration::Failed { bytes, reason } => ("failed", 0, *bytes, Some(reason)),
            Registration::Partial {
                bytes,
                refused_bytes,
                reason,
            } => ("partial", *bytes, *refused_bytes, Some(reason)),
        };
        let mut to = to.serialize_struct("Registration", 4)?;
        to.serialize_field("state", state)?;
        to.serialize_field("bytes", &bytes)?;
        to.serialize_field("refused_bytes", &refused)?;
        to.serialize_field("reason", &reason)?;
        to.end()
    }
}

// The op table.

fields!(Opcode {
    name,
    code,
    first_kernel
});
fields!(Row {
    kind,
    name,
    opcode,
    blocking,
    cancel_leaves,
    returns_fd,
    deadline_class,
});
words!(CancelLeaves {
    NoEffect: "no_effect",
    MayTakeEffect: "may_take_effect",
    MayTakePartialEffect: "may_take_partial_effect",
    ResourceReclaimed: "resource_reclaimed",
});
words!(DeadlineClass {
    Data: "data",
    Metadata: "metadata",
    Sync: "sync",
    Unbounded: "unbounded"
});

impl Serialize for Kind {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.name())
    }
}

// What copies, walks and writers tell.

fields!(TreeCopied {
    path: lossy,
    kind,
    bytes,
    data_bytes,
    reused_bytes,
    warnings: lost,
});
fields!(TreeError {
    path: lossy,
    operation,
    error: fault
});
fields!(WalkNow {
    path: lossy,
    call,
    still_for: seconds
});
words!(TreeKind {
    Directory: "directory",
    Fifo: "fifo",
    File: "file",
    HardLink: "hard_link",
    Symlink: "symlink",
});

impl Serialize for TreeEvent {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut to = to.serialize_map(Some(1))?;
        match self {
            TreeEvent::Copied(copied) => to.serialize_entry("copied", copied)?,
            TreeEvent::Failed(error) => to.serialize_entry("failed", error)?,
            TreeEvent::Kept(path) => to.serialize_entry("kept", &lossy(path))?,
            TreeEvent::Planned(path) => to.serialize_entry("planned", &lossy(path))?,
            TreeEvent::Verified(copied) => to.serialize_entry("verified", copied)?,
        }
        to.end()
    }
}

impl Serialize for Copied {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut to = to.serialize_struct("Copied", 3)?;
        to.serialize_field("bytes", &self.bytes)?;
        to.serialize_field("data_bytes", &self.data_bytes)?;
        to.serialize_field("warnings", &lost(&self.warnings))?;
        to.end()
    }
}

impl Serialize for WalkCall {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.name())
    }
}

impl Serialize for WalkError {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut to = to.serialize_struct("WalkError", 5)?;
        to.serialize_field("path", &self.path().to_string_lossy())?;
        to.serialize_field("depth", &self.depth())?;
        to.serialize_field("call", &self.call())?;
        to.serialize_field("error", &fault(self.io_error()))?;
        to.serialize_field("is_fatal", &self.is_fatal())?;
        to.end()
    }
}

fields!(WalkStats {
    entries,
    directories,
    files,
    symlinks,
    others,
    opened,
    reopened,
    lost_directories,
    repeated_links,
    mount_points,
    errors,
    timeouts,
    taken_over,
});
words!(WritebackClass {
    Ceph: "ceph",
    Cifs: "cifs",
    Fuse: "fuse",
    Local: "local",
    Memory: "memory",
    Nfs: "nfs",
    Overlay: "overlay",
    Plan9: "9p",
    Unknown: "unknown",
});
fields!(WritebackStats {
    class,
    is_active,
    is_uncached,
    is_degraded,
    degradations,
    chunk_bytes,
    resizes,
    started,
    finished,
    failed,
    skipped,
    bytes_started,
    bytes_finished,
    bytes_dirty,
    bytes_dirty_peak,
    waited: seconds,
    waited_max: seconds,
    held_back,
});
