//! What tidegate does otherwise than tokio on purpose, with both sides as they are.

use std::io::ErrorKind;
use std::path::Path;
use std::pin::pin;
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt;

use tidegate::{Errors, Handle};

use crate::Dir;
use crate::common::{on_every_backend, runtime};

/// A file that is copied onto itself is lost with tokio, without an error.
#[test]
fn a_file_copied_onto_itself_is_kept() {
    runtime(true).block_on(async {
        let dir = Dir::new();
        let path = dir.with("file", "text");
        assert_eq!(tokio::fs::copy(&path, &path).await.unwrap(), 0);
        assert_eq!(std::fs::read(&path).unwrap(), b"");
    });
    on_every_backend(|_| async {
        let dir = Dir::new();
        let path = dir.with("file", "text");
        let error = tidegate::fs::copy(&path, &path).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert_eq!(std::fs::read(&path).unwrap(), b"text");
    });
}

/// A write that failed in the background is not durable. tokio tells only at the next write or flush;
/// here syncing tells as well.
#[cfg(target_os = "linux")]
#[test]
fn syncing_tells_of_a_write_that_failed() {
    runtime(true).block_on(async {
        let mut options = tokio::fs::OpenOptions::new();
        let mut file = options.write(true).open("/dev/full").await.unwrap();
        file.write_all(b"x").await.unwrap();
        // The device itself cannot be synced.
        assert_eq!(
            file.sync_all().await.unwrap_err().kind(),
            ErrorKind::InvalidInput
        );
        assert_eq!(
            file.flush().await.unwrap_err().kind(),
            ErrorKind::StorageFull
        );
    });
    on_every_backend(|_| async {
        let mut options = tidegate::fs::OpenOptions::new();
        let mut file = options.write(true).open("/dev/full").await.unwrap();
        file.write_all(b"x").await.unwrap();
        assert_eq!(
            file.sync_all().await.unwrap_err().kind(),
            ErrorKind::StorageFull
        );
        assert_eq!(
            file.sync_data().await.unwrap_err().kind(),
            ErrorKind::StorageFull
        );
        for _ in 0..2 {
            let told = [
                file.flush().await.unwrap_err(),
                file.shutdown().await.unwrap_err(),
                file.sync_all().await.unwrap_err(),
                file.sync_data().await.unwrap_err(),
            ];
            for error in told {
                assert_eq!(error.kind(), ErrorKind::StorageFull);
                assert_eq!(tidegate::raw_os_error(&error), Some(28));
            }
        }
        let acknowledged = file.acknowledge().unwrap();
        assert_eq!(acknowledged.raw_os_error(), Some(28));
        file.flush().await.unwrap();
        file.shutdown().await.unwrap();
        // It has no device to be on.
        assert_eq!(
            file.sync_all().await.unwrap_err().kind(),
            ErrorKind::InvalidInput
        );
    });
}

/// What goes on without anybody waiting is over after this long at the latest.
const DONE_BOUND: Duration = Duration::from_secs(30);

/// Starts a future and drops it.
fn begin(future: impl Future) {
    let mut future = pin!(future);
    let _ = future
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()));
}

/// A whole file that was begun to be written is written with tokio, though nobody waits any more. Here
/// the rest of it is cancelled: some of the content is there, or none, and nothing else.
#[test]
fn a_whole_write_that_nobody_waits_for_is_cancelled() {
    let content = vec![b'x'; 1_000_000];
    let found = |path: &Path| std::fs::read(path).unwrap_or_default();
    runtime(true).block_on(async {
        let dir = Dir::new();
        begin(tokio::fs::write(dir.at("file"), &content));
        let start = Instant::now();
        while found(&dir.at("file")) != content {
            assert!(start.elapsed() < DONE_BOUND, "it was not written");
            tokio::task::yield_now().await;
        }
    });
    on_every_backend(|_| async {
        let dir = Dir::new();
        begin(tidegate::fs::write(dir.at("file"), &content));
        for _ in 0..100 {
            assert!(content.starts_with(&found(&dir.at("file"))));
            tokio::task::yield_now().await;
        }
    });
}

/// An error is the system's own, as tokio's, but for handles that ask for named ones, or a program's environment.
#[test]
fn errors_are_plain_unless_the_handle_names_them() {
    let test = "differences::errors_are_plain_unless_the_handle_names_them";
    let named = |command: &mut std::process::Command| {
        command.env("TIDEGATE_ERRORS", " Named ");
    };
    if !crate::common::child::is_child(test) {
        check_errors(Errors::Plain, None);
        check_errors(Errors::Named, Some(Errors::Named));
    }
    crate::common::child::in_child(test, named, || {
        check_errors(Errors::Named, None);
        check_errors(Errors::Plain, Some(Errors::Plain));
    });
}

/// Whether errors are told so, at the poll and off it, on a handle for which that was chosen.
fn check_errors(expected: Errors, chosen: Option<Errors>) {
    for route in crate::common::routes() {
        crate::common::runtime(false).block_on(async {
            let mut builder = Handle::builder().route(route);
            if let Some(errors) = chosen {
                builder = builder.errors(errors);
            }
            let handle = builder.install().unwrap();
            assert_eq!(handle.settings().errors, expected);
            let dir = Dir::new();
            let path = dir.with("file", "").join("below");
            let theirs = [
                tokio::fs::metadata(&path).await.unwrap_err(),
                tokio::fs::create_dir(&path).await.unwrap_err(),
            ];
            let ours = [
                tidegate::fs::metadata(&path).await.unwrap_err(),
                tidegate::fs::create_dir(&path).await.unwrap_err(),
            ];
            for (ours, theirs) in ours.iter().zip(theirs) {
                assert_eq!(ours.kind(), theirs.kind());
                assert_eq!(tidegate::raw_os_error(ours), theirs.raw_os_error());
                let is_named = ours.to_string().contains(&path.display().to_string());
                assert_eq!(is_named, expected == Errors::Named, "{ours}");
                if expected == Errors::Plain {
                    assert_eq!(ours.raw_os_error(), theirs.raw_os_error());
                    assert_eq!(ours.to_string(), theirs.to_string());
                }
            }
        });
    }
}
