//! Every bound of the crate, once, with the reason for its value.

#[path = "limits/lasting.rs"]
mod lasting;
#[path = "limits/names.rs"]
mod names;

use std::time::Duration;

#[allow(
    unused_imports,
    reason = "what runs the crate's parts by themselves uses none"
)]
pub(crate) use lasting::*;
#[allow(
    unused_imports,
    reason = "what runs the crate's parts by themselves uses none"
)]
pub(crate) use names::*;

/// Operations that are ready at once before the tasks of one worker have all had a turn, where the
/// turns are divided among them: at about 1.2 µs each a round takes some 160 µs, and twice that where work is spread unevenly, so that the p99.9
/// stays under 500 µs.
pub(crate) const READY_OPS_PER_ROUND: usize = 128;

/// The shortest turn. With 32 tasks on 2 workers tokio's own 128 gave a p99.9 of 3.5–5 ms.
pub(crate) const READY_OPS_PER_TURN_MIN: usize = 8;

/// The longest turn: tokio's own budget.
pub(crate) const READY_OPS_PER_TURN_MAX: usize = 128;

/// Submission entries of a ring: also the most operations it has in flight, since the completion
/// queue has twice as many entries and none may be lost (INV-4).
pub(crate) const RING_ENTRIES: u32 = 256;

/// Entries of one operation that the kernel takes together: a lane starts nothing while it has room for
/// less, so that it does not try again and again.
pub(crate) const LINKED_ENTRIES_MAX: usize = 5;

/// Slots in a ring's own table of files, 8 KiB in the kernel: more than a ring has operations in flight, which leaves
/// room for files that stay open. The limit on open files bounds it, too.
pub(crate) const DIRECT_FILES_MAX: u64 = 1024;

/// The most that `fs::read` reads of a file in the same submission that opens and closes it: files of
/// this size cost more to copy than to open, and a buffer of it costs no page that is not used.
pub(crate) const SMALL_FILE_BYTES: usize = 64 << 10;

/// Whole files that are being read when the next small one is read as linked entries: of eight at a time a hop is
/// still a tenth faster, of sixteen the entries are, by a fifth and with a fifth less of processor time
/// (`docs/design/buffers.md`).
pub(crate) const SMALL_FILES_AT_ONCE: u64 = 8;

/// Small files that are read as linked entries at a time, where hops are the other way. Each takes five entries of a
/// ring, so that these leave a fifth of one to others.
pub(crate) const SMALL_FILES_MAX: u64 = 40;

/// How long after a ring's kernel refused to register memory it is asked again: another process of the same user
/// may have given locked memory back, which the kernel counts some 30 ms late.
pub(crate) const REGISTER_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Rings of one handle that submit on the polling thread.
pub(crate) const WORKER_RINGS_MAX: usize = 16;

/// Buffered operations in flight on one worker ring before a lane takes over: alone, an operation is faster on the worker's
/// ring; a lane with batches costs less CPU than one kernel worker per operation (`docs/design/misses.md`).
pub(crate) const WORKER_DEPTH_BUFFERED: usize = 2;

/// Direct reads and writes in flight on one worker ring before a lane takes over: kernel workers
/// keep up with direct I/O until about 64 in flight on two rings.
pub(crate) const WORKER_DEPTH_DIRECT: usize = 48;

/// Kernel workers that a ring may use, and all lanes of one mount and class together. The default of 4 per CPU lets 8 stuck operations stop a
/// thread's rings; this stays above what a worker ring has in flight, so none of them waits for a worker.
pub(crate) const KERNEL_WORKERS_MAX: u32 = 64;

/// Operations of one lane that wait for peers (of pipes, sockets, terminals) before the next ones get another
/// lane: half of a ring, so that what ends them finds room.
pub(crate) const PEERS_PER_LANE: usize = 128;

/// Further lanes for what waits for peers: with the first one, for over 4 000 such operations at a time.
pub(crate) const PEER_LANES_MAX: usize = 31;

