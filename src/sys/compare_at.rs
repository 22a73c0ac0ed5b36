//! Comparing an entry of one open directory with its copy in another, in blocking calls. Nothing is followed, and what
//! is compared is what was opened.
#![allow(
    clippy::disallowed_methods,
    reason = "this is where blocking calls live"
)]

use std::collections::BTreeMap;
use std::ffi::{CStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;

use super::copy::open_to_read;
use super::copy_at::Named;
use super::copy_data::{Flow, is_pseudo};
use super::copy_meta::{self, Preserve};
use super::fd::with_file;
use super::kept_time;
use super::path::as_path;
use super::stat::{Stat, kind};
use super::xattr_open;
use crate::base::errno::retry;
use crate::limits::COPY_BUFFER_BYTES;

/// What has to be the same of both.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Alike {
    pub(crate) preserve: Preserve,
    /// Whether the copy may lack attributes that the source has.
    pub(crate) may_lack_xattrs: bool,
}

/// Two entries that should be the same.
#[derive(Clone, Copy)]
pub(crate) struct Pair<'a> {
    pub(crate) from: (BorrowedFd<'a>, &'a CStr),
    pub(crate) to: (BorrowedFd<'a>, &'a CStr),
}

/// What a comparison comes to.
#[derive(Debug)]
pub(crate) enum Compared {
    /// They are the same, with so many bytes of content.
    Same(Stat, u64),
    /// The first difference, in words.
    Differs(String),
}

impl Compared {
    fn differs(text: impl Into<String>) -> Compared {
        Compared::Differs(text.into())
    }
}

/// Compares two entries that are no directories.
pub(crate) fn compare(
    pair: Pair<'_>,
    kind: u32,
    alike: Alike,
    flow: &Flow<'_>,
) -> io::Result<Compared> {
    if kind == kind::FILE {
        return compare_files(pair, alike, flow);
    }
    let [from, to] = [pair.from, pair.to].map(|(dir, name)| Named::open(dir, name));
    let (from, to) = (from?, to?);
    if let Some(text) = differing(&from.stat, &to.stat, alike, None) {
        return Ok(Compared::Differs(text));
    }
    if kind == kind::SYMLINK && from.target(pair.from)? != to.target(pair.to)? {
        return Ok(Compared::differs("the link points elsewhere in the copy"));
    }
    if alike.preserve.xattrs && !same_xattrs(&from.xattrs()?, &to.xattrs()?, alike) {
        return Ok(Compared::differs(OTHER_XATTRS));
    }
    Ok(Compared::Same(to.stat, 0))
}

const OTHER_XATTRS: &str = "the extended attributes differ in the copy";

/// Compares what is known of two open directories, and not what is in them.
pub(crate) fn compare_dirs(
    from: BorrowedFd<'_>,
    to: BorrowedFd<'_>,
    alike: Alike,
) -> io::Result<Compared> {
    with_file(from, |from| {
        with_file(to, |to| {
            let stats = (stat_of(from)?, stat_of(to)?);
            compare_open((from, &stats.0), (to, stats.1), alike)
        })
    })
}

fn stat_of(file: &File) -> io::Result<Stat> {
    super::blocking::stat_fd(file.as_fd())
}

fn compare_open(
    (from, found): (&File, &Stat),
    (to, made): (&File, Stat),
    alike: Alike,
) -> io::Result<Compared> {
    if let Some(text) = differing(found, &made, alike, Some((from, to))) {
        return Ok(Compared::Differs(text));
    }
    if alike.preserve.xattrs && !same_xattrs(&xattrs_of(from)?, &xattrs_of(to)?, alike) {
        return Ok(Compared::differs(OTHER_XATTRS));
    }
    Ok(Compared::Same(made, 0))
}

fn compare_files(pair: Pair<'_>, alike: Alike, flow: &Flow<'_>) -> io::Result<Compared> {
    let from = open_to_read(pair.from.0, as_path(pair.from.1), false)?;
    let found = stat_of(&from)?;
    let to = match open_to_read(pair.to.0, as_path(pair.to.1), false) {
        // A link, or what cannot be opened at all.
        Err(error) => {
            let made = super::blocking::stat_at(pair.to.0, pair.to.1, false)?;
            return match differing(&found, &made, alike, None) {
                Some(text) => Ok(Compared::Differs(text)),
                None => Err(error),
            };
        }
        to => to?,
    };
    let made = stat_of(&to)?;
    let made = match compare_open((&from, &found), (&to, made), alike)? {
        Compared::Same(made, _) if found.type_bits() == kind::FILE => made,
        compared => return Ok(compared),
    };
    match same_content(&from, &to, flow)? {
        Some(bytes) => Ok(Compared::Same(made, bytes)),
        None => Ok(Compared::differs(
            "the content differs from its copy; do not trust it, and check memory and disk",
        )),
    }
}

