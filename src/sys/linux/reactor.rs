//! Waiting for a ring in the runtime's own reactor.
#![allow(unsafe_code, reason = "tokio wants a promise about the descriptor")]

use std::os::fd::OwnedFd;
use std::panic::catch_unwind;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Registers a descriptor with the runtime of the calling thread. `None` where the runtime has no I/O
/// driver: tokio has no way to ask but to panic, and its message is printed once per such runtime.
pub(crate) fn register(descriptor: OwnedFd) -> Option<AsyncFd<OwnedFd>> {
    // SAFETY: the descriptor is owned by the registration, and so stays open and the same until it ends.
    let registered =
        catch_unwind(|| unsafe { AsyncFd::register_with_interest(descriptor, Interest::READABLE) });
    registered.ok()?.ok()
}
