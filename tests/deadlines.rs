//! Deadlines and cancels that callers set, on operations that wait for ever: a FIFO that nobody writes to.

mod common;

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use common::on_every_backend;
use nix::sys::stat::Mode;
use tidegate::fs::{self, File, OpenOptions};
use tidegate::opcode::Kind;
use tidegate::{Error, Handle, LeftBehind, OpExt, Route};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_util::sync::CancellationToken;

const SOON: Duration = Duration::from_millis(30);

struct Fifo {
    _dir: tempfile::TempDir,
    path: std::path::PathBuf,
}

impl Fifo {
    fn new() -> Fifo {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("fifo");
        nix::unistd::mkfifo(&path, Mode::S_IRWXU).unwrap();
        Fifo { _dir: dir, path }
    }

    /// Open for both, so that a read waits instead of ending.
    async fn open(&self) -> File {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(&self.path)
            .await;
        file.unwrap()
    }
}

#[track_caller]
fn left(error: &std::io::Error) -> (Option<Kind>, LeftBehind) {
    match Error::from_io(error) {
        Some(
            Error::TimedOut {
                operation, left, ..
            }
            | Error::Cancelled {
                operation, left, ..
            },
        ) => (*operation, *left),
        _ => panic!("{error:?}"),
    }
}

/// A read that waits for ever ends in time, says what it was, and its buffer comes back where the kernel has let go.
#[test]
fn a_read_that_waits_times_out() {
    on_every_backend(|route| async move {
        let fifo = Fifo::new();
        let file = fifo.open().await;
        let began = Instant::now();
        let error = file
            .read_at(vec![0; 16], 0)
            .timeout(SOON)
            .await
            .unwrap_err();
        assert!(began.elapsed() >= SOON);
        let detached = error.is_detached();
        let error = error.error;
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        let expected = match route {
            Route::Pool => LeftBehind::Detached,
            _ => LeftBehind::NothingHappened,
        };
        assert_eq!(left(&error), (Some(Kind::Read), expected), "{error}");
        assert_eq!(detached, expected == LeftBehind::Detached);
        let path = Error::from_io(&error).unwrap().path();
        assert_eq!(path, Some(&*fifo.path), "{error}");
        // Lets the thread go that still reads.
        file.write_at("x", 0).await.unwrap();
        common::until_idle().await;
    });
}

/// The same through tokio's extension traits, and with one budget for several operations.
#[test]
fn limits_reach_what_is_inside() {
    on_every_backend(|_| async {
        let fifo = Fifo::new();
        let mut file = fifo.open().await;
        let mut byte = [0; 1];
        let error = file.read_exact(&mut byte).timeout(SOON).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
        let budget = async {
            for _ in 0..10 {
                fs::metadata("/").await?;
            }
            fs::read(&fifo.path).await
        };
        let error = budget.timeout(SOON).await.unwrap_err();
        let read = [Some(Kind::Read), Some(Kind::ReadFile)];
        assert!(read.contains(&left(&error).0), "{error}");
        file.write_all(b"xx").await.unwrap();
        file.flush().await.unwrap();
        // What still reads to the end meets it.
        drop(file);
        common::until_idle().await;
    });
}

/// A token ends an operation as soon as it is cancelled.
#[test]
fn a_token_cancels() {
    on_every_backend(|route| async move {
        let fifo = Fifo::new();
        let file = fifo.open().await;
        let token = CancellationToken::new();
        let reading = file.read_at(vec![0; 16], 0).cancel_on(&token);
        let cancelling = async {
            while Handle::current().unwrap().stats().in_flight == 0 {
                tokio::task::yield_now().await;
            }
            token.cancel();
        };
        let (read, ()) = tokio::join!(reading, cancelling);
        let error = read.unwrap_err().error;
        assert_eq!(error.kind(), ErrorKind::Other);
        assert!(matches!(
            Error::from_io(&error),
            Some(Error::Cancelled { .. })
        ));
        if route != Route::Pool {
            assert_eq!(left(&error).1, LeftBehind::NothingHappened);
        }
        file.write_at("x", 0).await.unwrap();
        common::until_idle().await;
    });
}

/// What is cancelled or over time before it begins does not begin, also where the answer is in memory.
#[test]
fn what_is_too_late_does_not_begin() {
    on_every_backend(|_| async {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let token = CancellationToken::new();
        token.cancel();
        let error = fs::write(&path, "x").cancel_on(&token).await.unwrap_err();
        let begun = Error::from_io(&error).unwrap().operation();
        assert!(begun.is_some());
        assert_eq!(left(&error), (begun, LeftBehind::NothingHappened));
        let error = fs::write(&path, "x")
            .deadline_at(Instant::now())
            .await
            .unwrap_err();
        assert_eq!(left(&error).1, LeftBehind::NothingHappened);
        assert!(!path.exists());
        for _ in 0..2 {
            let error = fs::metadata("/").cancel_on(&token).await.unwrap_err();
            assert_eq!(
                left(&error),
                (Some(Kind::Metadata), LeftBehind::NothingHappened)
            );
            assert_eq!(Error::from_io(&error).unwrap().path().unwrap(), "/");
            let error = fs::read("/etc/passwd")
                .deadline_at(Instant::now())
                .await
                .unwrap_err();
            assert_eq!(left(&error).1, LeftBehind::NothingHappened);
            fs::read("/etc/passwd").await.unwrap();
        }
    });
}

