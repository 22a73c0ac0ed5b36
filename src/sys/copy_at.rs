//! Making directories, links and FIFOs of a copy in open directories, in blocking calls. Nothing follows a link that
//! somebody put there, and nothing is given away that somebody put there under a temporary name.
#![allow(
    clippy::disallowed_methods,
    reason = "this is where blocking calls live"
)]

use std::ffi::{CStr, OsString};
use std::fs::{File, Metadata, Permissions};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use nix::fcntl::{AtFlags, OFlag, openat, readlinkat};
use nix::sys::stat::{FchmodatFlags, Mode, UtimensatFlags, fchmodat, futimens, mkdirat, utimensat};
use nix::sys::time::TimeSpec;
use nix::unistd::{Gid, Uid, UnlinkatFlags, fchownat, linkat, symlinkat, unlinkat};

use super::blocking::stat_at;
use super::copy::{Preserve, Warning};
use super::copy_meta::Onto;
use super::copy_temp::Temp;
use super::fd::with_file;
use super::path::as_path;
use super::stat::{Stamp, Stat, kind};
use super::walking::{self, Times};
use crate::base::errno::retry;

/// What `mkdir` says of what is there and is no directory.
pub(crate) const EXISTS: i32 = libc::EEXIST;

/// Whether an open said that it is no directory. The last is FreeBSD's word for a link.
pub(crate) fn is_no_dir(errno: i32) -> bool {
    [libc::ENOTDIR, libc::ELOOP, libc::EMLINK].contains(&errno)
}

/// Whether the process may do everything.
pub(crate) fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// Removes what is no directory.
pub(crate) fn remove(dir: BorrowedFd<'_>, name: &CStr) -> io::Result<()> {
    retry(|| Ok(unlinkat(dir, name, UnlinkatFlags::NoRemoveDir)?))
}

/// The same of what may not be there, about which some filesystems say something else: that they are read only.
pub(crate) fn remove_if_there(dir: BorrowedFd<'_>, name: &CStr) -> io::Result<()> {
    let is_missing = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
    match remove(dir, name) {
        Err(error) if is_missing(&error) => Ok(()),
        Err(error) => match stat_at(dir, name, false) {
            Err(other) if is_missing(&other) => Ok(()),
            _ => Err(error),
        },
        removed => removed,
    }
}

/// The same in a directory that may have its times already, and keeps them.
pub(crate) fn remove_later(dir: BorrowedFd<'_>, name: &CStr) -> io::Result<()> {
    let before = super::blocking::stat_fd(dir);
    remove_if_there(dir, name)?;
    if let Ok(before) = before {
        let (accessed, modified) = (time(before.accessed), time(before.modified));
        retry(|| Ok(futimens(dir, &accessed, &modified)?))?;
    }
    Ok(())
}

/// Makes a directory that its user alone may use. Whether there was none.
pub(crate) fn make_dir(dir: BorrowedFd<'_>, name: &CStr) -> io::Result<bool> {
    let mode = Mode::from_bits_truncate(0o700);
    match retry(|| Ok(mkdirat(dir, name, mode)?)) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        made => made.map(|()| true),
    }
}

/// Whether a directory that was just made is on a disk, lets nobody else in, and hands no list of access down to what is made
/// in it. It may be another one, where somebody who may do that has put it there.
pub(crate) fn is_private(dir: BorrowedFd<'_>) -> bool {
    let is_ours = super::copy_left::is_own(dir, 0o077);
    let is_bare = || with_file(dir, |dir| Ok(super::xattr_open::is_bare(dir)));
    let is_local = || walking::magic(dir).is_ok_and(|magic| !walking::is_remote(magic));
    is_ours.unwrap_or(false) && is_local() && is_bare().unwrap_or(false)
}

/// Lets its owner into a directory that may not be opened, unless it is none.
pub(crate) fn let_in(dir: BorrowedFd<'_>, name: &CStr) -> io::Result<()> {
    let there = stat_at(dir, name, false)?;
    if !there.is_dir() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    let mode = Mode::from_bits_truncate((there.mode & 0o7777 | 0o700) as libc::mode_t);
    retry(|| Ok(fchmodat(dir, name, mode, FchmodatFlags::NoFollowSymlink)?))
}

/// The same for one that is open.
pub(crate) fn let_in_open(dir: BorrowedFd<'_>, there: &Stat) -> io::Result<()> {
    let mode = there.mode & 0o7777 | 0o700;
    with_file(dir, |dir| dir.set_permissions(Permissions::from_mode(mode)))
}

