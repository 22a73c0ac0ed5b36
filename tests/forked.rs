//! Forked children: what is the parent's is refused or left alone, and a runtime of the child's own works as in any
//! process, whenever the fork came (INV-5).
#![cfg(unix)]

mod common;

use std::future::{Future, poll_fn};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::{Duration, Instant};

use common::child::in_child;
use common::{compounds, routes, runtime};
use tidegate::buf::BufPool;
use tidegate::fs::{self, AppendOptions, AtomicOptions, CommitBatch, File, Space};
use tidegate::{Error, Handle, OpExt, Route};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::Runtime;

/// A child that takes longer than this hangs: nobody waits for locks or threads of its parent.
const BOUND_S: u32 = 120;

/// Forks while others are at it: as many as there is time for.
const ROUNDS_MIN: usize = 20;
const ROUNDS_MAX: usize = 100;
const ROUNDS_LAST: Duration = Duration::from_secs(40);

/// Forks, and returns the child's exit code.
fn forked(child: impl FnOnce() -> i32) -> i32 {
    forked_while(child, || ())
}

/// The same, with something that the parent does meanwhile.
fn forked_while(child: impl FnOnce() -> i32, parent: impl FnOnce()) -> i32 {
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
    parent();
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
                        let polled = Future::poll(
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

fn is_refusal(error: &std::io::Error) -> bool {
    matches!(Error::from_io(error), Some(Error::ForkedChild { .. }))
}

fn is_refused<T>(polled: Poll<std::io::Result<T>>) -> bool {
    matches!(polled, Poll::Ready(Err(error)) if is_refusal(&error))
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

/// Polls it so often; whether it goes on.
async fn begin(compound: &mut compounds::Pending, polls: usize) -> bool {
    let mut count = 0;
    poll_fn(|cx| {
        count += 1;
        match compound.as_mut().poll(cx) {
            Poll::Ready(over) => Poll::Ready(over.map(|()| false).unwrap()),
            Poll::Pending if count >= polls => Poll::Ready(true),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// Forks in the middle of each of what takes several steps.
fn half_way(dir: &Path, each: impl Fn(&str, &Runtime, compounds::Pending)) {
    for (route, polls) in routes().into_iter().zip([2, 1, 3]) {
        let runtime = runtime(true);
        runtime.block_on(async { Handle::builder().route(route).install().unwrap() });
        let place = dir.join(format!("{route:?}"));
        for (name, mut compound) in compounds::all(&place) {
            if runtime.block_on(begin(&mut compound, polls)) {
                let what = format!("{name}, {route:?}, {polls} polls");
                each(&what, &runtime, compound);
            }
        }
    }
}

/// What a child drops that its parent is in the middle of goes on in the parent, and nothing of it is lost.
#[test]
fn what_a_child_drops_goes_on_in_the_parent() {
    on("what_a_child_drops_goes_on_in_the_parent", |dir| {
        half_way(dir, |what, of_parent, compound| {
            let mut compound = Some(compound);
            let dropped = forked(|| {
                let compound = compound.take();
                apart(|| runtime(false).block_on(async { drop(compound) }));
                0
            });
            assert_eq!(dropped, 0, "{what}");
            let over = of_parent.block_on(compound.unwrap());
            over.unwrap_or_else(|error| panic!("{what}, in the parent: {error:?}"));
        });
    });
}

/// What the parent is in the middle of ends for whoever awaits it in the child: nobody is there who would end it.
#[test]
fn what_was_begun_before_ends_in_the_child() {
    on("what_was_begun_before_ends_in_the_child", |dir| {
        half_way(dir, |what, _, compound| {
            let mut compound = Some(compound);
            let awaited = forked(|| {
                let compound = compound.take().unwrap();
                match apart(|| runtime(false).block_on(compound)) {
                    Err(error) if !is_refusal(&error) => {
                        eprintln!("{what}: {error:?}");
                        1
                    }
                    _ => 0,
                }
            });
            assert_eq!(awaited, 0, "{what}");
        });
    });
}

/// Where a log ends is its own process's to know: a child neither appends to it nor cuts off what it has reserved.
#[test]
fn a_log_of_before_is_left_to_the_parent() {
    on("a_log_of_before_is_left_to_the_parent", |dir| {
        for route in routes() {
            for space in [Space::Reserve, Space::ReserveExtend] {
                log_of_before(&dir.join(format!("{route:?} {space:?}")), route, space);
            }
        }
    });
}

fn log_of_before(path: &Path, route: Route, space: Space) {
    let of_parent = runtime(true);
    let log = of_parent.block_on(async {
        Handle::builder().route(route).install().unwrap();
        let options = AppendOptions::new().preallocate(1 << 20, space);
        let log = options.open(path).await.unwrap();
        log.append_sync("one\n").await.unwrap();
        log
    });
    let (mut here, mut there) = UnixStream::pair().unwrap();
    let log = Mutex::new(Some(log));
    let take = || log.lock().unwrap().take().unwrap();
    let in_child = || {
        Read::read_exact(&mut there, &mut [0]).unwrap();
        let log = take();
        let refused = apart(|| {
            runtime(false).block_on(async {
                let both = [log.append("of the child").await.map(drop), log.sync().await];
                drop(log);
                both.map(|told| told.is_err_and(|error| is_refusal(&error)))
            })
        });
        i32::from(refused != [true, true])
    };
    let mut of_before = None;
    let in_parent = || {
        let log = take();
        of_parent.block_on(log.append_sync("two\n")).unwrap();
        Write::write_all(&mut here, b"x").unwrap();
        of_before = Some(log);
    };
    assert_eq!(forked_while(in_child, in_parent), 0, "{path:?}");
    let log = of_before.unwrap();
    of_parent.block_on(log.append_sync("three\n")).unwrap();
    of_parent.block_on(log.close()).unwrap();
    assert_eq!(std::fs::read(path).unwrap(), b"one\ntwo\nthree\n");
}

/// What a batch has in flight is its own process's to end.
#[test]
fn a_batch_of_before_is_left_to_the_parent() {
    on("a_batch_of_before_is_left_to_the_parent", |dir| {
        let path = dir.join("file");
        let of_parent = runtime(true);
        let both = of_parent.block_on(async {
            let batch = CommitBatch::with_in_flight(AtomicOptions::new(), 1);
            let mut file = batch.begin(&path).await.unwrap();
            // Too much to stay in memory, so that there is a file.
            file.write(vec![1; 600_000]).await.unwrap();
            file.flush().await.unwrap();
            (batch, file)
        });
        let both = Mutex::new(Some(both));
        let take = || both.lock().unwrap().take().unwrap();
        let code = forked(|| {
            let (batch, mut file) = take();
            let refused = apart(|| {
                runtime(false).block_on(async {
                    let next = batch.begin(dir.join("next")).await.map(drop);
                    let mut written = file.write(vec![2; 600_000]).await;
                    if written.is_ok() {
                        written = file.flush().await;
                    }
                    let committed = async { batch.commit(file).await?.await }.await;
                    let told = [next, written, committed, batch.finish().await.map(drop)];
                    told.map(|told| told.is_err_and(|error| is_refusal(&error)))
                })
            });
            i32::from(refused != [true; 4])
        });
        assert_eq!(code, 0);
        let (batch, file) = take();
        of_parent.block_on(async {
            batch.commit(file).await.unwrap().await.unwrap();
            assert_eq!(batch.finish().await.unwrap().committed, 1);
        });
        assert_eq!(std::fs::read(&path).unwrap(), vec![1; 600_000]);
        assert_eq!(std::fs::read_dir(dir).unwrap().count(), 1);
    });
}
