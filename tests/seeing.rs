//! What a handle tells while something is stuck: counters, the list of what is in flight, heartbeats, events.

mod common;

use std::future::Future;
use std::path::{Path, PathBuf};
use std::time::Duration;

use common::child::in_child;
use common::log::Log;
use common::{routes, runtime};
use tempfile::TempDir;
use tidegate::fs::{self, File};
use tidegate::opcode::Kind;
use tidegate::{Builder, Handle, OpExt, OpState, Route};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Often, so that tests are short.
const BEAT: Duration = Duration::from_millis(5);

/// Nothing here takes that long, unless it never comes.
const LONG: Duration = Duration::from_secs(60);

/// Runs the test on each backend, with a handle that beats often.
fn on_each_route<F: Future<Output = ()>>(
    settings: impl Fn(Builder) -> Builder,
    test: impl Fn(Handle) -> F,
) {
    for route in routes() {
        eprintln!("on {route:?}");
        runtime(route != Route::Pool).block_on(async {
            let builder = Handle::builder().route(route).heartbeat_interval(BEAT);
            test(settings(builder).install().unwrap()).await;
        });
    }
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let waits = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let result = tokio::time::timeout(LONG, waits).await;
    assert!(result.is_ok(), "{what} never came");
}

/// A FIFO that nobody writes to: its opens wait until it is let go.
struct Fifo {
    path: PathBuf,
    _dir: TempDir,
}

impl Fifo {
    async fn new() -> Fifo {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("fifo");
        fs::make_fifo(&path, 0o600).await.unwrap();
        Fifo { path, _dir: dir }
    }

    /// As long as the file is open, opens do not wait.
    fn let_go(&self) -> std::fs::File {
        let mut options = std::fs::OpenOptions::new();
        options.read(true).write(true).open(&self.path).unwrap()
    }

    /// Starts so many opens that wait.
    fn opens(&self, count: usize) -> JoinSet<std::io::Result<File>> {
        let mut opens = JoinSet::new();
        for _ in 0..count {
            opens.spawn(File::open(self.path.clone()));
        }
        opens
    }
}

async fn all_over(handle: &Handle) {
    until("the end of all operations", || {
        handle.stats().in_flight == 0
    })
    .await;
}

/// V11, V12, V13: a heartbeat names what is stuck and how long, goes on, ends with one that says that all is
/// over, and stays away then.
#[test]
fn heartbeats_name_what_is_stuck_until_it_is_over() {
    on_each_route(
        |builder| builder,
        |handle| async move {
            let fifo = Fifo::new().await;
            all_over(&handle).await;
            let mut beats = handle.heartbeat();
            let mut opens = fifo.opens(1);
            // The first may come before a thread has it, or name what the handle itself has to do.
            let (mut seen, mut last) = (0, (0, Duration::ZERO));
            while seen < 5 {
                beats.changed().await.unwrap();
                let beat = beats.borrow_and_update().clone();
                let oldest = beat.oldest.expect("something is in flight");
                assert!(beat.beat > last.0 && beat.in_flight > 0 && beat.orphans == 0);
                last.0 = beat.beat;
                if oldest.path.as_deref() != Some(fifo.path.as_path()) {
                    continue;
                }
                assert_eq!(oldest.operation, Kind::Open);
                assert!(oldest.age > last.1);
                last.1 = oldest.age;
                if oldest.state == OpState::Running {
                    assert!(oldest.way.is_some());
                    seen += 1;
                }
            }
            until("one operation", || handle.in_flight().len() == 1).await;
            let listed = handle.in_flight();
            assert_eq!(listed[0].path.as_deref(), Some(fifo.path.as_path()));
            let peer = fifo.let_go();
            let file = opens.join_next().await.unwrap().unwrap().unwrap();
            file.close().await.unwrap();
            drop(peer);
            while beats.borrow_and_update().in_flight > 0 {
                beats.changed().await.unwrap();
            }
            assert_eq!(beats.borrow().oldest, None);
            assert!(handle.in_flight().is_empty());
            let more = tokio::time::timeout(BEAT * 20, beats.changed()).await;
            assert!(
                more.is_err(),
                "a beat of an idle handle: {:?}",
                beats.borrow()
            );
        },
    );
}

