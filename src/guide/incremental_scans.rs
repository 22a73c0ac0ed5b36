//! Incremental scans: what a backup does every night, over a tree of which little has changed.
//!
//! The example `incremental` is the whole program. Its steps, and why they are so:
//!
//! # Walk, and compare
//!
//! ```
//! # #[tokio::main] async fn main() -> std::io::Result<()> {
//! # let dir = tempfile::tempdir()?;
//! # let root = dir.path();
//! # tidegate::fs::write(root.join("a"), "text").await?;
//! use std::collections::HashMap;
//! use std::os::unix::fs::MetadataExt;
//! use tidegate::fs::{FileKind, WalkDir};
//!
//! # let index: HashMap<std::path::PathBuf, [i64; 7]> = HashMap::new();
//! let mut changed = Vec::new();
//! let mut walk = WalkDir::new(root).metadata(true).same_file_system(true).walk();
//! while let Some(entry) = walk.next_entry().await {
//!     let Ok(entry) = entry else { continue };
//!     let Some(stat) = entry.metadata().filter(|_| entry.kind() == FileKind::File) else { continue };
//!     let state = [stat.dev() as i64, stat.ino() as i64, stat.size() as i64, stat.mtime(),
//!         stat.mtime_nsec(), stat.ctime(), stat.ctime_nsec()];
//!     if index.get(&entry.path()) != Some(&state) {
//!         changed.push(entry);
//!     }
//! }
//! assert_eq!(changed.len(), 1);
//! # Ok(()) }
//! ```
//!
//! The attributes came with the walk, in one call for each file. A file that is as it was costs nothing else: it is not
//! opened, and its extended attributes are not read. The time of the attributes (`ctime`) is among what is compared: it
//! changes with permissions, owners, extended attributes and names, and nobody can put it back. It has the kernel's tick
//! for its unit, 4 ms, before Linux 6.13: what is written twice within one, to the same size, looks the same.
//!
//! # What was not seen is not gone
//!
//! An error of the walk says what it lost. What the index has of that file, or of all that is below that directory, stays
//! as it is; only what was listed and is not there any more, or is in a directory that was seen whole, is gone. An error
//! that is not [soft](crate::fs::WalkError::is_soft) ends the scan, and the old index stays.
//!
//! # Read what has changed, as it was seen
//!
//! ```
//! # #[tokio::main] async fn main() -> std::io::Result<()> {
//! # let dir = tempfile::tempdir()?;
//! # let path = dir.path().join("a");
//! # tidegate::fs::write(&path, "text").await?;
//! use tidegate::fs::{self, ByteBudget, Expected, Follow};
//!
//! # let stat = fs::statx(&path).await?;
//! let budget = ByteBudget::new(64 << 20);
//! let expected = Expected::from(&stat);
//! let held = budget.acquire(expected.size()).await?;
//! let content = fs::read_unchanged(&path, &expected).await?;
//! match fs::read_xattrs(&path, Follow::No, 256 << 10).await {
//!     Ok(xattrs) => println!("{} bytes, {xattrs:?}", content.len()),
//!     Err(error) => println!("{} bytes, {error}", content.len()),
//! }
//! drop((content, held));
//! # Ok(()) }
//! ```
//!
//! Between the walk and the read a file may have changed, or something else may have its name: a device, a pipe that
//! nobody writes to. [`read_unchanged`](crate::fs::read_unchanged) compares before it opens, once it is open, and when it
//! has read, and hands out nothing otherwise: [`Error::ChangedDuringRead`](crate::Error::ChangedDuringRead). Such a file
//! is left to the next scan. [`ByteBudget`](crate::fs::ByteBudget) bounds what is in memory, however many reads go on, and
//! a file that is larger than the budget is read alone.
//!
//! Of many small files a task for each costs more than to read them: [`Batch::read_unchanged`](crate::fs::Batch::read_unchanged)
//! takes some hundred at a time, each with the same comparison and a result of its own. Two such batches beside a walk read
//! more files in a second than one thread that makes the calls of `tar`.
//!
//! Extended attributes come after the decision, all of a file's at once and within a budget of bytes.
//! [`Xattrs::NotRead`](crate::fs::Xattrs::NotRead) is not the empty list: a backup that takes it for that restores a wrong
//! file.
//!
//! # A sign of life
//!
//! [`Handle::heartbeat`](crate::Handle::heartbeat) tells four times a second what is in work longest, be it a call of the
//! walk or a read, by path and age; it does not come from the thread that is stuck. [`WalkWatch`](crate::fs::WalkWatch)
//! has the entries seen so far. What takes longer than ten seconds is warned of once, and what runs out of time is an
//! error of its own while all else goes on.
//!
//! # Save
//!
//! [`write_atomic`](crate::fs::write_atomic) leaves the old index or the new one, whatever happens.
