//! What can go wrong, typed.
//!
//! The functions of [`crate::fs`] return [`std::io::Error`], as `tokio::fs` does: those of the system as they
//! are, or named, as the handle is set ([`Errors`]). A named one carries an [`Error`] that keeps the kind and the
//! number, names the operation and the path, and says what can be done; so does every error that is this crate's
//! own. [`Error::from_io`] gives it back.

mod choice;
mod display;
mod forked;
mod reason;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::opcode::Kind;
pub use choice::Errors;
pub use reason::Reason;
#[cfg(target_os = "linux")]
pub(crate) use reason::reason_of;

/// What an operation that was given up has left behind.
///
/// ```
/// # #[tokio::main] async fn main() -> std::io::Result<()> {
/// use std::time::Instant;
/// use tidegate::{Error, LeftBehind, OpExt, fs};
/// let error = fs::remove_file("/no/such/file").deadline_at(Instant::now()).await.unwrap_err();
/// assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
/// let Some(Error::TimedOut { left, .. }) = Error::from_io(&error) else { panic!("{error}") };
/// assert_eq!(*left, LeftBehind::NothingHappened);
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LeftBehind {
    /// The kernel, or a thread, still has it: it may take effect at any time. Its buffer is freed when it is
    /// over, and a descriptor that it makes is closed.
    Detached,
    /// It is over, and may have taken effect, in whole or in part.
    MayHaveTakenEffect,
    /// It did not begin, or had no effect.
    NothingHappened,
}

/// In what a file is not as it was seen before.
///
/// ```
/// # #[tokio::main] async fn main() -> std::io::Result<()> {
/// use tidegate::{Drift, Error, fs};
/// # let temporary = tempfile::tempdir()?;
/// # let path = temporary.path().join("file");
/// fs::write(&path, "short").await?;
/// let expected = fs::Expected::from(&fs::statx(&path).await?);
/// fs::write(&path, "longer").await?;
/// let error = fs::read_unchanged(&path, &expected).await.unwrap_err();
/// let Some(Error::ChangedDuringRead { drift, .. }) = Error::from_io(&error) else { panic!() };
/// assert_eq!(*drift, Drift::Size);
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Drift {
    /// Its attributes were changed, or its content by somebody who set the time of that back.
    Changed,
    /// It is on another device: something was mounted there, or a link leads elsewhere.
    Device,
    /// It is another file of that name.
    Inode,
    /// Its content was changed.
    Modified,
    /// It is longer or shorter.
    Size,
}

