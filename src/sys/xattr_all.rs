//! All extended attributes of a file, within a budget.

use std::ffi::{CStr, CString, OsString};
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;

use super::xattr::{self, is_absent};
use super::xattr_open;
use crate::base::errno;

/// Names and their values.
pub(crate) type Pairs = Vec<(OsString, Vec<u8>)>;

/// Of a path; `None` if they are more than so many bytes, names and values together.
pub(crate) fn of_path(path: &CStr, follow: bool, most: usize) -> io::Result<Option<Pairs>> {
    let names = xattr::list(path, follow)?;
    collect(names, most, |name| xattr::get(path, name, follow))
}

/// The same of an open file.
pub(crate) fn of_file(file: &File, most: usize) -> io::Result<Option<Pairs>> {
    collect(xattr_open::list(file)?, most, |name| {
        xattr_open::get(file, name)
    })
}

fn collect(
    names: Vec<OsString>,
    most: usize,
    get: impl Fn(&CStr) -> io::Result<Vec<u8>>,
) -> io::Result<Option<Pairs>> {
    let mut left = most;
    for name in &names {
        let Some(rest) = left.checked_sub(name.len()) else {
            return Ok(None);
        };
        left = rest;
    }
    let mut pairs = Pairs::with_capacity(names.len());
    for name in names {
        let c_name = CString::new(name.as_bytes())?;
        let mut value = match get(&c_name) {
            Ok(value) => value,
            // It was removed meanwhile.
            Err(error) if is_absent(&error) => continue,
            // It is larger than any that can be read in one piece.
            Err(error) if error.raw_os_error() == Some(errno::ERANGE) => return Ok(None),
            Err(error) => return Err(error),
        };
        let Some(rest) = left.checked_sub(value.len()) else {
            return Ok(None);
        };
        left = rest;
        value.shrink_to_fit();
        pairs.push((name, value));
    }
    Ok(Some(pairs))
}
