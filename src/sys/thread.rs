//! Telling a thread that sleeps in the kernel from one that only waits for a processor.
#![allow(clippy::disallowed_methods, reason = "reads procfs, which is memory")]
#![allow(unsafe_code, reason = "sets the thread's signal mask")]

/// Whether this crate has started the calling thread: all those have names that begin alike.
pub(crate) fn is_ours() -> bool {
    let thread = std::thread::current();
    thread
        .name()
        .is_some_and(|name| name.starts_with("tidegate-"))
}

/// The kernel's number of the calling thread.
#[cfg(target_os = "linux")]
pub(crate) fn current() -> i32 {
    nix::unistd::gettid().as_raw()
}

/// Keeps signals from the calling thread, which makes blocking calls: a call that a signal interrupts may have been
/// carried out in part, and only the kernel's own workers, which take no signals either, do it the same way. Signals that
/// the thread itself causes still come, and those that are sent to the process have its other threads.
pub(crate) fn shield() {
    let kept = [
        libc::SIGBUS,
        libc::SIGFPE,
        libc::SIGILL,
        libc::SIGSEGV,
        libc::SIGSYS,
        libc::SIGTRAP,
    ];
    let mut mask = std::mem::MaybeUninit::uninit();
    // SAFETY: the first call makes all of the mask, the others change it, and the last only reads it.
    unsafe {
        libc::sigfillset(mask.as_mut_ptr());
        for signal in kept {
            libc::sigdelset(mask.as_mut_ptr(), signal);
        }
        libc::pthread_sigmask(libc::SIG_BLOCK, mask.as_ptr(), std::ptr::null_mut());
    }
}

/// Whether a thread of this process sleeps in the kernel, as of now. A busy machine may keep a
/// runnable thread from running for long, which says nothing of any disk.
#[cfg(target_os = "linux")]
pub(crate) fn sleeps(thread: i32) -> bool {
    let Ok(text) = std::fs::read_to_string(format!("/proc/self/task/{thread}/stat")) else {
        return false;
    };
    // The state comes after the name, which is in parentheses and may have any character in it.
    let state = text
        .rsplit(')')
        .next()
        .and_then(|rest| rest.trim_start().chars().next());
    matches!(state, Some('S' | 'D'))
}

/// Not needed where nothing is attempted and there are no rings.
#[cfg(not(target_os = "linux"))]
pub(crate) fn current() -> i32 {
    0
}

/// As far as can be told.
#[cfg(not(target_os = "linux"))]
pub(crate) fn sleeps(_thread: i32) -> bool {
    true
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    /// A thread that waits for a lock sleeps; the one that asks does not.
    #[test]
    fn a_waiting_thread_sleeps() {
        let (send_id, id) = std::sync::mpsc::channel();
        let (stop, stopped) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::spawn(move || {
            send_id.send(current()).unwrap();
            stopped.recv().unwrap_err();
        });
        let id = id.recv().unwrap();
        while !sleeps(id) {
            std::thread::yield_now();
        }
        assert!(!sleeps(current()));
        assert!(!sleeps(-1));
        drop(stop);
        thread.join().unwrap();
    }
}
