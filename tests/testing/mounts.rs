//! A mount that does not answer (V8).

use std::time::{Duration, Instant};

use tidegate::fs;
use tidegate::opcode::Kind;
use tidegate::{Breaker, Error, OpExt, Timeouts};

use crate::{PATIENCE, in_time, on_each, on_each_with};

const SHORT: Duration = Duration::from_millis(15);

/// While neither files nor the mount itself answer, operations are refused at once; once it answers, they go on.
#[test]
fn a_mount_that_does_not_answer_is_left_alone() {
    let mut timeouts = Timeouts::default();
    timeouts.metadata = Some(SHORT);
    let mut breaker = Breaker::default();
    breaker.timeouts = 2;
    breaker.probe_patience = SHORT;
    on_each_with(
        |builder| builder.timeouts(timeouts).breaker(breaker),
        |place| async move {
            // Of any path, so that also the question whether the mount answers is stuck.
            let stuck = place.faults.on(Kind::Statx).never();
            let end = Instant::now() + PATIENCE;
            let refused = loop {
                assert!(Instant::now() < end, "it is never left alone");
                let error = in_time(fs::statx(place.path("one"))).await.unwrap_err();
                match error.downcast::<Error>().unwrap() {
                    Error::TimedOut { .. } => {}
                    Error::Saturated { .. } if !cfg!(target_os = "linux") => {
                        eprintln!("skip: mount-point: it is not known here");
                        return;
                    }
                    refused => break refused,
                }
            };
            assert!(
                matches!(refused, Error::MountUnresponsive { .. }),
                "{refused}"
            );
            let hits = stuck.hits();
            let other = in_time(fs::read_link(place.path("two"))).await;
            let other = other.unwrap_err().downcast::<Error>().unwrap();
            assert!(matches!(other, Error::MountUnresponsive { .. }), "{other}");
            assert_eq!(stuck.hits(), hits, "nothing went there");

            stuck.release();
            while in_time(fs::statx(place.path("two"))).await.is_err() {
                assert!(Instant::now() < end, "it is never used again");
                tokio::task::yield_now().await;
            }
            place.idle().await;
        },
    );
}

/// Files that do not answer on a mount that does are stuck alone.
#[test]
fn a_mount_that_answers_is_used_whatever_files_do() {
    on_each(|place| async move {
        let stuck = place.faults.on(Kind::Statx).path_is(place.path("one"));
        let stuck = stuck.never();
        for _ in 0..8 {
            let asked = fs::statx(place.path("one")).timeout(SHORT);
            let error = in_time(asked).await.unwrap_err();
            let typed = Error::from_io(&error).unwrap();
            assert!(matches!(typed, Error::TimedOut { .. }), "{typed}");
            in_time(fs::metadata(place.path("two"))).await.unwrap();
        }
        drop(stuck);
        place.idle().await;
    });
}
