//! Telling a thread that sleeps in the kernel from one that only waits for a processor.
#![allow(clippy::disallowed_methods, reason = "reads procfs, which is memory")]
#![allow(
    unsafe_code,
    reason = "sets the thread's signal mask, and asks for what it has used"
)]

#[cfg(target_os = "linux")]
use std::cell::Cell;

#[cfg(target_os = "linux")]
use crate::base::fork::{self, Born};
#[cfg(target_os = "linux")]
use crate::limits;

/// Whether this crate has started the calling thread: all those have names that begin alike.
pub(crate) fn is_ours() -> bool {
    let thread = std::thread::current();
    thread
        .name()
        .is_some_and(|name| name.starts_with("tidegate-"))
}

/// The kernel's number of the calling thread, which it is asked for once.
#[cfg(target_os = "linux")]
pub(crate) fn current() -> i32 {
    thread_local! {
        static KNOWN: Cell<Option<(Born, i32)>> = const { Cell::new(None) };
    }
    match KNOWN.get() {
        Some((born, number)) if !born.is_of_parent() => number,
        // The thread of a forked child has another one.
        _ => {
            fork::watch();
            let number = nix::unistd::gettid().as_raw();
            KNOWN.set(Some((Born::here(), number)));
            number
        }
    }
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

/// How often the calling thread has slept so far, rather than been made to let another have its processor.
#[cfg(any(target_os = "freebsd", target_os = "linux"))]
pub(crate) fn waits() -> Option<libc::c_long> {
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::uninit();
    // SAFETY: the call makes all of it, and where it fails nothing is read.
    let usage = unsafe {
        (libc::getrusage(libc::RUSAGE_THREAD, usage.as_mut_ptr()) == 0).then(|| usage.assume_init())
    };
    usage.map(|usage| usage.ru_nvcsw)
}

/// The system does not tell it of a single thread.
#[cfg(not(any(target_os = "freebsd", target_os = "linux")))]
pub(crate) fn waits() -> Option<libc::c_long> {
    None
}

/// Whether a thread of this process sleeps in the kernel, as of now. A busy machine may keep a
/// runnable thread from running for long, which says nothing of any disk.
#[cfg(target_os = "linux")]
pub(crate) fn sleeps(thread: i32) -> bool {
    look(thread).is_some_and(Sight::sleeps)
}

/// A thread's flag that it works for a ring (`PF_IO_WORKER`, the same since rings have such threads).
#[cfg(target_os = "linux")]
const KERNEL_WORKER: u64 = 0x10;

/// What procfs says of a thread at a time.
#[cfg_attr(
    not(target_os = "linux"),
    allow(dead_code, reason = "other systems do not tell")
)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sight {
    state: char,
    /// The time that it has had of a processor, in hundredths of a second.
    pub(crate) ticks: u64,
    /// Whether it works for a ring.
    is_kernel_worker: bool,
}

#[cfg_attr(
    not(target_os = "linux"),
    allow(dead_code, reason = "other systems do not tell")
)]
impl Sight {
    /// Whether it has a processor, or waits for one.
    pub(crate) fn runs(self) -> bool {
        self.state == 'R'
    }

    /// Whether it sleeps in the kernel.
    pub(crate) fn sleeps(self) -> bool {
        matches!(self.state, 'S' | 'D')
    }

    /// Whether it sleeps so that word for it wakes it.
    pub(crate) fn waits(self) -> bool {
        self.state == 'S'
    }

    /// The line of procfs: the state comes after the name, which is in parentheses and may have any character in it.
    #[cfg(target_os = "linux")]
    fn parse(text: &str) -> Option<Sight> {
        let mut fields = text.rsplit(')').next()?.split_ascii_whitespace();
        let state = fields.next()?.chars().next()?;
        // Five further ones stand between the state and the flags, four more before the times in user mode and in the
        // kernel.
        let mut numbers = fields.skip(5).map(|field| field.parse().unwrap_or(0));
        let flags: u64 = numbers.next().unwrap_or(0);
        let mut times = numbers.skip(4);
        let ticks = times.next().unwrap_or(0) + times.next().unwrap_or(0);
        Some(Sight {
            state,
            ticks,
            is_kernel_worker: flags & KERNEL_WORKER != 0,
        })
    }
}

#[cfg(target_os = "linux")]
fn stat_of(thread: &str) -> Option<String> {
    std::fs::read_to_string(format!("/proc/self/task/{thread}/stat")).ok()
}

/// Looks at a thread of this process; nothing if there is none such.
#[cfg(target_os = "linux")]
pub(crate) fn look(thread: i32) -> Option<Sight> {
    Sight::parse(&stat_of(&thread.to_string())?)
}

/// How often a thread of this process was given a processor so far, where the kernel counts it: another number says that
/// it has run in between.
#[cfg(target_os = "linux")]
pub(crate) fn turns(thread: i32) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/self/task/{thread}/schedstat")).ok()?;
    text.split_ascii_whitespace().nth(2)?.parse().ok()
}

/// The kernel's workers of these threads' rings which have a processor, or wait for one. One that never ran has no name
/// yet, and may be any ring's.
#[cfg(target_os = "linux")]
pub(crate) fn running_kernel_workers(threads: &[i32]) -> Vec<i32> {
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten();
    let running = tasks.flatten().filter_map(|task| {
        let number = task.file_name().into_string().ok()?;
        let text = stat_of(&number)?;
        let sight = Sight::parse(&text)?;
        let named = text.split_once("(iou-wrk-");
        let of = named.and_then(|(_, rest)| rest.split_once(')'));
        let is_theirs = match of {
            Some((of, _)) => of.parse().is_ok_and(|of| threads.contains(&of)),
            None => sight.is_kernel_worker,
        };
        let runs = is_theirs && sight.runs();
        runs.then(|| number.parse().ok()).flatten()
    });
    running.collect()
}

/// Whether what these threads submitted so many milliseconds ago may not be over only because it, or who is to see that
/// it is, waits for a processor. What is very old is not.
#[cfg(target_os = "linux")]
pub(crate) fn may_be_starved(age_ms: u64, submitters: &[i32]) -> bool {
    let runs = |&number: &i32| look(number).is_some_and(Sight::runs);
    // In this order: a worker that ends makes its submitter run before it sleeps.
    u128::from(age_ms) < limits::STARVED_MAX.as_millis()
        && (!running_kernel_workers(submitters).is_empty() || submitters.iter().any(runs))
}

/// Not needed where nothing is attempted and there are no rings.
#[cfg(not(target_os = "linux"))]
pub(crate) fn current() -> i32 {
    0
}

/// Nothing can be told.
#[cfg(not(target_os = "linux"))]
pub(crate) fn look(_thread: i32) -> Option<Sight> {
    None
}

/// The same.
#[cfg(not(target_os = "linux"))]
pub(crate) fn turns(_thread: i32) -> Option<u64> {
    None
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
