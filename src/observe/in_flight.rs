//! What an operation in flight looks like from outside.

use std::path::PathBuf;
use std::time::Duration;

use super::Way;
use crate::opcode::Kind;

/// An operation that left the poll and is not over, at one moment.
///
/// ```
/// use tidegate::{OpInFlight, OpState};
///
/// fn line(op: &OpInFlight) -> String {
///     let path = op.path.as_deref().map_or("-".into(), |path| path.display().to_string());
///     let left = if op.state == OpState::Orphaned { ", left behind" } else { "" };
///     format!("{} of {path} for {:?}{left}", op.operation, op.age)
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OpInFlight {
    /// What is done.
    pub operation: Kind,
    /// What it is done to, where that has a name.
    pub path: Option<PathBuf>,
    /// How long ago it left the poll.
    pub age: Duration,
    /// How long ago it last showed that it gets on: of several steps in one, as in a copy, the last that was
    /// over; else as long as its age.
    pub still_for: Duration,
    /// Which way it went, once it did.
    pub way: Option<Way>,
    /// How far it is.
    pub state: OpState,
    /// The mount that it is on, where that is known.
    pub mount_point: Option<PathBuf>,
}

/// How far an operation in flight is.
///
/// See [`OpInFlight`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OpState {
    /// Nobody waits for it any more: it ran out of time, was cancelled or dropped. The kernel, or a thread,
    /// still has it.
    Orphaned,
    /// The kernel, or a thread, has it.
    Running,
    /// It is in a queue.
    Waiting,
}