/// Carries all metadata of one open directory over to another; returns what could not be.
pub(crate) fn finish_dir(
    from: BorrowedFd<'_>,
    before: &Metadata,
    to: BorrowedFd<'_>,
    preserve: Preserve,
) -> io::Result<Vec<Warning>> {
    with_file(from, |from| {
        with_file(to, |to| {
            let mut onto = Onto::new(to, super::copy_meta::look_at(to)?);
            onto.carry_all(from, before, preserve);
            Ok(onto.warnings)
        })
    })
}

/// The same as far as it goes for a directory that may not be opened, by its name.
pub(crate) fn finish_unopened(
    (dir, name): (BorrowedFd<'_>, &CStr),
    to: BorrowedFd<'_>,
    preserve: Preserve,
) -> io::Result<Vec<Warning>> {
    let source = Named::open(dir, name)?;
    let found = &source.stat;
    if !found.is_dir() {
        return Err(swapped());
    }
    with_file(to, |to| {
        let target = super::copy_meta::look_at(to)?;
        let mut warnings = Vec::new();
        let mut has_owner = owners(found) == owners(&target);
        if preserve.owner && !has_owner {
            let set = || std::os::unix::fs::fchown(to, Some(found.uid), Some(found.gid));
            let set = retry(set);
            has_owner = set.is_ok();
            note(&mut warnings, "set_owner", set);
        }
        let mode = found.mode & if has_owner { 0o7777 } else { 0o1777 };
        let mode = source.mode_beside_list(mode, (dir, name), to, &mut warnings);
        let set = retry(|| to.set_permissions(Permissions::from_mode(mode)));
        note(&mut warnings, "set_permissions", set);
        if preserve.times {
            let set = retry(|| Ok(futimens(to, &time(found.accessed), &time(found.modified))?));
            note(&mut warnings, "set_times", set);
        }
        Ok(warnings)
    })
}

fn owners(of: &Stat) -> (u32, u32) {
    (of.uid, of.gid)
}

fn time(stamp: Stamp) -> TimeSpec {
    TimeSpec::new(stamp.seconds as _, stamp.nanos as _)
}

/// The attributes of an open directory, as they are carried over.
pub(crate) fn metadata(dir: BorrowedFd<'_>) -> io::Result<Metadata> {
    with_file(dir, |dir| retry(|| dir.metadata()))
}

/// When an open directory was changed.
pub(crate) fn times_of(dir: &Metadata) -> Times {
    let stamp = |seconds, nanos: i64| Stamp {
        seconds,
        nanos: nanos as u32,
    };
    (
        stamp(dir.mtime(), dir.mtime_nsec()),
        stamp(dir.ctime(), dir.ctime_nsec()),
    )
}

/// Whether the kernel makes up what is in a directory, and its times.
pub(crate) fn is_made_up(dir: BorrowedFd<'_>) -> bool {
    with_file(dir, |dir| Ok(super::copy_data::is_pseudo(dir))).unwrap_or(false)
}

/// Has the disk take the names in a directory. Some filesystems have no such thing.
pub(crate) fn sync_dir(dir: BorrowedFd<'_>) -> io::Result<()> {
    match with_file(dir, File::sync_all) {
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(()),
        synced => synced,
    }
}

/// Something that is to have a name of two directories' sides.
#[derive(Clone, Copy)]
pub(crate) struct Twin<'a> {
    pub(crate) from: BorrowedFd<'a>,
    pub(crate) from_name: &'a CStr,
    pub(crate) to: BorrowedFd<'a>,
    pub(crate) name: &'a CStr,
    /// What it is called until it is whole.
    pub(crate) temporary: &'a Path,
    /// Whether what has the name stays.
    pub(crate) create_new: bool,
}

/// Copies a symbolic link.
pub(crate) fn copy_link(twin: Twin<'_>, preserve: Preserve) -> io::Result<Vec<Warning>> {
    let source = Named::open(twin.from, twin.from_name)?;
    let target = source.target((twin.from, twin.from_name))?;
    retry(|| Ok(symlinkat(target.as_os_str(), twin.to, twin.temporary)?))?;
    let temp = Temp::of(twin.to, twin.temporary);
    let mut warnings = carry(&source, twin, preserve)?;
    let how = (twin.create_new, false);
    temp.publish((twin.to, as_path(twin.name)), how, &mut warnings)?;
    Ok(warnings)
}

/// Copies a FIFO, which may take the place of one.
pub(crate) fn copy_fifo(twin: Twin<'_>, preserve: Preserve) -> io::Result<Vec<Warning>> {
    let source = Named::open(twin.from, twin.from_name)?;
    make_fifo(twin)?;
    let temp = Temp::of(twin.to, twin.temporary).of_fifo();
    let mut warnings = carry(&source, twin, preserve)?;
    let set = set_mode(twin, &source, &mut warnings);
    note(&mut warnings, "set_permissions", set);
    let how = (twin.create_new, false);
    temp.publish((twin.to, as_path(twin.name)), how, &mut warnings)?;
    Ok(warnings)
}

