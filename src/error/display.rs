//! What errors say: the operation, the path, what is wrong, and what can be done about it.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use super::{Drift, Error, LeftBehind};
use crate::base::errno;
use crate::limits;
use crate::opcode::{DeadlineClass, Kind};

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_limit = matches!(self, Error::Cancelled { .. } | Error::TimedOut { .. });
        match self.operation() {
            Some(operation) => f.write_str(operation.name())?,
            None if is_limit => f.write_str("a wait")?,
            None => return self.write_text(f),
        }
        if let Some(path) = self.path() {
            write!(f, " {}", path.display())?;
        }
        f.write_str(": ")?;
        self.write_text(f)
    }
}

const INCREMENTAL: &str =
    "an incremental buffer group serves only streams of pipes, sockets and terminals; use another";

impl Error {
    /// What comes after operation and path.
    fn write_text(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Error::BackendVariable { value } => return write_backend(f, value),
            Error::BufferGroupsExhausted { fresh_used, .. } => {
                return write_groups_exhausted(f, *fresh_used);
            }
            Error::BudgetClosed => "the byte budget was closed",
            Error::ChangedDuringRead { drift, .. } => return write!(f, "{drift}; look again"),
            Error::Cancelled { elapsed, left, .. } => {
                return self.write_given_up(f, "cancelled", *elapsed, *left);
            }
            Error::Closed { .. } => "the handle was shut down; use a live one",
            Error::Dataless { .. } => "its content is elsewhere, and this handle fetches none",
            Error::ForkedChild { .. } => "it belongs to the process that this one was forked from; begin anew in a runtime of this one",
            Error::HandleExists => {
                "the runtime already has a handle: install yours before the first operation"
            }
            Error::IncrementalGroup { .. } => INCREMENTAL,
            Error::Io {
                operation, source, ..
            } => return write_io(f, *operation, source),
            Error::MountUnresponsive { mount_point, .. } => {
                let point = mount_point.display();
                return write!(
                    f,
                    "the mount {point} does not answer; it is used again as soon as it does"
                );
            }
            Error::NoRuntime => {
                "a handle is installed on a tokio runtime: call this from within one"
            }
            Error::OutOfRange {
                name,
                value,
                expected,
            } => return write_setting(f, name, value, expected),
            Error::Overlaps { .. } => "a write to the same bytes is not over; wait for it, or sync",
            Error::Panicked { .. } => "panicked",
            Error::Poisoned { source, .. } => return write_poisoned(f, source),
            Error::RingLost { source, .. } => {
                return write!(
                    f,
                    "the ring broke ({source}); whether it took effect is unknown"
                );
            }
            Error::RingUnavailable { reason } => {
                return write!(f, "no io_uring: {reason}; {}", reason.remedy());
            }
            Error::Saturated {
                mount_point, stuck, ..
            } => return write_saturated(f, mount_point.as_deref(), *stuck),
            Error::SeekPending => {
                "other file operation is pending, call poll_complete before start_seek"
            }
            Error::Setting { name, value } => {
                return write_setting(f, name, value, "more than zero and at most a year");
            }
            Error::Thread { source, .. } => {
                return write!(
                    f,
                    "no thread could be started ({source}); raise RLIMIT_NPROC or pids.max, or RLIMIT_AS where memory is limited"
                );
            }
            Error::TimedOut { elapsed, left, .. } => {
                return self.write_given_up(f, "timed out", *elapsed, *left);
            }
            Error::ZeroTimeout => "a timeout of zero leaves no time: set a longer one, or none",
        })
    }

    fn write_given_up(
        &self,
        f: &mut fmt::Formatter<'_>,
        how: &str,
        elapsed: Duration,
        left: LeftBehind,
    ) -> fmt::Result {
        write!(f, "{how} after {:.3} s; {left}", elapsed.as_secs_f64())?;
        let class = self.operation().map(|kind| kind.row().deadline_class);
        if class == Some(DeadlineClass::Sync) && left != LeftBehind::NothingHappened {
            f.write_str("; whether the data is durable is unknown")?;
        }
        Ok(())
    }
}