/// Submissions a lane takes from its inbox at a time: batching pays up to about 32, and what is not
/// taken can still move to a replacement.
pub(crate) const LANE_BATCH: usize = 32;

/// A lane that is this long inside one submission is wedged and gets a replacement. Ordinary disks
/// answer a metadata read within 10 ms.
pub(crate) const LANE_WEDGED_AFTER: Duration = Duration::from_millis(20);

/// How long a lane waits before it offers entries again that the kernel had no memory or room for.
pub(crate) const LANE_RETRY_AFTER: Duration = Duration::from_millis(1);

/// A write on a worker ring that is older than this may hold up other files' writes in the kernel, so
/// that those go to lanes. Long enough that a busy disk is seldom taken for a stuck one.
pub(crate) const SERIALISED_STUCK_AFTER: Duration = Duration::from_millis(20);

/// Operations of one queue that wait while none of it goes on (`QUEUE_STILL_AFTER`), before further ones are
/// refused: some 16 MiB, and more than any program has in flight on a disk that only takes a breath.
pub(crate) const QUEUED_MAX: usize = 16_384;

/// A queue of which none was taken for this long is still: longer than any disk in order lets all of its threads
/// wait.
pub(crate) const QUEUE_STILL_AFTER: Duration = Duration::from_secs(1);

/// Descriptors of one mount that wait to be closed, of which none is closed for `QUEUE_STILL_AFTER`, before nothing
/// is opened there any more: a sixteenth of what a process may usually have open.
pub(crate) const CLOSES_WAITING_MAX: usize = 64;

/// Descriptors that polls have opened only to look, and that wait for a thread to close them, before polls close those
/// on the spot whose file has a name: a few more than threads that could.
pub(crate) const LOOK_UPS_CLOSING_MAX: usize = 32;

/// Wedged lanes of one mount and class at a time; past it, operations wait in the inbox.
pub(crate) const LANES_WEDGED_MAX: usize = 4;

/// Mounts of one handle with lanes of their own; further mounts share one set.
pub(crate) const MOUNT_GROUPS_MAX: usize = 32;

/// Mounts remembered at a time besides those that an open file or a handle uses.
pub(crate) const MOUNTS_KNOWN_MAX: usize = 256;

/// How often a mount is described whose place is not found: the second time, at least `MOUNT_ASK_AGAIN`
/// later, the table of mounts is newer than the mount. What is not in it then is no mount of this process.
pub(crate) const MOUNT_DESCRIPTIONS_MAX: u32 = 2;

/// A table of mounts that is this new is not read again for a mount that is not in it. Reading one of a
/// thousand mounts takes milliseconds, and a mount that was made meanwhile only lacks its name that long.
pub(crate) const MOUNT_TABLE_KEPT: Duration = Duration::from_secs(1);

/// A table of mounts by which paths are looked up is read again when it is this old: what was mounted
/// meanwhile shares the lanes of the mount below so long.
pub(crate) const MOUNT_TABLE_OLD: Duration = Duration::from_secs(10);

/// Mounts that are asked at once whether they answer, each on a thread of its own: more than most machines
/// have, and few enough threads for any.
pub(crate) const MOUNTS_ASKED_AT_ONCE: usize = 256;

/// Timeouts in a row, without an answer between them, after which a mount is asked whether it answers at
/// all: one may be a file's own trouble, and a third waits for nothing new.
pub(crate) const BREAKER_TIMEOUTS: u32 = 3;

/// How long a mount may take to answer that question: a `statx` of its root, for which a slow server over
/// a slow line takes a quarter of it.
pub(crate) const PROBE_PATIENCE: Duration = Duration::from_secs(1);

/// How long after a question that came to nothing it is put again.
pub(crate) const PROBE_EVERY: Duration = Duration::from_secs(5);

/// A mount whose description was asked for this long ago and never came is asked for again.
pub(crate) const MOUNT_ASK_AGAIN: Duration = Duration::from_secs(1);

/// Entries of a listed directory whose attributes are brought into memory at first, once a caller asks for one after the
/// other and has to wait; then twice as many each time, as the kernel reads ahead in files.
pub(crate) const LIST_AHEAD_MIN: usize = 32;

