//! The summary at the end, as JSON and as one line of text.

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use indicatif::{HumanBytes, HumanCount};
use serde::Serialize;
use tidegate::Handle;

use super::Arguments;
use super::job::{Failure, Job};
use super::verify::Verified;
use super::watch::Stuck;
use crate::explain::line;
use crate::timeouts::TimeoutsReport;

/// Operations that the report lists as stuck.
const STUCK_LISTED_MAX: usize = 1000;

/// What took too long, that the text names; the JSON has all of it that is kept.
const TIMED_OUT_NAMED_MAX: usize = 25;

/// All that is said about a copy that ended.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    source: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    source_bytes: Option<Vec<u8>>,
    destination: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    destination_bytes: Option<Vec<u8>>,
    files: u64,
    directories: u64,
    symlinks: u64,
    hard_links: u64,
    fifos: u64,
    /// Length of the copied files.
    bytes: u64,
    /// The same without holes.
    data_bytes: u64,
    /// Of that, what was left of an earlier copy and found to be right.
    reused_bytes: u64,
    /// What was left alone because of what is at the destination.
    skipped: u64,
    /// Attributes that the target cannot hold.
    warnings: u64,
    seconds: f64,
    bytes_per_second: f64,
    interrupted: bool,
    verified: Option<VerifiedReport>,
    /// How long each operation was given.
    timeouts: TimeoutsReport,
    /// How many errors there were; the list may end earlier.
    error_count: u64,
    /// How many of them were operations that took too long.
    timed_out: u64,
    errors: Vec<ErrorReport>,
    /// Operations that were not over at the end; the list may end earlier.
    stuck: Vec<StuckReport>,
    backend: BackendReport,
}

/// The report as the last of several lines.
#[derive(Debug, Serialize)]
struct Event<'a> {
    event: &'static str,
    #[serde(flatten)]
    report: &'a Report,
}

#[derive(Debug, Serialize)]
struct VerifiedReport {
    entries: u64,
    bytes: u64,
    seconds: f64,
}

#[derive(Debug, Serialize)]
struct StuckReport {
    operation: &'static str,
    path: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path_bytes: Option<Vec<u8>>,
    seconds: f64,
}

#[derive(Debug, Serialize)]
struct ErrorReport {
    path: String,
    /// The bytes of a path that is not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    path_bytes: Option<Vec<u8>>,
    operation: &'static str,
    error: String,
    errno: Option<i32>,
    timed_out: bool,
}

/// Which way the operations went.
#[derive(Debug, Default, Serialize)]
struct BackendReport {
    /// What was asked for: `auto`, `ring` or `pool`.
    route: String,
    at_poll: u64,
    worker_ring: u64,
    lane_ring: u64,
    pool: u64,
    operations: BTreeMap<&'static str, OperationReport>,
    fallbacks: BTreeMap<String, u64>,
}

#[derive(Debug, Serialize)]
struct OperationReport {
    at_poll: u64,
    worker_ring: u64,
    lane_ring: u64,
    pool: u64,
}

impl Report {
    pub(super) fn new(
        arguments: &Arguments,
        job: &Job,
        handle: &Handle,
        took: Duration,
        verified: Option<Verified>,
        stuck: &[Stuck],
    ) -> Report {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let (tally, errors) = (&job.tally, job.errors());
        let copying =
            took.saturating_sub(verified.map_or(Duration::ZERO, |verified| verified.took));
        let bytes = of(&tally.bytes);
        Report {
            source: lossy(&arguments.source),
            source_bytes: raw(&arguments.source),
            destination: lossy(&arguments.destination),
            destination_bytes: raw(&arguments.destination),
            files: of(&tally.files),
            directories: of(&tally.directories),
            symlinks: of(&tally.symlinks),
            hard_links: of(&tally.hard_links),
            fifos: of(&tally.fifos),
            bytes,
            data_bytes: of(&tally.data_bytes),
            reused_bytes: of(&tally.reused_bytes),
            skipped: of(&tally.skipped),
            warnings: of(&tally.warnings),
            seconds: copying.as_secs_f64(),
            bytes_per_second: bytes as f64 / copying.as_secs_f64().max(1e-9),
            interrupted: job.stopped(),
            verified: verified.map(|verified| VerifiedReport {
                entries: verified.entries,
                bytes: verified.bytes,
                seconds: verified.took.as_secs_f64(),
            }),
            timeouts: TimeoutsReport::new(&handle.settings().timeouts),
            error_count: errors.total,
            timed_out: errors.timed_out,
            errors: errors.kept.iter().map(ErrorReport::new).collect(),
            stuck: stuck
                .iter()
                .take(STUCK_LISTED_MAX)
                .map(StuckReport::new)
                .collect(),
            backend: BackendReport::new(handle),
        }
    }

