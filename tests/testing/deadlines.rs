//! Deadlines and cancels over operations that are stuck (V1 to V9).

use std::future::pending;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tidegate::fs::{self, File, Follow, StatxOptions};
use tidegate::opcode::Kind;
use tidegate::testing::Faults;
use tidegate::{Error, Handle, LeftBehind, OpExt, OpState, Route, Timeouts};
use tokio_util::sync::CancellationToken;

use crate::common::routes;
use crate::{Place, in_time, on_each, on_each_with, until};

/// Long enough for an operation to be stuck, and no longer than need be.
const SHORT: Duration = Duration::from_millis(15);

type Asked = Pin<Box<dyn Future<Output = io::Result<()>> + Send>>;

fn asked<T>(future: impl Future<Output = io::Result<T>> + Send + 'static) -> Asked {
    Box::pin(async move { future.await.map(drop) })
}

/// What a stuck operation has come to.
struct Ended {
    operation: Option<Kind>,
    path: Option<std::path::PathBuf>,
    left: LeftBehind,
}

#[track_caller]
fn timed_out(result: io::Result<()>) -> Ended {
    let error = result.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut, "{error}");
    match error.downcast::<Error>().unwrap() {
        Error::TimedOut {
            operation,
            path,
            elapsed,
            left,
        } => {
            assert!(elapsed >= SHORT, "{elapsed:?}");
            Ended {
                operation,
                path,
                left,
            }
        }
        other => panic!("{other}"),
    }
}

/// Operations on paths, one of each kind that there is.
fn on_paths(place: &Place) -> Vec<(&'static str, Asked)> {
    let (one, new) = (place.path("one"), place.path("new"));
    let at = |path: &Path| path.to_path_buf();
    vec![
        ("metadata", asked(fs::metadata(at(&one)))),
        ("statx", asked(fs::statx(at(&one)))),
        ("try_exists", asked(fs::try_exists(at(&one)))),
        ("open", asked(File::open(at(&one)))),
        ("read", asked(fs::read(at(&one)))),
        ("write", asked(fs::write(at(&new), "new"))),
        ("create_dir", asked(fs::create_dir(at(&new)))),
        ("create_dir_all", asked(fs::create_dir_all(new.join("er")))),
        ("read_dir", asked(fs::read_dir(at(place.dir.path())))),
        ("read_link", asked(fs::read_link(at(&one)))),
        ("canonicalize", asked(fs::canonicalize(at(&one)))),
        ("rename", asked(fs::rename(at(&one), at(&new)))),
        ("hard_link", asked(fs::hard_link(at(&one), at(&new)))),
        ("symlink", asked(fs::symlink("one", at(&new)))),
        ("remove_file", asked(fs::remove_file(at(&new)))),
        ("remove_dir", asked(fs::remove_dir(at(&new)))),
        ("remove_dir_all", asked(fs::remove_dir_all(at(&new)))),
        ("copy", asked(fs::copy(at(&one), at(&new)))),
        ("make_fifo", asked(fs::make_fifo(at(&new), 0o600))),
        ("list_xattrs", asked(fs::list_xattrs(at(&one), Follow::No))),
        (
            "get_xattr",
            asked(fs::get_xattr(at(&one), "user.x", Follow::No)),
        ),
        (
            "set_xattr",
            asked(fs::set_xattr(at(&one), "user.x", "x", Follow::No)),
        ),
    ]
}

/// Each operation on a path times out by name, path and time, and is gone once it is let go of (V1 to V3, V7).
#[test]
fn every_stuck_operation_on_a_path_times_out() {
    on_each(|place| async move {
        for (name, future) in on_paths(&place) {
            let stuck = place.faults.on_any_kind().under(&place.dir).never();
            let ended = timed_out(in_time(future.timeout(SHORT)).await);
            assert_eq!(ended.left, LeftBehind::Detached, "{name}");
            let path = ended.path.unwrap_or_else(|| panic!("{name} names no path"));
            assert!(path.starts_with(&place.dir), "{name}: {path:?}");
            assert!(ended.operation.is_some(), "{name}");
            assert_eq!((stuck.hits(), stuck.held()), (1, 1), "{name}");
            drop(stuck);
            place.idle().await;
        }
    });
}

