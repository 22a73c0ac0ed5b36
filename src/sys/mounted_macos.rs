//! The table of mounts, on macOS.
#![allow(unsafe_code, reason = "calls getfsstat, which nix lacks")]

use std::ffi::{CStr, OsStr};
use std::io;
use std::os::unix::ffi::OsStrExt;

use super::mounted::Mounted;

/// Room for mounts that come while the table is read.
const SPARE: usize = 8;

/// Says what the system has in memory, without asking any filesystem (`MNT_NOWAIT`).
pub(crate) fn list() -> io::Result<Vec<Mounted>> {
    // SAFETY: without a buffer the call only counts.
    let count = unsafe { libc::getfsstat(std::ptr::null_mut(), 0, libc::MNT_NOWAIT) };
    let count = usize::try_from(count).map_err(|_| io::Error::last_os_error())? + SPARE;
    let mut found: Vec<libc::statfs> = Vec::with_capacity(count);
    let bytes = (count * size_of::<libc::statfs>()) as i32;
    // SAFETY: the buffer has room for so many bytes.
    let filled = unsafe { libc::getfsstat(found.as_mut_ptr(), bytes, libc::MNT_NOWAIT) };
    let filled = usize::try_from(filled).map_err(|_| io::Error::last_os_error())?;
    // SAFETY: the call has written that many, and no more than there is room for.
    unsafe { found.set_len(filled.min(count)) };
    Ok(found.iter().map(mounted).collect())
}

fn mounted(statfs: &libc::statfs) -> Mounted {
    // SAFETY: the type is two such numbers, the first of which is the device; libc does not let one see them.
    let [device, _] = unsafe { std::mem::transmute_copy::<libc::fsid_t, [i32; 2]>(&statfs.f_fsid) };
    Mounted {
        device: u64::from(device as u32),
        root: "/".into(),
        point: text(&statfs.f_mntonname).into(),
        fs_type: text(&statfs.f_fstypename).to_string_lossy().into_owned(),
        source: text(&statfs.f_mntfromname).to_owned(),
        ..Mounted::default()
    }
}

const _: () = assert!(size_of::<libc::fsid_t>() == 8);

fn text(field: &[libc::c_char]) -> &OsStr {
    // SAFETY: both are bytes.
    let bytes = unsafe { std::slice::from_raw_parts(field.as_ptr().cast::<u8>(), field.len()) };
    OsStr::from_bytes(CStr::from_bytes_until_nul(bytes).map_or(&[], CStr::to_bytes))
}
