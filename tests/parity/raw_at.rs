//! The calls that take an open directory, by system call: the reference for `Dir`.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use tidegate::fs::RenameMode;

use crate::raw::{c, check};

fn c_path(path: &Path) -> io::Result<CString> {
    c(path.as_os_str().as_bytes())
}

pub(crate) fn create_dir(dir: &File, path: &Path) -> io::Result<()> {
    let path = c_path(path)?;
    // SAFETY: the path is terminated.
    check(unsafe { libc::mkdirat(dir.as_raw_fd(), path.as_ptr(), 0o777) } as isize).map(drop)
}

pub(crate) fn remove(dir: &File, path: &Path, directory: bool) -> io::Result<()> {
    let path = c_path(path)?;
    let flags = if directory { libc::AT_REMOVEDIR } else { 0 };
    // SAFETY: the path is terminated.
    check(unsafe { libc::unlinkat(dir.as_raw_fd(), path.as_ptr(), flags) } as isize).map(drop)
}

pub(crate) fn rename(dir: &File, from: &Path, to: &Path, mode: RenameMode) -> io::Result<()> {
    let (dir, from, to) = (dir.as_raw_fd(), c_path(from)?, c_path(to)?);
    let flags = match mode {
        RenameMode::Exchange => libc::RENAME_EXCHANGE,
        RenameMode::NoReplace => libc::RENAME_NOREPLACE,
        RenameMode::Whiteout => libc::RENAME_WHITEOUT,
        _ => 0,
    };
    let number = libc::SYS_renameat2;
    // SAFETY: both paths are terminated.
    check(unsafe { libc::syscall(number, dir, from.as_ptr(), dir, to.as_ptr(), flags) } as isize)
        .map(drop)
}

pub(crate) fn hard_link(dir: &File, original: &Path, link: &Path) -> io::Result<()> {
    let (dir, original, link) = (dir.as_raw_fd(), c_path(original)?, c_path(link)?);
    // SAFETY: both paths are terminated.
    check(unsafe { libc::linkat(dir, original.as_ptr(), dir, link.as_ptr(), 0) } as isize).map(drop)
}

pub(crate) fn symlink(dir: &File, original: &Path, link: &Path) -> io::Result<()> {
    let (dir, original, link) = (dir.as_raw_fd(), c_path(original)?, c_path(link)?);
    // SAFETY: both paths are terminated.
    check(unsafe { libc::symlinkat(original.as_ptr(), dir, link.as_ptr()) } as isize).map(drop)
}

pub(crate) fn read_link(dir: &File, path: &Path) -> io::Result<PathBuf> {
    let (path, mut value) = (c_path(path)?, vec![0u8; 8192]);
    let (start, room) = (value.as_mut_ptr().cast(), value.len());
    // SAFETY: the path is terminated, and the value has the room that is given.
    let length = check(unsafe { libc::readlinkat(dir.as_raw_fd(), path.as_ptr(), start, room) })?;
    value.truncate(length);
    Ok(std::ffi::OsString::from_vec(value).into())
}

/// Opens with restrictions, or without and by the older call.
pub(crate) fn open(dir: &File, path: &Path, flags: i32, resolve: u64) -> io::Result<File> {
    let path = c_path(path)?;
    let flags = flags | libc::O_CLOEXEC;
    let creates = flags & (libc::O_CREAT | libc::O_TMPFILE & !libc::O_DIRECTORY) != 0;
    let mode = if creates { 0o640 } else { 0 };
    let (dir, path) = (dir.as_raw_fd(), path.as_ptr());
    let how = [flags as u64, mode, resolve];
    let number = match resolve {
        // SAFETY: the path is terminated.
        0 => unsafe { libc::openat(dir, path, flags, mode as libc::c_uint) as isize },
        // SAFETY: the path is terminated, and the structure is three numbers.
        _ => unsafe { libc::syscall(libc::SYS_openat2, dir, path, how.as_ptr(), 24) as isize },
    };
    let number = check(number)?;
    // SAFETY: the descriptor was just made.
    Ok(unsafe { File::from_raw_fd(number as i32) })
}

/// The attributes that the table compares, in its words.
pub(crate) fn attributes(dir: &File, path: &Path) -> io::Result<String> {
    let path = c_path(path)?;
    // SAFETY: every field of the structure is an integer, for which zero is a value.
    let mut found: libc::stat = unsafe { std::mem::zeroed() };
    // SAFETY: the path is terminated, and the structure is the one that the call fills.
    check(unsafe { libc::fstatat(dir.as_raw_fd(), path.as_ptr(), &raw mut found, 0) } as isize)?;
    let is_dir = found.st_mode & libc::S_IFMT == libc::S_IFDIR;
    let size = if is_dir { 0 } else { found.st_size };
    let (mode, links, rdev) = (found.st_mode, found.st_nlink, found.st_rdev);
    let (uid, gid) = (found.st_uid, found.st_gid);
    Ok(format!(
        "{mode:o} links {links} of {uid}:{gid} device {rdev} size {size}"
    ))
}
