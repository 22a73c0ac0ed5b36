//! Which mount a path is on, without sleeping: the kernel's cached lookup says, also through symbolic
//! links, and where the path itself is not cached its nearest cached parent is. Where the kernel cannot be
//! asked, the name decides.

use std::cell::RefCell;
use std::ffi::{CStr, CString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use super::at::At;
use super::file::SharedFile;
use crate::base::clock::coarse_ms;
use crate::base::fork::Born;
use crate::driver::Driver;
use crate::limits;
use crate::mounts::{self, Mount};
use crate::opcode::Kind;
use crate::sys::path::as_path;
#[cfg(target_os = "linux")]
use crate::sys::stat::Stat;

/// What was found last, for what comes next in the same directory: walkers and backups ask for one name after the
/// other. It only chooses the queue, so it may be old by a moment.
struct Hint {
    born: Born,
    directory: Vec<u8>,
    found_ms: u64,
    mount: Arc<Mount>,
}

thread_local! {
    static HINT: RefCell<Option<Hint>> = const { RefCell::new(None) };
}

/// The mount of a directory where this thread has just found it out. Not one that stalls, so that nothing is sent, or
/// refused, there by mistake; and none once the table of mounts has changed.
fn hinted(directory: &[u8]) -> Option<Arc<Mount>> {
    let is_it = |hint: &&Hint| {
        let mount = &hint.mount;
        let age_ms = coarse_ms().saturating_sub(hint.found_ms);
        // In a forked child, the parent's may be locked for ever.
        !hint.born.is_of_parent()
            && hint.directory == directory
            && age_ms <= limits::MOUNT_HINT.as_millis() as u64
            && mount.is_local()
            && mount.is_healthy()
            && mount.is_current()
    };
    let look = |hint: &RefCell<Option<Hint>>| {
        let hint = hint.borrow();
        hint.as_ref().filter(is_it).map(|hint| hint.mount.clone())
    };
    HINT.try_with(look).ok().flatten()
}

fn hint(directory: &[u8], mount: &Arc<Mount>) {
    let hint = Hint {
        born: Born::here(),
        directory: directory.to_vec(),
        found_ms: coarse_ms(),
        mount: mount.clone(),
    };
    let last = HINT.try_with(|last| last.borrow_mut().replace(hint));
    // In a forked child, the parent's is forgotten: to drop it might end it.
    if let Ok(Some(last)) = last {
        if last.born.is_of_parent() {
            std::mem::forget(last);
        }
    }
}

/// The mount whose threads should run an operation on a path that the kernel was just asked for, and does not have in
/// memory: that of its directory. A path to another mount's root, or to a pipe, is in memory while anybody uses it.
pub(super) fn locate_missed(driver: &Arc<Driver>, at: At<'_>) -> io::Result<Arc<Mount>> {
    let path = at.path.as_os_str().as_bytes();
    let directory = parent(path).unwrap_or(path);
    if let (Some(dir), b".") = (at.dir, directory) {
        return Ok(dir.mount());
    }
    let directory = CString::new(directory)?;
    Ok(locate_directory(driver, at.dir, &directory))
}

/// The mount of a path's directory.
fn locate_directory(
    driver: &Arc<Driver>,
    dir: Option<&Arc<SharedFile>>,
    directory: &CStr,
) -> Arc<Mount> {
    let bytes = directory.to_bytes();
    let is_absolute = bytes.starts_with(b"/");
    if let Some(mount) = is_absolute.then(|| hinted(bytes)).flatten() {
        return mount;
    }
    let mount = nearest(driver, dir, directory);
    if is_absolute {
        hint(bytes, &mount);
    }
    mount
}

/// The mount whose lanes should run an operation on the path.
pub(crate) fn locate(driver: &Arc<Driver>, path: &CStr, follow: bool) -> Arc<Mount> {
    locate_at(driver, None, path, follow)
}

/// The same for a path that starts from an open directory.
#[cfg(target_os = "linux")]
pub(super) fn locate_at(
    driver: &Arc<Driver>,
    dir: Option<&Arc<SharedFile>>,
    path: &CStr,
    follow: bool,
) -> Arc<Mount> {
    if let Some(mount) = mount_of(driver, dir, path, follow) {
        return mount;
    }
    match parent(path.to_bytes()).map(CString::new) {
        Some(Ok(directory)) => locate_directory(driver, dir, &directory),
        _ => by_name(driver, dir, path),
    }
}

/// The mount of the path, or else of its nearest parent that the kernel has in memory.
#[cfg(target_os = "linux")]
fn nearest(driver: &Arc<Driver>, dir: Option<&Arc<SharedFile>>, path: &CStr) -> Arc<Mount> {
    if let Some(mount) = mount_of(driver, dir, path, true) {
        return mount;
    }
    let mut bytes = path.to_bytes();
    while let Some(parent) = parent(bytes) {
        bytes = parent;
        let Ok(parent) = CString::new(parent) else {
            break;
        };
        if let Some(mount) = mount_of(driver, dir, &parent, true) {
            return mount;
        }
    }
    by_name(driver, dir, path)
}

#[cfg(not(target_os = "linux"))]
pub(super) fn locate_at(
    driver: &Arc<Driver>,
    dir: Option<&Arc<SharedFile>>,
    path: &CStr,
    _follow: bool,
) -> Arc<Mount> {
    by_name(driver, dir, path)
}

#[cfg(not(target_os = "linux"))]
use self::by_name as nearest;

/// By the directory, or by the name in the table of mounts: where the kernel has no cached lookup, or a
/// filter forbids it.
fn by_name(driver: &Arc<Driver>, dir: Option<&Arc<SharedFile>>, path: &CStr) -> Arc<Mount> {
    if let Some(dir) = dir {
        return dir.mount();
    }
    let refresh = || driver.chore(Kind::Metadata, mounts::refresh);
    mounts::of_name(as_path(path), refresh).unwrap_or_else(Mount::unknown)
}

/// The directory part of a path; `None` above the root and above the current directory.
fn parent(path: &[u8]) -> Option<&[u8]> {
    let trimmed = path.len() - path.iter().rev().take_while(|&&byte| byte == b'/').count();
    match path[..trimmed].iter().rposition(|&byte| byte == b'/') {
        Some(0) => Some(b"/"),
        Some(slash) => Some(&path[..slash]),
        None if trimmed > 0 && path != b"." => Some(b"."),
        None => None,
    }
}

#[cfg(target_os = "linux")]
fn mount_of(
    driver: &Arc<Driver>,
    dir: Option<&Arc<SharedFile>>,
    path: &CStr,
    follow: bool,
) -> Option<Arc<Mount>> {
    look_at(driver, dir, path, follow).map(|(mount, _)| mount)
}

#[cfg(target_os = "linux")]
fn look_at(
    driver: &Arc<Driver>,
    dir: Option<&Arc<SharedFile>>,
    path: &CStr,
    follow: bool,
) -> Option<(Arc<Mount>, Stat)> {
    use std::os::fd::AsFd;

    use super::close::{close_looked_through, close_path};
    use crate::driver::attempt::attempt;
    use crate::sys::linux::nowait::open_path_cached;

    let mut left = None;
    let found = attempt(None, || {
        let dir = dir.map(|dir| dir.as_fd());
        let fd = open_path_cached(dir, path, follow, 0).ok()?;
        let (stat, mount) = mounts::of_fd(fd.as_fd()).ok()?;
        let mount = mount.unwrap_or_else(|| super::meta::learn_later(driver, stat.clone()));
        left = close_path(driver, fd, &stat, &mount);
        let mount = if stat.is_special() {
            Mount::of_peers()
        } else {
            mount
        };
        Some((mount, stat))
    });
    close_looked_through(driver, left);
    found?
}

/// The mount of what the path leads to, if the kernel has all of the way there in memory, with its attributes.
#[cfg(target_os = "linux")]
pub(super) fn locate_surely(driver: &Arc<Driver>, path: &CStr) -> Option<(Arc<Mount>, Stat)> {
    look_at(driver, None, path, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parents_end_at_the_root_or_here() {
        let chain = |path: &'static str| {
            let mut found = Vec::new();
            let mut at = path.as_bytes();
            while let Some(up) = parent(at) {
                found.push(std::str::from_utf8(up).unwrap());
                at = up;
                assert!(found.len() < 10, "{path} does not end");
            }
            found
        };
        assert_eq!(chain("/a/b/c"), ["/a/b", "/a", "/"]);
        assert_eq!(chain("/a//b/"), ["/a/", "/"]);
        assert_eq!(chain("a/b"), ["a", "."]);
        assert_eq!(chain("a"), ["."]);
        assert_eq!(chain("/"), Vec::<&str>::new());
        assert_eq!(chain(""), Vec::<&str>::new());
    }
}