/// The most at a time: about a millisecond of a thread's time, if nobody asks for them after all.
pub(crate) const LIST_AHEAD_MAX: usize = 256;

/// How long a thread that polls takes a directory to be on the mount on which it has just found it. It only chooses a
/// queue: who walks a tree asks for many names of a directory within it, and a link that is set anew is followed soon.
pub(crate) const MOUNT_HINT: Duration = Duration::from_millis(50);

/// Threads of one mount's pool that are not known to be stuck. With those that are, it has no more than the
/// handle's setting says (`STUCK_THREADS_MAX`).
pub(crate) const POOL_THREADS_MAX: usize = 64;

/// Threads that each mount's pool may have whatever other mounts have taken: enough to keep a disk that answers
/// within a millisecond busy, so that its speed does not depend on a dead neighbour.
pub(crate) const POOL_THREADS_OWN: usize = 16;

/// Threads that a pool has at work at once where jobs compute rather than wait; more come when the watchdog sees them
/// all busy for a tick.
pub(crate) const POOL_THREADS_EAGER: usize = 4;

/// A thread that is at one job for so long is not expected to take the next soon, and another does: longer than a disk
/// takes that answers, shorter than anybody notices.
pub(crate) const POOL_JOB_LONG: Duration = Duration::from_millis(20);

/// Threads that a pool has at work at once where jobs wait for the disk: small files are read fastest by so many, which
/// fill a disk's queue; twice as many cost more in switches than they bring (`docs/design/misses.md`).
pub(crate) const POOL_THREADS_WAITING: usize = 32;

/// An idle pool thread ends after this long.
pub(crate) const POOL_THREAD_IDLE: Duration = Duration::from_secs(10);

/// The watchdog's tick while something is going on.
pub(crate) const WATCHDOG_TICK: Duration = Duration::from_millis(5);

/// The watchdog's longest tick while nothing changes but operations are in flight.
pub(crate) const WATCHDOG_TICK_MAX: Duration = Duration::from_millis(160);

/// A watchdog that comes this much later than it meant to was not running, and neither was the process as a whole:
/// what a loaded machine keeps a thread waiting is a fraction of it.
pub(crate) const WATCHDOG_LATE: Duration = Duration::from_millis(50);

/// Quiet ticks after which the watchdog sleeps until it is called.
pub(crate) const WATCHDOG_QUIET_TICKS: u32 = 4;

/// A poll that is this long inside the kernel is reported and its mount no longer attempted.
pub(crate) const POLL_STUCK_AFTER: Duration = Duration::from_millis(10);

/// An operation that is older than this marks its mount as stalled.
pub(crate) const MOUNT_STALLED_AFTER: Duration = Duration::from_millis(200);

/// What is older than this is taken to be slow, though a thread that may have to do with it waits for a processor: longer
/// than a machine that is not stopped keeps any thread from running.
pub(crate) const STARVED_MAX: Duration = Duration::from_secs(2);

/// How long a stalled mount is not attempted after the last evidence.
pub(crate) const MOUNT_STALLED_HOLD_OFF: Duration = Duration::from_secs(1);

/// How long a thread that drops a file waits for a close that sleeps in the kernel: a healthy disk is done in a tenth of
/// it, and a dead one holds up nobody for longer, once in `MOUNT_STALLED_HOLD_OFF`.
pub(crate) const CLOSE_WAIT: Duration = Duration::from_millis(1);

/// How long a close on a thread waits at most for polling threads whose rings have had the file: longer than a machine
/// that is not stopped keeps any thread from running.
pub(crate) const RING_FILE_MAX: Duration = Duration::from_secs(1);

/// How often it looks at them: threads that are busy with something else are looked at for long, and each look costs
/// some microseconds.
pub(crate) const RING_FILE_LOOK_EVERY: Duration = Duration::from_millis(1);

/// Threads that an open file knows to have had it on a ring, before those that have ended are forgotten: as many as most
/// runtimes have workers, and a few lanes.
pub(crate) const RING_FILE_THREADS: usize = 32;

