//! Nothing outlives its use: runtimes, futures and operations that end at any moment give back their
//! descriptors, threads and memory (R20, R87, R104, INV-1, INV-3, INV-5, INV-7).

mod common;
#[path = "lifetimes/counting.rs"]
mod counting;

use std::future::Future;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use common::child::in_child;
use common::{on_every_backend, routes, runtime};
use counting::{Counted, until};
use tidegate::fs::{self, File, OpenOptions};
use tidegate::{Error, Handle, OpState, Route, Submit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[global_allocator]
static ALLOCATOR: counting::Allocator = counting::Allocator;

/// Starts one of everything and does not wait for it.
fn start_something(dir: &Path, n: usize) -> Vec<tokio::task::JoinHandle<()>> {
    let path = dir.join("file");
    let fifo = dir.join("fifo");
    let new = dir.join(format!("new-{n}"));
    vec![
        tokio::spawn({
            let path = path.clone();
            async move {
                // Its runtime may end before; a panic would keep the memory of its backtrace.
                if let Ok(file) = File::open(&path).await {
                    let _ = file.read_at(vec![0; 8192], 100).await;
                }
            }
        }),
        tokio::spawn(async move {
            let _ = fs::write(&new, "content").await;
            let _ = fs::remove_file(&new).await;
        }),
        tokio::spawn(async move { drop(File::open(fifo).await) }),
        tokio::spawn(async move { drop(fs::metadata(path).await) }),
    ]
}

fn make_tree() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("file"), vec![7; 1 << 20]).unwrap();
    make_fifo(&dir.path().join("fifo"));
    dir
}

fn make_fifo(path: &Path) {
    let mode = nix::sys::stat::Mode::from_bits_truncate(0o600);
    nix::unistd::mkfifo(path, mode).unwrap();
}

/// One runtime: operations of each sort, some done, some in flight when it is dropped. One of them
/// waits for the other end of a FIFO, which comes only afterwards.
fn one_runtime(dir: &Path, route: Route, n: usize) {
    let runtime = runtime(n % 2 == 0);
    runtime.block_on(async {
        let submit = [Submit::Auto, Submit::Isolated][n / 2 % 2];
        Handle::builder()
            .route(route)
            .submit(submit)
            .install()
            .unwrap();
        let started = start_something(dir, n);
        fs::metadata(dir).await.unwrap();
        if n % 3 == 0 {
            let _ = started.into_iter().nth(3).unwrap().await;
        }
    });
    drop(runtime);
}

/// Lets every opener of the FIFO go: opening it for both never waits.
fn release_fifo(dir: &Path) -> std::fs::File {
    let mut options = std::fs::File::options();
    options
        .read(true)
        .write(true)
        .open(dir.join("fifo"))
        .unwrap()
}

/// A thousand runtimes leave nothing behind.
#[test]
fn a_thousand_runtimes_leave_nothing_behind() {
    let test = "a_thousand_runtimes_leave_nothing_behind";
    in_child(
        test,
        |_| {},
        || {
            let dir = make_tree();
            let _peer = release_fifo(dir.path());
            for route in routes() {
                // So many that all lanes are there which outlive a runtime.
                for n in 0..100 {
                    one_runtime(dir.path(), route, n);
                }
                let before = Counted::settled();
                for n in 0..334 {
                    one_runtime(dir.path(), route, n);
                }
                before.returns(&format!("{route:?}"), 64 << 10);
            }
        },
    );
}

/// Runtimes that are dropped while an open waits for its peer: their threads go when the peer comes.
#[test]
fn runtimes_dropped_with_a_pending_open_leave_nothing_once_it_is_over() {
    let test = "runtimes_dropped_with_a_pending_open_leave_nothing_once_it_is_over";
    in_child(
        test,
        |_| {},
        || {
            let dir = make_tree();
            for route in routes() {
                // So many that all lanes are there which outlive a runtime.
                for n in 0..40 {
                    one_runtime(dir.path(), route, n);
                }
                drop(release_fifo(dir.path()));
                let before = Counted::settled();
                for n in 0..20 {
                    one_runtime(dir.path(), route, n);
                }
                // Openers that did not stop at the drop hold a thread each, and stop when the peer comes.
                let peer = release_fifo(dir.path());
                before.plus_file().returns(&format!("{route:?}"), 64 << 10);
                drop(peer);
            }
        },
    );
}

