//! Forked children: what is the parent's is refused or left alone, and a runtime of the child's own works as in any
//! process, whenever the fork came (INV-5).
#![cfg(unix)]

mod common;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use common::child::in_child;
use common::{compounds, routes, runtime};
use tidegate::buf::BufPool;
use tidegate::fs::{self, File};
use tidegate::{Error, Handle, OpExt, Route};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// A child that takes longer than this hangs: nobody waits for locks or threads of its parent.
const BOUND_S: u32 = 120;

/// Forks while others are at it: as many as there is time for.
const ROUNDS_MIN: usize = 20;
const ROUNDS_MAX: usize = 100;
const ROUNDS_LAST: Duration = Duration::from_secs(40);

/// Forks, and returns the child's exit code.
fn forked(child: impl FnOnce() -> i32) -> i32 {
    // SAFETY: the child is left with its own thread only; it runs what is to work there, and ends at once.
    let pid = unsafe { nix::libc::fork() };
    if pid == 0 {
        // SAFETY: kills the process if it hangs, as nobody handles the signal.
        unsafe { nix::libc::alarm(BOUND_S) };
        let code = std::panic::catch_unwind(std::panic::AssertUnwindSafe(child)).unwrap_or(99);
        // SAFETY: ends this process at once.
        unsafe { nix::libc::_exit(code) };
    }
    assert!(pid > 0, "{}", std::io::Error::last_os_error());
    match nix::sys::wait::waitpid(nix::unistd::Pid::from_raw(pid), None).unwrap() {
        nix::sys::wait::WaitStatus::Exited(_, code) => code,
        other => panic!("the child hangs: {other:?}"),
    }
}

/// On a thread of its own, which is in no runtime.
fn apart<T: Send>(f: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| scope.spawn(f).join().unwrap())
}

/// A bit of everything: polls, lanes, pools, rings, limits, cursors, listings.
async fn work(dir: &Path) {
    let dir = dir.join(format!("of-{}", std::process::id()));
    fs::create_dir_all(&dir).await.unwrap();
    let path = dir.join("file");
    let mut file = File::create_new(&path).await.unwrap();
    file.write_all(b"one two three").await.unwrap();
    file.sync_all().await.unwrap();
    let limited = fs::read(&path).timeout(Duration::from_secs(20));
    assert_eq!(limited.await.unwrap(), b"one two three");
    let reads = (0..40).map(|_| file.read_at(vec![0; 3], 4));
    for read in futures::future::join_all(reads).await {
        read.unwrap();
    }
    for _ in 0..20 {
        fs::metadata(&path).await.unwrap();
        file.sync_data().await.unwrap();
    }
    fs::copy(&path, dir.join("copy")).await.unwrap();
    let sum = tidegate::blocking(|_| 7).await.unwrap();
    assert_eq!(sum, 7);
    let mut entries = fs::read_dir(&dir).await.unwrap();
    while entries.next_entry().await.unwrap().is_some() {}
    file.close().await.unwrap();
    // A limit that passes, so that there is a watchdog.
    let fifo = dir.join("fifo");
    fs::make_fifo(&fifo, 0o600).await.unwrap();
    let open = File::open(&fifo).timeout(Duration::from_millis(20)).await;
    assert!(matches!(
        Error::from_io(&open.unwrap_err()),
        Some(Error::TimedOut { .. })
    ));
    drop(std::fs::File::options().read(true).write(true).open(&fifo));
    fs::remove_dir_all(&dir).await.unwrap();
}

/// What takes several steps, each whose number has this rest.
async fn compounds(dir: &Path, rest: usize, of: usize) {
    let dir = dir.join(format!("compounds-of-{}", std::process::id()));
    let all = compounds::all(&dir).into_iter().enumerate();
    for (_, (name, compound)) in all.filter(|(number, _)| number % of == rest) {
        let over = compound.await;
        over.unwrap_or_else(|error| panic!("{name}: {error:?}"));
    }
    fs::remove_dir_all(&dir).await.unwrap();
}

/// A new runtime of each kind and route, outside of a runtime too.
fn all_works(dir: &Path) -> i32 {
    for route in routes() {
        for multi in [true, false] {
            runtime(multi).block_on(async {
                Handle::builder().route(route).install().unwrap();
                work(dir).await;
                compounds(dir, usize::from(multi), 2).await;
                assert!(Handle::current().unwrap().stats().ops().count() > 0);
            });
        }
    }
    futures::executor::block_on(work(dir));
    futures::executor::block_on(compounds(dir, 0, 4));
    0
}

fn on(test: &str, body: impl FnOnce(&Path)) {
    in_child(
        test,
        |_| {},
        || {
            let dir = tempfile::tempdir().unwrap();
            body(dir.path());
        },
    );
}

/// Daemons and prefork servers: the first runtime was used and has ended before the fork.
#[test]
fn a_fork_after_the_first_runtime_has_ended() {
    on("a_fork_after_the_first_runtime_has_ended", |dir| {
        assert_eq!(all_works(dir), 0);
        assert_eq!(forked(|| all_works(dir)), 0);
        // Twice, as daemons do, and once more from a child that has worked.
        assert_eq!(forked(|| forked(|| all_works(dir))), 0);
        let grandchild = || all_works(dir) + forked(|| all_works(dir));
        assert_eq!(forked(grandchild), 0);
        assert_eq!(all_works(dir), 0);
        assert!(
            std::process::Command::new("true")
                .status()
                .unwrap()
                .success()
        );
    });
}

