//! Types, their functions and their futures.

use std::ffi::OsString;
use std::fmt::Debug;
use std::fs::{FileType, Metadata, Permissions};
use std::io;
use std::marker::Unpin;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::path::{Path, PathBuf};
use std::task::{Context, Poll};
use std::time::SystemTime;

use tokio::io::{AsyncRead, AsyncSeek, AsyncWrite};

use super::fs::{self, DirBuilder, DirEntry, File, FileTimes, OpenOptions, ReadDir};
use crate::{Row, future, of};

type Flag = for<'a> fn(&'a mut OpenOptions, bool) -> &'a mut OpenOptions;

/// Functions that are not async, as pointers of their types.
#[allow(dead_code, reason = "compiled, not called")]
fn functions() {
    let _: fn() -> OpenOptions = File::options;
    let _: fn(std::fs::File) -> File = File::from_std;
    let _: fn(std::fs::File) -> File = <File as From<std::fs::File>>::from;
    let _: fn(OwnedFd) -> File = <File as From<OwnedFd>>::from;
    let _: fn(File) -> Result<std::fs::File, File> = File::try_into_std;
    let _: fn(&mut File, usize) = File::set_max_buf_size;
    let _: fn(&File) -> usize = File::max_buf_size;
    let _: unsafe fn(i32) -> File = <File as FromRawFd>::from_raw_fd;
    let _: fn() -> OpenOptions = OpenOptions::new;
    let _: [Flag; 6] = [
        OpenOptions::read,
        OpenOptions::write,
        OpenOptions::append,
        OpenOptions::truncate,
        OpenOptions::create,
        OpenOptions::create_new,
    ];
    let _: for<'a> fn(&'a mut OpenOptions, u32) -> &'a mut OpenOptions = OpenOptions::mode;
    let _: for<'a> fn(&'a mut OpenOptions, i32) -> &'a mut OpenOptions = OpenOptions::custom_flags;
    let _: fn(std::fs::OpenOptions) -> OpenOptions = From::from;
    let _: fn() -> DirBuilder = DirBuilder::new;
    let _: for<'a> fn(&'a mut DirBuilder, bool) -> &'a mut DirBuilder = DirBuilder::recursive;
    let _: for<'a> fn(&'a mut DirBuilder, u32) -> &'a mut DirBuilder = DirBuilder::mode;
    let _: fn(&DirEntry) -> PathBuf = DirEntry::path;
    let _: fn(&DirEntry) -> OsString = DirEntry::file_name;
    let _: fn(&DirEntry) -> u64 = DirEntry::ino;
    let _: fn(&mut ReadDir, &mut Context<'_>) -> Poll<io::Result<Option<DirEntry>>> =
        ReadDir::poll_next_entry;
    let _: fn() -> FileTimes = FileTimes::new;
    let _: fn(FileTimes, SystemTime) -> FileTimes = FileTimes::set_accessed;
    let _: fn(FileTimes, SystemTime) -> FileTimes = FileTimes::set_modified;
    #[cfg(target_vendor = "apple")]
    let _: fn(FileTimes, SystemTime) -> FileTimes = FileTimes::set_created;
}

/// What is in another's types can be handed on.
#[allow(dead_code, reason = "compiled, not called")]
async fn handed_on(path: &Path) -> io::Result<()> {
    fn check(_: Metadata, _: FileType, _: Permissions) {}
    let metadata = fs::metadata(path).await?;
    check(
        metadata.clone(),
        metadata.file_type(),
        metadata.permissions(),
    );
    let metadata = File::open(path).await?.metadata().await?;
    check(
        metadata.clone(),
        metadata.file_type(),
        metadata.permissions(),
    );
    let mut entries = fs::read_dir(path).await?;
    while let Some(entry) = entries.next_entry().await? {
        let metadata: Metadata = entry.metadata().await?;
        check(
            metadata.clone(),
            entry.file_type().await?,
            metadata.permissions(),
        );
    }
    Ok(())
}

pub(crate) fn types() -> Vec<Row> {
    let mut found = Vec::new();
    macro_rules! of_type {
        ($($type:ty),+) => {$(
            rows!(found, stringify!($type), of::<$type>();
                Send, Sync, Unpin, UnwindSafe, RefUnwindSafe, Debug, Clone, Copy, Default, PartialEq,
                AsFd, AsRawFd, FromRawFd, AsyncRead, AsyncSeek, AsyncWrite,
                From<std::fs::File>, From<OwnedFd>, From<std::fs::OpenOptions>);
        )+};
    }
    of_type!(DirBuilder, DirEntry, File, FileTimes, OpenOptions, ReadDir);
    found
}

/// The futures borrow what lives long enough.
pub(crate) fn futures() -> Vec<Row> {
    let mut found = Vec::new();
    macro_rules! of_future {
        ($($name:literal: $output:ty = |$argument:ident: $type:ty| $call:expr;)+) => {$(
            rows!(found, $name, future::<$output, $type, _>(|$argument: $type| $call);
                Send, Sync, Unpin, UnwindSafe, RefUnwindSafe);
        )+};
    }
    of_future! {
        "File::open": io::Result<File> = |path: &'static Path| File::open(path);
        "File::create": io::Result<File> = |path: &'static str| File::create(path);
        "File::create_new": io::Result<File> = |path: PathBuf| File::create_new(path);
        "File::sync_all": io::Result<()> = |file: &'static File| file.sync_all();
        "File::sync_data": io::Result<()> = |file: &'static File| file.sync_data();
        "File::set_len": io::Result<()> = |file: &'static File| file.set_len(1);
        "File::metadata": io::Result<Metadata> = |file: &'static File| file.metadata();
        "File::try_clone": io::Result<File> = |file: &'static File| file.try_clone();
        "File::into_std": std::fs::File = |file: File| file.into_std();
        "File::set_times": io::Result<()> = |file: &'static File| file.set_times(FileTimes::new());
        "File::set_modified": io::Result<()> =
            |file: &'static File| file.set_modified(SystemTime::UNIX_EPOCH);
        "OpenOptions::open": io::Result<File> =
            |options: &'static OpenOptions| options.open("path");
        "DirBuilder::create": io::Result<()> =
            |builder: &'static DirBuilder| builder.create("path");
        "ReadDir::next_entry": io::Result<Option<DirEntry>> =
            |entries: &'static mut ReadDir| entries.next_entry();
        "DirEntry::metadata": io::Result<Metadata> = |entry: &'static DirEntry| entry.metadata();
        "DirEntry::file_type": io::Result<FileType> = |entry: &'static DirEntry| entry.file_type();
    }
    let permissions =
        |(file, permissions): (&'static File, Permissions)| file.set_permissions(permissions);
    rows!(found, "File::set_permissions", future::<io::Result<()>, _, _>(permissions);
        Send, Sync, Unpin, UnwindSafe, RefUnwindSafe);
    found
}
