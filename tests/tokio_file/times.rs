//! Times and permissions of an open file.

use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::time::{Duration, SystemTime};

use tokio::io::AsyncWriteExt;

use super::fs::{File, FileTimes};
use super::run;

fn at(seconds: u64, nanoseconds: u32) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::new(seconds, nanoseconds)
}

#[test]
fn the_times_that_are_given_are_set_and_the_others_are_left() {
    run(|dir| async move {
        let path = dir.with("file", "");
        let file = File::open(&path).await.unwrap();
        let (accessed, modified) = (at(1_600_000_000, 123_000), at(1_500_000_000, 456_000));
        let times = FileTimes::new()
            .set_accessed(accessed)
            .set_modified(modified);
        file.set_times(times).await.unwrap();
        let metadata = std::fs::metadata(&path).unwrap();
        assert_eq!(
            (metadata.accessed().unwrap(), metadata.modified().unwrap()),
            (accessed, modified)
        );
        let later = at(1_700_000_000, 0);
        file.set_modified(later).await.unwrap();
        let metadata = std::fs::metadata(&path).unwrap();
        assert_eq!(
            (metadata.accessed().unwrap(), metadata.modified().unwrap()),
            (accessed, later)
        );
        file.set_times(FileTimes::default().set_accessed(later))
            .await
            .unwrap();
        let metadata = std::fs::metadata(&path).unwrap();
        assert_eq!(
            (metadata.accessed().unwrap(), metadata.modified().unwrap()),
            (later, later)
        );
        file.set_times(FileTimes::new()).await.unwrap();
        let metadata = std::fs::metadata(&path).unwrap();
        assert_eq!(
            (metadata.accessed().unwrap(), metadata.modified().unwrap()),
            (later, later)
        );
    });
}

#[test]
fn times_before_the_epoch_are_set() {
    run(|dir| async move {
        let path = dir.with("file", "");
        let file = File::open(&path).await.unwrap();
        let early = SystemTime::UNIX_EPOCH - Duration::from_millis(1500);
        file.set_modified(early).await.unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().modified().unwrap(), early);
    });
}

#[test]
fn times_are_set_after_the_writes_before_them() {
    run(|dir| async move {
        let mut file = File::create(dir.at("file")).await.unwrap();
        for _ in 0..20 {
            file.write_all(&[7; 100_000]).await.unwrap();
            let time = at(1_500_000_000, 0);
            file.set_modified(time).await.unwrap();
            assert_eq!(file.metadata().await.unwrap().modified().unwrap(), time);
        }
    });
}

#[test]
fn the_permissions_of_an_open_file_are_set_whatever_it_is_open_for() {
    run(|dir| async move {
        let path = dir.with("file", "");
        let file = File::open(&path).await.unwrap();
        let mut permissions = file.metadata().await.unwrap().permissions();
        permissions.set_mode(0o640);
        file.set_permissions(permissions.clone()).await.unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o7777, 0o640);
        permissions.set_readonly(true);
        file.set_permissions(permissions).await.unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o7777, 0o440);
        std::fs::remove_file(&path).unwrap();
        assert_eq!(file.metadata().await.unwrap().nlink(), 0);
        let error = File::open(&path).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
    });
}

#[test]
fn what_an_open_file_tells_is_what_std_tells() {
    run(|dir| async move {
        let path = dir.with("file", "12345");
        let metadata = File::open(&path).await.unwrap().metadata().await.unwrap();
        let of_std = std::fs::metadata(&path).unwrap();
        assert_eq!((metadata.ino(), metadata.len()), (of_std.ino(), 5));
        assert_eq!(metadata.permissions(), of_std.permissions());
        assert_eq!(metadata.file_type(), of_std.file_type());
        assert_eq!(metadata.modified().unwrap(), of_std.modified().unwrap());
        assert_eq!(metadata.created().ok(), of_std.created().ok());
    });
}