/// The same for operations on an open file.
#[test]
fn every_stuck_operation_on_a_file_times_out() {
    on_each(|place| async move {
        let options = File::options().read(true).write(true).clone();
        let file = Arc::new(options.open(place.path("one")).await.unwrap());
        type Ask = fn(Arc<File>) -> Asked;
        let asks: [(Kind, Ask); 7] = [
            (Kind::Read, |file| {
                asked(async move { Ok(file.read_at(vec![0; 16], 0).await?) })
            }),
            (Kind::Write, |file| {
                asked(async move { Ok(file.write_at("late", 0).await?) })
            }),
            (Kind::SyncAll, |file| {
                asked(async move { file.sync_all().await })
            }),
            (Kind::SyncData, |file| {
                asked(async move { file.sync_data().await })
            }),
            (Kind::SetLen, |file| {
                asked(async move { file.set_len(4).await })
            }),
            (Kind::FileMetadata, |file| {
                asked(async move { file.metadata().await })
            }),
            (Kind::Statx, |file| asked(async move { file.statx().await })),
        ];
        for (kind, ask) in asks {
            let stuck = place
                .faults
                .on_any_kind()
                .path_is(place.path("one"))
                .never();
            let ended = timed_out(in_time(ask(file.clone()).timeout(SHORT)).await);
            assert_eq!(ended.operation, Some(kind));
            assert_eq!(ended.left, LeftBehind::Detached, "{kind}");
            if cfg!(target_os = "linux") {
                assert_eq!(ended.path, Some(place.path("one")), "{kind}");
            }
            drop(stuck);
            place.idle().await;
        }
        // What was stuck is done late.
        assert_eq!(std::fs::read(place.path("one")).unwrap(), b"late");
    });
}

/// A handle's default stands in for a limit that nobody sets, and `Duration::MAX` takes its place (V1).
#[test]
fn the_default_of_the_handle_holds() {
    let mut timeouts = Timeouts::default();
    // Long enough for what is not stuck on a busy machine.
    timeouts.metadata = Some(Duration::from_secs(1));
    on_each_with(
        |builder| builder.timeouts(timeouts),
        |place| async move {
            let stuck = place.faults.on(Kind::Statx).under(&place.dir).never();
            let patient = fs::statx(place.path("two")).timeout(Duration::MAX);
            let patient = tokio::spawn(patient);
            in_time(stuck.wait_hit(1)).await;
            timed_out(asked(in_time(fs::statx(place.path("one")))).await);
            assert!(!patient.is_finished());
            drop(stuck);
            in_time(patient).await.unwrap().unwrap();
            place.idle().await;
        },
    );
}

/// In a batch, what is stuck is one error in its place, and the others are there (V5).
#[test]
fn a_batch_goes_on_over_what_is_stuck() {
    let mut timeouts = Timeouts::default();
    // Long enough for what is not stuck on a busy machine.
    timeouts.metadata = Some(Duration::from_secs(1));
    on_each_with(
        |builder| builder.timeouts(timeouts),
        |place| async move {
            let paths: Vec<_> = (0..200)
                .map(|number| place.path(&number.to_string()))
                .collect();
            for path in &paths {
                std::fs::write(path, "x").unwrap();
            }
            let bad = |index: usize| index % 20 == 7;
            let bad_paths = paths.iter().enumerate().filter(|(index, _)| bad(*index));
            let stuck = bad_paths.map(|(_, path)| place.faults.on(Kind::Statx).path_is(path));
            let stuck: Vec<_> = stuck.map(|fault| fault.never()).collect();
            let found = in_time(StatxOptions::new().paths(&paths)).await;
            for (index, found) in found.into_iter().enumerate() {
                match found {
                    Err(error) if bad(index) => {
                        assert_eq!(timed_out(Err(error)).path.as_ref(), Some(&paths[index]));
                    }
                    found => assert!(found.is_ok() && !bad(index), "{index}"),
                }
            }
            assert_eq!(stuck.iter().map(|rule| rule.held()).sum::<usize>(), 10);
            drop(stuck);
            place.idle().await;
        },
    );
}

