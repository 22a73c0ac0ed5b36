//! What a process holds: descriptors, threads and memory.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicIsize, Ordering};
use std::time::{Duration, Instant};

static LIVE: AtomicIsize = AtomicIsize::new(0);

/// The system's allocator, counting live bytes.
pub(crate) struct Allocator;

// SAFETY: hands every call to the system's allocator as it is.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(layout.size() as isize, Ordering::Relaxed);
        // SAFETY: the caller's promises are the system allocator's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size() as isize, Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(ptr, layout) }
    }
}

/// What each descriptor is.
fn descriptors() -> Vec<String> {
    let entries = std::fs::read_dir("/proc/self/fd").unwrap();
    let links = entries.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
    links.map(|path| path.display().to_string()).collect()
}

/// How long a condition may take that comes about in the background.
const BOUND: Duration = Duration::from_secs(30);

/// Waits until a condition holds, while the runtime goes on.
pub(crate) async fn until(what: &str, condition: impl Fn() -> bool) {
    assert!(until_async(condition).await, "waited in vain: {what}");
}

async fn until_async(condition: impl Fn() -> bool) -> bool {
    let start = Instant::now();
    while !condition() {
        if start.elapsed() > BOUND {
            return false;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    true
}

/// Lanes that may have been added since: those that were seen to be stuck got a replacement, and the
/// process's own handle gets some when it is first needed. Far fewer than rounds of any test.
const LANES: usize = 16;

/// What the process holds at one moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Counted {
    /// Open files, pipes and directories.
    files: usize,
    /// Rings and what wakes them.
    anonymous: usize,
    threads: usize,
    bytes: isize,
}

impl Counted {
    fn now() -> Counted {
        let descriptors = descriptors();
        let anonymous = descriptors
            .iter()
            .filter(|path| path.starts_with("anon_inode:"))
            .count();
        let files = descriptors.len() - anonymous;
        Counted {
            files,
            anonymous,
            threads: std::fs::read_dir("/proc/self/task").unwrap().count(),
            bytes: LIVE.load(Ordering::Relaxed),
        }
    }

    /// Once it has not changed for a while.
    pub(crate) fn settled() -> Counted {
        let (mut last, mut since) = (Counted::now(), Instant::now());
        let start = since;
        while since.elapsed() < Duration::from_millis(300) && start.elapsed() < BOUND {
            std::thread::yield_now();
            let now = Counted::now();
            let same = Counted {
                bytes: now.bytes,
                ..last
            };
            if now != same {
                (last, since) = (now, Instant::now());
            }
            last.bytes = now.bytes;
        }
        last
    }

    pub(crate) async fn settled_async() -> Counted {
        let (mut last, mut since) = (Counted::now(), Instant::now());
        let start = since;
        while since.elapsed() < Duration::from_millis(300) && start.elapsed() < BOUND {
            tokio::time::sleep(Duration::from_millis(1)).await;
            let now = Counted::now();
            let same = Counted {
                bytes: now.bytes,
                ..last
            };
            if now != same {
                (last, since) = (now, Instant::now());
            }
            last.bytes = now.bytes;
        }
        last
    }

    /// With one more file, which the test holds itself.
    pub(crate) fn plus_file(mut self) -> Counted {
        self.files += 1;
        self
    }

    fn is_back(self, slack: isize) -> bool {
        let now = Counted::now();
        now.files <= self.files
            && now.anonymous <= self.anonymous + 2 * LANES
            && now.threads <= self.threads + LANES
            && now.bytes <= self.bytes + slack
    }

    /// Waits until no more is held than then, give or take some bytes.
    pub(crate) fn returns(self, what: &str, slack: isize) {
        let start = Instant::now();
        while !self.is_back(slack) {
            let now = Counted::now();
            assert!(
                start.elapsed() < BOUND,
                "{what}: {self:?} became {now:?}: {:?}",
                descriptors()
            );
            std::thread::yield_now();
        }
    }

    pub(crate) async fn returns_async(self, what: &str, slack: isize) {
        let back = until_async(|| self.is_back(slack)).await;
        assert!(
            back,
            "{what}: {self:?} became {:?}: {:?}",
            Counted::now(),
            descriptors()
        );
    }

    /// Waits until no more files are open than then.
    pub(crate) async fn files_return(self, what: &str) {
        let back = until_async(|| Counted::now().files <= self.files).await;
        assert!(
            back,
            "{what}: {self:?} became {:?}: {:?}",
            Counted::now(),
            descriptors()
        );
    }
}
