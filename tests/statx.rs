//! All attributes that the kernel has, one path or many at a time (R85, R86, R87).

mod common;

use std::io;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::PathBuf;

use common::on_every_backend;
use tidegate::fs::{self, File, FileKind, Follow, Freshness, StatxMask, StatxOptions};

/// Everything that std tells, and the same through a path and an open file.
#[test]
fn it_agrees_with_std() {
    on_every_backend(|_| async {
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let path = dir.path().join("file");
        std::fs::write(&path, vec![7; 100_000]).unwrap();
        let std = std::fs::metadata(&path).unwrap();
        let file = File::open(&path).await.unwrap();
        for ours in [fs::statx(&path).await.unwrap(), file.statx().await.unwrap()] {
            assert_eq!(ours.kind(), FileKind::File);
            assert_eq!(
                (ours.dev(), ours.ino(), ours.mode(), ours.nlink()),
                (std.dev(), std.ino(), std.mode(), std.nlink())
            );
            assert_eq!(
                (ours.uid(), ours.gid(), ours.size(), ours.rdev()),
                (std.uid(), std.gid(), std.size(), std.rdev())
            );
            assert_eq!(
                (ours.blksize(), ours.mtime(), ours.mtime_nsec()),
                (std.blksize(), std.mtime(), std.mtime_nsec())
            );
            assert_eq!(ours.modified().unwrap(), std.modified().unwrap());
            assert_eq!(ours.accessed().unwrap(), std.accessed().unwrap());
            assert_eq!(ours.created().ok(), std.created().ok());
            assert!(ours.changed().unwrap() >= ours.modified().unwrap());
        }
    });
}

/// Links themselves, and what they lead to.
#[test]
fn links_are_followed_or_not() {
    on_every_backend(|_| async {
        let dir = tempfile::tempdir().unwrap();
        let link = dir.path().join("link");
        symlink("nowhere", &link).unwrap();
        let error = fs::statx(&link).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        let itself = StatxOptions::new().follow(Follow::No).path(&link).await;
        assert_eq!(itself.unwrap().kind(), FileKind::Symlink);
    });
}

/// Results come in the order of the paths, and an error is that of its own path only.
#[test]
fn a_batch_keeps_order_and_errors_apart() {
    on_every_backend(|_| async {
        let dir = tempfile::tempdir().unwrap();
        let mut paths: Vec<PathBuf> = Vec::new();
        for number in 0..300 {
            let path = dir.path().join(format!("{number}"));
            std::fs::write(&path, vec![0; number]).unwrap();
            paths.push(path);
        }
        paths[7] = "/no/such/file".into();
        paths[150] = "with\0nul".into();
        paths[299] = "".into();
        let found = StatxOptions::new().paths(&paths).await;
        assert_eq!(found.len(), 300);
        for (number, found) in found.iter().enumerate() {
            match (number, found) {
                (7 | 299, Err(error)) => assert_eq!(error.kind(), io::ErrorKind::NotFound),
                (150, Err(error)) => assert_eq!(error.kind(), io::ErrorKind::InvalidInput),
                (_, found) => assert_eq!(found.as_ref().unwrap().size(), number as u64),
            }
        }
        let none: [&str; 0] = [];
        assert!(StatxOptions::new().paths(none).await.is_empty());
    });
}

/// What was not asked for does not come, except the basic attributes.
#[cfg(target_os = "linux")]
#[test]
fn the_mask_says_what_comes() {
    on_every_backend(|_| async {
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let path = dir.path().join("file");
        std::fs::write(&path, b"content").unwrap();
        let all = fs::statx(&path).await.unwrap();
        assert!(all.mount_id().is_some());
        assert_eq!(
            all.direct_align(),
            tidegate::probe::filesystem(&path).unwrap().direct_io
        );
        assert_eq!(all.is_mount_root(), Some(false));
        assert_eq!(
            fs::statx("/proc").await.unwrap().is_mount_root(),
            Some(true)
        );

        let basic = StatxOptions::new().mask(StatxMask::BASIC);
        let basic = basic.path(&path).await.unwrap();
        assert_eq!(basic.size(), 7);
        assert_eq!(basic.direct_align(), None);
        assert_eq!(basic.mount_id(), all.mount_id());

        let some = StatxMask::DIRECT_ALIGN | StatxMask::MOUNT_ID;
        let some = StatxOptions::new().mask(some).path(&path).await.unwrap();
        assert_eq!(some.direct_align(), all.direct_align());
        assert_eq!(some.atomic_write_bytes(), None);
    });
}

/// On a local filesystem all are as fresh as each other.
#[test]
fn freshness_makes_no_difference_on_a_local_filesystem() {
    on_every_backend(|_| async {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        for size in [0, 10, 5] {
            std::fs::write(&path, vec![1; size]).unwrap();
            let file = File::open(&path).await.unwrap();
            for freshness in [Freshness::AsStat, Freshness::Cached, Freshness::Server] {
                let options = StatxOptions::new().freshness(freshness);
                assert_eq!(options.path(&path).await.unwrap().size(), size as u64);
                assert_eq!(options.file(&file).await.unwrap().size(), size as u64);
            }
        }
    });
}

/// Each kind of file is told.
#[test]
fn kinds_are_told() {
    on_every_backend(|_| async {
        let dir = tempfile::tempdir().unwrap();
        let fifo = dir.path().join("fifo");
        fs::make_fifo(&fifo, 0o600).await.unwrap();
        let socket = dir.path().join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        for (path, kind) in [
            (fifo, FileKind::Fifo),
            (socket, FileKind::Socket),
            ("/dev/null".into(), FileKind::CharDevice),
            (dir.path().to_path_buf(), FileKind::Directory),
        ] {
            assert_eq!(fs::statx(&path).await.unwrap().kind(), kind);
        }
    });
}
