//! Files whose content is elsewhere and is fetched when somebody reads it. Only macOS has them as such.
#![cfg_attr(
    target_os = "macos",
    allow(unsafe_code, reason = "asks for a thread's policy and sets it")
)]

use std::ffi::CStr;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::Path;

/// Runs calls by which this thread fetches no content: where that would be needed, they fail.
#[cfg(not(target_os = "macos"))]
pub(crate) fn without_fetching<T>(calls: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    calls()
}

/// Whether a call failed because content was not to be fetched.
#[cfg(not(target_os = "macos"))]
pub(crate) fn was_refused(_error: &io::Error) -> bool {
    false
}

/// Fails for a file whose content is elsewhere, where this thread may not fetch it.
#[cfg(not(target_os = "macos"))]
pub(crate) fn check(_dir: BorrowedFd<'_>, _path: &CStr, _flags: i32) -> io::Result<()> {
    Ok(())
}

/// The same for a path from the working directory.
#[cfg(not(target_os = "macos"))]
pub(crate) fn check_path(_path: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(target_os = "macos")]
pub(crate) use macos::{check, check_path, was_refused, without_fetching};

#[cfg(target_os = "macos")]
mod macos {
    use std::cell::Cell;

    use nix::fcntl::AtFlags;
    use nix::sys::stat::fstatat;

    use super::{BorrowedFd, CStr, Path, io};
    use crate::sys::path::c_path;
    use crate::sys::stat::Stat;

    const TYPE_MATERIALIZE_DATALESS_FILES: libc::c_int = 3;
    const SCOPE_THREAD: libc::c_int = 1;
    const OFF: libc::c_int = 1;

    unsafe extern "C" {
        fn getiopolicy_np(kind: libc::c_int, scope: libc::c_int) -> libc::c_int;
        fn setiopolicy_np(
            kind: libc::c_int,
            scope: libc::c_int,
            policy: libc::c_int,
        ) -> libc::c_int;
    }

    thread_local! {
        static REFUSES: Cell<bool> = const { Cell::new(false) };
    }

    /// The thread's policy, which comes back at the end.
    struct Refusing {
        before: libc::c_int,
    }

    impl Refusing {
        fn begin() -> Refusing {
            // SAFETY: takes numbers and gives one back.
            let before = unsafe { getiopolicy_np(TYPE_MATERIALIZE_DATALESS_FILES, SCOPE_THREAD) };
            set(OFF);
            REFUSES.set(true);
            Refusing { before }
        }
    }

    impl Drop for Refusing {
        fn drop(&mut self) {
            REFUSES.set(false);
            // An error stands for a system without the policy, which has nothing to set back.
            if self.before >= 0 {
                set(self.before);
            }
        }
    }

    fn set(policy: libc::c_int) {
        // SAFETY: takes numbers; an error changes nothing, and leaves the look before each open.
        unsafe { setiopolicy_np(TYPE_MATERIALIZE_DATALESS_FILES, SCOPE_THREAD, policy) };
    }

    pub(crate) fn without_fetching<T>(calls: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        let _refusing = Refusing::begin();
        calls()
    }

    pub(crate) fn was_refused(error: &io::Error) -> bool {
        error.raw_os_error() == Some(libc::EDEADLK)
    }

    pub(crate) fn check_path(path: &Path) -> io::Result<()> {
        if !REFUSES.get() {
            return Ok(());
        }
        check(nix::fcntl::AT_FDCWD, &c_path(path)?, 0)
    }

    /// A look at the attributes fetches nothing. What cannot be looked at, the open says itself.
    pub(crate) fn check(dir: BorrowedFd<'_>, path: &CStr, flags: i32) -> io::Result<()> {
        if !REFUSES.get() {
            return Ok(());
        }
        let links = if flags & libc::O_NOFOLLOW == 0 {
            AtFlags::empty()
        } else {
            AtFlags::AT_SYMLINK_NOFOLLOW
        };
        match fstatat(dir, path, links) {
            Ok(stat) if Stat::from(stat).dataless => {
                Err(io::Error::from_raw_os_error(libc::EDEADLK))
            }
            _ => Ok(()),
        }
    }
}
