//! Testing what code does when storage does not do as it should.
//!
//! The feature `testing` puts a fake backend between the operations of a handle and the system: it withholds,
//! delays, shortens or fails those that a rule names. It needs no privileges and no special filesystem, and works the same
//! on every platform and backend.
//!
//! ```toml
//! [dev-dependencies]
//! tidegate = { version = "0.1", features = ["testing"] }
//! ```
//!
//! # A disk that is full
//!
//! ```
//! use tidegate::{Handle, fs, opcode::Kind, testing::Faults};
//!
//! /// Writes a file, and leaves nothing behind where that fails.
//! async fn save(path: &std::path::Path) -> std::io::Result<()> {
//!     let saved = fs::write(path, "content").await;
//!     if saved.is_err() {
//!         fs::remove_file(path).await?;
//!     }
//!     saved
//! }
//!
//! # #[tokio::main] async fn main() -> std::io::Result<()> {
//! # let dir = tempfile::tempdir()?;
//! # let path = dir.path().join("saved");
//! # std::fs::write(&path, "")?;
//! let faults = Faults::new();
//! Handle::builder().faults(faults.clone()).install()?;
//! // A handle with a ring writes in steps, one without in one hop: either is ENOSPC.
//! let full = faults.on(Kind::Write).or(Kind::WriteFile).under(&dir).fail(28);
//! assert_eq!(save(&path).await.unwrap_err().kind(), std::io::ErrorKind::StorageFull);
//! assert!(full.hits() == 1 && !path.exists());
//! # Ok(()) }
//! ```
//!
//! A disk that fills up ends a write in the middle: a rule that has it come `short` shows whether code goes on with the rest.
//! A rule that lets everything `pass` shows what code does not do: its `hits()` stay zero. One with `after(n)` and
//! `times(m)` meets an operation in the middle.
//!
//! # A disk that hangs
//!
//! What a rule says is to come back `never` is stuck until the guard is released or dropped, so that no stall outlives
//! its test. `wait_hit` waits until so many operations are stuck; nothing needs to sleep.
//!
//! ```
//! # #[tokio::main] async fn main() -> std::io::Result<()> {
//! # let dir = tempfile::tempdir()?;
//! # let path = dir.path().join("data");
//! # std::fs::write(&path, "")?;
//! # use tidegate::{Handle, fs, opcode::Kind, testing::Faults};
//! let faults = Faults::new();
//! Handle::builder().faults(faults.clone()).install()?;
//! let stuck = faults.on_any_kind().under(&dir).never();
//! let waiting = tokio::spawn(fs::metadata(path));
//! stuck.wait_hit(1).await;
//! // Here the test looks at what the rest of the program does.
//! assert!(fs::metadata("/").await.is_ok());
//! stuck.release();
//! assert!(waiting.await?.is_ok());
//! # Ok(()) }
//! ```
//!
//! # A deadline that passes
//!
//! To the rest of the crate such an operation is one that the kernel has. A dropped future or a deadline that passes
//! leaves it there, and once it is released it takes place, late. With `honours_cancel()` a cancel ends it.
//!
//! ```
//! # #[tokio::main] async fn main() -> std::io::Result<()> {
//! # let dir = tempfile::tempdir()?;
//! # let path = dir.path().join("new");
//! # use tidegate::{Handle, fs, opcode::Kind, testing::Faults};
//! use std::time::Duration;
//! use tidegate::{Error, LeftBehind, OpExt};
//!
//! let faults = Faults::new();
//! Handle::builder().faults(faults.clone()).install()?;
//! let stuck = faults.on(Kind::CreateDir).under(&dir).never();
//! let error = fs::create_dir(&path).timeout(Duration::from_millis(10)).await.unwrap_err();
//! let Some(Error::TimedOut { left, .. }) = Error::from_io(&error) else { panic!("{error}") };
//! assert_eq!((*left, stuck.held()), (LeftBehind::Detached, 1));
//! # Ok(()) }
//! ```
//!
//! # A file in the cloud
//!
//! With `dataless()` files appear as those of which a cloud drive on macOS has the content, on every system.