    pub(super) fn json(&self) -> String {
        // Strings, numbers and maps with string keys: there is nothing that cannot be written.
        serde_json::to_string_pretty(self).unwrap_or_default()
    }

    pub(super) fn json_line(&self) -> String {
        let event = Event {
            event: "summary",
            report: self,
        };
        serde_json::to_string(&event).unwrap_or_default()
    }

    pub(super) fn text(&self) -> String {
        let mut text = format!(
            "{} files, {} directories, {} links, {} in {:.2} s ({}/s)",
            HumanCount(self.files),
            HumanCount(self.directories),
            HumanCount(self.symlinks + self.hard_links),
            HumanBytes(self.bytes),
            self.seconds,
            HumanBytes(self.bytes_per_second as u64),
        );
        if let Some(verified) = &self.verified {
            text += &format!(
                "; {} entries with {} verified in {:.2} s",
                HumanCount(verified.entries),
                HumanBytes(verified.bytes),
                verified.seconds
            );
        }
        for (count, what) in [(self.skipped, "left alone"), (self.warnings, "warnings")] {
            if count > 0 {
                text += &format!("; {} {what}", HumanCount(count));
            }
        }
        if self.error_count > 0 {
            text += &format!("; {} errors", HumanCount(self.error_count));
        }
        if self.timed_out > 0 {
            text += &format!(", {} of them timed out", HumanCount(self.timed_out));
        }
        if self.interrupted {
            text += "; interrupted";
        }
        if !self.stuck.is_empty() {
            text += &format!("; {} stuck", self.stuck.len());
        }
        self.name_timed_out(&mut text);
        text
    }

    /// What was left out because it hangs, in lines of its own.
    fn name_timed_out(&self, text: &mut String) {
        let timed_out = self.errors.iter().filter(|error| error.timed_out);
        for error in timed_out.take(TIMED_OUT_NAMED_MAX) {
            *text += &format!(
                "\ntimed out: {} {}",
                error.operation,
                line(Path::new(&error.path))
            );
        }
        if let more @ 1.. = self.timed_out.saturating_sub(TIMED_OUT_NAMED_MAX as u64) {
            *text += &format!("\ntimed out: {} more; --json lists them", HumanCount(more));
        }
    }
}

impl StuckReport {
    fn new(stuck: &Stuck) -> StuckReport {
        StuckReport {
            operation: stuck.operation.name(),
            path: stuck.path.as_deref().map(lossy),
            path_bytes: stuck.path.as_deref().and_then(raw),
            seconds: stuck.still_for.as_secs_f64(),
        }
    }
}

impl ErrorReport {
    fn new(failure: &Failure) -> ErrorReport {
        ErrorReport {
            path: lossy(&failure.path),
            path_bytes: raw(&failure.path),
            operation: failure.operation,
            error: failure.error.clone(),
            errno: failure.errno,
            timed_out: failure.timed_out,
        }
    }
}

impl BackendReport {
    fn new(handle: &Handle) -> BackendReport {
        let stats = handle.stats();
        let mut report = BackendReport {
            route: format!("{:?}", handle.route()).to_lowercase(),
            ..Default::default()
        };
        for op in stats.ops() {
            if op.at_poll + op.worker_ring + op.lane_ring + op.pool == 0 {
                continue;
            }
            report.at_poll += op.at_poll;
            report.worker_ring += op.worker_ring;
            report.lane_ring += op.lane_ring;
            report.pool += op.pool;
            let operation = OperationReport {
                at_poll: op.at_poll,
                worker_ring: op.worker_ring,
                lane_ring: op.lane_ring,
                pool: op.pool,
            };
            report.operations.insert(op.row.name, operation);
        }
        report.fallbacks = stats
            .fallbacks()
            .map(|(reason, count)| (reason.to_string(), count))
            .collect();
        report
    }
}

fn lossy(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// The bytes of a path that is not UTF-8, which its text does not tell.
fn raw(path: &Path) -> Option<Vec<u8>> {
    let bytes = path.as_os_str().as_bytes();
    std::str::from_utf8(bytes).is_err().then(|| bytes.to_vec())
}