/// An error of this crate.
///
/// See [`Error::from_io`].
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// `TIDEGATE_BACKEND` has a value that means nothing.
    BackendVariable {
        /// The value that was found.
        value: String,
    },
    /// The byte budget was closed: nobody takes anything of it any more.
    BudgetClosed,
    /// No group of provided buffers can be registered with a ring: all ids are in use. What would have used it
    /// works with buffers of its own.
    BufferGroupsExhausted {
        /// How many ids the ring has handed out: as many as it may.
        fresh_used: u32,
        /// How many of them have come back: none.
        free_list_len: u32,
    },
    /// A token of [`OpExt::cancel_on`](crate::OpExt::cancel_on) was cancelled, or the work was told to stop.
    Cancelled {
        /// The operation; `None` where the future waited for something else.
        operation: Option<Kind>,
        /// What it is about, where that has a name.
        path: Option<PathBuf>,
        /// How long it was on its way.
        elapsed: Duration,
        /// What it has left behind.
        left: LeftBehind,
    },
    /// The file is not the one that was seen before, or not as it was: nothing of it is handed out.
    ChangedDuringRead {
        /// The file.
        path: Option<PathBuf>,
        /// What is different.
        drift: Drift,
    },
    /// The handle was shut down before the operation began.
    Closed {
        /// The operation.
        operation: Kind,
    },
    /// The content of the file is not on this machine, and the handle fetches none:
    /// [`Dataless::Refuse`](crate::Dataless::Refuse).
    Dataless {
        /// The operation.
        operation: Kind,
        /// The path it was asked for, where there was one.
        path: Option<PathBuf>,
    },
    /// The process was forked after the handle was made; rings and threads stay with the parent. A new runtime of
    /// the child works.
    ForkedChild {
        /// The operation.
        operation: Kind,
    },
    /// The runtime already has a handle.
    HandleExists,
    /// The buffers of the group are filled bit by bit, which the kernel does only for what comes in turn.
    IncrementalGroup {
        /// The operation.
        operation: Kind,
    },
    /// The operating system refused the operation.
    Io {
        /// The operation.
        operation: Kind,
        /// The path it was asked for, where there was one.
        path: Option<PathBuf>,
        /// The error itself.
        source: io::Error,
    },
    /// The mount does not answer at all, so the operation was not begun. It is used again as soon as it does.
    MountUnresponsive {
        /// The operation.
        operation: Kind,
        /// Where it is mounted.
        mount_point: PathBuf,
    },
    /// No runtime: a handle can only be installed from within one.
    NoRuntime,
    /// A number is not among those that it may be.
    OutOfRange {
        /// Of what.
        name: &'static str,
        /// The number.
        value: u64,
        /// What it may be.
        expected: &'static str,
    },
    /// A write to the same bytes that timed out, was cancelled or dropped is not over, and the file is set to
    /// refuse what overlaps it.
    Overlaps {
        /// The operation.
        operation: Kind,
    },
    /// What the operation ran panicked; the panic's own message is on the standard error output.
    Panicked {
        /// The operation.
        operation: Kind,
    },
    /// A write to the file, or its writeback, failed before. The kernel tells of that once; each sync of the
    /// file does until [`File::acknowledge`](crate::fs::File::acknowledge).
    Poisoned {
        /// The operation.
        operation: Kind,
        /// What failed before.
        source: io::Error,
    },
    /// The ring broke while the kernel had the operation: its outcome is unknown.
    RingLost {
        /// The operation.
        operation: Kind,
        /// What the kernel said about the ring.
        source: io::Error,
    },
    /// The ring was asked for, and cannot be had.
    RingUnavailable {
        /// Why, and what to do about it.
        reason: Reason,
    },
    /// So much is stuck already that the operation would be stuck as well.
    Saturated {
        /// The operation.
        operation: Kind,
        /// The mount where it is stuck, if that is known.
        mount_point: Option<PathBuf>,
        /// How many operations are stuck there that nobody waits for any more.
        stuck: usize,
    },
    /// A seek was begun while another operation of the cursor was on its way.
    SeekPending,
    /// A setting has a value that makes no sense.
    Setting {
        /// Which one.
        name: &'static str,
        /// Its value.
        value: String,
    },
    /// A thread could not be started.
    Thread {
        /// The operation.
        operation: Kind,
        /// What the system said.
        source: io::Error,
    },
    /// The operation was not over in time.
    TimedOut {
        /// The operation; `None` where the future waited for something else.
        operation: Option<Kind>,
        /// What it is about, where that has a name.
        path: Option<PathBuf>,
        /// How long it was on its way.
        elapsed: Duration,
        /// What it has left behind.
        left: LeftBehind,
    },
    /// A timeout of zero leaves no time for anything.
    ZeroTimeout,
}

impl Error {
    /// The [`io::ErrorKind`] of this error: for [`Error::Io`] exactly that of the system's error.
    ///
    /// See [`Error::from_io`].
    pub fn kind(&self) -> io::ErrorKind {
        match self {
            Error::BackendVariable { .. }
            | Error::IncrementalGroup { .. }
            | Error::NoRuntime
            | Error::OutOfRange { .. }
            | Error::Setting { .. }
            | Error::ZeroTimeout => io::ErrorKind::InvalidInput,
            Error::BufferGroupsExhausted { .. } => io::ErrorKind::OutOfMemory,
            // Somebody is at it; later it may be as it is seen then.
            Error::ChangedDuringRead { .. } => io::ErrorKind::ResourceBusy,
            // The system's own error for it is EDEADLK.
            Error::Dataless { .. } => io::ErrorKind::Deadlock,
            Error::Overlaps { .. } | Error::Saturated { .. } => io::ErrorKind::ResourceBusy,
            Error::TimedOut { .. } => io::ErrorKind::TimedOut,
            Error::HandleExists => io::ErrorKind::AlreadyExists,
            Error::MountUnresponsive { .. } => io::ErrorKind::HostUnreachable,
            Error::BudgetClosed
            | Error::Closed { .. }
            | Error::Panicked { .. }
            | Error::RingLost { .. } => io::ErrorKind::BrokenPipe,
            Error::ForkedChild { .. } | Error::RingUnavailable { .. } => io::ErrorKind::Unsupported,
            // No loop takes it for a reason to go on, as many do for `Interrupted` and some for `TimedOut`. For
            // a seek it is the kind that `tokio::fs` gives it.
            Error::Cancelled { .. } | Error::SeekPending => io::ErrorKind::Other,
            Error::Io { source, .. }
            | Error::Poisoned { source, .. }
            | Error::Thread { source, .. } => source.kind(),
        }
    }

