//! The functions, with each kind of path.

use std::borrow::Cow;
use std::ffi::{OsStr, OsString};
use std::fs::{Metadata, Permissions};
use std::io;
use std::marker::Unpin;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::path::{Path, PathBuf};

use super::fs;
use crate::{Row, future};

type Two = (PathBuf, &'static Path);

pub(crate) fn futures() -> Vec<Row> {
    let mut found = Vec::new();
    macro_rules! of_future {
        ($($name:ident: $output:ty = |$argument:ident: $type:ty| $call:expr;)+) => {$(
            rows!(found, stringify!($name), future::<$output, $type, _>(|$argument: $type| $call);
                Send, Sync, Unpin, UnwindSafe, RefUnwindSafe);
        )+};
    }
    of_future! {
        canonicalize: io::Result<PathBuf> = |path: &'static str| fs::canonicalize(path);
        copy: io::Result<u64> = |paths: Two| fs::copy(paths.0, paths.1);
        create_dir: io::Result<()> = |path: &'static Path| fs::create_dir(path);
        create_dir_all: io::Result<()> = |path: &'static Path| fs::create_dir_all(path);
        hard_link: io::Result<()> = |paths: Two| fs::hard_link(paths.0, paths.1);
        metadata: io::Result<Metadata> = |path: String| fs::metadata(path);
        read: io::Result<Vec<u8>> = |path: OsString| fs::read(path);
        read: io::Result<Vec<u8>> = |path: &'static OsStr| fs::read(path);
        read: io::Result<Vec<u8>> = |path: Cow<'static, OsStr>| fs::read(path);
        read: io::Result<Vec<u8>> = |path: Box<Path>| fs::read(path);
        read: io::Result<Vec<u8>> = |path: &'static PathBuf| fs::read(path);
        read: io::Result<Vec<u8>> = |path: &'static &'static String| fs::read(path);
        read_dir: io::Result<fs::ReadDir> = |path: &'static Path| fs::read_dir(path);
        read_link: io::Result<PathBuf> = |path: &'static Path| fs::read_link(path);
        read_to_string: io::Result<String> = |path: &'static Path| fs::read_to_string(path);
        remove_dir: io::Result<()> = |path: &'static Path| fs::remove_dir(path);
        remove_dir_all: io::Result<()> = |path: &'static Path| fs::remove_dir_all(path);
        remove_file: io::Result<()> = |path: &'static Path| fs::remove_file(path);
        rename: io::Result<()> = |paths: Two| fs::rename(paths.0, paths.1);
        set_permissions: io::Result<()> =
            |both: (&'static Path, Permissions)| fs::set_permissions(both.0, both.1);
        symlink: io::Result<()> = |paths: Two| fs::symlink(paths.0, paths.1);
        symlink_metadata: io::Result<Metadata> = |path: &'static Path| fs::symlink_metadata(path);
        try_exists: io::Result<bool> = |path: &'static Path| fs::try_exists(path);
        write: io::Result<()> = |text: &'static str| fs::write("path", text);
        write: io::Result<()> = |bytes: Vec<u8>| fs::write("path", bytes);
        write: io::Result<()> = |bytes: &'static [u8; 3]| fs::write("path", bytes);
        write: io::Result<()> = |bytes: bytes::Bytes| fs::write("path", bytes);
        write: io::Result<()> = |bytes: &'static Vec<u8>| fs::write("path", bytes);
    }
    found
}
