//! Blocking work of the caller's: bounded threads, told to stop, never begun once nobody wants it (M27).

mod common;

use std::io;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, mpsc};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use common::{on_each_route, on_every_backend};
use tidegate::opcode::Kind;
use tidegate::{Error, Handle, LeftBehind, OpExt, Way, blocking, blocking_on};
use tokio_util::sync::CancellationToken;

const PATIENCE: Duration = Duration::from_secs(20);

/// Threads of one pool.
const THREADS: usize = 64;

async fn until(what: &str, mut reached: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !reached() {
        assert!(Instant::now() < end, "{what} was not reached");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

async fn in_time<F: Future>(future: F) -> F::Output {
    let ended = tokio::time::timeout(PATIENCE, future).await;
    ended.expect("it ends")
}

/// A gate that work waits at. Opened when it is dropped, so that a test that fails leaves no thread.
#[derive(Clone, Default)]
struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    fn wait(&self) {
        let mut open = self.0.0.lock().unwrap();
        while !*open {
            open = self.0.1.wait(open).unwrap();
        }
    }

    fn opener(&self) -> Opener {
        Opener(self.clone())
    }
}

struct Opener(Gate);

impl Drop for Opener {
    fn drop(&mut self) {
        *self.0.0.0.lock().unwrap() = true;
        self.0.0.1.notify_all();
    }
}

/// What the work returns comes back as it is, and it was on another thread.
#[test]
fn what_it_returns_comes_back() {
    on_every_backend(|_| async {
        let here = std::thread::current().id();
        let there = in_time(blocking(|_| std::thread::current().id()))
            .await
            .unwrap();
        assert_ne!(here, there);
        let found = blocking_on("/etc/passwd", |stop| {
            stop.check()?;
            std::fs::read("/etc/passwd")
        });
        assert_eq!(
            in_time(found).await.unwrap().unwrap(),
            std::fs::read("/etc/passwd").unwrap()
        );
        let failed = in_time(blocking(|_| Err::<(), _>(io::Error::from_raw_os_error(5)))).await;
        assert_eq!(failed.unwrap().unwrap_err().raw_os_error(), Some(5));
        let stats = Handle::current().unwrap().stats();
        assert_eq!(stats.count(Kind::Blocking, Way::Pool), 3);
        let nul = in_time(blocking_on("a\0b", |_| ())).await.unwrap_err();
        assert_eq!(nul.kind(), io::ErrorKind::InvalidInput);
    });
}

/// Work that panics is an error of its own, and costs no thread.
#[test]
fn a_panic_is_an_error() {
    on_each_route(|_| async {
        for _ in 0..2 * THREADS {
            let error = in_time(blocking::<(), _>(|_| panic!("on purpose"))).await;
            let error: io::Error = error.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
            let panicked = Error::Panicked {
                operation: Kind::Blocking,
            };
            let typed = Error::from_io(&error).unwrap();
            assert_eq!(typed.to_string(), panicked.to_string());
        }
        assert_eq!(in_time(blocking(|_| 7)).await.unwrap(), 7);
    });
}

/// Work that is begun hears that nobody waits for it any more.
#[test]
fn a_dropped_future_tells_the_work() {
    on_each_route(|_| async {
        let (began, has_begun) = mpsc::channel();
        let (ended, has_ended) = mpsc::channel();
        let task = tokio::spawn(blocking(move |stop| {
            began.send(()).unwrap();
            while stop.check().is_ok() {
                std::thread::yield_now();
            }
            ended.send(stop.is_wanted()).unwrap();
        }));
        in_time(blocking(move |_| has_begun.recv().unwrap()))
            .await
            .unwrap();
        task.abort();
        assert!(in_time(task).await.unwrap_err().is_cancelled());
        assert!(
            in_time(blocking(move |_| has_ended.recv().unwrap()))
                .await
                .unwrap()
        );
    });
}

/// At most so many threads, and what waits for one and is dropped never begins.
#[test]
fn threads_are_bounded_and_what_waits_may_be_dropped() {
    on_each_route(|_| async {
        let handle = Handle::current().unwrap();
        let (running, most) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let gate = Gate::default();
        let opener = gate.opener();
        let tasks = (0..THREADS + 20).map(|_| {
            let (gate, running, most) = (gate.clone(), running.clone(), most.clone());
            tokio::spawn(blocking(move |_| {
                most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                gate.wait();
                running.fetch_sub(1, Ordering::SeqCst);
            }))
        });
        let tasks: Vec<_> = tasks.collect();
        until("every thread is taken", || {
            running.load(Ordering::SeqCst) == THREADS
        })
        .await;
        let begun = Arc::<AtomicBool>::default();
        {
            let begun = begun.clone();
            let future = pin!(blocking(move |_| begun.store(true, Ordering::SeqCst)));
            let polled = future.poll(&mut Context::from_waker(Waker::noop()));
            assert_eq!(polled.map(|_| ()), Poll::Pending);
        }
        // Files have threads of their own.
        in_time(tidegate::fs::read_dir("/")).await.unwrap();
        in_time(blocking_on("/", |_| ())).await.unwrap();
        drop(opener);
        for task in tasks {
            in_time(task).await.unwrap().unwrap();
        }
        until("nothing in flight", || handle.stats().in_flight == 0).await;
        assert!(!begun.load(Ordering::SeqCst), "nobody wanted it");
        assert_eq!(most.load(Ordering::SeqCst), THREADS);
    });
}

/// A runtime ends while work goes on that nobody can stop.
#[test]
fn a_runtime_ends_over_work_that_goes_on() {
    for multi in [true, false] {
        let gate = Gate::default();
        let _opener = gate.opener();
        let (began, has_begun) = mpsc::channel();
        let runtime = common::runtime(multi);
        runtime.block_on(async {
            let task = tokio::spawn(blocking(move |_| {
                began.send(()).unwrap();
                gate.wait();
            }));
            tokio::task::yield_now().await;
            has_begun.recv_timeout(PATIENCE).unwrap();
            drop(task);
        });
        drop(runtime);
    }
}

/// The error of a limit, and what it says is left.
#[track_caller]
fn left(error: io::Error) -> (io::ErrorKind, LeftBehind) {
    let kind = error.kind();
    match error.downcast::<Error>().unwrap() {
        Error::Cancelled { left, .. } | Error::TimedOut { left, .. } => (kind, left),
        other => panic!("{other}"),
    }
}

/// Work that does not look goes on after its time; its caller does not wait for it.
#[test]
fn a_deadline_ends_the_waiting_and_not_the_work() {
    on_each_route(|_| async {
        let handle = Handle::current().unwrap();
        let gate = Gate::default();
        let opener = gate.opener();
        let work = blocking_on("/", move |_| gate.wait()).timeout(Duration::from_millis(10));
        let error = in_time(work).await.unwrap_err();
        assert_eq!(Error::from_io(&error).unwrap().path(), Some("/".as_ref()));
        let expected = (io::ErrorKind::TimedOut, LeftBehind::Detached);
        assert_eq!(left(error), expected);
        assert_eq!(handle.stats().in_flight, 1);
        drop(opener);
        until("nothing in flight", || handle.stats().in_flight == 0).await;
    });
}

/// Work that looks ends with its time, and what it returns then is not taken for a result.
#[test]
fn work_that_looks_ends_with_its_time() {
    on_each_route(|_| async {
        let handle = Handle::current().unwrap();
        let work = blocking(|stop| while stop.check().is_ok() {});
        let error = in_time(work.timeout(Duration::from_millis(10))).await;
        let (kind, left) = left(error.unwrap_err());
        assert_eq!(kind, io::ErrorKind::TimedOut);
        // On a busy machine the thread may get to it only after the grace.
        let over = [LeftBehind::MayHaveTakenEffect, LeftBehind::Detached];
        assert!(over.contains(&left), "{left:?}");
        until("nothing in flight", || handle.stats().in_flight == 0).await;
    });
}

/// A token that is cancelled keeps work from beginning, and work that waits for a thread from ever
/// beginning.
#[test]
fn cancelled_work_never_begins() {
    on_each_route(|_| async {
        let token = CancellationToken::new();
        let gate = Gate::default();
        let opener = gate.opener();
        let begun = Arc::<AtomicUsize>::default();
        let running: Vec<_> = (0..THREADS)
            .map(|_| {
                let (gate, begun) = (gate.clone(), begun.clone());
                tokio::spawn(blocking(move |_| {
                    begun.fetch_add(1, Ordering::SeqCst);
                    gate.wait();
                }))
            })
            .collect();
        until("every thread is taken", || {
            begun.load(Ordering::SeqCst) == THREADS
        })
        .await;
        let never = |token: &CancellationToken| {
            let (token, begun) = (token.clone(), begun.clone());
            async move {
                let work = blocking(move |_| begun.fetch_add(1, Ordering::SeqCst));
                left(work.cancel_on(&token).await.unwrap_err())
            }
        };
        let waiting = tokio::spawn(never(&token));
        tokio::task::yield_now().await;
        token.cancel();
        let expected = (io::ErrorKind::Other, LeftBehind::NothingHappened);
        assert_eq!(in_time(waiting).await.unwrap(), expected);
        drop(opener);
        for task in running {
            in_time(task).await.unwrap().unwrap();
        }
        assert_eq!(in_time(never(&token)).await, expected);
        let handle = Handle::current().unwrap();
        until("nothing in flight", || handle.stats().in_flight == 0).await;
        assert_eq!(begun.load(Ordering::SeqCst), THREADS);
    });
}