/// A thread that has run for so many hundredths of a second, the first of them in part, has left the kernel meanwhile:
/// word for it interrupts what it computes, and no call of a polling thread takes that long without sleeping.
pub(crate) const RING_FILE_TICKS: u64 = 2;

/// How long it waits until it looks again whether a close is in the same sleep: one that moves is no dead disk's.
pub(crate) const CLOSE_LOOK_AGAIN: Duration = Duration::from_micros(250);

/// How long it waits for a close that sleeps and moves: past it a runtime's other tasks would notice.
pub(crate) const CLOSE_WAIT_MOVING: Duration = Duration::from_millis(10);

/// The time of a processor that a close it waits for may use, in hundredths of a second: freeing memory takes so long
/// for some gigabytes.
pub(crate) const CLOSE_TICKS_MAX: u64 = 5;

/// How long it waits for a close that cannot be looked at.
pub(crate) const CLOSE_WAIT_UNSEEN: Duration = Duration::from_millis(50);

/// How long it waits for a close that only waits for a processor, as the thread itself might: longer than a machine that
/// is not stopped keeps any thread from running, twice, as the close may wait for others that do (`RING_FILE_MAX`).
pub(crate) const CLOSE_WAIT_MAX: Duration = Duration::from_secs(2);

/// The first part of a file that is looked at in the page cache, which tells what the rest will take: 7 µs for single
/// pages, 0.5 µs for large folios. For a drop that is half of what handing the close on takes.
pub(crate) const LOOK_FIRST_BYTES: u64 = 1 << 20;

/// A longer look at it is one at single pages, or on a machine that has no time: the rest is not looked at.
pub(crate) const LOOK_FIRST_MAX: Duration = Duration::from_micros(3);

/// For how long such a file is taken for one of single pages, before it is measured again.
pub(crate) const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(100);

/// Reads of such a file in one tick, from which on it is looked at all the same: a part of it takes 60 µs, a read on a
/// lane 15, and what was seen holds until the tick is over.
pub(crate) const LOOK_PAYS_FROM: u64 = 8;

/// The longest tick of the system's clock, in milliseconds (`CONFIG_HZ=100`).
pub(crate) const TICK_MS_MAX: u64 = 10;

/// The largest file of which a drop asks whether anything is dirty, so that it may be closed on the spot: large folios of
/// so much take what handing the close on does.
pub(crate) const CLOSE_LOOK_BYTES: u64 = 64 << 20;

/// The most of a file that a read looks at in the page cache, behind what it wants, for whether readahead has anything to
/// read there: single pages of so much take 15 µs, which is what a read on a lane takes.
pub(crate) const READ_LOOK_BYTES: u64 = 2 << 20;

/// The most where what was seen is remembered until the next tick: twice the largest `read_ahead_kb` that disks are sold
/// with, and room for large reads.
pub(crate) const READ_SEEN_BYTES: u64 = 64 << 20;

/// What is looked at and remembered at a time: 1.4 µs for large folios.
pub(crate) const SEEN_PART_BYTES: u64 = 8 << 20;

/// The most that one read or write moves, as in the kernel (`MAX_RW_COUNT`); longer ones are short.
pub(crate) const RW_BYTES_MAX: usize = 0x7fff_f000;

/// Buffers of one vectored read or write, as in every kernel (`IOV_MAX`); of more, it takes the first.
pub(crate) const VECTOR_PARTS_MAX: usize = 1024;

/// Reads that one `read_ranges` has in flight: what a lane takes at a time, and an eighth of its ring, so
/// that one caller keeps a disk busy and leaves room for others.
pub(crate) const RANGES_IN_FLIGHT: usize = 32;

/// Ranges this close together are read as one: copying 16 KiB too much costs 1 to 2 µs, no more than
/// one more operation, and a disk takes longer for a request than for these bytes.
pub(crate) const RANGES_GAP_BYTES: u64 = 16 << 10;

