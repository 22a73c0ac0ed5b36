//! The op table: every operation of the crate, once.
//!
//! The probe, the routing, `tidegate doctor`, the metric labels, the coverage audit and the test
//! matrix are all derived from [`TABLE`]. Adding an operation starts with a row here.

mod form;

use std::fmt;

pub(crate) use form::Form;

/// What may have happened when an operation was cancelled, dropped or timed out after it had reached the kernel.
///
/// See [`Row`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CancelLeaves {
    /// Nothing: the operation only looks.
    NoEffect,
    /// The operation may have taken effect as a whole, or not at all.
    MayTakeEffect,
    /// The operation may have been done in part.
    MayTakePartialEffect,
    /// The operation made a resource (a descriptor), which the driver closes.
    ResourceReclaimed,
}

impl fmt::Display for CancelLeaves {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CancelLeaves::NoEffect => "no effect",
            CancelLeaves::MayTakeEffect => "may take effect",
            CancelLeaves::MayTakePartialEffect => "may take partial effect",
            CancelLeaves::ResourceReclaimed => "resource reclaimed",
        })
    }
}

/// Which default deadline an operation falls under.
///
/// See [`Row`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DeadlineClass {
    /// Reads and writes of file data.
    Data,
    /// Names, attributes, directories.
    Metadata,
    /// Waits for the device to have the data.
    Sync,
    /// Takes as long as a tree is large or a peer waits: only limits that callers set.
    Unbounded,
}

/// The io_uring opcode of an operation.
///
/// See [`Row`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opcode {
    /// The kernel's name, without its prefix.
    pub name: &'static str,
    /// The number in the submission entry.
    pub code: u8,
    /// The first kernel release that has it.
    pub first_kernel: (u16, u16),
}

/// One operation: all that is known about it before it runs.
///
/// ```
/// use tidegate::opcode::{CancelLeaves, DeadlineClass, Kind, TABLE};
/// let row = Kind::Read.row();
/// assert_eq!((row.name, Kind::Read.name()), ("read", "read"));
/// assert_eq!(row.opcode.map(|opcode| (opcode.name, opcode.first_kernel)), Some(("READ", (5, 6))));
/// assert_eq!((row.cancel_leaves, row.deadline_class), (CancelLeaves::NoEffect, DeadlineClass::Data));
/// let without = TABLE.iter().filter(|row| row.opcode.is_none());
/// assert!(without.count() > 0, "blocking threads are for good");
/// ```
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Row {
    /// Which operation this is.
    pub kind: Kind,
    /// The name used in errors, traces and metrics.
    pub name: &'static str,
    /// The io_uring opcode, or `None` where the kernel has none and a blocking thread does it.
    pub opcode: Option<Opcode>,
    /// The system call of the blocking equivalent.
    pub blocking: &'static str,
    /// What a cancel may leave behind.
    pub cancel_leaves: CancelLeaves,
    /// Whether success yields a new descriptor.
    pub returns_fd: bool,
    /// The default deadline class.
    pub deadline_class: DeadlineClass,
}

macro_rules! opcode {
    (none) => {
        None
    };
    ($name:ident $code:literal since $major:literal . $minor:literal) => {
        Some(Opcode {
            name: stringify!($name),
            code: $code,
            first_kernel: ($major, $minor),
        })
    };
}