fn context() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

/// Futures dropped before and after their first poll leave no descriptor and no memory behind.
#[test]
fn dropped_futures_leave_nothing_behind() {
    let test = "dropped_futures_leave_nothing_behind";
    in_child(
        test,
        |_| {},
        || {
            let dir = make_tree();
            for route in routes() {
                runtime(true).block_on(async {
                    Handle::builder().route(route).install().unwrap();
                    let path = dir.path().join("file");
                    let file = OpenOptions::new()
                        .read(true)
                        .write(true)
                        .open(&path)
                        .await
                        .unwrap();
                    drop_at_every_stage(&file, dir.path(), 30).await;
                    let before = Counted::settled_async().await;
                    drop_at_every_stage(&file, dir.path(), 300).await;
                    before.returns_async(&format!("{route:?}"), 64 << 10).await;
                    file.close().await.unwrap();
                });
            }
        },
    );
}

async fn drop_at_every_stage(file: &File, dir: &Path, rounds: usize) {
    let path = dir.join("file");
    for _ in 0..rounds {
        drop(File::open(&path));
        drop(file.read_at(vec![0; 65_536], 0));
        drop(file.write_at(vec![7; 65_536], 0));
        let mut cx = context();
        let _ = pin!(File::open(&path)).as_mut().poll(&mut cx);
        let _ = pin!(File::create(dir.join("new"))).as_mut().poll(&mut cx);
        let _ = pin!(file.read_at(vec![0; 65_536], 0))
            .as_mut()
            .poll(&mut cx);
        let _ = pin!(file.write_at(vec![7; 65_536], 0))
            .as_mut()
            .poll(&mut cx);
        let _ = pin!(fs::read(&path)).as_mut().poll(&mut cx);
        let _ = pin!(fs::write(dir.join("new"), "x")).as_mut().poll(&mut cx);
        let _ = pin!(fs::read_dir(dir)).as_mut().poll(&mut cx);
        let _ = pin!(fs::metadata(&path)).as_mut().poll(&mut cx);
        let _ = pin!(file.sync_data()).as_mut().poll(&mut cx);
        // Others get their turn, and dropped operations end.
        tokio::task::yield_now().await;
    }
    fs::metadata(dir).await.unwrap();
}

/// Ten thousand futures dropped after a random number of polls. What is read by those that are not
/// dropped is right.
#[test]
fn ten_thousand_random_drops() {
    let test = "ten_thousand_random_drops";
    in_child(
        test,
        |_| {},
        || {
            let seed = std::env::var("TIDEGATE_TEST_SEED").map_or_else(
                |_| rand(&mut (std::process::id() as u64)),
                |s| s.parse().unwrap(),
            );
            // Printed by the parent if this fails.
            eprintln!("TIDEGATE_TEST_SEED={seed}");
            let dir = make_tree();
            let routes = routes();
            for (index, &route) in routes.iter().enumerate() {
                let runtime = runtime(index != 1);
                let mut state = seed;
                runtime.block_on(async {
                    Handle::builder().route(route).install().unwrap();
                    let path = dir.path().join("file");
                    let mut options = OpenOptions::new();
                    let file = options.read(true).write(true).open(&path).await.unwrap();
                    random_drops(&file, dir.path(), &mut state, 500).await;
                    let before = Counted::settled_async().await;
                    random_drops(&file, dir.path(), &mut state, 10_000 / routes.len()).await;
                    before.returns_async(&format!("{route:?}"), 64 << 10).await;
                    file.close().await.unwrap();
                });
            }
        },
    );
}

