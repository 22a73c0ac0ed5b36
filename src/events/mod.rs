//! What the crate says by `tracing`: each event is one function here, and each name is a constant.
//!
//! A log may block, and a log on the disk that hangs does. So what lanes, the watchdog and other threads have to
//! say on which operations depend goes through [`report`], to a thread that does nothing else.

mod reporter;
mod windows;

use std::fmt;
use std::io;
use std::path::Path;
use std::time::Duration;

pub(crate) use reporter::{report, report_of_mount, wait_told};

use crate::opcode::Kind;

/// Where an event comes from.
mod target {
    pub(super) const DRIVER: &str = "tidegate::driver";
    pub(super) const ERROR: &str = "tidegate::error";
    pub(super) const MOUNT: &str = "tidegate::mount";
    pub(super) const OPERATION: &str = "tidegate::operation";
    pub(super) const PROBE: &str = "tidegate::probe";
    #[cfg(test)]
    pub(super) const ALL: &[&str] = &[DRIVER, ERROR, MOUNT, OPERATION, PROBE];
}

/// What an event carries.
mod field {
    /// How many bytes it is about.
    pub(super) const BYTES: &str = "bytes";
    /// How many those were before.
    pub(super) const BYTES_BEFORE: &str = "bytes_before";
    /// Data or metadata.
    pub(super) const CLASS: &str = "class";
    /// How long it has been under way, or took, in milliseconds.
    pub(super) const ELAPSED_MS: &str = "elapsed_ms";
    /// What went wrong, in words.
    pub(super) const ERROR: &str = "error";
    /// How often there was no id left for a group of buffers.
    pub(super) const EXHAUSTED: &str = "exhausted";
    /// Groups of buffers that are registered with one ring.
    pub(super) const GROUPS: &str = "groups";
    /// The most that were at a time.
    pub(super) const GROUPS_PEAK: &str = "groups_peak";
    /// Operations that are not over.
    pub(super) const IN_FLIGHT: &str = "in_flight";
    /// What an operation left behind that ran out of time.
    pub(super) const LEFT: &str = "left";
    /// Where the filesystem is mounted, if it is known.
    pub(super) const MOUNT_POINT: &str = "mount_point";
    /// Operations that were taken over.
    pub(super) const MOVED: &str = "moved";
    /// Where in the file.
    pub(super) const OFFSET: &str = "offset";
    /// The operation's name in the op table.
    pub(super) const OPERATION: &str = "operation";
    /// The path, if the operation has one.
    pub(super) const PATH: &str = "path";
    /// Why there is no ring.
    pub(super) const REASON: &str = "reason";
    /// How many more there may be.
    pub(super) const REMAINING: &str = "remaining";
    /// What to do for a ring.
    pub(super) const REMEDY: &str = "remedy";
    /// Events that were not told.
    pub(super) const SUPPRESSED: &str = "suppressed";
    /// What a variable of the environment has.
    pub(super) const VALUE: &str = "value";
    #[cfg(test)]
    pub(super) const ALL: &[&str] = &[
        BYTES,
        BYTES_BEFORE,
        CLASS,
        ELAPSED_MS,
        ERROR,
        EXHAUSTED,
        GROUPS,
        GROUPS_PEAK,
        IN_FLIGHT,
        LEFT,
        MOUNT_POINT,
        MOVED,
        OFFSET,
        OPERATION,
        PATH,
        REASON,
        REMAINING,
        REMEDY,
        SUPPRESSED,
        VALUE,
    ];
}

fn millis(elapsed: Duration) -> u64 {
    u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
}

fn shown(path: Option<&Path>) -> Option<impl tracing::Value> {
    path.map(|path| tracing::field::display(path.display()))
}

/// Something that was promised to be done in the background was not, and nobody else hears of it.
pub(crate) fn background_failure(operation: Kind, error: &dyn fmt::Display) {
    tracing::warn!(
        target: target::DRIVER,
        { { field::OPERATION } = operation.name(), { field::ERROR } = %error },
        "failed in the background"
    );
}

/// A ring has no id left for a group of buffers; told once a minute at most.
pub(crate) fn buffer_groups_exhausted(exhausted: u64, groups: u32, peak: u32) {
    tracing::warn!(
        target: target::DRIVER,
        { { field::EXHAUSTED } = exhausted, { field::GROUPS } = groups, { field::GROUPS_PEAK } = peak },
        "a ring has no id left for a group of buffers: plain buffers are used; drop groups that are not needed"
    );
}

/// Half of a ring's ids of buffer groups are in use; told every 30 s at most.
pub(crate) fn buffer_groups_half_used(groups: u32, peak: u32, remaining: u32) {
    tracing::warn!(
        target: target::DRIVER,
        { { field::GROUPS } = groups, { field::GROUPS_PEAK } = peak, { field::REMAINING } = remaining },
        "half of a ring's ids of buffer groups are in use: are groups made and never dropped?"
    );
}

/// `TIDEGATE_ERRORS` has a value that means nothing.
pub(crate) fn errors_variable(value: &dyn fmt::Debug) {
    tracing::warn!(
        target: target::ERROR,
        { { field::VALUE } = ?value },
        "TIDEGATE_ERRORS is neither plain nor named: plain"
    );
}

/// A lane slept in a submission.
pub(crate) fn lane_replaced(class: &str, in_flight: usize, moved: usize) {
    tracing::warn!(
        target: target::DRIVER,
        { { field::CLASS } = class, { field::IN_FLIGHT } = in_flight, { field::MOVED } = moved },
        "a lane sleeps in a submission; its waiting operations moved to a new one"
    );
}

