//! Files and directories: the names and signatures of `tokio::fs`, and more.
//!
//! Every function takes the way that is fastest for it: answered at the first poll where the kernel has
//! the answer in memory, through the ring where there is an opcode, else on blocking threads of the
//! path's mount. Errors have the kind and the number that std gives them, see [`crate::Errors`].

mod append;
mod atomic;
mod batch;
mod commit_batch;
mod copy_file;
mod copy_tree;
mod dir;
mod dir_handle;
mod file;
mod lines;
mod metadata;
mod names;
mod open_options;
mod resolve;
mod splice;
mod statx;
mod unchanged;
mod walk;
mod whole;
mod xattr;

pub use crate::op::byte_budget::{ByteBudget, BytesInFlight};
pub use append::{AppendOptions, AppendWriter};
pub use atomic::{AtomicFile, AtomicOptions, write_atomic};
pub use batch::{Batch, batch, metadata_many};
pub use commit_batch::{CommitBatch, Committing, Tally};
pub use copy_file::{Copied, CopyFile, Preserve, Reflink, Warning, copy, copy_metadata};
pub use copy_tree::{
    CopyTree, CopyingTree, TreeCopied, TreeError, TreeEvent, TreeKind, TreeLeftovers, copy_tree,
};
pub use dir::{
    DirBuilder, DirEntry, ReadDir, create_dir, create_dir_all, read_dir, remove_dir, remove_dir_all,
};
pub use dir_handle::{Dir, Entries, NamedEntry};
pub use file::{
    Advice, File, FileState, FileStream, Overlap, ProvidedStream, Space, Writeback, WritebackClass,
    WritebackPolicy, WritebackStats,
};
pub use lines::lines;
pub use metadata::{
    FileTimes, Follow, metadata, set_owner, set_permissions, set_times, symlink_metadata,
    try_exists,
};
pub use names::{
    RenameMode, canonicalize, hard_link, make_fifo, read_link, remove_file, rename, rename_with,
    symlink,
};
pub use open_options::OpenOptions;
pub use resolve::Resolve;
pub use splice::{splice, tee};
pub use statx::{FileKind, Freshness, Statx, StatxMask, StatxOptions, statx};
pub use unchanged::{Expected, read_unchanged};
pub use walk::{
    Walk, WalkCall, WalkDir, WalkEntry, WalkError, WalkNow, WalkSort, WalkStats, WalkStep,
    WalkWatch,
};
pub use whole::{read, read_to_string, write};
pub use xattr::{NotRead, Xattrs, get_xattr, list_xattrs, read_xattrs, remove_xattr, set_xattr};

#[cfg(test)]
mod ends_tests;
