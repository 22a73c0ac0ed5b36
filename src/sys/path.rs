//! Paths as the kernel takes them.
#![allow(
    unsafe_code,
    reason = "a path is laid out on the stack, so that a cached lookup allocates nothing"
)]

use std::ffi::{CStr, CString, OsStr};
use std::io;
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Paths shorter than this are laid out on the stack.
const ON_STACK_BYTES: usize = 384;

fn nul_error() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidInput,
        "file name contained an unexpected NUL byte",
    )
}

/// The path with its closing NUL, owned, for a request that outlives the caller.
pub(crate) fn c_path(path: &Path) -> io::Result<CString> {
    CString::new(path.as_os_str().as_bytes()).map_err(|_| nul_error())
}

/// Calls `f` with the path and its closing NUL, without an allocation for ordinary lengths.
pub(crate) fn with_c_path<T>(path: &Path, f: impl FnOnce(&CStr) -> io::Result<T>) -> io::Result<T> {
    let bytes = path.as_os_str().as_bytes();
    if bytes.len() >= ON_STACK_BYTES {
        return f(&c_path(path)?);
    }
    let mut stack = MaybeUninit::<[u8; ON_STACK_BYTES]>::uninit();
    let start = stack.as_mut_ptr().cast::<u8>();
    // SAFETY: the bytes and the NUL fit into the array, and the slice covers just what was written.
    let with_nul = unsafe {
        start.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
        start.add(bytes.len()).write(0);
        std::slice::from_raw_parts(start, bytes.len() + 1)
    };
    f(CStr::from_bytes_with_nul(with_nul).map_err(|_| nul_error())?)
}

/// The path of a request, back.
pub(crate) fn as_path(path: &CStr) -> &Path {
    Path::new(OsStr::from_bytes(path.to_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Short, long and broken paths come out as the kernel wants them.
    #[test]
    fn paths_are_terminated_or_refused() {
        for length in [0, 1, ON_STACK_BYTES - 1, ON_STACK_BYTES, 5000] {
            let text = "x".repeat(length);
            let path = Path::new(&text);
            with_c_path(path, |c| {
                assert_eq!(c.to_bytes(), text.as_bytes());
                Ok(())
            })
            .unwrap();
            assert_eq!(as_path(&c_path(path).unwrap()), path);
        }
        let broken = Path::new("a\0b");
        assert_eq!(
            with_c_path(broken, |_| Ok(())).unwrap_err().kind(),
            io::ErrorKind::InvalidInput
        );
        assert_eq!(
            c_path(broken).unwrap_err().kind(),
            io::ErrorKind::InvalidInput
        );
    }
}
