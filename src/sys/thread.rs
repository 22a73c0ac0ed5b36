//! Telling a thread that sleeps in the kernel from one that only waits for a processor.
#![allow(clippy::disallowed_methods, reason = "reads procfs, which is memory")]
#![allow(
    unsafe_code,
    reason = "sets the thread's signal mask, and asks for what it has used"
)]

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
    look(thread).is_some_and(|sight| matches!(sight.state, 'S' | 'D'))
}

/// What procfs says of a thread at a time.
#[cfg(target_os = "linux")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sight {
    state: char,
    /// The time that it has had of a processor, in hundredths of a second.
    pub(crate) ticks: u64,
}

#[cfg(target_os = "linux")]
impl Sight {
    /// Whether it has a processor, or waits for one.
    pub(crate) fn runs(self) -> bool {
        self.state == 'R'
    }

    /// Whether it sleeps so that word for it wakes it.
    pub(crate) fn waits(self) -> bool {
        self.state == 'S'
    }

    /// The line of procfs: the state comes after the name, which is in parentheses and may have any character in it.
    fn parse(text: &str) -> Option<Sight> {
        let mut fields = text.rsplit(')').next()?.split_ascii_whitespace();
        let state = fields.next()?.chars().next()?;
        // Ten further ones stand between the state and the times in user mode and in the kernel.
        let mut times = fields.skip(10).map(|field| field.parse().unwrap_or(0));
        let ticks = times.next().unwrap_or(0) + times.next().unwrap_or(0);
        Some(Sight { state, ticks })
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

/// The kernel's workers of these threads' rings which have a processor, or wait for one.
#[cfg(target_os = "linux")]
pub(crate) fn running_kernel_workers(threads: &[i32]) -> Vec<i32> {
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten();
    let running = tasks.flatten().filter_map(|task| {
        let number = task.file_name().into_string().ok()?;
        let text = stat_of(&number)?;
        let (_, rest) = text.split_once("(iou-wrk-")?;
        let (of, _) = rest.split_once(')')?;
        let is_theirs = of.parse().is_ok_and(|of| threads.contains(&of));
        let runs = is_theirs && Sight::parse(&text)?.runs();
        runs.then(|| number.parse().ok()).flatten()
    });
    running.collect()
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