    /// Of a wait that was given up: says that what it waited for goes on.
    pub(crate) fn detached(error: io::Error) -> io::Error {
        match error.downcast::<Error>() {
            Ok(mut error) => {
                if let Error::Cancelled { left, .. } | Error::TimedOut { left, .. } = &mut error {
                    *left = LeftBehind::Detached;
                }
                error.into()
            }
            Err(error) => error,
        }
    }

    /// The operating system's error number, where it gave one.
    ///
    /// See [`Error::from_io`].
    pub fn raw_os_error(&self) -> Option<i32> {
        match self {
            Error::Io { source, .. }
            | Error::Poisoned { source, .. }
            | Error::RingLost { source, .. }
            | Error::Thread { source, .. } => source.raw_os_error(),
            Error::RingUnavailable { reason } => reason.errno(),
            _ => None,
        }
    }

    /// The operation that failed, where one had begun.
    ///
    /// See [`Error::from_io`].
    pub fn operation(&self) -> Option<Kind> {
        match self {
            Error::Closed { operation }
            | Error::Dataless { operation, .. }
            | Error::ForkedChild { operation }
            | Error::IncrementalGroup { operation }
            | Error::Io { operation, .. }
            | Error::Overlaps { operation }
            | Error::MountUnresponsive { operation, .. }
            | Error::Panicked { operation }
            | Error::Poisoned { operation, .. }
            | Error::RingLost { operation, .. }
            | Error::Saturated { operation, .. }
            | Error::Thread { operation, .. } => Some(*operation),
            Error::Cancelled { operation, .. } | Error::TimedOut { operation, .. } => *operation,
            Error::ChangedDuringRead { .. } => Some(Kind::ReadFile),
            Error::SeekPending => Some(Kind::Seek),
            _ => None,
        }
    }

    /// The path that the operation was asked for, where there was one.
    ///
    /// See [`Error::from_io`].
    pub fn path(&self) -> Option<&Path> {
        match self {
            Error::Cancelled { path, .. }
            | Error::ChangedDuringRead { path, .. }
            | Error::Dataless { path, .. }
            | Error::Io { path, .. }
            | Error::TimedOut { path, .. } => path.as_deref(),
            _ => None,
        }
    }

