//! What tidegate does otherwise than tokio on purpose, with both sides as they are.

use std::io::ErrorKind;

use tokio::io::AsyncWriteExt;

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
        assert_eq!(
            file.flush().await.unwrap_err().kind(),
            ErrorKind::StorageFull
        );
        assert_eq!(
            file.sync_all().await.unwrap_err().kind(),
            ErrorKind::InvalidInput
        );
    });
}
