//! A log that blocks, panics, or has nothing to do.

use std::sync::mpsc::{Receiver, Sender, channel};

use super::*;

/// One that lives as long as its thread may.
fn reporter(idle: Duration) -> &'static Reporter {
    Box::leak(Box::new(Reporter::new(idle)))
}

const HOUR: Duration = Duration::from_secs(3600);

/// Blocks the log until the sender is dropped; returns once it does.
fn block(reporter: &'static Reporter) -> Sender<()> {
    let (entered, inside) = channel();
    let (release, released) = channel::<()>();
    reporter.report(Box::new(move || {
        entered.send(()).unwrap();
        released.recv().unwrap_err();
    }));
    inside.recv().unwrap();
    release
}

/// Reports a number.
fn tell(reporter: &'static Reporter, number: usize) -> Receiver<usize> {
    let (told, heard) = channel();
    reporter.report(Box::new(move || told.send(number).unwrap()));
    heard
}

/// Nobody waits for a log that blocks: what has room is told later, the rest is counted.
#[test]
fn a_log_that_blocks_holds_up_nobody() {
    let reporter = reporter(HOUR);
    let release = block(reporter);
    let heard: Vec<_> = (0..limits::REPORTS_MAX + 5)
        .map(|number| tell(reporter, number))
        .collect();
    assert_eq!(lock(&reporter.state).lost, 5);
    assert!(heard[0].try_recv().is_err());
    drop(release);
    for (number, heard) in heard.iter().enumerate() {
        let expected = (number < limits::REPORTS_MAX).then_some(number);
        assert_eq!(heard.recv().ok(), expected);
    }
    assert_eq!(lock(&reporter.state).lost, 0);
}

/// A subscriber that panics costs its own event.
#[test]
fn a_log_that_panics_goes_on() {
    let reporter = reporter(HOUR);
    reporter.report(Box::new(|| panic!("the subscriber is broken")));
    assert_eq!(tell(reporter, 1).recv(), Ok(1));
}

/// The thread ends when it has nothing to do, and comes back.
#[test]
fn an_idle_log_has_no_thread() {
    let reporter = reporter(Duration::ZERO);
    for number in 0..3 {
        assert_eq!(tell(reporter, number).recv(), Ok(number));
        while lock(&reporter.state).alive {
            std::thread::yield_now();
        }
    }
}

/// A mount's warnings are told up to its bound; those past it are dropped and counted, and the thread stays
/// to tell how many.
#[test]
fn a_mount_has_a_bounded_number_of_warnings() {
    let reporter = reporter(Duration::ZERO);
    let (now, most) = (Instant::now(), limits::WARNINGS_PER_MOUNT as usize);
    let (told, heard) = channel();
    let tell = |at: Instant| {
        let told = told.clone();
        let report = Box::new(move || told.send(()).unwrap());
        reporter.report_of_mount(Some(Path::new("/dead")), at, report);
    };
    (0..most + 3).for_each(|_| tell(now));
    (0..most).for_each(|_| heard.recv().unwrap());
    assert!(heard.try_recv().is_err());
    assert!(lock(&reporter.state).alive);
    tell(now + limits::WARNINGS_WINDOW);
    heard.recv().unwrap();
    assert_eq!(lock(&reporter.state).windows.next_due(), None);
}
