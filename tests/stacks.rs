//! Code of other people's has the stack that tokio's blocking threads give it, on whatever thread it runs: closures,
//! wakers, drops, listeners of heartbeats, subscribers of the log.

mod common;

use std::collections::BTreeSet;
use std::future::Future;
use std::hint::black_box;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::Duration;

use common::child::in_child;
use common::{routes, runtime};
use tidegate::fs::{self, File};
use tidegate::{Handle, OpExt, blocking, blocking_on};
use tokio::io::AsyncWriteExt;

const PATIENCE: Duration = Duration::from_secs(20);

/// Uses that much stack, all of it. What is used besides leaves room for the larger of the two.
#[inline(never)]
fn use_kib<const KIB: usize>() {
    let mut local = [[0_u8; 1024]; KIB];
    for (number, part) in local.iter_mut().enumerate() {
        part[number % 1024] = black_box(1);
    }
    assert_eq!(black_box(&local).len(), KIB);
}

fn use_much() {
    use_kib::<400>();
    use_kib::<1536>();
}

/// Names of the threads on which it was done.
#[derive(Clone, Default)]
struct Threads(Arc<Mutex<BTreeSet<String>>>);

impl Threads {
    fn note(&self) {
        let name = std::thread::current().name().unwrap_or("none").to_owned();
        self.0.lock().unwrap().insert(name);
    }

    fn print(&self, what: &str) {
        println!("{what}: {:?}", self.0.lock().unwrap());
    }

    fn has_ours(&self) -> bool {
        let names = self.0.lock().unwrap();
        names.iter().any(|name| name.starts_with("tidegate-"))
    }
}

/// A waker that uses much stack before it wakes.
struct Deep {
    thread: Thread,
    woken: AtomicBool,
    threads: Threads,
}

impl Wake for Deep {
    fn wake(self: Arc<Self>) {
        use_much();
        self.threads.note();
        self.woken.store(true, Ordering::SeqCst);
        self.thread.unpark();
    }
}

/// Waits for a future, woken by such wakers alone.
fn wait<F: Future>(threads: &Threads, future: F) -> F::Output {
    let deep = Arc::new(Deep {
        thread: std::thread::current(),
        woken: AtomicBool::new(true),
        threads: threads.clone(),
    });
    let waker = Waker::from(deep.clone());
    let mut future = pin!(future);
    loop {
        while !deep.woken.swap(false, Ordering::SeqCst) {
            std::thread::park_timeout(PATIENCE);
        }
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
    }
}

/// Something of each way that operations go.
async fn work(dir: &std::path::Path) {
    let path = dir.join("file");
    fs::write(&path, vec![7; 100_000]).await.unwrap();
    assert_eq!(fs::read(&path).await.unwrap().len(), 100_000);
    fs::read_dir(dir).await.unwrap();
    let mut file = File::options().append(true).open(&path).await.unwrap();
    file.write_all(b"more").await.unwrap();
    file.flush().await.unwrap();
    file.sync_all().await.unwrap();
    file.close().await.unwrap();
    fs::remove_file(&path).await.unwrap();
    let held = blocking(|stop| while !stop.is_wanted() {}).timeout(Duration::from_millis(5));
    assert!(held.await.is_err());
}

#[test]
fn closures_have_room() {
    in_child(
        "closures_have_room",
        |_| {},
        || {
            for route in routes() {
                runtime(true).block_on(async {
                    Handle::builder().route(route).install().unwrap();
                    blocking(|_| use_much()).await.unwrap();
                    blocking_on("/", |_| use_much()).await.unwrap();
                });
            }
        },
    );
}

/// Outside of any runtime, in one that nobody drives, and in one that is driven.
#[test]
fn wakers_have_room() {
    in_child(
        "wakers_have_room",
        |_| {},
        || {
            let threads = Threads::default();
            let dir = tempfile::tempdir().unwrap();
            wait(&threads, work(dir.path()));
            assert!(threads.has_ours());
            threads.print("outside of a runtime");
            for route in routes() {
                for multi in [true, false] {
                    let runtime = runtime(multi);
                    let _entered = runtime.enter();
                    Handle::builder().route(route).install().unwrap();
                    let threads = Threads::default();
                    for _ in 0..3 {
                        wait(&threads, work(dir.path()));
                    }
                    assert!(threads.has_ours());
                    threads.print("in a runtime that nobody drives");
                }
            }
        },
    );
}

