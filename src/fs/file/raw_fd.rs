//! Files of descriptor numbers.
#![allow(
    unsafe_code,
    reason = "tokio's file has this conversion, and its signature is unsafe"
)]

use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use super::File;

impl FromRawFd for File {
    unsafe fn from_raw_fd(number: RawFd) -> File {
        // SAFETY: the caller vouches that the number is open and nobody else's, as the trait asks.
        File::from(unsafe { OwnedFd::from_raw_fd(number) })
    }
}
