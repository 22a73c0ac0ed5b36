//! What a dropped future leaves behind, for every function that `tokio::fs` has too.
//!
//! In `tokio::fs` a call that was polled once is made, whether or not somebody waits for it: a `select!` that takes
//! another branch, a `timeout` that passes and an aborted task leave it to its end in the background, and a runtime
//! that is dropped waits for it. Here a future that is dropped is **cancelled**. What was still waiting for its turn
//! never happens; what the kernel or a thread has begun goes on to the end of its step, because nothing can stop it.
//! The same holds for the futures in tasks that are spawned, when their runtime ends.
//!
//! | function | if its future is dropped |
//! |---|---|
//! | [`canonicalize`](crate::fs::canonicalize), [`metadata`](crate::fs::metadata()), [`read`](crate::fs::read), [`read_dir`](crate::fs::read_dir), [`read_link`](crate::fs::read_link), [`read_to_string`](crate::fs::read_to_string), [`symlink_metadata`](crate::fs::symlink_metadata), [`try_exists`](crate::fs::try_exists), [`DirEntry::file_type`](crate::fs::DirEntry::file_type), [`DirEntry::metadata`](crate::fs::DirEntry::metadata), [`File::metadata`](crate::fs::File::metadata), [`File::open`](crate::fs::File::open), [`File::try_clone`](crate::fs::File::try_clone), [`ReadDir::next_entry`](crate::fs::ReadDir::next_entry) | **nothing**: they change nothing; what was opened is closed, and no entry is lost |
//! | [`create_dir`](crate::fs::create_dir), [`create_dir_all`](crate::fs::create_dir_all), [`hard_link`](crate::fs::hard_link), [`remove_dir`](crate::fs::remove_dir), [`remove_file`](crate::fs::remove_file), [`rename`](crate::fs::rename), [`set_permissions`](crate::fs::set_permissions), [`symlink`](crate::fs::symlink), [`DirBuilder::create`](crate::fs::DirBuilder::create), [`File::create`](crate::fs::File::create), [`File::create_new`](crate::fs::File::create_new), [`File::set_len`](crate::fs::File::set_len), [`File::set_modified`](crate::fs::File::set_modified), [`File::set_permissions`](crate::fs::File::set_permissions), [`File::set_times`](crate::fs::File::set_times), [`File::sync_all`](crate::fs::File::sync_all), [`File::sync_data`](crate::fs::File::sync_data), [`OpenOptions::open`](crate::fs::OpenOptions::open) | **not at all or to the end**: what had begun goes on, the rest does not happen |
//! | [`copy`](crate::fs::copy), [`remove_dir_all`](crate::fs::remove_dir_all), [`write`](crate::fs::write()) | **perhaps in part**: they stop between two steps, so that the destination may be empty or have the first part, or a tree be there in part |
//! | [`File::into_std`](crate::fs::File::into_std) | **closed**: the file is closed once what it accepted is written |
//!
//! `create_dir_all` is one step. It and `remove_dir_all` leave what they had done if an error ends them, as tokio's do.
//!
//! Of the methods of the I/O traits, on both: `read`, `seek` and `flush` can be dropped and called again, and lose no
//! byte; what `write` has accepted is written, also if the file is dropped right after; `write_all` and `copy` of
//! `tokio::io` lose count of how far they got.
//!
//! # To have it done whatever happens
//!
//! Give it a task, and let the runtime live until it is over:
//!
//! ```
//! # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let dir = tempfile::tempdir()?;
//! # let path = dir.path().join("state");
//! let saved = tokio::spawn(tidegate::fs::write(path, "state"));
//! // A branch that is not taken drops the handle, which lets the task go on.
//! tokio::select! {
//!     done = saved => done??,
//!     () = std::future::pending() => {}
//! }
//! # Ok(()) }
//! ```
//!
//! # To have nothing in part
//!
//! Write a file of another name, and [`rename`](crate::fs::rename) it once it is whole: dropped before that, the old
//! one is as it was. [`CopyFile::rename_into_place`](crate::fs::CopyFile::rename_into_place) does so for copies.
