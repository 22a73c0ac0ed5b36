//! A completion needs nobody but us: operations end though nobody drives the runtime that they began on.
#![cfg(target_os = "linux")]

mod common;
#[path = "undriven/stage.rs"]
mod stage;

use std::future::Future;
use std::io::Read;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::task::{Context, Poll, Wake, Waker};

use futures::executor::block_on;
use stage::{directory, everywhere, guarded, operations, runtime, step, tour};
use tidegate::fs::{self, File};
use tidegate::{Handle, Submit, Way};
use tokio::io::AsyncWriteExt;
use tokio::runtime::Runtime;

/// Another executor inside an entered runtime that nobody drives.
#[test]
fn another_executor_inside_an_entered_runtime() {
    everywhere("entered", |runtime| {
        let _entered = runtime.enter();
        let dir = directory();
        block_on(tour(dir.path()));
        block_on(tour(dir.path()));
    });
}

/// `Handle::block_on` of another thread drives nothing but its own future.
#[test]
fn block_on_of_another_thread() {
    everywhere("another thread", |runtime| {
        let handle = runtime.handle().clone();
        let thread = std::thread::spawn(move || {
            let dir = directory();
            handle.block_on(tour(dir.path()));
            let local = tokio::task::LocalSet::new();
            handle.block_on(local.run_until(tour(dir.path())));
        });
        thread.join().unwrap();
    });
}

/// Polls each once there; those that are not over come back.
fn begun(
    runtime: &Runtime,
    dir: &std::path::Path,
    file: &Arc<File>,
) -> Vec<(
    &'static str,
    futures::future::BoxFuture<'static, std::io::Result<()>>,
)> {
    runtime.block_on(async {
        let mut begun = Vec::new();
        for (name, mut operation) in operations(dir, file) {
            match futures::poll!(&mut operation) {
                Poll::Ready(result) => result.unwrap(),
                Poll::Pending => begun.push((name, operation)),
            }
        }
        begun
    })
}

fn file_in(runtime: &Runtime, dir: &std::path::Path) -> Arc<File> {
    std::fs::write(dir.join("file"), vec![7; 2 << 20]).unwrap();
    let mut options = File::options();
    let open = options.read(true).write(true).open(dir.join("file"));
    Arc::new(runtime.block_on(open).unwrap())
}

/// What began on a runtime that idles ends on another one, on another executor, and on a plain thread.
#[test]
fn what_began_on_an_idle_runtime_ends_elsewhere() {
    for elsewhere in ["runtime", "executor", "thread"] {
        everywhere(elsewhere, move |runtime| {
            let dir = directory();
            let file = file_in(&runtime, dir.path());
            for (name, operation) in begun(&runtime, dir.path(), &file) {
                step(name);
                let result = match elsewhere {
                    "runtime" => common::runtime(true).block_on(operation),
                    "executor" => smol::block_on(operation),
                    _ => std::thread::spawn(|| block_on(operation)).join().unwrap(),
                };
                result.unwrap_or_else(|error| panic!("{name}: {error:?}"));
            }
        });
    }
}

/// The only worker is inside code of the user's, which waits for what another thread awaits.
#[test]
fn the_only_worker_is_blocked_by_other_code() {
    everywhere("blocked", |runtime| {
        let dir = directory();
        let file = file_in(&runtime, dir.path());
        let operations = operations(dir.path(), &file);
        let (send, begun) = channel();
        let (release, released) = channel::<()>();
        let blocked = async move {
            for (name, mut operation) in operations {
                if futures::poll!(&mut operation).is_pending() {
                    send.send((name, operation)).unwrap();
                }
            }
            drop(send);
            let _ = released.recv();
        };
        let driver = std::thread::spawn(move || runtime.block_on(runtime.spawn(blocked)).unwrap());
        for (name, operation) in begun {
            step(name);
            block_on(operation).unwrap_or_else(|error| panic!("{name}: {error:?}"));
        }
        drop(release);
        driver.join().unwrap();
    });
}

/// Nested executors inside a worker that says so.
#[test]
fn nested_inside_block_in_place() {
    for route in common::routes() {
        for workers in [1, 3] {
            guarded(&format!("{route:?}, {workers} workers"), move || {
                let runtime = runtime(route, Submit::Auto, workers);
                stage::warm(&runtime);
                let nested = async {
                    tokio::task::block_in_place(|| {
                        let dir = directory();
                        tokio::runtime::Handle::current().block_on(tour(dir.path()));
                        block_on(tour(dir.path()));
                    });
                };
                runtime.block_on(runtime.spawn(nested)).unwrap();
                runtime.block_on(nested_again());
            });
        }
    }
}

async fn nested_again() {
    let dir = directory();
    tokio::task::block_in_place(|| block_on(tour(dir.path())));
}

