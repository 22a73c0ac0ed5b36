//! What can go wrong, typed.
//!
//! The functions of [`crate::fs`] return [`std::io::Error`], as `tokio::fs` does. Each of them
//! carries an [`Error`] that keeps the kind and the errno, names the operation and the path, and
//! says what can be done. [`Error::from_io`] gives it back.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use crate::opcode::{DeadlineClass, Kind};
use crate::sys::errno;

/// How errors of the system are handed out, in the whole process.
///
/// An [`io::Error`] holds either a number or something with a text of its own, never both. Without another
/// choice it is the latter, so that errors name operation and path. A program, or a crate that it uses,
/// may ask [`io::Error::raw_os_error`] instead of the kind: then it wants them plain.
///
/// `TIDEGATE_ERRORS=plain` or `named` in the environment makes the choice for a program that does not.
///
/// ```
/// # #[tokio::main] async fn main() {
/// use tidegate::{Errors, fs};
/// let named = fs::read("/no/such/file").await.unwrap_err();
/// assert_eq!((named.raw_os_error(), tidegate::raw_os_error(&named)), (None, Some(2)));
/// assert!(named.to_string().contains("/no/such/file"));
///
/// Errors::Plain.set_for_process();
/// let plain = fs::read("/no/such/file").await.unwrap_err();
/// assert_eq!((plain.raw_os_error(), tidegate::raw_os_error(&plain)), (Some(2), Some(2)));
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[repr(u8)]
pub enum Errors {
    /// With operation, path, and what to do about it; [`raw_os_error`] has the number. The default.
    #[default]
    Named = 1,
    /// As the system gave them, with the number and nothing else, as from `tokio::fs`. Errors that have no
    /// number are as ever.
    Plain = 2,
}

/// The choice, as its number; zero until it was made.
static ERRORS: AtomicU8 = AtomicU8::new(0);

impl Errors {
    /// Chooses, for all errors from now on. See [`Errors`].
    pub fn set_for_process(self) {
        ERRORS.store(self as u8, Ordering::Relaxed);
    }

    fn in_process() -> Errors {
        if ERRORS.load(Ordering::Relaxed) == 0 {
            let (unset, found) = (0, Errors::from_environment() as u8);
            // Whoever has chosen meanwhile is right.
            let _ = ERRORS.compare_exchange(unset, found, Ordering::Relaxed, Ordering::Relaxed);
        }
        match ERRORS.load(Ordering::Relaxed) {
            2 => Errors::Plain,
            _ => Errors::Named,
        }
    }

    fn from_environment() -> Errors {
        let Some(value) = std::env::var_os("TIDEGATE_ERRORS") else {
            return Errors::default();
        };
        match &*value.to_string_lossy().trim().to_ascii_lowercase() {
            "plain" => Errors::Plain,
            "" | "named" => Errors::Named,
            _ => {
                crate::events::errors_variable(&value);
                Errors::Named
            }
        }
    }
}

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