/// Zero is refused, the longest means none, and of nested limits the earliest counts.
#[test]
fn odd_limits_mean_what_they_say() {
    on_every_backend(|_| async {
        let error = fs::metadata("/").timeout(Duration::ZERO).await.unwrap_err();
        assert!(
            matches!(Error::from_io(&error), Some(Error::ZeroTimeout)),
            "{error}"
        );
        fs::metadata("/").timeout(Duration::MAX).await.unwrap();
        let hour = Duration::from_secs(3600);
        for (inner, outer) in [
            (hour, SOON),
            (SOON, hour),
            (Duration::MAX, SOON),
            (SOON, Duration::MAX),
        ] {
            let file = Fifo::new().open().await;
            let read = file.read_at(vec![0; 1], 0).timeout(inner).timeout(outer);
            assert_eq!(read.await.unwrap_err().error.kind(), ErrorKind::TimedOut);
            file.write_at("x", 0).await.unwrap();
            common::until_idle().await;
        }
    });
}

/// A limit also ends what is none of this crate's operations.
#[test]
fn other_waits_end_too() {
    on_every_backend(|_| async {
        let never = async {
            std::future::pending::<()>().await;
            Ok::<(), std::io::Error>(())
        };
        let error = never.timeout(SOON).await.unwrap_err();
        // What it did, nobody here knows.
        assert_eq!(left(&error), (None, LeftBehind::MayHaveTakenEffect));
        let token = CancellationToken::new();
        let never = async {
            token.cancel();
            std::future::pending::<Result<(), std::io::Error>>().await
        };
        let error = never.cancel_on(&token).await.unwrap_err();
        // What it did, nobody here knows.
        assert_eq!(left(&error), (None, LeftBehind::MayHaveTakenEffect));
    });
}

/// What began and is not waited for may take effect, also where a token is all that limits it.
#[test]
fn a_cancel_does_not_forget_what_has_begun() {
    on_every_backend(|_| async {
        let fifo = Fifo::new();
        let file = fifo.open().await;
        let token = CancellationToken::new();
        let begun = async {
            let mut reading = std::pin::pin!(file.read_at(vec![0; 16], 0));
            assert!(futures::poll!(reading.as_mut()).is_pending());
            token.cancel();
            std::future::pending::<Result<(), std::io::Error>>().await
        };
        let error = begun.cancel_on(&token).await.unwrap_err();
        let expected = (Some(Kind::Read), LeftBehind::MayHaveTakenEffect);
        assert_eq!(left(&error), expected);
        file.write_at("x", 0).await.unwrap();
        common::until_idle().await;
    });
}

/// tokio's helpers try again what was interrupted; what is cancelled ends all the same.
#[test]
fn a_cancel_ends_helpers_that_try_again() {
    on_every_backend(|_| async {
        let dir = tempfile::tempdir().unwrap();
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create(true);
        let mut file = options.open(dir.path().join("file")).await.unwrap();
        let token = CancellationToken::new();
        token.cancel();
        let mut read = Vec::new();
        let error = file.read_to_end(&mut read).cancel_on(&token).await;
        assert_eq!(left(&error.unwrap_err()).1, LeftBehind::NothingHappened);
        let mut pipe = Fifo::new().open().await;
        let token = CancellationToken::new();
        let reading = pipe.read_to_end(&mut read).cancel_on(&token);
        let cancelling = async { token.cancel() };
        let (error, ()) = futures::join!(reading, cancelling);
        left(&error.unwrap_err());
        pipe.write_all(b"x").await.unwrap();
        pipe.flush().await.unwrap();
        common::until_idle().await;
    });
}

/// A write that is over time before it is accepted is an error, and nothing of it is accepted.
#[test]
fn a_write_that_is_too_late_is_not_accepted() {
    on_every_backend(|_| async {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let mut file = File::create(&path).await.unwrap();
        let token = CancellationToken::new();
        token.cancel();
        let error = file.write_all(b"x").cancel_on(&token).await.unwrap_err();
        assert_eq!(left(&error).1, LeftBehind::NothingHappened, "{error}");
        let late = file.write_all(b"x").deadline_at(Instant::now());
        assert_eq!(late.await.unwrap_err().kind(), ErrorKind::TimedOut);
        file.flush().await.unwrap();
        file.write_all(b"y").await.unwrap();
        file.flush().await.unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"y");
    });
}
