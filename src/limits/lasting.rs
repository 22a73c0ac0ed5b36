//! Bounds of what makes writes last.

use std::time::Duration;

/// Symbolic links on the way to a file that gets new content, as many as the kernel follows.
pub(crate) const LINKS_FOLLOWED_MAX: usize = 40;

/// Made-up names that are tried for a temporary file before whatever is in the way is told: none exists twice but by
/// intent.
pub(crate) const TEMP_NAMES_TRIED_MAX: u32 = 16;

/// Files that one thread commits together: past it the sync of the directory that they share no longer weighs, and
/// the first would wait for the last.
pub(crate) const COMMIT_GROUP_FILES: usize = 32;

/// Threads of one mount that commit files at a time: one writes a group while the other waits for the device. More would
/// only make the groups smaller that share a sync.
pub(crate) const COMMIT_THREADS_MAX: usize = 2;

/// How long a thread that commits waits for the files of those whom it told of the last ones, so that the next group is
/// as large: what it takes to wake that many tasks on few processors.
pub(crate) const COMMIT_LINGER: Duration = Duration::from_micros(200);

/// The part of what the last group took that may be waited for: with a quick disk, small groups cost little.
pub(crate) const COMMIT_LINGER_PART: u32 = 4;

/// What a file that is committed keeps in memory before it goes to the filesystem: files up to this size take one hop.
pub(crate) const COMMIT_STAGED_BYTES: usize = 256 << 10;

/// Files of a batch in flight by default: as many as one thread commits together.
pub(crate) const COMMITS_IN_FLIGHT: usize = 32;

/// The most files of a batch in flight: with `COMMIT_STAGED_BYTES` each, 1 GiB of memory.
pub(crate) const COMMITS_IN_FLIGHT_MAX: usize = 4096;

/// Bytes of records that wait for a log's thread: what it writes in some tens of milliseconds. Whoever appends more waits.
pub(crate) const APPEND_QUEUED_BYTES: usize = 64 << 20;

/// Bytes that a log's thread writes before it syncs: past it the first record of a group would wait for the last.
pub(crate) const APPEND_GROUP_BYTES: usize = 8 << 20;

/// How long one hop of a log takes groups: then others that wait for a thread have their turn, and its age shows
/// whether the disk answers.
pub(crate) const APPEND_TURN: Duration = Duration::from_millis(100);

/// Zeros that are worth a hole: a block of most filesystems.
pub(crate) const APPEND_HOLE_BYTES: usize = 4096;

/// Files from which on a group syncs their filesystem once instead of each of them.
pub(crate) const SYNC_GROUP_FILES: usize = 3;

/// What may be dirty in all of the machine for that: a disk takes it in some tenths of a second.
pub(crate) const SYNC_GROUP_DIRTY_BYTES: u64 = 64 << 20;

/// A sync of a filesystem that takes longer than this had others' writes to wait for: single files would have been
/// done.
pub(crate) const SYNC_GROUP_SLOW: Duration = Duration::from_millis(20);

/// How long none is tried then.
pub(crate) const SYNC_GROUP_REST: Duration = Duration::from_secs(5);

/// Failed writebacks of which nobody was told that are kept for whoever opens their files: as many as a disk that fails
/// under a busy program leaves behind in most cases. Past it the oldest is forgotten; each was logged.
pub(crate) const UNTOLD_MAX: usize = 1024;

/// A chunk of bounded writeback at first: 10 ms of a fast disk, and a third of a second of a slow one.
pub(crate) const WRITEBACK_CHUNK_BYTES: u64 = 32 << 20;

/// The smallest chunk: less would cost a hop to a thread for each millisecond of a fast disk.
pub(crate) const WRITEBACK_CHUNK_BYTES_MIN: u64 = 4 << 20;

/// The largest: a stream has two of them dirty at most, which small machines can spare.
pub(crate) const WRITEBACK_CHUNK_BYTES_MAX: u64 = 256 << 20;

/// Where chunks end, so that no large page of the cache belongs to two of them: the largest that there are on the
/// usual processors.
pub(crate) const WRITEBACK_ALIGN_BYTES: u64 = 2 << 20;

/// The waits by which chunks grow and shrink: of 32, the 95th percentile leaves out one that is out of line.
pub(crate) const WRITEBACK_WINDOW: usize = 32;

/// Chunks that take longer than this double: the disk likes larger ones, or has much else to do.
pub(crate) const WRITEBACK_WAIT_LONG: Duration = Duration::from_millis(200);

/// Chunks that take less than this halve: smaller ones do as well.
pub(crate) const WRITEBACK_WAIT_SHORT: Duration = Duration::from_millis(20);

/// How long one write-out is waited for, by default: as long as metadata, which is not far from what a disk takes to
/// give up on a sector.
pub(crate) const WRITEBACK_WAIT_MAX: Duration = Duration::from_secs(30);

/// How long no write-out is waited for after one did not end in time: a disk that resets is back by then.
pub(crate) const WRITEBACK_REST: Duration = Duration::from_secs(60);

/// Write-outs of one file at a time: one that is waited for, one that begins, and what seeks have left behind. Each has
/// a blocking thread.
pub(crate) const WRITEBACK_OUTS_MAX: usize = 4;

/// A write that may leave the page cache by itself: smaller ones would each be a small write of the device.
pub(crate) const WRITEBACK_UNCACHED_BYTES_MIN: usize = 256 << 10;

/// By how many bytes two ways to write are compared: some hundred writes, and the twentieth of a second of a fast disk.
pub(crate) const WRITEBACK_TRIAL_BYTES: u64 = 64 << 20;

/// What comes before: a chunk that went the other way.
pub(crate) const WRITEBACK_TRIAL_SKIPPED_BYTES: u64 = 32 << 20;

/// When the way that was the slower is tried again: the trial is then a hundredth of all.
pub(crate) const WRITEBACK_TRIAL_EVERY_BYTES: u64 = 8 << 30;

/// Ranges that are told apart in what was written and not written out: past it, the nearest become one.
pub(crate) const WRITEBACK_RANGES_MAX: usize = 64;

/// A sync takes less than this along by itself: to write it out apart would cost more than it spares.
pub(crate) const WRITEBACK_TAIL_BYTES: u64 = 1 << 20;
