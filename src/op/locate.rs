//! Which mount a path is on, without sleeping: the kernel's cached lookup says, also through symbolic
//! links, and where the path itself is not cached its nearest cached parent is. Where the kernel cannot be
//! asked, the name decides.

use std::ffi::CStr;
use std::sync::Arc;

use super::file::SharedFile;
use crate::driver::Driver;
use crate::mounts::{self, Mount};
use crate::opcode::Kind;
use crate::sys::path::as_path;

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
    use std::ffi::CString;
    if let Some(mount) = mount_of(driver, dir, path, follow) {
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
    use std::os::fd::AsFd;

    use crate::driver::attempt::attempt;
    use crate::sys::linux::nowait::{open_path_cached, open_path_cached_at};

    attempt(None, || {
        let fd = match dir {
            Some(dir) => open_path_cached_at(dir.as_fd(), path, follow),
            None => open_path_cached(path, follow),
        };
        let fd = fd.ok()?;
        let (stat, mount) = mounts::of_fd(fd.as_fd()).ok()?;
        let mount = mount.unwrap_or_else(|| super::meta::learn_later(driver, stat.clone()));
        super::close::close_path(driver, fd, &stat, &mount);
        Some(if stat.is_special() {
            Mount::of_peers()
        } else {
            mount
        })
    })?
}

/// The mount of what the path leads to, if the kernel has all of the way there in memory.
#[cfg(target_os = "linux")]
pub(super) fn locate_surely(driver: &Arc<Driver>, path: &CStr) -> Option<Arc<Mount>> {
    mount_of(driver, None, path, true)
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
