//! Requests on extended attributes that have an opcode.
#![allow(unsafe_code, reason = "hands names and values to the kernel")]

use std::ffi::CString;
use std::io;

#[cfg(target_os = "linux")]
use super::Entry;
#[cfg(feature = "testing")]
use super::Paths;
use super::{FdRef, Request};
use crate::sys::fd::with_file;
#[cfg(target_os = "linux")]
use crate::sys::linux::sqe::Sqe;
#[cfg(target_os = "linux")]
use crate::sys::linux::tables::Tables;
#[cfg(feature = "testing")]
use crate::sys::path::as_path;
use crate::sys::steps::Steps;
use crate::sys::{xattr, xattr_open};

/// Whether an entry, which has 32 bits for it, can say how long a value is.
#[cfg(target_os = "linux")]
fn is_for_entry(value: &[u8]) -> bool {
    u32::try_from(value.len()).is_ok()
}

/// Reads the value of an attribute.
pub(crate) struct GetXattr {
    pub(crate) path: CString,
    pub(crate) name: CString,
    pub(crate) follow: bool,
    pub(crate) value: Vec<u8>,
}

impl GetXattr {
    /// The value, after a success whose completion was `length`.
    pub(crate) fn into_value(mut self, length: i32) -> Vec<u8> {
        if self.value.is_empty() {
            // SAFETY: the kernel initialised `length` bytes, at most the capacity it was given.
            unsafe { self.value.set_len(length as usize) };
            self.value.shrink_to_fit();
        }
        self.value
    }
}

impl Request for GetXattr {
    /// The kernel's opcode always follows symbolic links.
    #[cfg(target_os = "linux")]
    fn entry(&mut self) -> Option<&mut dyn Entry> {
        self.follow.then_some(self)
    }

    fn block(&mut self, _steps: &Steps) -> io::Result<i32> {
        self.value = xattr::get(&self.path, &self.name, self.follow)?;
        Ok(self.value.len() as i32)
    }

    #[cfg(feature = "testing")]
    fn paths(&self, paths: &mut Paths) {
        paths.path(as_path(&self.path));
    }
}

// SAFETY: the entry points to the heap blocks of path, name and value, which are not touched before
// the operation is finished (INV-1).
#[cfg(target_os = "linux")]
unsafe impl Entry for GetXattr {
    fn sqe(&mut self, _tables: &mut dyn Tables) -> io::Result<Sqe> {
        self.value = Vec::with_capacity(xattr::BYTES_MAX);
        Ok(Sqe::getxattr(
            &self.path,
            &self.name,
            self.value.as_mut_ptr(),
            self.value.capacity() as u32,
        ))
    }
}

/// Sets an attribute, new or not.
pub(crate) struct SetXattr {
    pub(crate) path: CString,
    pub(crate) name: CString,
    pub(crate) value: Vec<u8>,
    pub(crate) follow: bool,
}

impl Request for SetXattr {
    #[cfg(target_os = "linux")]
    fn entry(&mut self) -> Option<&mut dyn Entry> {
        (self.follow && is_for_entry(&self.value)).then_some(self)
    }

    fn block(&mut self, _steps: &Steps) -> io::Result<i32> {
        xattr::set(&self.path, &self.name, &self.value, self.follow).map(|()| 0)
    }

    #[cfg(feature = "testing")]
    fn paths(&self, paths: &mut Paths) {
        paths.path(as_path(&self.path));
    }
}

// SAFETY: as for `GetXattr`.
#[cfg(target_os = "linux")]
unsafe impl Entry for SetXattr {
    fn sqe(&mut self, _tables: &mut dyn Tables) -> io::Result<Sqe> {
        let (start, length) = (self.value.as_ptr(), self.value.len() as u32);
        Ok(Sqe::setxattr(&self.path, &self.name, start, length))
    }
}

/// Reads the value of an attribute of an open file.
pub(crate) struct GetFileXattr {
    pub(crate) fd: FdRef,
    pub(crate) name: CString,
    pub(crate) value: Vec<u8>,
}

impl GetFileXattr {
    /// The value, after a success whose completion was `length`.
    pub(crate) fn into_value(mut self, length: i32) -> Vec<u8> {
        if self.value.is_empty() {
            // SAFETY: the kernel initialised `length` bytes, at most the capacity it was given.
            unsafe { self.value.set_len(length as usize) };
        }
        self.value.shrink_to_fit();
        self.value
    }
}

impl Request for GetFileXattr {
    #[cfg(target_os = "linux")]
    fn entry(&mut self) -> Option<&mut dyn Entry> {
        Some(self)
    }

    fn block(&mut self, _steps: &Steps) -> io::Result<i32> {
        self.value = with_file(self.fd.as_fd(), |file| xattr_open::get(file, &self.name))?;
        Ok(self.value.len() as i32)
    }

    #[cfg(feature = "testing")]
    fn paths(&self, paths: &mut Paths) {
        paths.file(&self.fd);
    }
}

// SAFETY: as for `GetXattr`; the descriptor is held open by `fd`.
#[cfg(target_os = "linux")]
unsafe impl Entry for GetFileXattr {
    fn sqe(&mut self, tables: &mut dyn Tables) -> io::Result<Sqe> {
        self.value = Vec::with_capacity(xattr::BYTES_MAX);
        Ok(Sqe::fgetxattr(
            tables.name(&self.fd),
            &self.name,
            self.value.as_mut_ptr(),
            self.value.capacity() as u32,
        ))
    }
}

/// Sets an attribute of an open file, new or not.
pub(crate) struct SetFileXattr {
    pub(crate) fd: FdRef,
    pub(crate) name: CString,
    pub(crate) value: Vec<u8>,
}

impl Request for SetFileXattr {
    #[cfg(target_os = "linux")]
    fn entry(&mut self) -> Option<&mut dyn Entry> {
        is_for_entry(&self.value).then_some(self)
    }

    fn block(&mut self, _steps: &Steps) -> io::Result<i32> {
        let set = |file: &_| xattr_open::set(file, &self.name, &self.value);
        with_file(self.fd.as_fd(), set).map(|()| 0)
    }

    #[cfg(feature = "testing")]
    fn paths(&self, paths: &mut Paths) {
        paths.file(&self.fd);
    }
}

// SAFETY: as for `GetFileXattr`.
#[cfg(target_os = "linux")]
unsafe impl Entry for SetFileXattr {
    fn sqe(&mut self, tables: &mut dyn Tables) -> io::Result<Sqe> {
        let length = self.value.len() as u32;
        let (fd, start) = (tables.name(&self.fd), self.value.as_ptr());
        Ok(Sqe::fsetxattr(fd, &self.name, start, length))
    }
}