/// Many stuck operations hold up no others, on any path of the same filesystem (V6).
#[test]
fn many_stuck_operations_hold_up_no_other() {
    on_each(|place| async move {
        let stuck = place
            .faults
            .on_any_kind()
            .path_is(place.path("one"))
            .never();
        let ask = || tokio::spawn(fs::metadata(place.path("one")).timeout(SHORT));
        let asks: Vec<_> = (0..40).map(|_| ask()).collect();
        in_time(stuck.wait_hit(40)).await;
        for _ in 0..100 {
            in_time(fs::metadata(place.path("two"))).await.unwrap();
            in_time(fs::read(place.path("two"))).await.unwrap();
        }
        for task in asks {
            let ended = timed_out(asked(async { task.await.unwrap() }).await);
            assert_eq!(ended.left, LeftBehind::Detached);
        }
        in_time(fs::metadata(place.path("two"))).await.unwrap();
        assert_eq!(stuck.held(), 40);
        drop(stuck);
        place.idle().await;
    });
}

/// What comes late comes to nothing: a descriptor is closed, a buffer freed, and only then (V7).
#[test]
fn a_late_result_is_discarded() {
    struct Watched(Arc<AtomicBool>);
    impl AsRef<[u8]> for Watched {
        fn as_ref(&self) -> &[u8] {
            b"late"
        }
    }
    impl Drop for Watched {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }
    on_each(|place| async move {
        let path = place.path("one");
        let file = File::options().write(true).open(&path).await.unwrap();
        let stuck = place
            .faults
            .on(Kind::Open)
            .or(Kind::Write)
            .under(&place.dir)
            .never();
        timed_out(asked(in_time(File::open(path.clone()).timeout(SHORT))).await);

        let freed = Arc::<AtomicBool>::default();
        let buf = bytes::Bytes::from_owner(Watched(freed.clone()));
        let written = in_time(file.write_at(buf, 0).timeout(SHORT)).await;
        let (error, buf) = written.unwrap_err().into_parts();
        assert!(buf.is_none(), "the kernel has it");
        let ended = timed_out(Err(error));
        assert_eq!(
            (ended.operation, ended.left),
            (Some(Kind::Write), LeftBehind::Detached)
        );
        assert!(!freed.load(Ordering::SeqCst));
        assert_eq!(std::fs::read(&path).unwrap(), b"one");

        drop((stuck, file));
        place.idle().await;
        assert!(freed.load(Ordering::SeqCst));
        assert_eq!(std::fs::read(&path).unwrap(), b"late");
        until("no descriptor is left", || {
            crate::descriptors_of(&path) == 0
        })
        .await;
    });
}

/// So much is stuck on a mount that more would be stuck as well: refused at once, until it lets go (V8).
#[test]
fn at_the_cap_more_is_refused() {
    on_each_with(
        |builder| builder.stuck_threads_max(3),
        |place| async move {
            let stuck = place
                .faults
                .on(Kind::Statx)
                .path_is(place.path("one"))
                .never();
            // More than there is room for, as on a busy machine some run out of time before they begin.
            let tries = 4 * 64;
            let mut refused = false;
            for _ in 0..tries {
                let error = in_time(fs::statx(place.path("one")).timeout(SHORT));
                let error = error.await.unwrap_err();
                if let Some(Error::Saturated { stuck: count, .. }) = Error::from_io(&error) {
                    assert_eq!(*count, stuck.held());
                    refused = true;
                    break;
                }
                assert_eq!(error.kind(), io::ErrorKind::TimedOut, "{error}");
            }
            assert!(refused, "no cap");
            if place.route == Route::Pool {
                assert_eq!(stuck.held(), 3);
            }
            drop(stuck);
            place.idle().await;
            in_time(fs::statx(place.path("one"))).await.unwrap();
        },
    );
}