pub(crate) fn lane_without_ring(error: &dyn fmt::Display) {
    tracing::warn!(
        target: target::DRIVER,
        { { field::ERROR } = %error },
        "a lane has no ring; its mount's operations run on blocking threads"
    );
}

/// A handle was closed, and its rings were drained for as long as they may be.
pub(crate) fn left_behind(in_flight: usize) {
    tracing::warn!(
        target: target::DRIVER,
        { { field::IN_FLIGHT } = in_flight },
        "the kernel still holds operations of a closed handle"
    );
}

pub(crate) fn no_ring(reason: &dyn fmt::Display, remedy: &str) {
    tracing::info!(
        target: target::PROBE,
        { { field::REASON } = %reason, { field::REMEDY } = remedy },
        "no io_uring: blocking threads are used"
    );
}

pub(crate) fn no_watchdog(error: &io::Error) {
    tracing::warn!(
        target: target::DRIVER,
        { { field::ERROR } = %error },
        "no watchdog: stalls will not be seen"
    );
}

pub(crate) fn only_threads(error: &dyn fmt::Display) {
    tracing::warn!(
        target: target::DRIVER,
        { { field::ERROR } = %error },
        "files are read and written on blocking threads"
    );
}

pub(crate) fn poll_stuck() {
    tracing::warn!(
        target: target::DRIVER,
        "a poll sleeps in a call that should not; its mount is left to lanes until it answers again"
    );
}

/// The log blocked for so long that other events had no room.
fn reports_lost(suppressed: u64) {
    tracing::warn!(
        target: target::DRIVER,
        { { field::SUPPRESSED } = suppressed },
        "the log was too slow: events are missing"
    );
}

/// An operation has been under way for longer than `warn_after`; told once for each.
pub(crate) fn slow(operation: Kind, path: Option<&Path>, elapsed: Duration) {
    tracing::warn!(
        target: target::OPERATION,
        { { field::OPERATION } = operation.name(), { field::PATH } = shown(path), { field::ELAPSED_MS } = millis(elapsed) },
        "an operation takes long"
    );
}

/// An operation ran out of time.
pub(crate) fn timed_out(
    operation: Kind,
    path: Option<&Path>,
    mount_point: Option<&Path>,
    elapsed: Duration,
    left: &dyn fmt::Display,
) {
    tracing::warn!(
        target: target::OPERATION,
        { { field::OPERATION } = operation.name(), { field::PATH } = shown(path), { field::MOUNT_POINT } = shown(mount_point), { field::ELAPSED_MS } = millis(elapsed), { field::LEFT } = %left },
        "an operation ran out of time"
    );
}

/// A part of `TIDEGATE_TIMEOUTS` means nothing.
pub(crate) fn timeouts_variable(part: &str) {
    tracing::warn!(
        target: target::DRIVER,
        { { field::VALUE } = part },
        "TIDEGATE_TIMEOUTS: not understood"
    );
}

/// Further operations of the mount ran out of time, each of which would have been an event.
fn timeouts_suppressed(mount_point: Option<&Path>, suppressed: u64) {
    tracing::warn!(
        target: target::OPERATION,
        { { field::MOUNT_POINT } = shown(mount_point), { field::SUPPRESSED } = suppressed },
        "more operations ran out of time"
    );
}

/// The error of a writeback that no sync reported.
pub(crate) fn writeback_failed(error: &io::Error) {
    tracing::warn!(
        target: target::DRIVER,
        { { field::ERROR } = %error },
        "a writeback failed, and the file was closed without asking"
    );
}

/// A write-out of a bounded file did not end in time; told once until one does.
pub(crate) fn writeback_degraded(limit: Duration, offset: u64, bytes: u64) {
    tracing::error!(
        target: target::DRIVER,
        { { field::OFFSET } = offset, { field::BYTES } = bytes, { field::ELAPSED_MS } = millis(limit) },
        "a write-out did not end in time: none of this file is waited for until the disk answers"
    );
}

/// One did.
pub(crate) fn writeback_recovered() {
    tracing::info!(target: target::DRIVER, "write-outs of a file are waited for again");
}

/// Chunks of a bounded file are of another size.
pub(crate) fn writeback_resized(from: u64, to: u64, p95: Duration) {
    tracing::debug!(
        target: target::DRIVER,
        { { field::BYTES_BEFORE } = from, { field::BYTES } = to, { field::ELAPSED_MS } = millis(p95) },
        "chunks of a file's writeback are of another size"
    );
}

/// The breaker of a mount opened: its operations are refused from now on.
pub(crate) fn mount_unresponsive(mount_point: Option<&Path>) {
    tracing::warn!(
        target: target::MOUNT,
        { { field::MOUNT_POINT } = shown(mount_point) },
        "a mount does not answer: its operations are refused until it does"
    );
}

/// The breaker of a mount closed.
pub(crate) fn mount_answers(mount_point: Option<&Path>) {
    tracing::info!(
        target: target::MOUNT,
        { { field::MOUNT_POINT } = shown(mount_point) },
        "a mount answers again"
    );
}

/// The table of mounts cannot be read, so that a mount may have no name.
pub(crate) fn mounts_unknown(error: &io::Error) {
    tracing::debug!(
        target: target::MOUNT,
        { { field::ERROR } = %error },
        "the table of mounts cannot be read"
    );
}

#[cfg(test)]
mod tests {
    /// The guide has every target and every field.
    #[test]
    fn the_guide_names_every_target_and_field() {
        let guide = include_str!("../guide/observing.rs");
        for name in super::target::ALL.iter().chain(super::field::ALL) {
            assert!(guide.contains(&format!("`{name}`")), "{name}");
        }
    }
}