fn write_io(f: &mut fmt::Formatter<'_>, operation: Kind, source: &std::io::Error) -> fmt::Result {
    write!(f, "{source}")?;
    let number = source.raw_os_error();
    match number.and_then(|number| remedy(operation, number)) {
        Some(text) => write!(f, "; {text}"),
        None => Ok(()),
    }
}

fn write_backend(f: &mut fmt::Formatter<'_>, value: &str) -> fmt::Result {
    write!(
        f,
        "TIDEGATE_BACKEND is {value:?}: set it to auto, ring or pool, or unset it"
    )
}

fn write_groups_exhausted(f: &mut fmt::Formatter<'_>, cap: u32) -> fmt::Result {
    write!(
        f,
        "all {cap} ids of buffer groups are in use on a ring; drop groups that are not needed"
    )?;
    if cap < limits::BUFFER_GROUPS_MAX {
        f.write_str(", or raise buffer_groups_max")?;
    }
    Ok(())
}

fn write_poisoned(f: &mut fmt::Formatter<'_>, source: &std::io::Error) -> fmt::Result {
    write!(
        f,
        "a write failed before ({source}), and what was written may be lost; write it again and acknowledge"
    )
}

fn write_setting(
    f: &mut fmt::Formatter<'_>,
    name: &str,
    value: &dyn fmt::Display,
    expected: &str,
) -> fmt::Result {
    write!(f, "{name} is {value}: set it to {expected}")
}

fn write_saturated(
    f: &mut fmt::Formatter<'_>,
    mount_point: Option<&Path>,
    stuck: usize,
) -> fmt::Result {
    let place = mount_point.unwrap_or(Path::new("a mount")).display();
    write!(
        f,
        "{stuck} operations are stuck on {place}; see what it hangs on, or raise the handle's limit"
    )
}

impl fmt::Display for Drift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Drift::Changed => "its attributes have changed",
            Drift::Device => "it is on another device",
            Drift::Inode => "it is another file",
            Drift::Modified => "its content has changed",
            Drift::Size => "its size has changed",
        })
    }
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

#[cfg(test)]
mod tests {
    use std::io;

    use super::{Error, limits};

    /// R34: the kind is that of memory that is not there, and the text has the limit and what to do.
    #[test]
    fn ids_that_ran_out_name_the_limit() {
        let (all, capped) = (limits::BUFFER_GROUPS_MAX, 4);
        for fresh_used in [all, capped] {
            let error: io::Error = Error::BufferGroupsExhausted {
                fresh_used,
                free_list_len: 0,
            }
            .into();
            assert_eq!(error.kind(), io::ErrorKind::OutOfMemory);
            let text = error.to_string();
            assert!(text.contains(&fresh_used.to_string()), "{text}");
            assert!(text.contains("drop groups"), "{text}");
            let raise = text.contains("raise buffer_groups_max");
            assert_eq!(raise, fresh_used == capped, "{text}");
        }
    }

    #[test]
    fn a_number_out_of_range_names_the_range() {
        let error = Error::OutOfRange {
            name: "count",
            value: 9,
            expected: "a number from 1 to 8",
        };
        let text = error.to_string();
        assert_eq!(text, "count is 9: set it to a number from 1 to 8");
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }

    /// `write_all` and its kin go on after `Interrupted`: told each time, it would keep a thread busy for ever.
    #[test]
    fn no_loop_tries_again_what_is_told_again() {
        for number in 1..134 {
            let error = io::Error::from_raw_os_error(number);
            let again = Error::again(&Error::same(&error));
            if error.kind() == io::ErrorKind::Interrupted {
                assert_eq!(again.kind(), io::ErrorKind::BrokenPipe);
            } else {
                assert_eq!(again.raw_os_error(), Some(number));
            }
        }
    }
}