    /// The error of this crate inside an [`io::Error`], if it has one: what the system did not refuse, and all errors
    /// of handles that name them. Also the one inside an error that wraps it, as
    /// [`WalkError`](crate::fs::WalkError) does after a `?`.
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> Result<(), tidegate::Error> {
    /// use tidegate::{Errors, Handle};
    /// Handle::builder().errors(Errors::Named).install()?;
    /// let error = tidegate::fs::metadata("/no/such/file").await.unwrap_err();
    /// let typed = tidegate::Error::from_io(&error).unwrap();
    /// assert_eq!(typed.kind(), std::io::ErrorKind::NotFound);
    /// assert_eq!(typed.operation().unwrap().name(), "metadata");
    /// assert_eq!(typed.path().unwrap(), std::path::Path::new("/no/such/file"));
    /// assert_eq!(typed.raw_os_error(), Some(2));
    /// # Ok(()) }
    /// ```
    pub fn from_io(error: &io::Error) -> Option<&Error> {
        let held = error.get_ref()?;
        let within = || Error::from_io(held.source()?.downcast_ref()?);
        held.downcast_ref().or_else(within)
    }

    /// Names an error of the system, unless it is typed already.
    pub(crate) fn io(operation: Kind, path: Option<&Path>, source: io::Error) -> io::Error {
        if Error::from_io(&source).is_some() {
            return source;
        }
        Error::Io {
            operation,
            path: path.map(Path::to_path_buf),
            source,
        }
        .into()
    }

    /// The same error once more, for another who has to be told. Loops around writes try again what was interrupted, for
    /// ever if it is told each time: so it is of kind `BrokenPipe`.
    pub(crate) fn again(error: &io::Error) -> io::Error {
        if error.kind() == io::ErrorKind::Interrupted {
            let text = "it was interrupted earlier, and is not done; begin anew";
            return io::Error::new(io::ErrorKind::BrokenPipe, text);
        }
        let kind = io::Error::from(error.kind());
        let source = raw_os_error(error).map_or(kind, io::Error::from_raw_os_error);
        match Error::from_io(error).and_then(Error::operation) {
            Some(operation) => Error::io(operation, None, source),
            None => source,
        }
    }

    /// The same error for another who meets it as well. What the system said keeps its kind and number.
    pub(crate) fn same(error: &io::Error) -> io::Error {
        match Error::from_io(error) {
            Some(&Error::Cancelled {
                operation,
                elapsed,
                left,
                ..
            }) => Error::Cancelled {
                operation,
                path: None,
                elapsed,
                left,
            },
            Some(&Error::Closed { operation }) => Error::Closed { operation },
            Some(&Error::ForkedChild { operation }) => Error::ForkedChild { operation },
            Some(Error::MountUnresponsive {
                operation,
                mount_point,
            }) => Error::MountUnresponsive {
                operation: *operation,
                mount_point: mount_point.clone(),
            },
            Some(Error::Saturated {
                operation,
                mount_point,
                stuck,
            }) => Error::Saturated {
                operation: *operation,
                mount_point: mount_point.clone(),
                stuck: *stuck,
            },
            Some(&Error::TimedOut {
                operation,
                elapsed,
                left,
                ..
            }) => Error::TimedOut {
                operation,
                path: None,
                elapsed,
                left,
            },
            Some(Error::ZeroTimeout) => Error::ZeroTimeout,
            _ => return Error::again(error),
        }
        .into()
    }

    /// Of work on many names: names the one that it was in.
    pub(crate) fn of_entry(error: io::Error, entry: &Path) -> io::Error {
        match error.downcast::<Error>() {
            Ok(mut error) => {
                if let Error::Cancelled { path, .. } | Error::TimedOut { path, .. } = &mut error {
                    *path = Some(entry.to_path_buf());
                }
                error.into()
            }
            Err(error) => error,
        }
    }

    /// Names the path in the error of a step on an open file, for an operation that was given a path.
    pub(crate) fn on_path(error: io::Error, path: &Path) -> io::Error {
        match error.downcast::<Error>() {
            Ok(Error::Io {
                operation,
                path: None,
                source,
            }) => Error::Io {
                operation,
                path: Some(path.to_path_buf()),
                source,
            }
            .into(),
            Ok(Error::ChangedDuringRead { path: None, drift }) => Error::ChangedDuringRead {
                path: Some(path.to_path_buf()),
                drift,
            }
            .into(),
            Ok(Error::Dataless {
                operation,
                path: None,
            }) => Error::Dataless {
                operation,
                path: Some(path.to_path_buf()),
            }
            .into(),
            Ok(other) => other.into(),
            Err(error) => error,
        }
    }
}

/// The errno of an [`io::Error`], whether it came straight from the system, or carries an [`Error`], or what wraps one of
/// these.
///
/// ```
/// let plain = std::io::Error::from_raw_os_error(2);
/// assert_eq!(tidegate::raw_os_error(&plain), Some(2));
/// ```
pub fn raw_os_error(error: &io::Error) -> Option<i32> {
    error.raw_os_error().or_else(|| {
        let held = error.get_ref()?;
        match held.downcast_ref::<Error>() {
            Some(typed) => typed.raw_os_error(),
            None => raw_os_error(held.source()?.downcast_ref()?),
        }
    })
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Io { source, .. }
            | Error::Poisoned { source, .. }
            | Error::RingLost { source, .. }
            | Error::Thread { source, .. } => Some(source),
            _ => None,
        }
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> io::Error {
        io::Error::new(error.kind(), error)
    }
}