/// The end of a runtime ends what began on it, for whoever awaits it.
#[test]
fn a_runtime_that_ends_leaves_nobody_waiting() {
    everywhere("dropped", |runtime| {
        let dir = directory();
        let file = file_in(&runtime, dir.path());
        let begun = begun(&runtime, dir.path(), &file);
        let waiting = std::thread::spawn(|| {
            for (name, operation) in begun {
                step(name);
                // Done, or not begun.
                let _ = block_on(operation);
            }
        });
        runtime.shutdown_background();
        waiting.join().unwrap();
    });
}

/// What is over is not in flight, and what was accepted is done, though nobody drives the runtime any more.
#[test]
fn nothing_stays_in_flight() {
    everywhere("idle", |runtime| {
        let dir = directory();
        let path = dir.path().join("pipe");
        let handle = runtime.block_on(async {
            fs::make_fifo(&path, 0o600).await.unwrap();
            let mut file = File::create(dir.path().join("file")).await.unwrap();
            file.write_all(b"accepted").await.unwrap();
            Handle::current().unwrap()
        });
        step("the close of a dropped file");
        while handle.stats().in_flight > 0 {
            std::thread::yield_now();
        }
        assert!(handle.in_flight().is_empty(), "{:?}", handle.in_flight());
        let found = std::fs::read(dir.path().join("file")).unwrap();
        assert_eq!(found, b"accepted");

        step("a long write into a pipe");
        let content: Vec<u8> = (0..1_500_000_u32).map(|number| number as u8).collect();
        let peer = std::thread::spawn({
            let path = path.clone();
            move || std::fs::File::open(path).unwrap()
        });
        runtime.block_on(async {
            let mut options = File::options();
            let mut pipe = options.write(true).open(&path).await.unwrap();
            pipe.write_all(&content).await.unwrap();
        });
        let mut read = Vec::new();
        peer.join().unwrap().read_to_end(&mut read).unwrap();
        assert!(read == content, "{} bytes", read.len());
    });
}

/// Blocks whoever wakes it, until it is let go.
struct Blocks {
    entered: Sender<()>,
    release: std::sync::Mutex<Receiver<()>>,
}

impl Wake for Blocks {
    fn wake(self: Arc<Self>) {
        self.entered.send(()).unwrap();
        let _ = self.release.lock().unwrap().recv();
    }
}

/// A waker that blocks holds up neither the watchdog nor what else is over.
#[test]
fn a_waker_that_blocks_holds_up_nobody_else() {
    everywhere("blocking waker", |runtime| {
        let dir = directory();
        let file = file_in(&runtime, dir.path());
        let (entered, inside) = channel();
        let (let_go, release) = channel::<()>();
        let waker = Waker::from(Arc::new(Blocks {
            entered,
            release: std::sync::Mutex::new(release),
        }));
        let mut stuck = Box::pin(file.sync_all());
        let begun = runtime.block_on(async {
            let polled = stuck.as_mut().poll(&mut Context::from_waker(&waker));
            let in_flight = Handle::current().unwrap().in_flight();
            let way = in_flight.first().and_then(|op| op.way);
            polled.is_pending() && way == Some(Way::WorkerRing)
        });
        if !begun {
            // A lane, or a thread of a pool, wakes whom it has worked for itself.
            return;
        }
        step("the blocking waker");
        inside.recv().unwrap();
        let _entered = runtime.enter();
        block_on(tour(directory().path()));
        drop(let_go);
        block_on(stuck).unwrap();
    });
}

/// A thread that computes is interrupted for its completions, direct ones too.
#[test]
fn a_thread_that_spins_is_interrupted() {
    everywhere("spinning", |runtime| {
        let dir = directory();
        let path = dir.path().join("direct");
        std::fs::write(&path, vec![7; 1 << 20]).unwrap();
        let mut options = File::options();
        options.read(true).direct(true);
        let file = runtime.block_on(options.open(&path)).unwrap();
        let over = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let (send, begun) = channel();
        let spins = over.clone();
        let spin = async move {
            let buf = tidegate::buf::AlignedBuf::zeroed(4096, 4096);
            let mut read = Box::pin(file.read_at(buf, 0));
            // A quick disk has answered before the submission returned.
            let read = match futures::poll!(read.as_mut()) {
                Poll::Ready(over) => futures::future::Either::Left(std::future::ready(over)),
                Poll::Pending => futures::future::Either::Right(read),
            };
            send.send(read).unwrap();
            while !spins.load(std::sync::atomic::Ordering::Relaxed) {
                std::hint::spin_loop();
            }
        };
        let spinner = std::thread::spawn(move || runtime.block_on(runtime.spawn(spin)).unwrap());
        step("a direct read");
        let read = block_on(begun.recv().unwrap()).unwrap();
        over.store(true, std::sync::atomic::Ordering::Relaxed);
        spinner.join().unwrap();
        assert_eq!(read.0, 4096);
    });
}