/// What is stuck is listed, with its path and whether anybody waits for it.
#[test]
fn what_is_stuck_is_listed() {
    on_each(|place| async move {
        let path = place.path("one");
        let stuck = place.faults.on(Kind::Statx).path_is(&path).never();
        let asking = tokio::spawn(fs::statx(path.clone()).timeout(Duration::from_secs(3600)));
        in_time(stuck.wait_hit(1)).await;
        let states = || {
            let mut listed = place.handle.in_flight();
            listed.retain(|operation| operation.operation == Kind::Statx);
            let states = listed.iter().map(|operation| {
                assert_eq!(operation.path.as_ref(), Some(&path));
                operation.state
            });
            states.collect::<Vec<_>>()
        };
        assert_eq!(states(), [OpState::Running]);
        asking.abort();
        in_time(asking).await.unwrap_err();
        assert_eq!(states(), [OpState::Orphaned]);
        drop(stuck);
        place.idle().await;
        assert_eq!(states(), []);
    });
}

/// What honours a cancel is over with the grace, and nothing has happened (V9).
#[test]
fn a_cancel_that_is_honoured_leaves_nothing() {
    on_each(|place| async move {
        let stuck = place.faults.on(Kind::CreateDir).under(&place.dir);
        let stuck = stuck.honours_cancel().never();
        let made = fs::create_dir(place.path("new")).timeout(SHORT);
        let ended = timed_out(in_time(made).await);
        assert_eq!(ended.left, LeftBehind::NothingHappened);
        assert_eq!(stuck.held(), 0);
        place.idle().await;
        assert!(!place.path("new").exists());
    });
}

/// A token ends the waiting as a deadline does; a token that is cancelled already lets nothing begin.
#[test]
fn a_token_ends_the_waiting() {
    on_each(|place| async move {
        let stuck = place
            .faults
            .on(Kind::Statx)
            .path_is(place.path("one"))
            .never();
        let token = CancellationToken::new();
        let (path, other) = (place.path("one"), token.clone());
        let ask = async move { fs::statx(path).cancel_on(&other).await };
        let asking = tokio::spawn(ask);
        in_time(stuck.wait_hit(1)).await;
        token.cancel();
        let error = in_time(asking).await.unwrap().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::Other);
        let cancelled = error.downcast::<Error>().unwrap();
        assert!(matches!(
            cancelled,
            Error::Cancelled {
                left: LeftBehind::Detached,
                ..
            }
        ));
        let again = in_time(fs::statx(place.path("one")).cancel_on(&token)).await;
        assert_eq!(again.unwrap_err().kind(), io::ErrorKind::Other);
        assert_eq!((stuck.hits(), stuck.held()), (1, 1));
        drop(stuck);
        place.idle().await;
    });
}

/// Steps of several operations have one budget together: a list of attributes and the values of each (V2).
#[test]
fn several_operations_share_a_budget() {
    on_each(|place| async move {
        let path = place.path("one");
        let slow = place.faults.on(Kind::GetXattr).or(Kind::ListXattrs);
        let slow = slow.under(&place.dir).delay(SHORT / 3);
        let all = async {
            loop {
                fs::list_xattrs(&path, Follow::No).await?;
            }
        };
        let ended: io::Result<()> = in_time(all.timeout(SHORT)).await;
        assert_eq!(ended.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert!(slow.hits() >= 1);
        drop(slow);
        place.idle().await;
    });
}

/// A deadline needs neither a timer of the runtime nor a runtime that polls anything else.
#[test]
fn a_deadline_needs_no_timer_of_the_runtime() {
    for route in routes() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build();
        runtime.unwrap().block_on(async {
            let faults = Faults::new();
            let builder = Handle::builder().route(route).faults(faults.clone());
            builder.install().unwrap();
            let stuck = faults.on(Kind::Statx).path_is("/").never();
            let begin = Instant::now();
            timed_out(asked(fs::statx("/").timeout(SHORT)).await);
            assert!(begin.elapsed() >= SHORT);
            let other = pending::<io::Result<()>>().timeout(SHORT).await;
            assert_eq!(other.unwrap_err().kind(), io::ErrorKind::TimedOut);
            drop(stuck);
        });
    }
}
