//! Dropping futures: each cancel arrives, and nothing is left behind.

mod common;

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use common::on_every_backend;
use nix::sys::stat::Mode;
use tidegate::fs::{File, OpenOptions};
use tidegate::{Handle, Route};

/// How long a test waits for what should take microseconds, before it fails.
const PATIENCE: Duration = Duration::from_secs(20);

async fn until(what: &str, mut reached: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !reached() {
        assert!(Instant::now() < end, "{what} was not reached");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

async fn fifo() -> (tempfile::TempDir, File) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("fifo");
    nix::unistd::mkfifo(&path, Mode::S_IRWXU).unwrap();
    // Open for both, so that a read waits instead of ending.
    let file = OpenOptions::new().read(true).write(true).open(&path).await;
    (dir, file.unwrap())
}

/// Polls once, so that the operation is on its way, and drops the future. Says whether it was over.
fn begin_and_drop<F: Future>(future: F) -> bool {
    pin!(future)
        .poll(&mut Context::from_waker(Waker::noop()))
        .is_ready()
}

/// INV-11: reads that would wait for ever are dropped at any moment of their way to the kernel, more of
/// them than a ring has slots; every one of them ends.
#[test]
fn a_thousand_dropped_reads_are_all_cancelled() {
    on_every_backend(|route| async move {
        if route == Route::Pool {
            // A blocking read of a FIFO cannot be cancelled; it is what a ring is for.
            return;
        }
        let (_dir, file) = fifo().await;
        let handle = Handle::current().unwrap();
        for round in 0..1000u32 {
            assert!(!begin_and_drop(file.read_at(Vec::with_capacity(16), 0)));
            if round % 7 == 0 {
                tokio::task::yield_now().await;
            }
        }
        until("nothing in flight", || handle.stats().in_flight == 0).await;
    });
}

/// A read that waits for ever ends with the handle, and is not begun again elsewhere.
#[test]
fn a_shutdown_ends_a_read_that_waits() {
    on_every_backend(|route| async move {
        if route == Route::Pool {
            return;
        }
        let (_dir, file) = fifo().await;
        let handle = Handle::current().unwrap();
        let mut reading = pin!(file.read_at(Vec::with_capacity(16), 0));
        let pending =
            std::future::poll_fn(|cx| Poll::Ready(reading.as_mut().poll(cx).is_pending()));
        assert!(pending.await);
        let report = handle.shutdown(PATIENCE).await;
        assert_eq!(report.left_behind, 0);
        let ended = tokio::time::timeout(PATIENCE, reading).await.unwrap();
        let error = ended.unwrap_err().into();
        assert!(matches!(
            tidegate::Error::from_io(&error),
            Some(tidegate::Error::Closed { .. })
        ));
    });
}

/// A close whose future is dropped still closes.
#[test]
fn a_dropped_close_leaks_no_descriptor() {
    on_every_backend(|_| async {
        let dir = tempfile::tempdir().unwrap();
        let handle = Handle::current().unwrap();
        let ours = || {
            let open = std::fs::read_dir("/proc/self/fd").unwrap();
            open.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok())
                .filter(|target| target.starts_with(dir.path()))
                .count()
        };
        for number in 0..100 {
            let path = dir.path().join(number.to_string());
            let file = File::create(&path).await.unwrap();
            file.write_all_at("content", 0).await.unwrap();
            begin_and_drop(file.close());
        }
        until("nothing in flight", || handle.stats().in_flight == 0).await;
        until("no descriptor left", || ours() == 0).await;
    });
}