/// The most that ranges read as one come to, gaps included: a range that is kept keeps the memory of those
/// that were read with it.
pub(crate) const RANGES_JOINED_BYTES: u64 = 1 << 20;

/// The most that `read_ranges` reads in one operation; longer ranges are read by several at a
/// time. Past 1 MiB the cost of an operation no longer weighs.
pub(crate) const RANGES_READ_BYTES: usize = 1 << 20;

/// How often an `openat2` is tried that something renamed elsewhere on the system made fail. Each try is
/// as short as the walk; only a flood of renames makes more than a few fail.
pub(crate) const RESOLVE_TRIES_MAX: usize = 64;

/// Buffers of one group, the kernel's most: their entries are counted by 16 bits.
pub(crate) const GROUP_BUFFERS_MAX: u16 = 32_768;

/// Buffers of a group by default: as many reads as most callers have in flight on one ring.
pub(crate) const GROUP_BUFFERS: usize = 64;

/// The size of a group's buffers by default: what a pipe holds at most, unless it is told otherwise.
pub(crate) const GROUP_BUFFER_BYTES: usize = 64 << 10;

/// Bytes of one group's buffers: far more than pays, and far less than what a 64-bit process can address.
pub(crate) const GROUP_BYTES_MAX: u64 = 64 << 30;

/// How far a sequential reader is read ahead of.
pub(crate) const PREFETCH_WINDOW_BYTES: u64 = 8 << 20;

/// How long whoever closes a descriptor, or hands it out, waits on the spot until what reads ahead through it has
/// given it back: a piece from a healthy disk takes less, and nobody notices a millisecond.
pub(crate) const LENT_PATIENCE: Duration = Duration::from_millis(1);

/// Bytes of one read ahead: small enough to stay in a processor's cache.
pub(crate) const PREFETCH_CHUNK_BYTES: usize = 128 << 10;

/// The default of `File::set_max_buf_size`, as in tokio.
pub(crate) const FILE_BUFFER_BYTES: usize = 2 << 20;

/// What is read past the page cache is read in multiples of so much at least, whatever less the filesystem would
/// take: a page, so that no page of memory is in two reads.
pub(crate) const DIRECT_UNIT_BYTES: u64 = 4096;

/// Memory for such reads is kept for the next one from this size on: the allocator keeps what is smaller.
pub(crate) const BOUNCE_BYTES_MIN: usize = 64 << 10;

/// How much of such memory is kept in mind, in use or not: what one `read_ranges` has in flight at most.
pub(crate) const BOUNCE_KEPT_BYTES: usize = RANGES_IN_FLIGHT * RANGES_READ_BYTES;

/// In how many pieces: looking through them takes a microsecond.
pub(crate) const BOUNCE_KEPT: usize = 128;

/// The default of `FileStream::chunk_bytes`: as much as one request to a disk usually takes, and small
/// enough to stay in a processor's cache until it is sent on.
pub(crate) const STREAM_CHUNK_BYTES: usize = 128 << 10;

/// The default of `FileStream::read_ahead`: 512 KiB on their way keep a disk that answers in 200 µs at
/// over 2 GB/s, and four reads leave room for a second stream on a worker ring
/// (`WORKER_DEPTH_BUFFERED`).
pub(crate) const STREAM_READ_AHEAD: usize = 4;

/// The longest read-ahead of a stream, so that it leaves most of a ring (`RING_ENTRIES`) to others.
pub(crate) const STREAM_READ_AHEAD_MAX: usize = 64;

/// What a stream hands out for one operation of tokio's cooperative budget. A turn of 128 moves 2 MiB
/// then, which is a few hundred microseconds of copying.
pub(crate) const STREAM_BYTES_PER_BUDGET: usize = 16 << 10;

/// The buffer of `fs::lines`: a read that has to wait costs as much as many lines.
pub(crate) const LINES_BUFFER_BYTES: usize = 64 << 10;

/// Bytes of one directory listing batch, about 1 000 entries.
pub(crate) const READ_DIR_BATCH_BYTES: usize = 32 << 10;

