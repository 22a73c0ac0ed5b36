//! Linux: the ring, and the calls that cannot sleep on storage.

pub(crate) mod calls;
pub(crate) mod direct;
pub(crate) mod eventfd;
pub(crate) mod fixed;
pub(crate) mod known_codes;
pub(crate) mod mount;
pub(crate) mod mountinfo;
pub(crate) mod nowait;
pub(crate) mod openat2;
pub(crate) mod poll;
pub(crate) mod probe;
pub(crate) mod provided;
pub(crate) mod reactor;
pub(crate) mod ring;
#[cfg(test)]
pub(crate) mod sim;
pub(crate) mod sqe;
pub(crate) mod statx;
pub(crate) mod tables;
pub(crate) mod trials;
pub(crate) mod uring;
