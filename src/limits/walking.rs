//! Bounds of walks, each with its reason.

use std::time::Duration;

/// Bytes that a walk lists of a directory in one call: past it calls no longer weigh.
pub(crate) const WALK_LIST_BYTES: usize = 64 << 10;

/// Entries that a walking thread takes at a time, and hands over together: a lock and a wake-up for each hardly
/// weigh, a directory of a few thousand keeps several threads busy, and what they see stays in a processor's cache.
pub(crate) const WALK_CHUNK: usize = 256;

/// The same where each answer takes its time: a directory of a hundred keeps several threads busy.
pub(crate) const WALK_CHUNK_REMOTE: usize = 16;

/// Directories that a walk has open at a time. The next one closes the one that will be needed last.
pub(crate) const WALK_OPEN_MAX: usize = 256;

/// Entries that wait for the caller, 0.3 KiB each and their names: some milliseconds of walking, and a walk stops
/// when nobody takes them.
pub(crate) const WALK_READY_MAX: usize = 8192;

/// Entries for which the caller is woken at once; fewer are told when time has passed or the walk has nothing else.
pub(crate) const WALK_WAKE_AT: usize = 1024;

/// How long a walking thread waits for directories that others find, before it is given back.
pub(crate) const WALK_IDLE: Duration = Duration::from_millis(5);

/// A call of a walk that takes longer has the rest of its thread's work given to another: as long as a busy
/// disk may take, and so short that nobody sees the walk stop.
pub(crate) const WALK_STUCK_AFTER: Duration = Duration::from_millis(250);

/// How often a walk is looked at while somebody waits for it.
pub(crate) const WALK_LOOK_EVERY: Duration = Duration::from_millis(50);

/// Threads of a walk where each answer comes from somewhere else: latency is what is waited for, not a processor.
pub(crate) const WALK_THREADS_REMOTE: usize = 16;

/// The most threads that a walk can be given: half of what a mount may have, so that those that get stuck can be
/// replaced.
pub(crate) const WALK_THREADS_MAX: usize = 32;
