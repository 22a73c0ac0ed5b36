//! Cells between a future and a driver that the test plays.

use std::future::Future;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::Cell;
use crate::base::clock::{NEVER, now_us};
use crate::base::errno;
use crate::base::lock::lock;
use crate::driver::core::Driver;
use crate::driver::job::{Job, Outcome};
use crate::driver::runtimes::Home;
use crate::driver::task::in_flight::InFlight;
use crate::driver::task::op::Op;
use crate::driver::task::scope::Why;
use crate::mounts::Mount;
use crate::opcode::Kind;
use crate::settings::{Route, Settings, Submit};
use crate::sys::request::{Hop, Request};
use crate::sys::steps::Steps;

/// What a lost operation may have been the only one to tell is told, though someone waits for it.
#[test]
fn a_lost_operation_is_told() {
    let lost = make(Kind::SyncData, never, false);
    assert!(lost.cell.begin());
    lost.cell
        .end(Outcome::Lost(io::ErrorKind::BrokenPipe.into()));
    assert_eq!(*lock(&lost.unheard), [errno::EIO]);
    assert!(matches!(poll(lost.future), Poll::Ready(Err(_))));
}

/// INV-3: whether the future is dropped before the descriptor comes, or after.
#[test]
fn a_descriptor_that_nobody_takes_is_closed() {
    for after in [true, false] {
        let (mut peer, yielded) = UnixStream::pair().unwrap();
        let made = make(Kind::Open, never, false);
        assert!(made.cell.begin());
        made.cell.life.look(|op| {
            *lock(&op.yields) = Some(yielded.into());
        });
        let future = after.then_some(made.future);
        made.cell.end(Outcome::Result(0));
        drop(future);
        // A thread closes it; what stays open has no end.
        peer.set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        assert_eq!(peer.read(&mut [0]).unwrap(), 0, "dropped after: {after}");
    }
}

type Work = fn(&Steps) -> io::Result<()>;

/// What an operation was told that nobody heard.
type Unheard = Arc<Mutex<Vec<i32>>>;

/// An operation that counts its drops.
struct Counted {
    kind: Kind,
    hop: Hop<(), Work>,
    drops: Arc<AtomicUsize>,
    unheard: Unheard,
    panics: bool,
    /// The descriptor that it yields.
    yields: Mutex<Option<OwnedFd>>,
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.drops.fetch_add(1, Ordering::SeqCst);
        if self.panics {
            panic!("on purpose");
        }
    }
}

impl Op for Counted {
    type Output = io::Result<i32>;

    fn kind(&self) -> Kind {
        self.kind
    }

    fn request(&mut self) -> &mut dyn Request {
        &mut self.hop
    }

    fn is_kept(&self) -> bool {
        self.kind == Kind::Close
    }

    fn finish(self, result: io::Result<i32>) -> io::Result<i32> {
        result
    }

    fn lost(error: io::Error) -> io::Result<i32> {
        Err(error)
    }

    fn unclaimed(&self, _result: i32) -> Option<OwnedFd> {
        lock(&self.yields).take()
    }

    fn unheard(&self, number: i32) {
        lock(&self.unheard).push(number);
    }
}

impl Cell<Counted> {
    /// The kernel has it.
    fn begin(&self) -> bool {
        self.life.to_kernel(|_| Some(())).is_some()
    }
}

struct Made {
    driver: Arc<Driver>,
    cell: Arc<Cell<Counted>>,
    future: InFlight<Counted>,
    drops: Arc<AtomicUsize>,
    unheard: Unheard,
}

fn make(kind: Kind, work: Work, panics: bool) -> Made {
    let driver = Driver::new(
        Home::Outside,
        Route::Pool,
        Submit::Auto,
        0,
        Settings::default(),
    )
    .unwrap();
    let drops = Arc::<AtomicUsize>::default();
    let unheard = Unheard::default();
    let op = Counted {
        kind,
        hop: Hop::new(work),
        drops: drops.clone(),
        unheard: unheard.clone(),
        panics,
        yields: Mutex::new(None),
    };
    let group = driver.group(&Mount::unknown());
    let cell = Cell::new(
        op,
        driver.clone(),
        group,
        true,
        None,
        std::time::Instant::now(),
    );
    Made {
        driver,
        future: InFlight::new(cell.clone()),
        cell,
        drops,
        unheard,
    }
}

fn poll<F: Future>(future: F) -> Poll<F::Output> {
    pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}

fn never(_: &Steps) -> io::Result<()> {
    panic!("it must not run")
}

/// INV-5: the outcome reaches the future once, and the operation is dropped once.
#[test]
fn an_outcome_is_handed_over_once() {
    let made = make(Kind::Read, never, false);
    made.cell.clone().end(Outcome::Result(5));
    made.cell.clone().end(Outcome::Result(6));
    assert!(matches!(poll(made.future), Poll::Ready(Ok(5))));
    assert_eq!(made.drops.load(Ordering::SeqCst), 1);
}

