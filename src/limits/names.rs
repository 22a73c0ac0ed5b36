//! Bounds of work on many names: walks and batches.

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

/// Entries that a walk hands out before its caller's task lets others have their turn, of which tokio has 128 in a poll:
/// some 8 000 entries, or 7 ms.
pub(crate) const WALK_ENTRIES_A_TURN: usize = 64;

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

/// Entries that a thread of a copy takes at a time: a directory of ordinary size is one thread's, as two in one
/// directory wait for each other.
pub(crate) const COPY_TREE_CHUNK: usize = 128;

/// How long what was copied waits at most while more is copied: nobody sees that, and a wake-up for each tick of the
/// clock took a hundredth of the processors.
pub(crate) const COPY_TREE_QUIET: Duration = Duration::from_millis(16);

/// How long a thread of a copy keeps the entries that it took: what takes longer is shared.
pub(crate) const COPY_TREE_SLICE: Duration = Duration::from_millis(20);

/// An entry of a copy that takes longer has what waits behind it given to others. Where it does not get on, another
/// thread comes as well: longer than a healthy disk takes, and short beside any limit.
pub(crate) const COPY_TREE_STUCK_AFTER: Duration = Duration::from_millis(100);

/// The longest path that a system takes, with its end: what nobody could name is not made.
pub(crate) const PATH_BYTES: usize = 4096;

/// How often what needs a descriptor is tried again while others have all of them, and how long it waits in between.
pub(crate) const COPY_TREE_TRIES_MAX: u32 = 400;
pub(crate) const COPY_TREE_TRY_EVERY: Duration = Duration::from_millis(25);

/// How often a copy that goes on where another was waits for one who still works in a directory: a second in all, since one
/// who was killed is over when the disk has answered, and others are not.
pub(crate) const COPY_LEFT_WAITS_MAX: u32 = 40;

/// Entries of one batch that a ring has at a time: past 64 the kernel's workers do not get faster.
pub(crate) const BATCH_IN_FLIGHT: usize = 64;

/// A batch of no more is answered at the poll as far as it is in memory: a hop takes as long as some thirty
/// look-ups.
pub(crate) const BATCH_AT_POLL: usize = 32;

/// Entries whose mounts are found in one poll, which takes some 50 µs.
pub(crate) const BATCH_SORTED_AT_ONCE: usize = 1024;

/// Entries that a thread takes from its batch at a time, at most: their results fit into a processor's first cache.
pub(crate) const BATCH_CHUNK_ENTRIES: usize = 64;

/// How long a thread works for a batch before it sees who else wants it: a hop of 35 µs weighs nothing then, and
/// others wait no longer for the thread than a person notices.
pub(crate) const BATCH_SLICE: Duration = Duration::from_millis(20);

/// The same where it is not known yet whether more threads would get more done.
pub(crate) const BATCH_SLICE_FIRST: Duration = Duration::from_millis(4);

/// Threads that a batch begins with on a local disk: what is in memory is as fast as there are processors.
pub(crate) const BATCH_THREADS_LOCAL: usize = 2;

/// Threads that wait for a local disk: past 16 it gets no faster.
pub(crate) const BATCH_THREADS_LOCAL_MAX: usize = 16;

/// Threads that a batch begins with where each entry may ask a server.
pub(crate) const BATCH_THREADS_ELSEWHERE: usize = 8;

/// Threads that wait for a server: more would be a burden to it.
pub(crate) const BATCH_THREADS_ELSEWHERE_MAX: usize = 32;

/// Threads of a batch on one mount with those that are stuck: fewer than the mount may have, so that others get on.
pub(crate) const BATCH_HOPS_MAX: usize = 48;

/// A thread that is in one entry for so long has its place taken by another one: longer than a healthy server takes,
/// and short beside any limit.
pub(crate) const BATCH_SLOW_AFTER: Duration = Duration::from_millis(50);
