//! A rule in the making.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::Shared;
use super::guard::FaultGuard;
use super::rule::{Action, Place, Rule, Terms, Until};
use crate::opcode::Kind;

/// A rule in the making: which operations, and, with the call that makes it a rule, what happens to them.
///
/// See [`Faults`](crate::testing::Faults).
#[derive(Clone)]
#[must_use = "nothing happens before it is said what"]
pub struct Fault {
    shared: Arc<Shared>,
    terms: Terms,
}

impl Fault {
    pub(super) fn new(shared: Arc<Shared>, kind: Option<Kind>) -> Fault {
        Fault {
            shared,
            terms: Terms {
                kinds: kind.map(|kind| vec![kind]),
                place: Place::Anywhere,
                after: 0,
                times: u64::MAX,
                honours_cancel: false,
            },
        }
    }

    /// One more kind of operation.
    ///
    /// See [`Faults`](crate::testing::Faults).
    pub fn or(mut self, kind: Kind) -> Fault {
        self.terms
            .kinds
            .iter_mut()
            .for_each(|kinds| kinds.push(kind));
        self
    }

    /// Only operations on this path, whether by name or through an open file. Of an operation on several
    /// paths, as a rename, any of them counts.
    ///
    /// Looks where the path leads at this moment, on the calling thread, so that it is known by both names.
    ///
    /// See [`Faults`](crate::testing::Faults).
    pub fn path_is(mut self, path: impl AsRef<Path>) -> Fault {
        self.terms.place = Place::At(names(path.as_ref()));
        self
    }

    /// Only operations on this path and what is below it; otherwise as [`path_is`](Fault::path_is).
    ///
    /// See [`Faults`](crate::testing::Faults).
    pub fn under(mut self, path: impl AsRef<Path>) -> Fault {
        self.terms.place = Place::Under(names(path.as_ref()));
        self
    }

    /// Lets so many operations pass before the first that it happens to.
    ///
    /// See [`Faults`](crate::testing::Faults).
    pub fn after(mut self, count: u64) -> Fault {
        self.terms.after = count;
        self
    }

    /// Happens to so many operations and to no more.
    ///
    /// See [`Faults`](crate::testing::Faults).
    pub fn times(mut self, count: u64) -> Fault {
        self.terms.times = count;
        self
    }

    /// What is withheld ends with ECANCELED when it is cancelled: by a deadline, a token, the end of its
    /// future. Without this, it is as deaf as a call that is stuck in the kernel.
    ///
    /// See [`Faults`](crate::testing::Faults).
    pub fn honours_cancel(mut self) -> Fault {
        self.terms.honours_cancel = true;
        self
    }

    /// Withholds the operations until the guard releases them; then they go their real way.
    ///
    /// See [`Faults`](crate::testing::Faults).
    pub fn never(self) -> FaultGuard {
        self.make(Action::Hold(Until::Released))
    }