/// Directories that the removal of a tree has open at a time: most trees are not deeper, and each one that is opened again
/// costs two calls and a new list.
pub(crate) const REMOVED_DIRS_OPEN: usize = 16;

/// The buffer of a copy that the kernel does not do: past 1 MiB the calls no longer weigh.
pub(crate) const COPY_BUFFER_BYTES: usize = 1 << 20;

/// Files up to this size are copied by one read and one write, which cost as much as
/// `copy_file_range` (1.8 µs for 4 KiB) and show the end of the file; from 64 KiB the latter is
/// a quarter cheaper.
pub(crate) const COPY_SMALL_BYTES: u64 = 16 << 10;

/// Bytes of a copy's first step, and of any where storage is slow: 5 KiB/s are enough to get on within a
/// timeout of a minute.
pub(crate) const COPY_STEP_BYTES: u64 = 256 << 10;

/// A copy's steps grow while they take less than this, in which a spinner does not turn.
pub(crate) const COPY_STEP_SHORT: Duration = Duration::from_millis(50);

/// A copy's steps shrink when they take longer than this, so that they stay well under any timeout.
pub(crate) const COPY_STEP_LONG: Duration = Duration::from_millis(200);

/// The most bytes that a copy moves between two looks at whether it was cancelled.
#[cfg_attr(
    target_os = "macos",
    allow(dead_code, reason = "its copies go through the buffer")
)]
pub(crate) const COPY_CHUNK_BYTES: u64 = 16 << 20;

/// What `fs::read` and `fs::write` move in one step, between two looks at whether anybody waits: some
/// milliseconds of copying.
pub(crate) const WHOLE_FILE_STEP_BYTES: usize = 8 << 20;

/// The largest file that `fs::read` reads at the first poll; copying more would hold up other tasks.
pub(crate) const READ_AT_POLL_BYTES: u64 = 256 << 10;

/// Stack of our own threads that run our own code alone: system calls and small closures.
pub(crate) const THREAD_STACK_BYTES: usize = 256 << 10;

/// Stack of our own threads that run other people's code, too: closures, wakers, drops of buffers. As much as
/// tokio's blocking threads have; it is address space, of which only what is used becomes memory.
pub(crate) const FOREIGN_STACK_BYTES: usize = 2 << 20;

/// Threads that deliver what the watchdog finds to be over: one works, and the others are for when it is inside a
/// waker that blocks.
pub(crate) const HELPERS_MAX: usize = 4;

/// Such a thread ends when it has had nothing to do for this long.
pub(crate) const HELPER_IDLE: Duration = Duration::from_secs(10);

/// A ring is looked at by the watchdog each time that its youngest operation has grown older by this part of its
/// age: what is over is delayed by no more than that part of the time that it took, or a tick.
pub(crate) const RING_LOOK_PART: u32 = 8;

/// A runtime that did not run its ring's task for this long, though it was woken, is not driven: some ticks, as a
/// busy machine keeps a thread from running for one.
pub(crate) const UNDRIVEN_AFTER: Duration = Duration::from_millis(50);

/// How long the ring of a runtime that is not driven is not used then; twice as long each further time.
pub(crate) const UNDRIVEN_REST: Duration = Duration::from_secs(1);

/// The longest of these: a ring that is used again costs its first few operations a tick each.
pub(crate) const UNDRIVEN_REST_MAX: Duration = Duration::from_secs(64);

/// Roll calls of a runtime's workers, which may all be too busy to be seen asleep; after each the next one waits
/// longer. Past it, after some seconds of use, lanes do everything.
pub(crate) const ROLL_CALLS_MAX: u32 = 16;

/// How long a roll of a runtime's workers counts, and the shortest time to the next call.
pub(crate) const ROLL_CALL_EVERY: Duration = Duration::from_millis(50);

/// How long a task of a roll call waits for the others, so that workers that are being woken meanwhile find one: each
/// wakes the next, which takes some 50 µs.
pub(crate) const ROLL_CALL_LASTS: Duration = Duration::from_millis(1);

