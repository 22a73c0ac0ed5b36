//! What polls may answer from memory for the files of a mount, and what keeps them from it.

use std::fmt;

/// Something that a first poll answers where the kernel has it in memory.
///
/// See [`filesystem`](crate::probe::filesystem).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PollAnswer {
    /// The attributes of a path.
    Attributes,
    /// Opening a file for reading.
    Opens,
    /// Reading an open file.
    Reads,
}

impl PollAnswer {
    /// All of them.
    ///
    /// See [`filesystem`](crate::probe::filesystem).
    pub const ALL: &'static [PollAnswer] =
        &[PollAnswer::Attributes, PollAnswer::Opens, PollAnswer::Reads];

    /// Its name, in lower case.
    ///
    /// See [`filesystem`](crate::probe::filesystem).
    pub fn name(self) -> &'static str {
        match self {
            PollAnswer::Attributes => "attributes",
            PollAnswer::Opens => "opens",
            PollAnswer::Reads => "reads",
        }
    }
}

/// What keeps polls from answering. Operations go to the ring or to threads then, which is slower and gives the same
/// results.
///
/// See [`filesystem`](crate::probe::filesystem).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Obstacle {
    /// The mount has each read change the access time, which is written to the disk.
    AccessTimes,
    /// A system call is not there.
    Call {
        /// Its name.
        name: &'static str,
        /// The error number that came instead.
        errno: i32,
        /// The first kernel that has it, or as much of it as is needed.
        first_kernel: (u16, u16),
        /// Whether a filter of system calls is in force, which is the cause then.
        filtered: bool,
    },
    /// Of this filesystem it is not known which calls do not wait.
    Filesystem,
    /// Changes of the table of mounts are not seen: `/proc/self/mountinfo` cannot be read, or no thread could be started.
    MountTable,
    /// The filesystem has no read that does not wait.
    NoSuchRead,
    /// `TIDEGATE_BACKEND` asks for one backend.
    Pinned,
    /// This is not Linux.
    Platform,
    /// How far the kernel reads ahead is not known: `/sys/class/bdi` cannot be read.
    Readahead,
    /// The mount did not answer lately.
    Stalled,
}

impl Obstacle {
    /// What to do about it.
    ///
    /// See [`filesystem`](crate::probe::filesystem).
    pub fn remedy(&self) -> String {
        match self {
            Obstacle::AccessTimes => {
                "mount it with relatime or noatime, or open files with no_atime".into()
            }
            Obstacle::Call {
                name,
                filtered: true,
                ..
            } => format!("allow {name} in the container's seccomp profile"),
            Obstacle::Call {
                first_kernel: (major, minor),
                ..
            } => format!("use Linux {major}.{minor} or later"),
            Obstacle::MountTable => "mount /proc, and raise RLIMIT_NPROC if it is low".into(),
            Obstacle::Pinned => "set TIDEGATE_BACKEND to auto, or unset it".into(),
            Obstacle::Readahead => "mount /sys".into(),
            Obstacle::Stalled => "look after its disk".into(),
            Obstacle::Filesystem | Obstacle::NoSuchRead | Obstacle::Platform => {
                "nothing needs doing: it is asked elsewhere".into()
            }
        }
    }
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Obstacle::AccessTimes => f.write_str("each read changes the access time"),
            Obstacle::Call {
                name,
                errno,
                filtered: true,
                ..
            } => write!(
                f,
                "a system call filter (seccomp) forbids {name} with error {errno}"
            ),
            Obstacle::Call { name, errno, .. } => {
                write!(f, "the kernel has no {name}: error {errno}")
            }
            Obstacle::Filesystem => f.write_str("the filesystem may wait for whatever it likes"),
            Obstacle::MountTable => {
                f.write_str("changes of /proc/self/mountinfo cannot be waited for")
            }
            Obstacle::NoSuchRead => f.write_str("the filesystem has no read that does not wait"),
            Obstacle::Pinned => f.write_str("TIDEGATE_BACKEND asks for one backend"),
            Obstacle::Platform => f.write_str("this system has no calls that do not wait"),
            Obstacle::Readahead => f.write_str("/sys/class/bdi cannot be read"),
            Obstacle::Stalled => f.write_str("the mount did not answer lately"),
        }
    }
}