/// INV-7: what the kernel may still write to is not freed with the ring that broke.
#[test]
fn a_lost_operation_is_never_dropped() {
    for abandon_first in [false, true] {
        let made = make(Kind::Read, never, false);
        assert!(made.cell.begin());
        let mut future = Some(made.future);
        drop(future.take_if(|_| abandon_first));
        made.cell
            .clone()
            .end(Outcome::Lost(io::ErrorKind::BrokenPipe.into()));
        if let Some(future) = future {
            assert!(matches!(poll(future), Poll::Ready(Err(_))));
        }
        drop(made.cell);
        assert_eq!(made.drops.load(Ordering::SeqCst), 0);
    }
}

/// A dropped operation that waits for a blocking thread is not begun.
#[test]
fn an_abandoned_operation_does_not_begin() {
    let made = make(Kind::Write, never, false);
    drop(made.future);
    made.cell.run();
    assert_eq!(made.drops.load(Ordering::SeqCst), 1);
    assert_eq!(made.driver.counters.in_flight(), 0);
}

/// A close goes on without its future, or its descriptor would stay open.
#[test]
fn a_dropped_close_is_done_all_the_same() {
    static DONE: AtomicUsize = AtomicUsize::new(0);
    let made = make(
        Kind::Close,
        |_| {
            DONE.fetch_add(1, Ordering::SeqCst);
            Ok(())
        },
        false,
    );
    drop(made.future);
    assert!(!made.cell.is_given_up());
    made.cell.run();
    assert_eq!(DONE.load(Ordering::SeqCst), 1);
}

/// INV-9: where a file takes no registered memory, the operation is done without.
#[test]
fn memory_that_a_file_does_not_take_goes_another_way() {
    for (kind, is_memory) in [
        (Kind::Read, true),
        (Kind::WriteVectored, true),
        (Kind::Metadata, false),
    ] {
        let made = make(kind, |_| Ok(()), false);
        assert!(made.cell.begin());
        made.cell.clone().end(Outcome::Result(-errno::EFAULT));
        let stats = made.driver.counters.snapshot();
        assert_eq!(stats.fallbacks().count(), usize::from(is_memory));
    }
}

/// What the kernel cancels by itself runs on a blocking thread; what a shutdown cancels does not.
#[test]
fn a_shutdown_cancels_for_good() {
    let made = make(Kind::Read, never, false);
    made.driver.close();
    made.cell.clone().end(Outcome::Result(-errno::ECANCELED));
    let Poll::Ready(Err(error)) = poll(made.future) else {
        panic!("it is over");
    };
    assert!(matches!(
        crate::error::Error::from_io(&error),
        Some(crate::error::Error::Closed {
            operation: Kind::Read
        })
    ));
}

/// INV-6: a buffer that panics when it is dropped does not unwind the thread that reaps.
#[test]
fn a_panic_in_a_drop_stays_with_its_operation() {
    let made = make(Kind::Read, never, true);
    assert!(made.cell.begin());
    drop(made.future);
    made.cell.clone().end(Outcome::Result(0));
    assert_eq!(made.drops.load(Ordering::SeqCst), 1);
    assert_eq!(made.driver.counters.in_flight(), 0);
}

/// A limit ends with the wait that it is for, but what was given up for it keeps its grace, or nobody would ever be
/// told that the kernel has it.
#[test]
fn what_was_given_up_keeps_its_grace() {
    let made = make(Kind::Splice, never, false);
    assert!(made.cell.begin());
    made.cell.hasten(now_us() + 1_000_000);
    assert!(made.cell.due_us() < NEVER);
    assert!(made.future.unhurry());
    assert_eq!(made.cell.due_us(), NEVER);
    made.cell.give_up(Why::TimedOut);
    let end_of_grace = made.cell.due_us();
    assert!(end_of_grace < NEVER);
    assert!(!made.future.unhurry());
    made.cell.hasten(0);
    assert_eq!(made.cell.due_us(), end_of_grace);
    made.cell.expire(end_of_grace);
    let Poll::Ready(Err(error)) = poll(made.future) else {
        panic!("its caller is to be told");
    };
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    made.cell.end(Outcome::Result(-errno::ECANCELED));
}

/// How an operation ends, and the error of it that is to be told.
type Case = (fn() -> Outcome, Option<i32>);

/// An error that comes when the future is gone, or before it was polled, reaches the operation, and once; that of an
/// operation which is kept, too.
#[test]
fn an_error_that_nobody_takes_is_told_to_the_operation_once() {
    let errors: [Case; 3] = [
        (|| Outcome::Result(-errno::ENOSPC), Some(errno::ENOSPC)),
        (
            || Outcome::Returned(Err(io::Error::from_raw_os_error(errno::EDQUOT))),
            Some(errno::EDQUOT),
        ),
        (|| Outcome::Result(0), None),
    ];
    for kind in [Kind::SyncData, Kind::Close] {
        for (outcome, number) in errors {
            let expected = Vec::from_iter(number);
            let late = make(kind, never, false);
            assert!(late.cell.begin());
            drop(late.future);
            late.cell.end(outcome());
            assert_eq!(*lock(&late.unheard), expected, "{kind}, dropped before");
            let early = make(kind, never, false);
            early.cell.end(outcome());
            drop(early.future);
            assert_eq!(*lock(&early.unheard), expected, "{kind}, dropped after");
            let heard = make(kind, never, false);
            heard.cell.end(outcome());
            assert!(poll(heard.future).is_ready());
            assert!(lock(&heard.unheard).is_empty(), "{kind}, heard");
        }
    }
}