/// A small generator of numbers that look random.
fn rand(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

async fn random_drops(file: &File, dir: &Path, state: &mut u64, count: usize) {
    let path = dir.join("file");
    for _ in 0..count {
        let polls = rand(state) % 4;
        let length = (rand(state) % 70_000) as usize;
        let offset = rand(state) % (1 << 20);
        match rand(state) % 8 {
            0 | 1 => polled(file.read_at(vec![0; length], offset), polls).await,
            // The bytes that are there already, so that a late write changes nothing.
            2 => {
                let length = length.min((1 << 20) - offset as usize);
                polled(file.write_at(vec![7; length], offset), polls).await;
            }
            3 => polled(File::open(&path), polls).await,
            4 => polled(fs::metadata(&path), polls).await,
            5 => polled(fs::read(&path), polls).await,
            6 => polled(file.sync_data(), polls).await,
            _ => {
                let (count, buf) = file.read_at(vec![0; length], offset).await.unwrap();
                assert_eq!(count, length.min((1 << 20) - offset as usize));
                assert!(buf[..count].iter().all(|&byte| byte == 7));
            }
        }
    }
}

/// Polls so often, with others in between, and drops it.
async fn polled(future: impl Future, polls: u64) {
    let mut future = pin!(future);
    for _ in 0..polls {
        let poll = std::future::poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await;
        if poll.is_ready() {
            return;
        }
        tokio::task::yield_now().await;
    }
}

/// A waker that panics, on the thread that completes the operation.
struct Panics;

impl Wake for Panics {
    fn wake(self: Arc<Self>) {
        panic!("a waker of the test panics on purpose");
    }
}

/// R104: a waker that panics harms nobody else, on any thread.
#[test]
fn a_waker_that_panics_harms_nobody_else() {
    in_child(
        "a_waker_that_panics_harms_nobody_else",
        |_| {},
        || {
            on_every_backend(|_| async {
                let dir = make_tree();
                let path = dir.path().join("file");
                let file = Arc::new(
                    OpenOptions::new()
                        .read(true)
                        .write(true)
                        .open(&path)
                        .await
                        .unwrap(),
                );
                for round in 0..20 {
                    let waker = Waker::from(Arc::new(Panics));
                    let mut cx = Context::from_waker(&waker);
                    let mut futures: Vec<_> = (0..5)
                        .map(|n| Box::pin(file.write_at(vec![n; 4096], u64::from(n) * 4096)))
                        .collect();
                    futures.retain_mut(|future| future.as_mut().poll(&mut cx).is_pending());
                    let mut listed = Box::pin(fs::read_dir(dir.path()));
                    let listed = listed.as_mut().poll(&mut cx).is_pending().then_some(listed);
                    let (count, _) = file.read_at(vec![0; 100], 1 << 19).await.unwrap();
                    assert_eq!(count, 100, "round {round}");
                    file.sync_data().await.unwrap();
                    fs::metadata(dir.path().join("fifo")).await.unwrap();
                    for future in futures {
                        future.await.unwrap();
                    }
                    if let Some(listed) = listed {
                        drop(listed.await.unwrap());
                    }
                }
            });
        },
    );
}

/// The report counts what is left behind, and nothing else; the bound is kept.
#[test]
fn shutdown_tells_what_it_leaves_behind() {
    on_every_backend(|route| async move {
        let dir = make_tree();
        let handle = Handle::current().unwrap();
        let path = dir.path().join("file");
        fs::read(&path).await.unwrap();
        let mut stuck = Box::pin(File::open(dir.path().join("fifo")));
        assert!(futures::poll!(stuck.as_mut()).is_pending());
        let has_begun = || {
            handle
                .in_flight()
                .iter()
                .any(|op| op.state == OpState::Running)
        };
        until("the open has begun", has_begun).await;
        let report = handle.shutdown(Duration::from_millis(500)).await;
        // The ring cancels it; a blocking thread cannot be called back.
        let expected = u64::from(route == Route::Pool);
        assert_eq!(report.left_behind, expected, "{route:?}");
        let named = report.to_string().contains(dir.path().to_str().unwrap());
        assert_eq!(named, expected == 1, "{report}");
        assert_eq!(handle.stats().in_flight, expected, "{route:?}");
        // What comes later runs on the process's own handle.
        assert_eq!(fs::read(&path).await.unwrap().len(), 1 << 20);
        let peer = release_fifo(dir.path());
        let opened = stuck.await;
        match &opened {
            Ok(_) => assert_eq!(route, Route::Pool),
            Err(error) => {
                let closed = matches!(Error::from_io(error), Some(Error::Closed { .. }));
                assert!(
                    closed && error.to_string().starts_with("open: "),
                    "{error:?}"
                );
            }
        }
        drop((opened, peer));
        until("the open is over", || handle.stats().in_flight == 0).await;
        let report = handle.shutdown(Duration::from_secs(60)).await;
        assert_eq!(report.left_behind, 0, "{route:?}");
    });
}

/// An open that waits for its peer holds up nobody, and dropping it leaves nothing.
#[test]
fn a_fifo_without_a_peer_holds_up_nobody() {
    let test = "a_fifo_without_a_peer_holds_up_nobody";
    in_child(
        test,
        |_| {},
        || {
            on_every_backend(|route| async move {
                let dir = make_tree();
                let path = dir.path().join("file");
                fs::read(&path).await.unwrap();
                let before = Counted::settled_async().await;
                let mut waiting: Vec<_> = (0..40)
                    .map(|_| Box::pin(File::open(dir.path().join("fifo"))))
                    .collect();
                for open in &mut waiting {
                    let polled = futures::poll!(open.as_mut());
                    assert!(polled.is_pending(), "{route:?} {polled:?}");
                }
                for n in 0..20 {
                    fs::write(dir.path().join("new"), vec![n; 1000])
                        .await
                        .unwrap();
                    assert_eq!(fs::read(&path).await.unwrap().len(), 1 << 20);
                    fs::symlink_metadata(dir.path().join("fifo")).await.unwrap();
                    drop(fs::read_dir(dir.path()).await.unwrap());
                }
                drop(waiting);
                fs::read(&path).await.unwrap();
                let peer = release_fifo(dir.path());
                before.plus_file().files_return(&format!("{route:?}")).await;
                drop(peer);
                let stats = || Handle::current().unwrap().stats().in_flight;
                until("dropped opens are over", || stats() == 0).await;
            });
        },
    );
}

/// Opening a FIFO waits for its other end, on either side, and what is written is read.
#[test]
fn a_fifo_waits_for_its_peer() {
    on_every_backend(|route| async move {
        let dir = make_tree();
        let fifo = dir.path().join("fifo");
        for _ in 0..3 {
            let mut reader = Box::pin(File::open(&fifo));
            busy_a_while(&mut reader, dir.path(), route).await;
            let mut options = OpenOptions::new();
            let options = options.write(true).clone();
            let writer = async { options.open(&fifo).await };
            let (reader, writer) = futures::join!(reader, writer);
            let (mut reader, mut writer) = (reader.unwrap(), writer.unwrap());
            writer.write_all(b"through the pipe").await.unwrap();
            writer.flush().await.unwrap();
            writer.close().await.unwrap();
            let mut text = String::new();
            reader.read_to_string(&mut text).await.unwrap();
            assert_eq!(text, "through the pipe");
            reader.close().await.unwrap();
            let mut writer = Box::pin(options.open(&fifo));
            busy_a_while(&mut writer, dir.path(), route).await;
            let (reader, writer) = futures::join!(File::open(&fifo), writer);
            drop((reader.unwrap(), writer.unwrap()));
        }
    });
}

/// Does other things on the same mount and on lanes, while the open goes on waiting.
async fn busy_a_while<F: Future<Output = std::io::Result<File>> + Unpin>(
    open: &mut F,
    dir: &Path,
    route: Route,
) {
    for _ in 0..20 {
        fs::write(dir.join("new"), "x").await.unwrap();
        fs::symlink_metadata(dir.join("fifo")).await.unwrap();
        let _ = fs::get_xattr(dir.join("fifo"), "user.x", fs::Follow::Links).await;
        let polled = futures::poll!(&mut *open);
        assert!(polled.is_pending(), "{route:?}: {polled:?}");
    }
}

/// A future that is pending when its runtime is dropped ends with an error, on another executor.
#[test]
fn an_operation_pending_when_its_runtime_is_dropped_ends() {
    for route in routes() {
        for multi in [true, false] {
            let dir = make_tree();
            let runtime = runtime(multi);
            let mut pending = Box::pin(File::open(dir.path().join("fifo")));
            runtime.block_on(async {
                Handle::builder().route(route).install().unwrap();
                let polled = futures::poll!(pending.as_mut());
                assert!(polled.is_pending(), "{route:?} {polled:?}");
            });
            drop(runtime);
            let peer = release_fifo(dir.path());
            match futures::executor::block_on(pending) {
                Ok(file) => drop(file),
                Err(error) => {
                    let typed = Error::from_io(&error).expect("typed");
                    assert_eq!(typed.operation().unwrap().name(), "open", "{error}");
                }
            }
            drop(peer);
        }
    }
}

/// R-trap 15, `fork_refused`: a forked child is told so, and its parent does not notice.
#[test]
fn a_forked_child_is_refused_and_its_parent_goes_on() {
    let test = "a_forked_child_is_refused_and_its_parent_goes_on";
    in_child(
        test,
        |_| {},
        || {
            on_every_backend(|route| async move {
                let dir = make_tree();
                let path = dir.path().join("file");
                let file = File::open(&path).await.unwrap();
                assert_eq!(fs::read(&path).await.unwrap().len(), 1 << 20);
                let waiting: Vec<_> = (0..8u64)
                    .map(|n| tokio::spawn(file.read_exact_at(vec![0; 9000], n * 9000)))
                    .collect();
                // SAFETY: the child makes one call of this crate, which must not wait for a thread, and
                // ends without running anything else.
                let pid = unsafe { libc::fork() };
                if pid == 0 {
                    let code = refused(&path, &file);
                    // SAFETY: ends this process at once.
                    unsafe { libc::_exit(code) };
                }
                let pid = nix::unistd::Pid::from_raw(pid);
                let status = nix::sys::wait::waitpid(pid, None).unwrap();
                let expected = nix::sys::wait::WaitStatus::Exited(pid, 0);
                assert_eq!(status, expected, "{route:?}");
                for read in waiting {
                    assert_eq!(read.await.unwrap().unwrap(), vec![7; 9000]);
                }
                assert_eq!(fs::read(&path).await.unwrap().len(), 1 << 20);
                fs::write(&path, vec![7; 1 << 20]).await.unwrap();
            });
        },
    );
}

/// What a forked child gets of each sort of operation; zero if all of it is as it should be.
fn refused(path: &Path, file: &File) -> i32 {
    let is_refusal = |error: &std::io::Error| {
        let refusal = matches!(Error::from_io(error), Some(Error::ForkedChild { .. }));
        refusal && error.kind() == std::io::ErrorKind::Unsupported
    };
    let mut cx = context();
    match pin!(fs::metadata(path)).as_mut().poll(&mut cx) {
        Poll::Ready(Err(error)) if is_refusal(&error) => {}
        _ => return 1,
    }
    match pin!(file.read_at(vec![0; 10], 0)).as_mut().poll(&mut cx) {
        Poll::Ready(Err(error)) if is_refusal(&error.error) => {}
        _ => return 2,
    }
    match pin!(fs::read_dir(path)).as_mut().poll(&mut cx) {
        Poll::Ready(Err(error)) if is_refusal(&error) => {}
        _ => return 3,
    }
    match pin!(File::open(path)).as_mut().poll(&mut cx) {
        Poll::Ready(Err(error)) if is_refusal(&error) => {}
        _ => return 4,
    }
    0
}