/// V12: all threads of the mount are stuck, and the heartbeat goes on.
#[test]
fn heartbeats_go_on_while_every_thread_is_stuck() {
    const OPENS: usize = 80;
    on_each_route(
        |builder| builder,
        |handle| async move {
            let fifo = Fifo::new().await;
            let mut beats = handle.heartbeat();
            let mut opens = fifo.opens(OPENS);
            while beats.borrow_and_update().in_flight < OPENS as u64 {
                beats.changed().await.unwrap();
            }
            for _ in 0..3 {
                beats.changed().await.unwrap();
                assert_eq!(beats.borrow_and_update().in_flight, OPENS as u64);
            }
            assert_eq!(handle.in_flight().len(), OPENS);
            let peer = fifo.let_go();
            while let Some(opened) = opens.join_next().await {
                opened.unwrap().unwrap();
            }
            drop(peer);
            all_over(&handle).await;
        },
    );
}

/// V15: a listener that never reads, and one that holds on to what it read, hold up no deadline.
#[test]
fn a_listener_that_does_nothing_holds_up_nothing() {
    on_each_route(
        |builder| builder,
        |handle| async move {
            let fifo = Fifo::new().await;
            let (idle, holds) = (handle.heartbeat(), handle.heartbeat());
            for _ in 0..3 {
                let held = holds.borrow();
                let opened = File::open(&fifo.path).timeout(BEAT * 6).await;
                assert_eq!(opened.unwrap_err().kind(), std::io::ErrorKind::TimedOut);
                drop(held);
            }
            drop(fifo.let_go());
            all_over(&handle).await;
            drop(idle);
        },
    );
}

/// Each way to end is counted under its name, and what is left behind is gone once it is over.
#[test]
fn operations_are_counted_by_how_they_end() {
    on_each_route(
        |builder| builder,
        |handle| async move {
            let fifo = Fifo::new().await;
            all_over(&handle).await;
            let before = handle.stats();
            let missing = fifo.path.with_file_name("missing");
            File::create(fifo.path.with_file_name("new")).await.unwrap();
            File::create(missing.join("x")).await.unwrap_err();
            let open = || File::open(&fifo.path);
            open().timeout(Duration::from_millis(1)).await.unwrap_err();
            let token = CancellationToken::new();
            let cancelled = open().cancel_on(&token);
            let runs = || {
                let all = handle.in_flight();
                all.iter()
                    .any(|op| op.state == OpState::Running && op.operation == Kind::Open)
            };
            let cancels = async {
                until("an open that runs", runs).await;
                token.cancel();
            };
            tokio::join!(async { cancelled.await.unwrap_err() }, cancels);
            tokio::select! {
                _ = open() => unreachable!("nobody answers"),
                () = until("an open that runs", runs) => {}
            }
            until("the orphans", || {
                let stats = handle.stats();
                stats.in_flight == stats.orphans
            })
            .await;
            let (stuck, most) = (handle.stats().orphans, handle.stats().orphans_max);
            assert!(stuck <= most && most <= 3);
            if handle.route() == Route::Pool {
                assert!((2..=3).contains(&stuck) && most == stuck);
                let all = handle.in_flight();
                assert!(all.iter().all(|op| op.state == OpState::Orphaned));
            }
            drop(fifo.let_go());
            all_over(&handle).await;
            until("no orphans", || handle.stats().orphans == 0).await;
            let stats = handle.stats();
            assert_eq!(stats.orphans_max, most);
            let stats = stats.since(&before);
            let open = stats.ops().find(|op| op.row.kind == Kind::Open).unwrap();
            assert_eq!((open.ok, open.failed, open.refused), (1, 1, 0), "{open:?}");
            assert_eq!((open.timed_out, open.cancelled, open.dropped), (1, 1, 1));
            assert_eq!((open.started, open.latency.count()), (5, 5));
            assert!(open.latency.quantile(0.5) <= open.latency.max());
        },
    );
}

/// What tells of opens of the path, among the lines of a log: on a busy machine making it takes long as well.
fn lines_of<'a>(lines: &'a [String], path: &Path, text: &str) -> Vec<&'a String> {
    let path = path.display().to_string();
    let about = |line: &&String| {
        line.contains(&path) && line.contains("operation=\"open\"") && line.contains(text)
    };
    lines.iter().filter(about).collect()
}