/// The parent's runtime lives, with operations in flight: the child is refused there, and has its own.
#[test]
fn a_fork_while_a_runtime_lives() {
    on("a_fork_while_a_runtime_lives", |dir| {
        for route in routes() {
            for multi in [true, false] {
                let runtime = runtime(multi);
                runtime.block_on(async {
                    Handle::builder().route(route).install().unwrap();
                    work(dir).await;
                    let fifo = dir.join(format!("{route:?} {multi}"));
                    fs::make_fifo(&fifo, 0o600).await.unwrap();
                    let mut stuck = Box::pin(File::open(fifo.clone()));
                    assert!(futures::poll!(stuck.as_mut()).is_pending());
                    let code = forked(|| {
                        let polled = std::future::Future::poll(
                            stuck.as_mut(),
                            &mut std::task::Context::from_waker(std::task::Waker::noop()),
                        );
                        let of_before = is_refused(polled);
                        let new = std::pin::pin!(fs::canonicalize(dir));
                        let on_old = is_refused(
                            new.poll(&mut std::task::Context::from_waker(std::task::Waker::noop())),
                        );
                        if !of_before || !on_old {
                            return 1;
                        }
                        drop(stuck);
                        apart(|| all_works(dir))
                    });
                    assert_eq!(code, 0, "{route:?} {multi}");
                    work(dir).await;
                });
                drop(std::fs::read_dir(dir));
                for fifo in std::fs::read_dir(dir).unwrap().flatten() {
                    let mut both = std::fs::File::options();
                    drop(both.read(true).write(true).open(fifo.path()));
                }
            }
        }
    });
}

fn is_refused<T>(polled: std::task::Poll<std::io::Result<T>>) -> bool {
    match polled {
        std::task::Poll::Ready(Err(error)) => {
            matches!(Error::from_io(&error), Some(Error::ForkedChild { .. }))
        }
        _ => false,
    }
}

/// Files and pools of before are descriptors and memory, and work in the child's runtime.
#[test]
fn files_and_buffers_of_before() {
    on("files_and_buffers_of_before", |dir| {
        for route in routes() {
            let path = dir.join(format!("{route:?}"));
            let (parents, pool) = runtime(true).block_on(async {
                Handle::builder().route(route).install().unwrap();
                let pool = BufPool::builder().build().unwrap();
                fs::write(&path, vec![7; 100_000]).await.unwrap();
                let mut options = File::options();
                let mut file = options.read(true).write(true).open(&path).await.unwrap();
                file.read_exact(&mut [0; 10]).await.unwrap();
                let (count, _) = file.read_fixed_at(pool.get(), 0).await.unwrap();
                assert!(count > 0);
                (file, pool)
            });
            let code = forked(|| {
                runtime(false).block_on(async {
                    Handle::builder().route(route).install().unwrap();
                    let mut file = parents;
                    file.write_all_at(vec![9; 10], 50).await.unwrap();
                    file.sync_all().await.unwrap();
                    let (count, buf) = file.read_fixed_at(pool.get(), 45).await.unwrap();
                    assert!(count > 20 && buf[..5] == [7; 5] && buf[5..15] == [9; 10]);
                    let mut next = [0; 10];
                    file.read_exact(&mut next).await.unwrap();
                    assert_eq!(next, [7; 10]);
                    assert_eq!(file.metadata().await.unwrap().len(), 100_000);
                    let clone = file.try_clone().await.unwrap();
                    drop(file);
                    clone.close().await.unwrap();
                });
                0
            });
            assert_eq!(code, 0, "{route:?}");
        }
    });
}

/// Whatever lock another thread held at the fork, the child hangs on none.
#[test]
fn a_fork_while_others_are_at_it() {
    on("a_fork_while_others_are_at_it", |dir| {
        let over = Arc::new(AtomicBool::new(false));
        let threads: Vec<_> = (0..3)
            .map(|number| {
                let (over, dir) = (over.clone(), dir.join(format!("{number}")));
                std::thread::spawn(move || {
                    std::fs::create_dir(&dir).unwrap();
                    while !over.load(Ordering::Relaxed) {
                        let runtime = runtime(number == 0);
                        runtime.block_on(work(&dir));
                        runtime.block_on(compounds(&dir, number, 3));
                        futures::executor::block_on(work(&dir));
                    }
                })
            })
            .collect();
        let began = Instant::now();
        for round in 0..ROUNDS_MAX {
            let code = forked(|| {
                let route = if round % 2 == 0 {
                    Route::Auto
                } else {
                    Route::Pool
                };
                runtime(round % 4 < 2).block_on(async {
                    Handle::builder().route(route).install().unwrap();
                    work(dir).await;
                    compounds(dir, round % 10, 10).await;
                });
                0
            });
            assert_eq!(code, 0, "round {round}");
            if round >= ROUNDS_MIN && began.elapsed() > ROUNDS_LAST {
                break;
            }
        }
        over.store(true, Ordering::Relaxed);
        threads.into_iter().for_each(|one| one.join().unwrap());
    });
}
