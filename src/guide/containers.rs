//! Containers.
//!
//! Many of them forbid io_uring: Docker's and containerd's default seccomp profiles do. Nothing breaks: every
//! operation then goes to blocking threads of this crate, with the same results and errors. What changes is
//! that each one is a hop to a thread, also where the answer is in memory, and that a blocking call that waits
//! cannot be cancelled.
//!
//! # Is there a ring?
//!
//! ```
//! match tidegate::probe::report().ring_reason() {
//!     None => println!("io_uring"),
//!     Some(reason) => println!("blocking threads: {reason}; {}", reason.remedy()),
//! }
//! ```
//!
//! The same is logged once per process, by `tracing` at the level *info*, target `tidegate::probe`. On the
//! command line `tidegate doctor` says it, for the limits and for single operations too; it exits with 0 where
//! there is a ring, with 3 where it works without one.
//!
//! | reason | what to do |
//! |---|---|
//! | seccomp | allow `io_uring_setup`, `io_uring_enter` and `io_uring_register` in the profile |
//! | `kernel.io_uring_disabled` is 1 | give CAP_SYS_ADMIN or the group of `kernel.io_uring_group`, or set it to 0 |
//! | `kernel.io_uring_disabled` is 2 | set it to 0 |
//! | locked memory | raise RLIMIT_MEMLOCK to 8 MiB; kernels before 5.12, and 6.16 to 7.1, count the ring |
//! | kernel too old | Linux 5.6 |
//!
//! A [`BufPool`](crate::buf::BufPool) has a limit of its own to meet: what it registers counts as locked memory of the
//! user, in all containers that share the user's id. It takes at most half of RLIMIT_MEMLOCK, so raise that to twice what
//! it is to register (`docker run --ulimit memlock=...`), or grant CAP_IPC_LOCK. Where it has less, or none, everything
//! works without, and [`registration`](crate::buf::BufPool::registration) says why.
//!
//! Whether to allow it is a question to who runs the machine: io_uring has had its share of kernel bugs.
//!
//! # Choosing
//!
//! `TIDEGATE_BACKEND` is `auto` (the default), `ring` (no ring is an error) or `pool` (no ring is made), for any
//! program. In code:
//!
//! ```
//! # #[tokio::main] async fn main() -> Result<(), tidegate::Error> {
//! use tidegate::{Handle, Route};
//! let handle = Handle::builder().route(Route::Pool).install()?;
//! assert_eq!(handle.route(), Route::Pool);
//! # Ok(()) }
//! ```
//!
//! # Threads
//!
//! Each mount has a pool of its own, so that a dead one does not hold up the others. It begins with up to 4
//! threads, and grows up to 64 while all of them are stuck; an idle one ends after 10 s. A limit on
//! processes (`pids.max`) that is too low shows as an error that says so.
//!
//! # Overlays
//!
//! The files of an image are on an overlay, which counts as unknown: their operations go to lanes or pools, and
//! none is answered at the poll: one at a time is a call on a thread. A volume on ext4, XFS or btrfs has all ways. Before Linux 6.8 every mount
//! counts as unknown. [`probe::filesystem`](crate::probe::filesystem) tells about a path.