const SLOW: &str = "an operation takes long";
const TIMED_OUT: &str = "an operation ran out of time";

/// V14: an operation that takes long is told once, and not at each look.
#[test]
fn an_operation_that_takes_long_is_told_once() {
    let test = "an_operation_that_takes_long_is_told_once";
    let body = || {
        let log = &Log::start();
        on_each_route(
            |builder| builder.warn_after(BEAT * 2),
            |handle| async move {
                let fifo = Fifo::new().await;
                let mut beats = handle.heartbeat();
                let mut opens = fifo.opens(3);
                let told = || lines_of(&log.lines(), &fifo.path, SLOW).len();
                until("a warning of each", || told() == 3).await;
                for _ in 0..10 {
                    beats.changed().await.unwrap();
                }
                let peer = fifo.let_go();
                while let Some(opened) = opens.join_next().await {
                    opened.unwrap().unwrap();
                }
                drop(peer);
                all_over(&handle).await;
                let lines = log.take();
                let lines = lines_of(&lines, &fifo.path, SLOW);
                assert_eq!(lines.len(), 3, "{lines:?}");
                assert!(lines[0].starts_with("tidegate::operation "), "{lines:?}");
                assert!(lines[0].contains("operation=\"open\""), "{lines:?}");
                assert!(lines[0].contains("elapsed_ms="), "{lines:?}");
            },
        );
    };
    in_child(test, |_| {}, body);
}

/// V4: what runs out of time is told once each, and a mount on which much does is not told of for each.
#[test]
fn operations_that_run_out_of_time_are_told_within_a_bound() {
    let test = "operations_that_run_out_of_time_are_told_within_a_bound";
    let body = || {
        let log = Log::start();
        let runtime = runtime(true);
        runtime.block_on(async {
            let handle = Handle::current().unwrap();
            let fifo = Fifo::new().await;
            let told = || lines_of(&log.lines(), &fifo.path, TIMED_OUT).len();
            for number in 1..=25 {
                let open = File::open(&fifo.path).timeout(Duration::from_millis(1));
                let error = tidegate::Error::from_io(&open.await.unwrap_err()).is_some();
                assert!(error, "an error with all its parts");
                if number <= 10 {
                    until("a warning", || told() == number).await;
                }
            }
            drop(fifo.let_go());
            all_over(&handle).await;
            assert_eq!(told(), 10);
            let lines = log.lines();
            let line = lines_of(&lines, &fifo.path, TIMED_OUT)[0];
            assert!(
                line.contains("left=") && line.contains("elapsed_ms="),
                "{line}"
            );
        });
    };
    in_child(test, |_| {}, body);
}

/// A log that blocks holds up no deadline and no heartbeat, and has everything afterwards; one that panics has
/// what comes next.
#[test]
fn a_log_that_blocks_or_panics_holds_up_nothing() {
    let test = "a_log_that_blocks_or_panics_holds_up_nothing";
    let body = || {
        let log = &Log::start();
        on_each_route(
            |builder| builder.warn_after(BEAT),
            |handle| async move {
                let fifo = Fifo::new().await;
                log.take();
                log.hold();
                let mut beats = handle.heartbeat();
                let mut opens = fifo.opens(70);
                until("a log that blocks", || log.held() > 0).await;
                for _ in 0..2 {
                    let open = File::open(&fifo.path).timeout(BEAT).await;
                    let error = open.unwrap_err();
                    assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
                    beats.changed().await.unwrap();
                }
                assert_eq!(log.held(), 1);
                assert!(log.take().is_empty());
                log.let_go();
                let told = |text| lines_of(&log.lines(), &fifo.path, text).len();
                until("what was held", || told(SLOW) >= 70 && told(TIMED_OUT) > 0).await;
                log.panic_once();
                let _ = File::open(&fifo.path).timeout(BEAT * 4).await.unwrap_err();
                until("a panic", || !log.will_panic()).await;
                log.take();
                let mut late = fifo.opens(1);
                until("the next", || told(SLOW) > 0).await;
                let peer = fifo.let_go();
                while let Some(opened) = opens.join_next().await {
                    opened.unwrap().unwrap();
                }
                late.join_next().await.unwrap().unwrap().unwrap();
                drop(peer);
                all_over(&handle).await;
            },
        );
    };
    in_child(test, |_| {}, body);
}