/// What nobody waits for any more is dropped on the thread that has it.
#[test]
fn drops_have_room() {
    struct Drops(Sender<String>);
    impl AsRef<[u8]> for Drops {
        fn as_ref(&self) -> &[u8] {
            b"bytes"
        }
    }
    impl Drop for Drops {
        fn drop(&mut self) {
            use_much();
            let name = std::thread::current().name().unwrap_or("none").to_owned();
            let _ = self.0.send(name);
        }
    }
    fn dropped(hear: &Receiver<String>) -> String {
        hear.recv_timeout(PATIENCE).expect("it is dropped")
    }
    in_child(
        "drops_have_room",
        |_| {},
        || {
            for route in routes() {
                let runtime = runtime(true);
                runtime.block_on(async {
                    Handle::builder().route(route).install().unwrap();
                    let (tell, hear) = channel();
                    let (began, has_begun) = channel();
                    // What the work returns when its future is gone.
                    let drops = Drops(tell.clone());
                    let task = tokio::spawn(blocking(move |stop| {
                        began.send(()).unwrap();
                        while !stop.is_wanted() {}
                        drops
                    }));
                    has_begun.recv_timeout(PATIENCE).unwrap();
                    task.abort();
                    let name = dropped(&hear);
                    assert!(name.starts_with("tidegate-"), "{name}");
                    // The buffer of a write whose future is dropped, wherever it is by then.
                    let dir = tempfile::tempdir().unwrap();
                    let file = File::create(dir.path().join("file")).await.unwrap();
                    for _ in 0..100 {
                        let bytes = bytes::Bytes::from_owner(Drops(tell.clone()));
                        let mut write =
                            Box::pin(async { file.write_all_at(bytes, 0).await.map(drop) });
                        let waker = Waker::noop();
                        let _ = write.as_mut().poll(&mut Context::from_waker(waker));
                        drop(write);
                        let name = dropped(&hear);
                        println!("a buffer is dropped on {name}");
                    }
                });
            }
        },
    );
}

#[test]
fn listeners_of_heartbeats_have_room() {
    in_child(
        "listeners_of_heartbeats_have_room",
        |_| {},
        || {
            let runtime = runtime(true);
            let _entered = runtime.enter();
            let builder = Handle::builder().heartbeat_interval(Duration::from_millis(5));
            let handle = builder.install().unwrap();
            let mut beats = handle.heartbeat();
            let (open, gate) = channel::<()>();
            let held = runtime.spawn(blocking(move |_| gate.recv().is_ok()));
            let threads = Threads::default();
            for _ in 0..3 {
                wait(&threads, beats.changed()).unwrap();
            }
            threads.print("heartbeats");
            assert!(threads.has_ours());
            drop(open);
            runtime.block_on(held).unwrap().unwrap();
        },
    );
}

/// A subscriber that uses much for each event.
struct Subscriber(Threads, Sender<()>);

impl tracing::Subscriber for Subscriber {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.target().starts_with("tidegate")
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, _: &tracing::Event<'_>) {
        use_much();
        self.0.note();
        let _ = self.1.send(());
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}

#[test]
fn subscribers_of_the_log_have_room() {
    in_child(
        "subscribers_of_the_log_have_room",
        |_| {},
        || {
            let threads = Threads::default();
            let (tell, hear) = channel();
            tracing::subscriber::set_global_default(Subscriber(threads.clone(), tell)).unwrap();
            runtime(true).block_on(async {
                let builder = Handle::builder().warn_after(Duration::from_millis(5));
                builder
                    .heartbeat_interval(Duration::from_millis(5))
                    .install()
                    .unwrap();
                let (open, gate) = channel::<()>();
                let held = tokio::spawn(
                    blocking_on("/", move |_| gate.recv().is_ok())
                        .timeout(Duration::from_millis(50)),
                );
                assert!(held.await.unwrap().is_err());
                hear.recv_timeout(PATIENCE).expect("something is logged");
                drop(open);
            });
            threads.print("the log");
            assert!(threads.has_ours());
        },
    );
}
