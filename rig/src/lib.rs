//! Storage that stops answering on command, for tests.
//!
//! - [`HeldDisk`]: a real ext4, xfs or btrfs on a loop device whose backing file lies on a FUSE server that
//!   can hold its answers. To the filesystem, the disk is dead. It can be frozen as for a snapshot, too.
//! - [`StalledFuse`]: a FUSE tree over a plain directory whose requests can be held, delayed or failed by path.
//! - [`Story`]: what reached such a disk, and what a loss of power in the middle of it can leave.
//! - [`Cgroup`]: limits on how fast a disk is, and on how many threads there are.
//! - [`files`]: files with known bytes and many extents.
//!
//! The server is a process of its own, because a process with a thread asleep on its own server could never
//! end. That process is the test binary, executed again; so a test binary has `harness = false` and begins with
//! [`init`]:
//!
//! ```no_run
//! use tidegate_rig::{FsKind, HeldDisk, Request, Requirements};
//!
//! fn main() -> std::io::Result<()> {
//!     tidegate_rig::init();
//!     if let Some(lack) = Requirements::disk(FsKind::Ext4).missing().first() {
//!         println!("skipped: {lack}");
//!         return Ok(());
//!     }
//!     let disk = HeldDisk::new(FsKind::Ext4, 64 << 20)?;
//!     let hold = disk.hold(&[Request::Read, Request::Write, Request::Fsync])?;
//!     // What touches `disk.path()` now sleeps, until:
//!     drop(hold);
//!     Ok(())
//! }
//! ```
//!
//! All mounts are in a mount namespace of the test process. Every hold ends by itself (after ten seconds,
//! unless set otherwise), since no signal ends a task that sleeps on storage.

#![cfg(target_os = "linux")]
#![forbid(unsafe_code)]
// Everything here is meant to block: tests call it from helper threads, never from a runtime.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

mod cgroup;
mod control;
mod disk;
mod disk_fs;
mod error;
pub mod files;
mod freeze;
mod gate;
mod loop_device;
mod mounts;
mod process;
mod relay;
mod requirements;
mod server;
mod stalled;
mod story;
mod tree_fs;
mod tree_ops;

pub use cgroup::Cgroup;
pub use control::{HoldGuard, Status};
pub use disk::{FsKind, HeldDisk, HeldDiskOptions};
pub use freeze::FreezeGuard;
pub use gate::Request;
pub use process::init;
pub use requirements::Requirements;
pub use stalled::{StalledFuse, StalledFuseOptions};
pub use story::{CutDisk, Story};