/// How often a worker is looked at in vain after a roll call: one of several is in epoll, at most. A look costs some
/// 10 µs.
pub(crate) const IO_DRIVER_MISSES_MAX: u32 = 256;

/// How long a dropped runtime's rings are drained before the rest is reported as left behind.
pub(crate) const DRAIN_BOUND: Duration = Duration::from_secs(5);

/// Positions up to this are not checked against what the filesystem takes, which costs a hop: ext4, the
/// narrowest of the usual ones, has files of 4 TiB and more.
pub(crate) const SEEK_UNCHECKED_BYTES_MAX: u64 = 1 << 40;

/// How long an operation waits for the writes of files that were dropped before it began, so that it sees
/// them: a healthy disk takes a write into memory in microseconds.
pub(crate) const ORPHAN_WRITE_WAIT: Duration = Duration::from_millis(200);

/// The parts of a default limit in which operations count as begun at the same time: a disk serves what waits for it
/// in an order of its own, and one that is stuck among others has its limit by a tenth.
pub(crate) const PROGRESS_SHARES: u32 = 16;

/// How often within a default limit it is looked whether storage moves: each look costs a call or two.
pub(crate) const PROGRESS_LOOKS: u32 = 8;

/// How many limits more an operation has of which nothing is known but that its disk is busy: a large one gets on
/// meanwhile, and one that is stuck by itself on a disk that others use ends all the same.
pub(crate) const DISK_LIMITS_MAX: u32 = 8;

/// A thread that has had nothing to look at for this long ends.
pub(crate) const GAUGE_IDLE: Duration = Duration::from_secs(5);

/// Default for metadata: longer than any healthy filesystem takes, also over a network.
pub(crate) const METADATA_TIMEOUT: Duration = Duration::from_secs(30);

/// Default for one step of data, of which most are under 16 MiB: even 2 GiB take less at 36 MB/s.
pub(crate) const DATA_TIMEOUT: Duration = Duration::from_secs(60);

/// Default for a sync, which may have to write all that is dirty.
pub(crate) const SYNC_TIMEOUT: Duration = Duration::from_secs(60);

/// The longest that a duration can be set to: more means that no limit is wanted.
pub(crate) const SETTING_DURATION_MAX: Duration = Duration::from_secs(365 * 24 * 3600);

/// How long a cancelled operation has to end before its caller is told that it goes on. What waits in the
/// kernel's queues comes back in 0.02 ms, and a FUSE server that honours the interrupt answers in 0.8 to
/// 2.1 ms.
pub(crate) const CANCEL_GRACE: Duration = Duration::from_millis(3);

/// The shortest time between two looks at deadlines, so that many of them cost few wake-ups.
pub(crate) const DEADLINE_LOOK_EVERY: Duration = Duration::from_micros(500);

/// An operation older than this is logged, once.
pub(crate) const WARN_AFTER: Duration = Duration::from_secs(10);

/// Between two heartbeats: often enough for a spinner.
pub(crate) const HEARTBEAT_INTERVAL: Duration = Duration::from_millis(250);

/// Blocking threads of one mount, stuck or not, as any may get stuck: they cost a stack each, and end only when
/// the kernel lets go. Beyond `POOL_THREADS_OWN` each, all mounts of a handle have so many together.
pub(crate) const STUCK_THREADS_MAX: usize = 64;

/// Events that wait for the log's thread: enough for all that a stall causes at once, and no more memory than a
/// log that never goes on may have. What comes on top is counted.
pub(crate) const REPORTS_MAX: usize = 256;

/// An idle log thread ends after this long.
pub(crate) const REPORTER_IDLE: Duration = Duration::from_secs(10);

/// A thread that has had no heartbeat to hand on for this long ends.
pub(crate) const HEART_IDLE: Duration = Duration::from_secs(10);

/// Warnings of operations that ran out of time, per mount and window: the first few show what is stuck.
pub(crate) const WARNINGS_PER_MOUNT: u32 = 10;

/// How long a mount's warnings are counted together, before their number is told: what a person reads.
pub(crate) const WARNINGS_WINDOW: Duration = Duration::from_secs(60);