impl fmt::Display for LeftBehind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            LeftBehind::Detached => "the kernel still has it, and it may take effect later",
            LeftBehind::MayHaveTakenEffect => "it may have taken effect",
            LeftBehind::NothingHappened => "nothing happened",
        })
    }
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
    /// A token of [`OpExt::cancel_on`](crate::OpExt::cancel_on) was cancelled.
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
    /// The process was forked after the handle was made; rings and threads stay with the parent.
    ForkedChild {
        /// The operation.
        operation: Kind,
    },
    /// The runtime already has a handle.
    HandleExists,
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
        reason: crate::probe::Reason,
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
            | Error::NoRuntime
            | Error::Setting { .. }
            | Error::ZeroTimeout => io::ErrorKind::InvalidInput,
            Error::Cancelled { .. } => io::ErrorKind::Interrupted,
            // The system's own error for it is EDEADLK.
            Error::Dataless { .. } => io::ErrorKind::Deadlock,
            Error::Overlaps { .. } | Error::Saturated { .. } => io::ErrorKind::ResourceBusy,
            Error::TimedOut { .. } => io::ErrorKind::TimedOut,
            Error::HandleExists => io::ErrorKind::AlreadyExists,
            Error::MountUnresponsive { .. } => io::ErrorKind::HostUnreachable,
            Error::Closed { .. } | Error::Panicked { .. } | Error::RingLost { .. } => {
                io::ErrorKind::BrokenPipe
            }
            Error::ForkedChild { .. } | Error::RingUnavailable { .. } => io::ErrorKind::Unsupported,
            // The kind that `tokio::fs` gives it.
            Error::SeekPending => io::ErrorKind::Other,
            Error::Io { source, .. }
            | Error::Poisoned { source, .. }
            | Error::Thread { source, .. } => source.kind(),
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
            | Error::Io { operation, .. }
            | Error::Overlaps { operation }
            | Error::MountUnresponsive { operation, .. }
            | Error::Panicked { operation }
            | Error::Poisoned { operation, .. }
            | Error::RingLost { operation, .. }
            | Error::Saturated { operation, .. }
            | Error::Thread { operation, .. } => Some(*operation),
            Error::Cancelled { operation, .. } | Error::TimedOut { operation, .. } => *operation,
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
            | Error::Dataless { path, .. }
            | Error::Io { path, .. }
            | Error::TimedOut { path, .. } => path.as_deref(),
            _ => None,
        }
    }

    /// The error of this crate inside an [`io::Error`] that came from it.
    ///
    /// ```
    /// # #[tokio::main] async fn main() {
    /// let error = tidegate::fs::metadata("/no/such/file").await.unwrap_err();
    /// let typed = tidegate::Error::from_io(&error).unwrap();
    /// assert_eq!(typed.kind(), std::io::ErrorKind::NotFound);
    /// assert_eq!(typed.operation().unwrap().name(), "metadata");
    /// assert_eq!(typed.path().unwrap(), std::path::Path::new("/no/such/file"));
    /// assert_eq!(typed.raw_os_error(), Some(2));
    /// # }
    /// ```
    pub fn from_io(error: &io::Error) -> Option<&Error> {
        error.get_ref()?.downcast_ref()
    }

    pub(crate) fn io(operation: Kind, path: Option<&Path>, source: io::Error) -> io::Error {
        let is_plain = || source.raw_os_error().is_some() && Errors::in_process() == Errors::Plain;
        if Error::from_io(&source).is_some() {
            return match (Error::from_io(&source), path) {
                (Some(Error::Dataless { path: None, .. }), Some(path)) => {
                    Error::on_path(source, path)
                }
                _ => source,
            };
        }
        if is_plain() {
            return source;
        }
        Error::Io {
            operation,
            path: path.map(Path::to_path_buf),
            source,
        }
        .into()
    }

    /// Names the path in the error of a step on an open file, for an operation that was given a path.
    pub(crate) fn on_path(error: io::Error, path: &Path) -> io::Error {
        match error.downcast::<Error>() {
            Ok(Error::Io {
                operation,
                path: None,
                source,
            }) => Error::io(operation, Some(path), source),
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

/// The errno of an [`io::Error`], whether it came straight from the system or carries an [`Error`].
///
/// ```
/// let plain = std::io::Error::from_raw_os_error(2);
/// assert_eq!(tidegate::raw_os_error(&plain), Some(2));
/// ```
pub fn raw_os_error(error: &io::Error) -> Option<i32> {
    error
        .raw_os_error()
        .or_else(|| Error::from_io(error)?.raw_os_error())
}

/// What the user can do about an error number, where it is not plain from the error's own text.
fn remedy(operation: Kind, number: i32) -> Option<&'static str> {
    Some(match number {
        errno::EXDEV if operation == Kind::OpenWithin => {
            "the path leads out of the directory, or to another filesystem"
        }
        errno::EMFILE => "close files or raise RLIMIT_NOFILE",
        errno::ENFILE => "the whole system is out of descriptors: raise fs.file-max",
        errno::ENOSPC => "free space on the filesystem",
        errno::EDQUOT => "free space within the quota",
        errno::EROFS => "the filesystem is mounted read-only",
        errno::ENAMETOOLONG => "shorten the name",
        errno::EXDEV => "source and destination are on different filesystems: copy instead",
        errno::EINVAL => "check offset, length and, for direct I/O, the alignment",
        _ => return None,
    })
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::BackendVariable { value } => {
                write!(
                    f,
                    "TIDEGATE_BACKEND is {value:?}: set it to auto, ring or pool, or unset it"
                )
            }
            Error::Cancelled {
                operation,
                path,
                elapsed,
                left,
            } => write_given_up(f, "cancelled", *operation, path.as_deref(), *elapsed, *left),
            Error::Closed { operation } => {
                write!(f, "{operation}: the handle was shut down; use a live one")
            }
            Error::Dataless { operation, path } => {
                let path = path.as_deref().unwrap_or(Path::new("the file")).display();
                write!(
                    f,
                    "{operation} {path}: its content is elsewhere, and this handle fetches none"
                )
            }
            Error::ForkedChild { operation } => {
                write!(
                    f,
                    "{operation}: this process was forked; make a new runtime after exec"
                )
            }
            Error::HandleExists => f.write_str(
                "the runtime already has a handle: install yours before the first operation",
            ),
            Error::Io {
                operation,
                path,
                source,
            } => {
                write!(f, "{operation}")?;
                if let Some(path) = path {
                    write!(f, " {}", path.display())?;
                }
                write!(f, ": {source}")?;
                let number = source.raw_os_error();
                match number.and_then(|number| remedy(*operation, number)) {
                    Some(text) => write!(f, "; {text}"),
                    None => Ok(()),
                }
            }
            Error::MountUnresponsive {
                operation,
                mount_point,
            } => {
                let point = mount_point.display();
                write!(
                    f,
                    "{operation}: the mount {point} does not answer; it is used again as soon as it does"
                )
            }
            Error::NoRuntime => {
                f.write_str("a handle is installed on a tokio runtime: call this from within one")
            }
            Error::Overlaps { operation } => write!(
                f,
                "{operation}: a write to the same bytes is not over; wait for it, or sync"
            ),
            Error::Poisoned { operation, source } => write!(
                f,
                "{operation}: a write failed before ({source}), and what was written may be lost; write it again and acknowledge"
            ),
            Error::Panicked { operation } => write!(f, "{operation}: panicked"),
            Error::RingLost { operation, source } => {
                write!(
                    f,
                    "{operation}: the ring broke ({source}); whether it took effect is unknown"
                )
            }
            Error::RingUnavailable { reason } => {
                write!(f, "no io_uring: {reason}; {}", reason.remedy())
            }
            Error::Saturated {
                operation,
                mount_point,
                stuck,
            } => {
                let place = mount_point.as_deref().unwrap_or(Path::new("a mount"));
                let place = place.display();
                write!(
                    f,
                    "{operation}: {stuck} operations are stuck on {place}; see what it hangs on, or raise the handle's limit"
                )
            }
            Error::SeekPending => f.write_str(
                "seek: other file operation is pending, call poll_complete before start_seek",
            ),
            Error::Setting { name, value } => {
                write!(
                    f,
                    "{name} is {value}: set it to more than zero and at most a year"
                )
            }
            Error::Thread { operation, source } => {
                write!(
                    f,
                    "{operation}: no thread could be started ({source}); raise RLIMIT_NPROC or pids.max"
                )
            }
            Error::TimedOut {
                operation,
                path,
                elapsed,
                left,
            } => write_given_up(f, "timed out", *operation, path.as_deref(), *elapsed, *left),
            Error::ZeroTimeout => {
                f.write_str("a timeout of zero leaves no time: set a longer one, or none")
            }
        }
    }
}

fn write_given_up(
    f: &mut fmt::Formatter<'_>,
    how: &str,
    operation: Option<Kind>,
    path: Option<&Path>,
    elapsed: Duration,
    left: LeftBehind,
) -> fmt::Result {
    f.write_str(operation.map_or("a wait", Kind::name))?;
    if let Some(path) = path {
        write!(f, " {}", path.display())?;
    }
    let seconds = elapsed.as_secs_f64();
    write!(f, ": {how} after {seconds:.3} s; {left}")?;
    let is_sync = operation.is_some_and(|kind| kind.row().deadline_class == DeadlineClass::Sync);
    if is_sync && left != LeftBehind::NothingHappened {
        f.write_str("; whether the data is durable is unknown")?;
    }
    Ok(())
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