macro_rules! ops {
    ($( $(#[$doc:meta])* $kind:ident, $name:literal, [$($opcode:tt)*], $blocking:literal, $leaves:ident, $fd:literal, $class:ident; )*) => {
        /// Every operation the crate performs.
        ///
        /// See [`Row`].
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        #[repr(u8)]
        pub enum Kind { $( $(#[$doc])* $kind, )* }

        /// How many there are.
        pub(crate) const KINDS: usize = [$( Kind::$kind, )*].len();

        /// The op table, in the order of [`Kind`].
        pub static TABLE: &[Row] = &[ $( Row {
            kind: Kind::$kind,
            name: $name,
            opcode: opcode!($($opcode)*),
            blocking: $blocking,
            cancel_leaves: CancelLeaves::$leaves,
            returns_fd: $fd,
            deadline_class: DeadlineClass::$class,
        }, )* ];
    };
}

ops! {
    /// Tells the kernel how a range will be used.
    Advise, "advise", [FADVISE 24 since 5 . 6], "posix_fadvise(2)", MayTakeEffect, false, Data;
    /// Reserves, frees, zeroes, takes out or puts in space.
    Allocate, "allocate", [FALLOCATE 17 since 5 . 6], "fallocate(2)", MayTakePartialEffect, false, Data;
    /// Appends records to a file and syncs them, many in one hop.
    Append, "append", [none], "pwritev(2), fdatasync(2)", MayTakePartialEffect, false, Sync;
    /// Runs a closure of the caller's.
    Blocking, "blocking", [none], "the caller's own calls", MayTakePartialEffect, false, Unbounded;
    /// Resolves a path.
    Canonicalize, "canonicalize", [none], "realpath(3)", NoEffect, false, Metadata;
    /// Closes a descriptor.
    Close, "close", [CLOSE 19 since 5 . 6], "close(2)", MayTakeEffect, false, Data;
    /// Gives a path new content all at once, in one hop.
    CommitFile, "commit_file", [none], "openat(2), write(2), fsync(2), linkat(2), renameat(2)", MayTakeEffect, false, Sync;
    /// Copies a file, all steps in one hop.
    CopyFile, "copy", [none], "copy_file_range(2)", MayTakePartialEffect, false, Data;
    /// Carries mode, owner, times and attributes over, in one hop.
    CopyMetadata, "copy_metadata", [none], "lstat(2), chmod(2), utimensat(2)", MayTakePartialEffect, false, Metadata;
    /// Makes a directory.
    CreateDir, "create_dir", [MKDIRAT 37 since 5 . 15], "mkdir(2)", MayTakeEffect, false, Metadata;
    /// Makes a directory and its missing parents, in one hop.
    CreateDirAll, "create_dir_all", [none], "mkdir(2)", MayTakePartialEffect, false, Metadata;
    /// Makes another descriptor of an open file.
    Duplicate, "try_clone", [none], "fcntl(2)", ResourceReclaimed, true, Metadata;
    /// Reads std's attributes of an open file.
    FileMetadata, "file_metadata", [none], "fstat(2)", NoEffect, false, Metadata;
    /// Reads an extended attribute of an open file.
    GetFileXattr, "get_file_xattr", [FGETXATTR 43 since 5 . 19], "fgetxattr(2)", NoEffect, false, Metadata;
    /// Reads an extended attribute.
    GetXattr, "get_xattr", [GETXATTR 44 since 5 . 19], "getxattr(2)", NoEffect, false, Metadata;
    /// Makes a hard link.
    HardLink, "hard_link", [LINKAT 39 since 5 . 15], "linkat(2)", MayTakeEffect, false, Metadata;
    /// Lists extended attributes, or reads them all in one hop.
    ListXattrs, "list_xattrs", [none], "listxattr(2), getxattr(2)", NoEffect, false, Metadata;
    /// Makes a FIFO.
    MakeFifo, "make_fifo", [none], "mkfifo(3)", MayTakeEffect, false, Metadata;
    /// Reads std's attributes of a path. std makes them of a descriptor that the ring opens without access.
    Metadata, "metadata", [OPENAT 18 since 5 . 6], "stat(2)", NoEffect, false, Metadata;
    /// Opens a file.
    Open, "open", [OPENAT 18 since 5 . 6], "openat(2)", ResourceReclaimed, true, Metadata;
    /// Opens a file under restrictions on the way to it.
    OpenWithin, "open_within", [OPENAT2 28 since 5 . 6], "openat2(2)", ResourceReclaimed, true, Metadata;
    /// Reads ahead of a sequential reader, on its own account.
    Prefetch, "prefetch", [none], "pread(2)", NoEffect, false, Unbounded;
    /// Reads at an offset.
    Read, "read", [READ 22 since 5 . 6], "pread(2)", NoEffect, false, Data;
    /// Lists a directory, many entries in one hop.
    ReadDir, "read_dir", [none], "getdents64(2)", NoEffect, false, Metadata;
    /// Reads a whole file in one hop.
    ReadFile, "read_file", [none], "open(2), read(2), close(2)", NoEffect, false, Data;
    /// Reads a symbolic link.
    ReadLink, "read_link", [none], "readlink(2)", NoEffect, false, Metadata;
    /// Reads into a buffer of a group, which the kernel picks.
    ReadProvided, "read_provided", [READ 22 since 5 . 6], "pread(2), read(2)", NoEffect, false, Data;
    /// Reads what comes in turn into buffers of a group, one after the other.
    ReadProvidedStream, "read_provided_stream", [READ_MULTISHOT 49 since 6 . 7], "read(2)", NoEffect, false, Data;
    /// Reads a whole small file in one submission. Without that opcode, what cannot be read twice could not
    /// be read on.
    ReadSmallFile, "read_small_file", [FIXED_FD_INSTALL 54 since 6 . 8], "open(2), read(2), close(2)", NoEffect, false, Data;
    /// Reads at an offset into several buffers.
    ReadVectored, "read_vectored", [READV 1 since 5 . 1], "preadv(2)", NoEffect, false, Data;
    /// Removes an empty directory.
    RemoveDir, "remove_dir", [UNLINKAT 36 since 5 . 11], "rmdir(2)", MayTakeEffect, false, Metadata;
    /// Removes a tree, in one hop.
    RemoveDirAll, "remove_dir_all", [none], "unlinkat(2)", MayTakePartialEffect, false, Unbounded;
    /// Removes a file.
    RemoveFile, "remove_file", [UNLINKAT 36 since 5 . 11], "unlink(2)", MayTakeEffect, false, Metadata;
    /// Removes an extended attribute.
    RemoveXattr, "remove_xattr", [none], "removexattr(2)", MayTakeEffect, false, Metadata;
    /// Renames.
    Rename, "rename", [RENAMEAT 35 since 5 . 11], "renameat(2), renameat2(2)", MayTakeEffect, false, Metadata;
    /// Moves the kernel's position, of files whose positions only the kernel knows.
    Seek, "seek", [none], "lseek(2)", MayTakeEffect, false, Data;
    /// Sets an extended attribute of an open file.
    SetFileXattr, "set_file_xattr", [FSETXATTR 41 since 5 . 19], "fsetxattr(2)", MayTakeEffect, false, Metadata;
    /// Sets the length of an open file.
    SetLen, "set_len", [FTRUNCATE 55 since 6 . 9], "ftruncate(2)", MayTakeEffect, false, Data;
    /// Changes owner and group.
    SetOwner, "set_owner", [none], "fchownat(2)", MayTakeEffect, false, Metadata;
    /// Changes the mode.
    SetPermissions, "set_permissions", [none], "chmod(2)", MayTakeEffect, false, Metadata;
    /// Changes the times.
    SetTimes, "set_times", [none], "utimensat(2)", MayTakeEffect, false, Metadata;
    /// Sets an extended attribute.
    SetXattr, "set_xattr", [SETXATTR 42 since 5 . 19], "setxattr(2)", MayTakeEffect, false, Metadata;
    /// Moves bytes between a pipe and a file or another pipe.
    Splice, "splice", [SPLICE 30 since 5 . 7], "splice(2)", MayTakePartialEffect, false, Unbounded;
    /// Reads all attributes that the kernel has.
    Statx, "statx", [STATX 21 since 5 . 6], "statx(2)", NoEffect, false, Metadata;
    /// Makes a symbolic link.
    Symlink, "symlink", [SYMLINKAT 38 since 5 . 15], "symlink(2)", MayTakeEffect, false, Metadata;
    /// Waits until data and metadata are on the device.
    SyncAll, "sync_all", [FSYNC 3 since 5 . 1], "fsync(2)", MayTakeEffect, false, Sync;
    /// Waits until the data is on the device.
    SyncData, "sync_data", [FSYNC 3 since 5 . 1], "fdatasync(2)", MayTakeEffect, false, Sync;
    /// Starts the writeback of a range, or waits for it.
    SyncRange, "sync_range", [SYNC_FILE_RANGE 8 since 5 . 2], "sync_file_range(2)", MayTakeEffect, false, Sync;
    /// Copies what is in a pipe to another.
    Tee, "tee", [TEE 33 since 5 . 8], "tee(2)", MayTakePartialEffect, false, Unbounded;
    /// Asks whether a path leads somewhere.
    TryExists, "try_exists", [STATX 21 since 5 . 6], "stat(2)", NoEffect, false, Metadata;
    /// Walks a tree: lists directories and reads attributes, many of them in one hop.
    Walk, "walk", [none], "openat(2), getdents64(2), statx(2)", NoEffect, false, Unbounded;
    /// Writes at an offset.
    Write, "write", [WRITE 23 since 5 . 6], "pwrite(2)", MayTakePartialEffect, false, Data;
    /// Writes a whole file in one hop.
    WriteFile, "write_file", [none], "open(2), write(2), close(2)", MayTakePartialEffect, false, Data;
    /// Writes at an offset from several buffers.
    WriteVectored, "write_vectored", [WRITEV 2 since 5 . 1], "pwritev(2)", MayTakePartialEffect, false, Data;
}

impl Kind {
    /// The row of this operation.
    ///
    /// See [`Row`].
    pub fn row(self) -> &'static Row {
        &TABLE[self as usize]
    }

    /// Whether a healthy disk does it in a few milliseconds: one step, and no wait for a whole file's
    /// writeback. Only such operations tell by their age that a mount stalls.
    pub(crate) fn is_quick(self) -> bool {
        let several_steps = matches!(
            self,
            Kind::Blocking
                | Kind::CopyFile
                | Kind::CreateDirAll
                | Kind::Prefetch
                | Kind::ReadFile
                | Kind::ReadSmallFile
                | Kind::RemoveDirAll
                | Kind::Walk
                | Kind::WriteFile
        );
        let frees_or_flushes = matches!(
            self,
            Kind::Advise | Kind::Allocate | Kind::Close | Kind::RemoveFile | Kind::SetLen
        );
        let waits_for_a_peer = matches!(self, Kind::ReadProvidedStream | Kind::Splice | Kind::Tee);
        !several_steps
            && !frees_or_flushes
            && !waits_for_a_peer
            && self.row().deadline_class != DeadlineClass::Sync
    }

    /// Whether it is of several steps in one hop, of which each may take its time.
    pub(crate) fn has_steps(self) -> bool {
        matches!(
            self,
            Kind::Append
                | Kind::Blocking
                | Kind::CommitFile
                | Kind::CopyFile
                | Kind::ReadFile
                | Kind::ReadSmallFile
                | Kind::Walk
                | Kind::WriteFile
        )
    }

    /// Whether the kernel does them one after the other for each inode, by way of 64 queues for all the
    /// inodes that one thread uses: one that is stuck then holds up those of other files as well.
    pub(crate) fn is_serialised(self) -> bool {
        matches!(
            self,
            Kind::Allocate | Kind::SetLen | Kind::Splice | Kind::Write | Kind::WriteVectored
        )
    }

    /// Whether the kernel leaves it to a worker of its own on a local filesystem whatever is in memory, unless it is
    /// direct: ext4 and btrfs have no buffered write that does not wait.
    pub(crate) fn is_left_to_workers(self) -> bool {
        matches!(
            self,
            Kind::SyncAll | Kind::SyncData | Kind::SyncRange | Kind::Write | Kind::WriteVectored
        )
    }

    /// Whether the kernel is given memory of ours that may be registered.
    pub(crate) fn moves_data(self) -> bool {
        matches!(
            self,
            Kind::Read | Kind::ReadVectored | Kind::Write | Kind::WriteVectored
        )
    }

    /// Whether an interruption goes to whoever began the operation, because more than a call has to begin again.
    pub(crate) fn hands_out_interruptions(self) -> bool {
        matches!(
            self,
            Kind::Close | Kind::ReadProvided | Kind::ReadProvidedStream
        )
    }

    /// The name used in errors, traces and metrics.
    ///
    /// See [`Row`].
    pub fn name(self) -> &'static str {
        self.row().name
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table is indexed by kind, and its names are unique.
    #[test]
    fn rows_are_in_order_and_named_once() {
        let mut names: Vec<_> = TABLE.iter().map(|row| row.name).collect();
        for (index, row) in TABLE.iter().enumerate() {
            assert_eq!(row.kind as usize, index, "{}", row.name);
            assert_eq!(
                row.returns_fd,
                row.cancel_leaves == CancelLeaves::ResourceReclaimed,
                "{}",
                row.name
            );
        }
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), TABLE.len());
    }
}