#[cfg(any(target_os = "linux", target_os = "freebsd"))]
fn make_fifo(twin: Twin<'_>) -> io::Result<()> {
    let mode = Mode::from_bits_truncate(0o600);
    retry(|| Ok(nix::unistd::mkfifoat(twin.to, twin.temporary, mode)?))
}

#[cfg(not(any(target_os = "linux", target_os = "freebsd")))]
fn make_fifo(_: Twin<'_>) -> io::Result<()> {
    Err(crate::base::errno::unsupported())
}

/// Gives what has a name in one directory one in another, if it is that file still.
pub(crate) fn link(
    made: (BorrowedFd<'_>, &CStr),
    id: (u64, u64),
    twin: Twin<'_>,
) -> io::Result<Vec<Warning>> {
    let link = || linkat(made.0, made.1, twin.to, twin.temporary, AtFlags::empty());
    retry(|| Ok(link()?))?;
    let mut temp = Temp::of(twin.to, twin.temporary);
    let name = super::path::c_path(twin.temporary)?;
    let there = stat_at(twin.to, &name, false)?;
    if (there.dev, there.ino) != id {
        return Err(swapped());
    }
    if there.type_bits() == kind::FIFO {
        temp = temp.of_fifo();
    }
    let mut warnings = Vec::new();
    let how = (twin.create_new, false);
    temp.publish((twin.to, as_path(twin.name)), how, &mut warnings)?;
    Ok(warnings)
}

/// Something else has the name by now.
fn swapped() -> io::Error {
    io::ErrorKind::StaleNetworkFileHandle.into()
}

fn note(warnings: &mut Vec<Warning>, operation: &'static str, result: io::Result<()>) {
    if let Err(error) = result {
        warnings.push((operation, error));
    }
}

/// What is no file and no directory, held without being opened for anything.
pub(super) struct Named {
    #[cfg(target_os = "linux")]
    file: File,
    pub(super) stat: Stat,
}

#[cfg(target_os = "linux")]
impl Named {
    pub(super) fn open(dir: BorrowedFd<'_>, name: &CStr) -> io::Result<Named> {
        let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let file: File = retry(|| Ok(openat(dir, name, flags, Mode::empty())?))?.into();
        let stat = super::blocking::stat_fd(file.as_fd())?;
        Ok(Named { file, stat })
    }

    /// Where a link leads.
    pub(super) fn target(&self, _: (BorrowedFd<'_>, &CStr)) -> io::Result<OsString> {
        retry(|| Ok(readlinkat(&self.file, c"")?))
    }

    fn set_owner(&self, of: &Stat, _: Twin<'_>) -> io::Result<()> {
        let (uid, gid) = (Some(Uid::from_raw(of.uid)), Some(Gid::from_raw(of.gid)));
        retry(|| Ok(fchownat(&self.file, c"", uid, gid, AtFlags::AT_EMPTY_PATH)?))
    }

    fn carry_xattrs(&self, source: &Named, twin: Twin<'_>, warnings: &mut Vec<Warning>) {
        let same_owner = (self.stat.uid, self.stat.gid) == (source.stat.uid, source.stat.gid);
        let (from, to) = (source.proc_path(), self.proc_path());
        if super::copy_meta::onto_held((&from, &to), same_owner, warnings).is_none()
            && super::xattr::are_some_at(twin.from, twin.from_name) != Some(false)
        {
            // There is no other way to those of what is not open, and by its name it may be another file by now.
            let error = io::Error::from_raw_os_error(crate::base::errno::EOPNOTSUPP);
            warnings.push(("set_xattr", error));
        }
    }

    /// Where what is held can be named, if there is a /proc.
    fn proc_path(&self) -> std::ffi::CString {
        use std::os::fd::AsRawFd;
        let path = format!("/proc/self/fd/{}", self.file.as_raw_fd());
        std::ffi::CString::new(path).unwrap_or_default()
    }

    fn mode_beside_list(
        &self,
        mode: u32,
        at: (BorrowedFd<'_>, &CStr),
        made: &File,
        warnings: &mut Vec<Warning>,
    ) -> u32 {
        let path = self.proc_path();
        let of_source = |name: &CStr| match super::xattr::get(&path, name, true) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(self.without_proc(at)),
            list => list,
        };
        let of_target = |name: &CStr| super::xattr_open::get(made, name);
        let beside = super::copy_meta::mode_beside_list(mode, of_source, of_target);
        note(warnings, super::copy_meta::GET_XATTR, beside.found);
        beside.bits
    }

    /// What to say of one of its attributes where there is no /proc: that there is none, if the kernel says by its name that
    /// it has none at all, and it still is what has the name.
    fn without_proc(&self, (dir, name): (BorrowedFd<'_>, &CStr)) -> io::Error {
        let has_none = super::xattr::are_some_at(dir, name) == Some(false);
        let is_it =
            |named: &Named| (named.stat.dev, named.stat.ino) == (self.stat.dev, self.stat.ino);
        if has_none && Named::open(dir, name).is_ok_and(|named| is_it(&named)) {
            return io::Error::from_raw_os_error(crate::base::errno::ENODATA);
        }
        let what = "its access list can be looked at by way of /proc alone, which is not mounted";
        io::Error::new(io::ErrorKind::PermissionDenied, what)
    }

    /// All attributes, as far as there is a way to them.
    pub(super) fn xattrs(&self) -> io::Result<super::compare_at::Xattrs> {
        use super::xattr;
        let path = self.proc_path();
        let list = || match xattr::list(&path, true) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            listed => listed,
        };
        super::compare_at::gather(list, |name| xattr::get(&path, name, true))
    }
}

#[cfg(not(target_os = "linux"))]
impl Named {
    pub(super) fn open(dir: BorrowedFd<'_>, name: &CStr) -> io::Result<Named> {
        let stat = stat_at(dir, name, false)?;
        Ok(Named { stat })
    }

    pub(super) fn target(&self, (dir, name): (BorrowedFd<'_>, &CStr)) -> io::Result<OsString> {
        retry(|| Ok(readlinkat(dir, name)?))
    }

    fn set_owner(&self, of: &Stat, twin: Twin<'_>) -> io::Result<()> {
        let (uid, gid) = (Some(Uid::from_raw(of.uid)), Some(Gid::from_raw(of.gid)));
        let (dir, name) = (twin.to, twin.temporary);
        retry(|| Ok(fchownat(dir, name, uid, gid, AtFlags::AT_SYMLINK_NOFOLLOW)?))
    }

    fn carry_xattrs(&self, _: &Named, _: Twin<'_>, _: &mut Vec<Warning>) {}

    fn mode_beside_list(
        &self,
        mode: u32,
        _: (BorrowedFd<'_>, &CStr),
        _: &File,
        _: &mut Vec<Warning>,
    ) -> u32 {
        mode
    }

    pub(super) fn xattrs(&self) -> io::Result<super::compare_at::Xattrs> {
        Ok(super::compare_at::Xattrs::new())
    }
}

/// Owner, attributes and times. What somebody has put into its place is not of its kind, or is a link of his own.
fn carry(source: &Named, twin: Twin<'_>, preserve: Preserve) -> io::Result<Vec<Warning>> {
    let mut made = Named::open(twin.to, &super::path::c_path(twin.temporary)?)?;
    let before = &source.stat;
    if made.stat.type_bits() != before.type_bits() {
        return Err(swapped());
    }
    let mut warnings = Vec::new();
    if preserve.owner && (made.stat.uid, made.stat.gid) != (before.uid, before.gid) {
        let set = made.set_owner(before, twin);
        if set.is_ok() {
            (made.stat.uid, made.stat.gid) = (before.uid, before.gid);
        }
        note(&mut warnings, "set_owner", set);
    }
    if preserve.xattrs {
        made.carry_xattrs(source, twin, &mut warnings);
    }
    if preserve.times {
        let (accessed, modified) = (time(before.accessed), time(before.modified));
        let flags = UtimensatFlags::NoFollowSymlink;
        let set = || utimensat(twin.to, twin.temporary, &accessed, &modified, flags);
        note(&mut warnings, "set_times", retry(|| Ok(set()?)));
    }
    Ok(warnings)
}

/// The mode of a FIFO, opened for that as nobody knows its name. What somebody put into its place is no FIFO, or his.
fn set_mode(twin: Twin<'_>, source: &Named, warnings: &mut Vec<Warning>) -> io::Result<()> {
    let before = &source.stat;
    let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let opened = retry(|| Ok(openat(twin.to, twin.temporary, flags, Mode::empty())?))?;
    let there = super::blocking::stat_fd(opened.as_fd())?;
    if there.type_bits() != before.type_bits() {
        return Err(swapped());
    }
    let is_owners = (there.uid, there.gid) == (before.uid, before.gid);
    let mode = before.mode & if is_owners { 0o7777 } else { 0o1777 };
    let made = File::from(opened);
    let mode = source.mode_beside_list(mode, (twin.from, twin.from_name), &made, warnings);
    made.set_permissions(Permissions::from_mode(mode))
}
