//! Logs.
//!
//! A log, or the journal of a database, is a file that many tasks append to, and a record counts once it is on the
//! disk. A sync for each record costs a disk's round trip each; [`AppendWriter`](crate::fs::AppendWriter) has one sync
//! for all records that wait.
//!
//! ```
//! # #[tokio::main] async fn main() -> std::io::Result<()> {
//! # let dir = tempfile::tempdir()?;
//! use std::sync::Arc;
//! use tidegate::fs::AppendWriter;
//!
//! let log = Arc::new(AppendWriter::open(dir.path().join("journal")).await?);
//! let mut tasks = tokio::task::JoinSet::new();
//! for request in 0..100 {
//!     let log = log.clone();
//!     tasks.spawn(async move {
//!         // Returns once the record is on the disk, with all before it.
//!         log.append_sync(format!("request {request}\n").into_bytes()).await
//!     });
//! }
//! while let Some(offset) = tasks.join_next().await {
//!     assert!(offset?? < log.end());
//! }
//! # Ok(()) }
//! ```
//!
//! # Which call promises what
//!
//! | | when it returns | after a crash of the process | after a loss of power |
//! |---|---|---|---|
//! | `append` | the kernel has the record | there | there if a later sync had returned |
//! | `append_sync` | the disk has it, and all before it | there | there |
//! | `sync` | the disk has all that was appended before | there | there |
//!
//! A record that was not acknowledged may be there, whole or in part: give records a length and a checksum. Whoever
//! reads the log stops at the first that is not whole, and goes on with
//! [`AppendOptions::start_at`](crate::fs::AppendOptions::start_at) there.
//!
//! # When something fails
//!
//! The kernel tells of a failed writeback once, and may have dropped what it could not write. So the writer stops:
//! every record that was not acknowledged fails, and every further one, until
//! [`acknowledge`](crate::fs::AppendWriter::acknowledge). The log then goes on behind the last good record, and what came
//! behind that is cut off. Append again, from memory, what was not acknowledged.
//!
//! # Speed
//!
//! More tasks at a time make larger groups, and cost the disk nothing. Space that is reserved ahead
//! ([`AppendOptions::preallocate`](crate::fs::AppendOptions::preallocate)) makes a sync cheaper, as the file does not
//! grow; with [`Space::ReserveExtend`](crate::fs::Space::ReserveExtend) a reader has to know zeros from records.
//!
//! # Whole files
//!
//! What is not a log but a file that is rewritten, as a configuration or a checkpoint, is for
//! [`write_atomic`](crate::fs::write_atomic); many of them are for [`CommitBatch`](crate::fs::CommitBatch).
