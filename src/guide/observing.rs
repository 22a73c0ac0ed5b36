//! Seeing what goes on.
//!
//! # Counters
//!
//! [`Handle::stats`](crate::Handle::stats) is a snapshot of all counters;
//! [`since`](crate::Stats::since) is what came after an earlier one.
//!
//! ```
//! # #[tokio::main] async fn main() -> std::io::Result<()> {
//! # let dir = tempfile::tempdir()?;
//! let handle = tidegate::Handle::current()?;
//! let before = handle.stats();
//! tidegate::fs::write(dir.path().join("file"), "text").await?;
//! let stats = handle.stats().since(&before);
//! for op in stats.ops() {
//!     println!("{}: {} at the poll, {} timed out", op.row.name, op.at_poll, op.timed_out);
//!     println!("p99 of the others: {:?}", op.latency.quantile(0.99));
//! }
//! println!("{} in flight, of them {} orphans", stats.in_flight, stats.orphans);
//! # assert!(stats.ops().count() > 0);
//! # Ok(()) }
//! ```
//!
//! An *orphan* is an operation for which nobody waits any more, and which the kernel or a thread still has.
//!
//! Times are of operations that left the poll: those that are answered there take a microsecond or two, and
//! reading a clock would be a good part of that. See [`Latency`](crate::Latency) for how exact they are.
//!
//! [`Stats::submissions`](crate::Stats::submissions) tells what the rings gave to the kernel, by opcode: `READ_FIXED` for a
//! read with registered memory, `READ+BUFFER_SELECT` for one into a buffer that the kernel picks, `OPENAT+DIRECT` for
//! a file that is opened into a ring's table. Operations that went with less than they could have had, as a pool's memory
//! is not registered for example, are in [`Stats::fallbacks`](crate::Stats::fallbacks).
//!
//! A [`BufPool`](crate::buf::BufPool) has counters of its own. Misses that grow say that it is too small, or that its
//! buffers are kept:
//!
//! ```
//! # fn main() -> std::io::Result<()> {
//! let pool = tidegate::buf::BufPool::builder().build()?;
//! let _buf = pool.get();
//! let stats = pool.stats();
//! println!("{} of {} lent, {} tasks wait", stats.in_use, stats.count, stats.waiting);
//! println!("{:.1} % found none", 100.0 * stats.miss_rate());
//! println!("registered: {}", pool.registration()); // how much, or why not, and what to do
//! # assert_eq!((stats.in_use, stats.misses), (1, 0));
//! # Ok(()) }
//! ```
//!
//! [`Stats::buffer_groups`](crate::Stats::buffer_groups) counts the ids by which rings know groups of provided
//! buffers. They come back when a group is dropped and nothing in flight names it any more, so a positive
//! [`in_flight_delta`](crate::BgidStats::in_flight_delta) over a time after which all groups are dropped is a leak.
//! Long before ids run out the log tells of it; when none is left, reads work on with plain buffers, and
//! `exhausted` counts them.
//!
//! # What it is waiting for
//!
//! [`Handle::in_flight`](crate::Handle::in_flight) lists every operation that is not over, with its path, its age and its way.
//! [`Handle::heartbeat`](crate::Handle::heartbeat) is a channel that has the oldest of them, every 250 ms while anything is in flight, and once
//! more when all is over. It comes from threads that take part in no operation, so it comes also while all the others
//! are stuck, and a listener that is slow misses beats and holds up nothing. While nothing is in flight there are no
//! beats, and no wake-ups.
//!
//! ```
//! # #[tokio::main] async fn main() -> std::io::Result<()> {
//! # let dir = tempfile::tempdir()?;
//! # let path = dir.path().join("fifo");
//! # tidegate::fs::make_fifo(&path, 0o600).await?;
//! let handle = tidegate::Handle::current()?;
//! let mut heartbeat = handle.heartbeat();
//! let spinner = tokio::spawn(async move {
//!     while heartbeat.changed().await.is_ok() {
//!         if let Some(oldest) = &heartbeat.borrow_and_update().oldest {
//!             eprint!("\r{} of {:?} for {:?}", oldest.operation, oldest.path, oldest.age);
//!         }
//!     }
//! });
//! # let open = tokio::spawn(tidegate::fs::File::open(path.clone()));
//! # while handle.in_flight().is_empty() { tokio::task::yield_now().await }
//! # let _peer = std::fs::OpenOptions::new().read(true).write(true).open(&path)?;
//! # open.await??;
//! # spinner.abort();
//! # Ok(()) }
//! ```
//!
//! [`Handle::mounts`](crate::Handle::mounts) says which mounts answer.
//!
//! # Events
//!
//! The crate tells of what is unusual by `tracing`. What is told of a stall comes from a thread of its own, so a log
//! that blocks holds up no operation; what finds no room meanwhile is counted, and told with the next event.
//!
//! | target | what |
//! |---|---|
//! | `tidegate::driver` | lanes that were replaced, polls that slept, what failed in the background, buffer groups that run out |
//! | `tidegate::error` | settings that mean nothing |
//! | `tidegate::mount` | mounts that do not answer, and those that do again |
//! | `tidegate::operation` | operations that take long (once for each), or ran out of time |
//! | `tidegate::probe` | why there is no ring |
//!
//! Of operations that ran out of time, each mount has 10 events a minute, then one with the number of the others.
//!
//! | field | what |
//! |---|---|
//! | `bytes`, `bytes_before` | how many bytes it is about, and was before |
//! | `class` | whether a lane is for data or metadata |
//! | `elapsed_ms` | how long the operation has been under way |
//! | `error` | what went wrong |
//! | `exhausted` | how often a ring had no id left for a buffer group |
//! | `groups`, `groups_peak`, `remaining` | buffer groups of a ring, the most at a time, and how many more there may be |
//! | `in_flight` | operations that are not over |
//! | `left` | what the operation left behind |
//! | `mount_point` | where the filesystem is mounted |
//! | `moved` | operations that another lane took over |
//! | `offset` | where in the file |
//! | `operation` | the operation's name in [`TABLE`](crate::opcode::TABLE) |
//! | `path` | the operation's path |
//! | `reason`, `remedy` | why there is no ring, and what to do |
//! | `suppressed` | events that were not told |
//! | `value` | what a setting has |
//!
//! # Metrics
//!
//! With the feature `metrics`, `MetricsExporter` hands all this to the recorder of the `metrics` crate, whenever its
//! `publish` is called.
//!
//! | metric | labels | what |
//! |---|---|---|
//! | `tidegate_operations_total` | `operation`, `way` | operations by the way that they took: `poll`, `worker_ring`, `lane_ring`, `pool` |
//! | `tidegate_operations_ended_total` | `operation`, `outcome` | those that left the poll: `ok`, `failed`, `timed_out`, `cancelled`, `dropped`, `refused` |
//! | `tidegate_operation_duration_seconds` | `operation` | how long those took |
//! | `tidegate_operations_in_flight` | | |
//! | `tidegate_orphans`, `tidegate_orphans_max` | | now, and the most at a time |
//! | `tidegate_mount_state` | `mount_point` | 0: operations go there; 2: it does not answer, and they are refused; 1: it has just been asked again |
//! | `tidegate_mount_stuck` | `mount_point` | orphans |
//! | `tidegate_mount_timeouts_total`, `tidegate_mount_refused_total` | `mount_point` | operations that ran out of time, and that were refused |
//! | `tidegate_fallbacks_total` | `reason` | operations that took another way than meant |
//! | `tidegate_buffer_groups`, `tidegate_buffer_groups_peak` | | groups of provided buffers on all rings, and the most that one ring had |
//! | `tidegate_buffer_groups_remaining` | | how many more the fullest ring may have |
//! | `tidegate_buffer_groups_exhausted_total` | | how often a ring had no id left for one |
//! | `tidegate_lanes`, `tidegate_lanes_replaced_total` | | |
//! | `tidegate_pool_threads` | | |
//! | `tidegate_polls_stuck_total` | | polls that slept inside the kernel |
//! | `tidegate_foreign_completions_total` | | completions that belonged to nothing |