/// How long the end of a runtime waits for what is being logged: more than a line takes, and less than anybody
/// notices where the log is stuck.
pub(crate) const LOG_WAIT: Duration = Duration::from_millis(100);

/// How often a shutdown looks whether all is over.
pub(crate) const DRAIN_LOOK_EVERY: Duration = Duration::from_millis(1);

/// Operations that the text of a report names: a line that a person reads.
pub(crate) const STUCK_NAMED_MAX: usize = 8;

/// How often is looked at an operation that nobody waits for and that has not begun: it is counted as stuck
/// once it has, and a second is early enough for that.
pub(crate) const STUCK_LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Groups of provided buffers of one ring: the kernel numbers them with 16 bits.
pub(crate) const BUFFER_GROUPS_MAX: u32 = 1 << 16;

/// Ids of such groups for whose return room is made at once: 8 KiB, and more than come and go in any program
/// that does not keep thousands of groups. Past it the list grows, to 128 KiB for all of them.
pub(crate) const BUFFER_GROUPS_FREE: usize = 4096;

/// How often is told at most that half of the ids are in use: often enough to see it grow.
pub(crate) const BUFFER_GROUPS_HALF_TOLD_EVERY: Duration = Duration::from_secs(30);

/// How often is told at most that no id is left: each time has the number of all, and a log that is read later
/// shows how long it went on.
pub(crate) const BUFFER_GROUPS_EXHAUSTED_TOLD_EVERY: Duration = Duration::from_secs(60);

/// Buffers of one pool: the most that a ring's table has, so that a pool is never too large for one.
pub(crate) const POOL_BUFFERS_MAX: usize = 16_384;

/// Buffers of a pool by default, of `POOL_BUFFER_BYTES`: together 512 KiB, which fit into the 8 MiB that an
/// ordinary user may lock several times over.
pub(crate) const POOL_BUFFERS: usize = 8;

/// The size of a pool's buffers by default.
pub(crate) const POOL_BUFFER_BYTES: usize = 64 << 10;

/// Buffers of a pool for large files, of `POOL_LARGE_BUFFER_BYTES`: together 4 MiB, half of what an ordinary user
/// may lock.
pub(crate) const POOL_LARGE_BUFFERS: usize = 16;

/// The size of a buffer for large files: past it the cost of an operation hardly weighs.
pub(crate) const POOL_LARGE_BUFFER_BYTES: usize = 256 << 10;

/// The largest piece of memory that the kernel registers at one place of a table; a pool of more has several.
pub(crate) const SEGMENT_BYTES_MAX: usize = 1 << 30;

/// The largest alignment of a pool's buffers: that of a huge page. More would only make holes.
pub(crate) const POOL_ALIGN_MAX: usize = 2 << 20;

/// Slots of a pool that are made at a time.
pub(crate) const POOL_SLOTS_CHUNK: usize = 256;

/// The most memory that a ring registers by itself, where it cannot take it over from the pool's own ring. A poll may
/// come to do it, and looking up this many pages takes it two to three milliseconds, once.
pub(crate) const FIXED_ANEW_BYTES_MAX: usize = 64 << 20;

/// Pieces of memory that one ring has registered: as many pools, and parts by which pools grew, as most
/// processes have. Its table takes 512 bytes of the kernel's memory, and what comes on top is plain.
pub(crate) const FIXED_SEGMENTS_MAX: usize = 64;

/// How often in a row one call is begun again that says it was interrupted: far more than a freezer or a debugger
/// come by, and a thread does not spin for ever with a server that never answers anything else.
pub(crate) const INTERRUPTED_TRIES_MAX: u32 = 1000;

/// What is asked for at once of a file that says it is empty. Files of procfs say so, and some give what they have to
/// the first read alone: no less than the largest of them have, which are lists of a bit for each port.
pub(crate) const MADE_UP_BYTES: usize = 128 << 10;

/// Memory of this size is let go of on a thread: what is less takes a quarter of a millisecond at most.
pub(crate) const FREED_ON_A_THREAD_BYTES: usize = 1 << 20;
