//! Writes that nobody waits for any more: what comes after them in the same file never overtakes them.

mod common;

use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use std::time::Duration;

use common::{on_each_route, until_idle};
use tidegate::fs::{File, FileState, Overlap};
use tidegate::{Error, LeftBehind, OpExt, Route};

const SOON: Duration = Duration::from_millis(30);
const HOUR: Duration = Duration::from_secs(3600);

#[track_caller]
fn left_behind(error: &std::io::Error) -> LeftBehind {
    match Error::from_io(error) {
        Some(Error::TimedOut { left, .. }) => *left,
        _ => panic!("{error:?}"),
    }
}

/// A pipe that is full, with how much is in it.
async fn full_pipe() -> (File, File, usize) {
    let (from, to): (OwnedFd, OwnedFd) = nix::unistd::pipe().unwrap();
    let (from, to) = (File::from(from), File::from(to));
    let size = 64 << 10;
    to.write_all_at(vec![b'0'; size], 0).await.unwrap();
    (from, to, size)
}

async fn read_exactly(from: &File, mut count: usize) -> Vec<u8> {
    let mut all = Vec::new();
    while count > 0 {
        let (read, buf) = from.read_at(vec![0; count], 0).await.unwrap();
        assert!(read > 0);
        all.extend_from_slice(&buf[..read]);
        count -= read;
    }
    all
}

/// A write that timed out and is still with a thread comes before the one that was begun after it; the file is
/// indeterminate meanwhile, and healthy afterwards.
#[test]
fn a_later_write_does_not_overtake_a_detached_one() {
    on_each_route(|route| async move {
        let (from, to, full) = full_pipe().await;
        let error = to.write_at(vec![b'1'; 4096], 0).timeout(SOON).await;
        let error = error.unwrap_err();
        let left = left_behind(&error.error);
        if route != Route::Pool {
            // The ring takes it back.
            assert_eq!(left, LeftBehind::NothingHappened);
            assert_eq!(to.state(), FileState::Healthy);
            assert_eq!(error.into_parts().1, Some(vec![b'1'; 4096]));
            return;
        }
        assert_eq!(left, LeftBehind::Detached);
        assert!(error.is_detached());
        assert_eq!(to.state(), FileState::Indeterminate);
        // Held back: in time it is taken back, and nothing of it is written.
        let held = to.write_at(vec![b'x'; 4096], 0).timeout(SOON).await;
        let held = held.unwrap_err();
        assert_eq!(left_behind(&held.error), LeftBehind::NothingHappened);
        to.set_overlap(Overlap::Fail);
        let refused = to.write_at(vec![b'y'; 1], 0).await.unwrap_err().error;
        assert_eq!(refused.kind(), ErrorKind::ResourceBusy);
        assert!(matches!(
            Error::from_io(&refused),
            Some(Error::Overlaps { .. })
        ));
        to.set_overlap(Overlap::Wait);
        let second = to.write_all_at(vec![b'2'; 4096], 0).timeout(HOUR);
        let reading = async { read_exactly(&from, full + 2 * 4096).await };
        let (written, bytes) = tokio::join!(second, reading);
        written.unwrap();
        let expected = [vec![b'0'; full], vec![b'1'; 4096], vec![b'2'; 4096]].concat();
        assert!(
            bytes == expected,
            "not in the order in which they were begun"
        );
        until_idle().await;
        assert_eq!(to.state(), FileState::Healthy);
    });
}

/// All that is in flight on a descriptor is cancelled with one call, and nothing of other files.
#[test]
fn what_is_in_flight_on_a_file_is_cancelled_at_once() {
    on_each_route(|route| async move {
        if route == Route::Pool {
            // A thread cannot be asked back: each read would be detached.
            return;
        }
        let (from, _to) = nix::unistd::pipe().unwrap();
        let (other, other_to) = nix::unistd::pipe().unwrap();
        let (from, other, other_to) = (File::from(from), File::from(other), File::from(other_to));
        let reads: Vec<_> = (0..8)
            .map(|_| tokio::spawn(from.read_at(vec![0; 1], 0)))
            .collect();
        let elsewhere = tokio::spawn(other.read_at(vec![0; 1], 0));
        let handle = tidegate::Handle::current().unwrap();
        while handle.stats().in_flight < 9 {
            tokio::task::yield_now().await;
        }
        assert_eq!(from.cancel_in_flight(), 8);
        for read in reads {
            let error = read.await.unwrap().unwrap_err();
            assert_eq!(error.error.kind(), ErrorKind::Other);
            assert!(matches!(
                Error::from_io(&error.error),
                Some(Error::Cancelled { .. })
            ));
        }
        assert_eq!(from.cancel_in_flight(), 0);
        other_to.write_at("x", 0).await.unwrap();
        assert_eq!(elsewhere.await.unwrap().unwrap().0, 1);
    });
}
