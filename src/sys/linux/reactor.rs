//! Waiting for a ring in the runtime's own reactor, and seeing a thread at it.
#![allow(clippy::disallowed_methods, reason = "reads procfs, which is memory")]

use std::os::fd::OwnedFd;
use std::panic::catch_unwind;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Registers a descriptor with the runtime of the calling thread, which was seen to have an I/O driver: tokio panics
/// without one, and there is no other question. `None` where it is being shut down.
pub(crate) fn register(descriptor: OwnedFd) -> Option<AsyncFd<OwnedFd>> {
    // What replaces it is not in all the releases of tokio that this crate supports, and says of a descriptor that is
    // owned nothing new.
    #[allow(deprecated, reason = "the older releases have no other")]
    let register = || AsyncFd::with_interest(descriptor, Interest::READABLE);
    catch_unwind(std::panic::AssertUnwindSafe(register))
        .ok()?
        .ok()
}

/// Where a thread of this process sleeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asleep {
    /// It waits for events of an epoll instance.
    InEpoll,
    /// In another call.
    Elsewhere,
    /// It runs, or that is not to be found out.
    No,
}

/// Where that thread sleeps, as of now.
pub(crate) fn asleep(thread: i32) -> Asleep {
    let Ok(text) = std::fs::read_to_string(format!("/proc/self/task/{thread}/syscall")) else {
        return Asleep::No;
    };
    match text
        .split_ascii_whitespace()
        .next()
        .map(str::parse::<libc::c_long>)
    {
        Some(Ok(call)) if is_epoll_wait(call) => Asleep::InEpoll,
        Some(Ok(0..)) => Asleep::Elsewhere,
        _ => Asleep::No,
    }
}

fn is_epoll_wait(call: libc::c_long) -> bool {
    #[cfg(any(
        target_arch = "x86_64",
        target_arch = "x86",
        target_arch = "arm",
        target_arch = "powerpc",
        target_arch = "powerpc64",
        target_arch = "s390x"
    ))]
    if call == libc::SYS_epoll_wait {
        return true;
    }
    call == libc::SYS_epoll_pwait || call == libc::SYS_epoll_pwait2
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    /// A runtime with an I/O driver waits in epoll, and one without elsewhere.
    #[test]
    fn a_thread_is_seen_in_epoll() {
        for with_io in [true, false] {
            let (tell, thread) = channel();
            let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
            let driven = std::thread::spawn(move || {
                let mut builder = tokio::runtime::Builder::new_current_thread();
                if with_io {
                    builder.enable_io();
                }
                tell.send(crate::sys::thread::current()).unwrap();
                builder.build().unwrap().block_on(stopped).unwrap();
            });
            let thread = thread.recv().unwrap();
            let expected = match with_io {
                true => Asleep::InEpoll,
                false => Asleep::Elsewhere,
            };
            while asleep(thread) != expected {
                std::thread::yield_now();
            }
            stop.send(()).unwrap();
            driven.join().unwrap();
        }
        assert_ne!(asleep(crate::sys::thread::current()), Asleep::InEpoll);
        assert_eq!(asleep(-1), Asleep::No);
    }
}