/// Reads both to their ends; how much that is, where nothing differs.
fn same_content(from: &File, to: &File, flow: &Flow<'_>) -> io::Result<Option<u64>> {
    let mut buffers = [Vec::new(), Vec::new()];
    let mut at = 0;
    loop {
        flow.check()?;
        let [left, right] = &mut buffers;
        // Growing, as most files are small.
        let want = (left.len() * 4).clamp(16 << 10, COPY_BUFFER_BYTES);
        left.resize(want, 0);
        right.resize(want, 0);
        let read = read_full(from, left, at)?;
        if read != read_full(to, right, at)? || left[..read] != right[..read] {
            return Ok(None);
        }
        at += read as u64;
        flow.moved(read as u64);
        if read < want {
            return Ok(Some(at));
        }
    }
}

/// Reads until the buffer is full or the file at its end.
pub(super) fn read_full(file: &File, buffer: &mut [u8], at: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match retry(|| file.read_at(&mut buffer[filled..], at + filled as u64))? {
            0 => break,
            read => filled += read,
        }
    }
    Ok(filled)
}

/// What `stat` says that is not the same of both.
fn differing(
    found: &Stat,
    made: &Stat,
    alike: Alike,
    open: Option<(&File, &File)>,
) -> Option<String> {
    let what = match found.type_bits() {
        kind::DIRECTORY => "directory",
        kind::SYMLINK => "link",
        kind::FIFO => "FIFO",
        _ => "file",
    };
    let how = differs_how(found, made, alike, open)?;
    Some(format!("the {what} differs from its copy: {how}"))
}

fn differs_how(
    found: &Stat,
    made: &Stat,
    alike: Alike,
    open: Option<(&File, &File)>,
) -> Option<String> {
    if found.type_bits() != made.type_bits() {
        return Some("it is of another kind".into());
    }
    let is_file = found.type_bits() == kind::FILE;
    let is_made_up = || open.is_some_and(|(from, _)| is_pseudo(from));
    if is_file && found.size != made.size && !is_made_up() {
        return Some(format!("{} bytes, {} in the copy", found.size, made.size));
    }
    let owners = |of: &Stat| (of.uid, of.gid);
    if alike.preserve.owner && owners(found) != owners(made) {
        let ((a, b), (c, d)) = (owners(found), owners(made));
        return Some(format!("owner {a}:{b}, {c}:{d} in the copy"));
    }
    if found.type_bits() != kind::SYMLINK {
        let mode = |of: &Stat| of.mode & 0o7777;
        let modes = format!("mode {:o}, {:o} in the copy", mode(found), mode(made));
        match is_mode_right(found, made, open) {
            Ok(true) => {}
            Ok(false) => return Some(modes),
            Err(error) => return Some(format!("{modes}, and its access list: {error}")),
        }
    }
    let at = |of: &Stat| (of.modified.seconds, of.modified.nanos.into());
    if alike.preserve.times && !kept_time::is_kept(at(found), at(made)) {
        return Some("the modification time".into());
    }
    None
}

/// Whether the mode is the one that a copy with that owner gets.
fn is_mode_right(found: &Stat, made: &Stat, open: Option<(&File, &File)>) -> io::Result<bool> {
    let (mode, there) = (found.mode & 0o7777, made.mode & 0o7777);
    if mode == there {
        return Ok(true);
    }
    let is_owners = (found.uid, found.gid) == (made.uid, made.gid);
    let mode = if is_owners { mode } else { mode & 0o1777 };
    let Some((from, to)) = open else {
        return Ok(mode == there);
    };
    let beside = copy_meta::mode_beside_list(
        mode,
        |name| xattr_open::get(from, name),
        |name| xattr_open::get(to, name),
    );
    beside.found.map(|()| beside.bits == there)
}

pub(super) type Xattrs = BTreeMap<OsString, Vec<u8>>;

/// All extended attributes that a copy carries over, by the calls that are given.
pub(super) fn gather(
    list: impl FnOnce() -> io::Result<Vec<OsString>>,
    get: impl Fn(&CStr) -> io::Result<Vec<u8>>,
) -> io::Result<Xattrs> {
    let names = match list() {
        Err(error) if super::xattr::are_never(&error) => return Ok(Xattrs::new()),
        listed => listed?,
    };
    let mut all = Xattrs::new();
    let is_of_copy =
        |name: &OsString| name != "security.selinux" && !super::xattr::is_alias(name.as_bytes());
    for name in names.into_iter().filter(is_of_copy) {
        let c_name = std::ffi::CString::new(name.as_bytes())?;
        match get(&c_name) {
            Ok(value) => drop(all.insert(name, value)),
            Err(error) if super::xattr::is_absent(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(all)
}

fn xattrs_of(file: &File) -> io::Result<Xattrs> {
    gather(
        || xattr_open::list(file),
        |name| xattr_open::get(file, name),
    )
}

/// What the copy may lack was said when it was set.
fn same_xattrs(found: &Xattrs, made: &Xattrs, alike: Alike) -> bool {
    let lacks = |name| alike.may_lack_xattrs && !made.contains_key(name);
    let is_there = |(name, value)| made.get(name) == Some(value) || lacks(name);
    found.iter().all(is_there) && made.keys().all(|name| found.contains_key(name))
}
