//! What an operation does for the fake backend alone.

use std::path::PathBuf;

/// What an operation does for the fake backend alone.
pub(crate) trait Fakeable {
    /// The kernel has it, to all appearances; `false` if it was given up before.
    fn begin(&self) -> bool;
    /// It comes back, to be done whether anybody waits for it or not.
    fn back_late(&self);
    /// If it looks at a file, the file's content is elsewhere.
    fn feign_dataless(&self);
    /// It moves so many bytes at most.
    fn shorten(&self, bytes: usize);
    /// Whether it holds a clock that a test has stopped: not while it waits for that test.
    fn holds_clock(&self, holds: bool);
    /// Whether nobody waits for it.
    fn is_left(&self) -> bool;
    /// The paths that it is about, as far as they are known.
    fn paths(&self) -> Vec<PathBuf>;
}