    /// Withholds each operation for so long, or until the guard releases it; then it goes its real way.
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> std::io::Result<()> {
    /// use std::time::{Duration, Instant};
    /// use tidegate::{Handle, fs, opcode::Kind, testing::Faults};
    ///
    /// let faults = Faults::new();
    /// Handle::builder().faults(faults.clone()).install()?;
    /// let slow = faults.on(Kind::Metadata).path_is("/etc/passwd").delay(Duration::from_millis(20));
    /// let begin = Instant::now();
    /// assert!(fs::metadata("/etc/passwd").await?.is_file());
    /// assert!(begin.elapsed() >= Duration::from_millis(20));
    /// # drop(slow);
    /// # Ok(()) }
    /// ```
    pub fn delay(self, time: Duration) -> FaultGuard {
        self.make(Action::Hold(Until::Passed(time)))
    }

    /// Has files appear to have their content elsewhere: [`Statx::is_dataless`](crate::fs::Statx::is_dataless)
    /// says so, and what would fetch it heeds [`Builder::dataless`](crate::Builder::dataless).
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> std::io::Result<()> {
    /// use tidegate::{Dataless, Error, Handle, fs, testing::Faults};
    ///
    /// let faults = Faults::new();
    /// let builder = Handle::builder().faults(faults.clone());
    /// builder.dataless(Dataless::Refuse).install()?;
    /// let cloud = faults.on_any_kind().path_is("/etc/passwd").dataless();
    /// assert!(fs::statx("/etc/passwd").await?.is_dataless());
    /// let error = fs::read("/etc/passwd").await.unwrap_err();
    /// assert!(matches!(Error::from_io(&error), Some(Error::Dataless { .. })));
    /// # drop(cloud);
    /// # Ok(()) }
    /// ```
    pub fn dataless(self) -> FaultGuard {
        self.make(Action::Dataless)
    }

    /// Ends the operations with this error number, as if the system had said it. They do not take place,
    /// except that the descriptor of a close is closed, as after an error of the system.
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> std::io::Result<()> {
    /// # let dir = tempfile::tempdir()?;
    /// use tidegate::{Handle, fs::File, opcode::Kind, testing::Faults};
    ///
    /// let faults = Faults::new();
    /// Handle::builder().faults(faults.clone()).install()?;
    /// let file = File::create(dir.path().join("log")).await?;
    /// // The third write finds the disk full (ENOSPC), and no other.
    /// let full = faults.on(Kind::Write).under(&dir).after(2).times(1).fail(28);
    /// for offset in 0..2 {
    ///     file.write_at("x", offset).await?;
    /// }
    /// let error = file.write_at("x", 2).await.unwrap_err().error;
    /// assert_eq!(tidegate::raw_os_error(&error), Some(28));
    /// file.write_at("x", 2).await?;
    /// assert_eq!(full.hits(), 1);
    /// # Ok(()) }
    /// ```
    pub fn fail(self, number: i32) -> FaultGuard {
        self.make(Action::Fail(number))
    }

    /// Has reads and writes, single and vectored, move so many bytes at most, and at least one, as a system does that is
    /// interrupted in the middle, or finds the disk full there. Whatever needs all of them has to go on with the rest.
    /// The turns of an [`AppendWriter`](crate::fs::AppendWriter), of the kind `append`, write so many at a time. Other
    /// operations go their way.
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> std::io::Result<()> {
    /// # let dir = tempfile::tempdir()?;
    /// use tidegate::{Handle, fs::File, opcode::Kind, testing::Faults};
    ///
    /// let faults = Faults::new();
    /// Handle::builder().faults(faults.clone()).install()?;
    /// let file = File::create(dir.path().join("log")).await?;
    /// let short = faults.on(Kind::Write).under(&dir).times(2).short(3);
    /// let (count, _) = file.write_at("abcdefgh", 0).await?;
    /// assert_eq!(count, 3);
    /// // This one goes on until all is written.
    /// file.write_all_at("abcdefgh", 0).await?;
    /// assert_eq!(short.hits(), 2);
    /// assert_eq!(file.metadata().await?.len(), 8);
    /// # Ok(()) }
    /// ```
    pub fn short(self, bytes: usize) -> FaultGuard {
        self.make(Action::Shorten(bytes))
    }

    /// Lets the operations go their way. They are counted all the same, and a rule that was made before does
    /// not get them.
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> std::io::Result<()> {
    /// use tidegate::{Handle, fs, opcode::Kind, testing::Faults};
    ///
    /// let faults = Faults::new();
    /// Handle::builder().faults(faults.clone()).install()?;
    /// let denied = faults.on_any_kind().under("/etc").fail(13);
    /// let except = faults.on(Kind::Metadata).or(Kind::Statx).path_is("/etc/passwd").pass();
    /// assert!(fs::metadata("/etc/passwd").await.is_ok());
    /// assert!(fs::metadata("/etc/group").await.is_err());
    /// assert!(denied.hits() > 0 && except.hits() > 0);
    /// # Ok(()) }
    /// ```
    pub fn pass(self) -> FaultGuard {
        self.make(Action::Pass)
    }

    fn make(self, action: Action) -> FaultGuard {
        let rule = Rule::new(self.terms, action);
        if !rule.is_spent() {
            self.shared.add(rule.clone());
        }
        FaultGuard::new(self.shared, rule)
    }
}

/// The names that a path is met under: its own, and where it leads through symbolic links, as far as it is
/// there.
#[expect(
    clippy::disallowed_methods,
    reason = "it is the test that makes a rule, not an operation"
)]
fn names(path: &Path) -> Vec<PathBuf> {
    let own = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    let led = own.ancestors().find_map(|there| {
        let led = std::fs::canonicalize(there).ok()?;
        let rest = own.strip_prefix(there).ok()?;
        Some(if rest.as_os_str().is_empty() {
            led
        } else {
            led.join(rest)
        })
    });
    let mut names = vec![own];
    names.extend(led.filter(|led| *led != names[0]));
    names
}
