//! What files have beyond std, on ordinary files and on others: space, advice, writeback, pipes and
//! attributes (R81, R66).
#![cfg(target_os = "linux")]

mod common;

use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use common::{on_each_route, on_every_backend};
use tidegate::fs::{self, Advice, File, OpenOptions, Space, Writeback};
use tidegate::opcode::Kind;
use tidegate::{Handle, Route, Way};

async fn read_write(path: &Path) -> File {
    let mut options = OpenOptions::new();
    let options = options.read(true).write(true).create(true);
    options.open(path).await.unwrap()
}

fn scratch() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

async fn fifo(dir: &tempfile::TempDir, name: &str) -> File {
    let path = dir.path().join(name);
    fs::make_fifo(&path, 0o600).await.unwrap();
    // Open for both, so that neither end is missing.
    read_write(&path).await
}

/// R81: what is reserved leaves the length alone unless that is asked for; each other way does what it says.
#[test]
fn space_is_reserved_freed_and_moved() {
    on_each_route(|_| async {
        let dir = scratch();
        let path = dir.path().join("file");
        let file = read_write(&path).await;
        match file.allocate(0, 1 << 20, Space::default()).await {
            Err(error) if error.kind() == ErrorKind::Unsupported => {
                return eprintln!("skip: space_is_reserved_freed_and_moved: {error}");
            }
            reserved => reserved.unwrap(),
        }
        let look = || std::fs::metadata(&path).unwrap();
        assert_eq!(look().len(), 0);
        assert!(look().blocks() * 512 >= 1 << 20);
        file.allocate(0, 65_536, Space::ReserveExtend)
            .await
            .unwrap();
        assert_eq!(look().len(), 65_536);
        file.write_all_at(vec![1; 65_536], 0).await.unwrap();
        let read = async |at, length| file.read_exact_at(vec![9; length], at).await.unwrap();
        for how in [Space::PunchHole, Space::Zero] {
            match file.allocate(100, 8192, how).await {
                Err(error) => assert_eq!(error.kind(), ErrorKind::Unsupported, "{how:?}"),
                Ok(()) => assert_eq!(read(100, 8192).await, [0; 8192], "{how:?}"),
            }
            assert_eq!((look().len(), &read(99, 1).await[..]), (65_536, &[1][..]));
        }
        if file.allocate(65_000, 5000, Space::ZeroExtend).await.is_ok() {
            assert_eq!(look().len(), 70_000);
        }
        file.set_len(65_536).await.unwrap();
        file.write_all_at(vec![2; 4096], 4096).await.unwrap();
        if file.allocate(0, 4096, Space::Collapse).await.is_ok() {
            assert_eq!((look().len(), read(0, 1).await[0]), (65_536 - 4096, 2));
            file.allocate(0, 8192, Space::Insert).await.unwrap();
            assert_eq!((look().len(), read(8192, 1).await[0]), (65_536 + 4096, 2));
            assert_eq!(read(0, 8192).await, [0; 8192]);
        }
        let zero = File::open("/dev/zero").await.unwrap();
        assert!(zero.allocate(0, 1, Space::Reserve).await.is_err());
    });
}

/// Whatever is advised, in and out of order, the bytes are the same; and where reads are answered at the
/// poll, they still are.
#[test]
fn advice_changes_no_bytes() {
    on_every_backend(|route| async move {
        let dir = scratch();
        let path = dir.path().join("file");
        let bytes: Vec<u8> = (0..3_000_000u32).map(|n| (n % 251) as u8).collect();
        std::fs::write(&path, &bytes).unwrap();
        std::fs::File::open(&path).unwrap().sync_all().unwrap();
        let file = File::open(&path).await.unwrap();
        let all = [
            Advice::Sequential,
            Advice::DontNeed,
            Advice::Random,
            Advice::DontNeed,
            Advice::Normal,
            Advice::WillNeed,
            Advice::NoReuse,
        ];
        for advice in all {
            file.advise(0, 0, advice).await.unwrap();
            for start in [0, 1_000_000] {
                for at in (start..start + 500_000).step_by(10_000) {
                    let read = file
                        .read_exact_at(vec![0; 10_000], at as u64)
                        .await
                        .unwrap();
                    assert!(read == bytes[at..at + 10_000], "{advice:?} at {at}");
                }
            }
        }
        file.advise(1 << 33, 1 << 33, Advice::DontNeed)
            .await
            .unwrap();
        let handle = Handle::current().unwrap();
        let hits = || handle.stats().count(Kind::Read, Way::AtPoll);
        let before = hits();
        file.advise(0, 0, Advice::Sequential).await.unwrap();
        file.read_exact_at(vec![0; 100], 5).await.unwrap();
        let is_answered = hits() > before;
        assert!(route == Route::Auto || !is_answered);
        let pipe = fifo(&dir, "fifo").await;
        let error = pipe.advise(0, 0, Advice::Normal).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotSeekable);
    });
}

/// Each step of writing a range back, over 4 GiB too, and on what has no range.
#[test]
fn ranges_are_written_back() {
    on_each_route(|_| async {
        let dir = scratch();
        let file = read_write(&dir.path().join("file")).await;
        for offset in [0, 5 << 32] {
            file.write_all_at(vec![7; 300_000], offset).await.unwrap();
            for how in [Writeback::Start, Writeback::Wait, Writeback::Complete] {
                file.sync_range(offset, 300_000, how).await.unwrap();
                file.sync_range(offset, 0, how).await.unwrap();
                file.sync_range(0, 6 << 32, how).await.unwrap();
            }
        }
        file.sync_data().await.unwrap();
        let error = file
            .sync_range(u64::MAX, 1, Writeback::Start)
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        let pipe = fifo(&dir, "fifo").await;
        let error = pipe.sync_range(0, 0, Writeback::Wait).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotSeekable);
    });
}

/// A file goes through a pipe into another, and a tee of it into a third.
#[test]
fn bytes_are_moved_through_pipes() {
    on_every_backend(|_| async {
        let dir = scratch();
        let bytes: Vec<u8> = (0..300_000u32).map(|n| (n % 251) as u8).collect();
        fs::write(dir.path().join("from"), &bytes).await.unwrap();
        let from = File::open(dir.path().join("from")).await.unwrap();
        let to = read_write(&dir.path().join("to")).await;
        let copy = read_write(&dir.path().join("copy")).await;
        let (pipe, second) = (fifo(&dir, "one").await, fifo(&dir, "two").await);
        let mut at = 0;
        loop {
            let moved = fs::splice((&from, Some(at)), (&pipe, None), 1 << 16)
                .await
                .unwrap();
            if moved == 0 {
                break;
            }
            let teed = fs::tee(&pipe, &second, moved).await.unwrap();
            assert!(teed > 0);
            let mut left = (moved, teed);
            let mut there = (at, at);
            while left.0 > 0 {
                let moved = fs::splice((&pipe, None), (&to, Some(there.0)), left.0)
                    .await
                    .unwrap();
                (left.0, there.0) = (left.0 - moved, there.0 + moved as u64);
            }
            while left.1 > 0 {
                let end = (&copy, Some(there.1));
                let moved = fs::splice((&second, None), end, left.1).await.unwrap();
                (left.1, there.1) = (left.1 - moved, there.1 + moved as u64);
            }
            // Should the tee have fallen short, the next round begins where it did.
            at = there.1.min(there.0);
        }
        assert!(fs::read(dir.path().join("to")).await.unwrap() == bytes);
        assert!(fs::read(dir.path().join("copy")).await.unwrap() == bytes);
        let error = fs::splice((&from, None), (&to, None), 10)
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert_eq!(error.raw_os_error(), Some(libc::EINVAL), "{error}");
    });
}

/// A splice waits for the pipe without holding up anything else, and can be dropped meanwhile.
#[test]
fn a_splice_that_waits_for_its_pipe_is_given_up() {
    on_every_backend(|route| async move {
        let dir = scratch();
        let pipe = fifo(&dir, "fifo").await;
        let to = read_write(&dir.path().join("to")).await;
        let waiting = Box::pin(fs::splice((&pipe, None), (&to, Some(0)), 100));
        let other = Box::pin(async {
            for round in 0..50 {
                to.write_all_at("x", round + 1000).await.unwrap();
                to.sync_data().await.unwrap();
            }
        });
        let first = futures::future::select(waiting, other).await;
        let futures::future::Either::Right(((), waiting)) = first else {
            panic!("an empty pipe gave something");
        };
        if route == Route::Pool {
            // A thread is in the call until there is something.
            pipe.write_all_at("end", 0).await.unwrap();
            assert_eq!(waiting.await.unwrap(), 3);
            return;
        }
        drop(waiting);
        let handle = Handle::current().unwrap();
        while handle.stats().in_flight > 0 {
            tokio::task::yield_now().await;
        }
        pipe.write_all_at("kept", 0).await.unwrap();
        assert_eq!(pipe.read_exact_at(vec![0; 4], 0).await.unwrap(), b"kept");
    });
}

/// Attributes of an open file, also of one that has no name any more.
#[test]
fn attributes_of_an_open_file_need_no_path() {
    on_every_backend(|_| async {
        let dir = scratch();
        let path = dir.path().join("file");
        let file = read_write(&path).await;
        match file.set_xattr("user.note", "mine").await {
            Err(error) if error.kind() == ErrorKind::Unsupported => {
                return eprintln!("skip: attributes_of_an_open_file_need_no_path: {error}");
            }
            set => set.unwrap(),
        }
        fs::remove_file(&path).await.unwrap();
        assert_eq!(file.get_xattr("user.note").await.unwrap().unwrap(), b"mine");
        assert_eq!(file.get_xattr("user.absent").await.unwrap(), None);
        file.set_xattr("user.empty", "").await.unwrap();
        assert_eq!(file.get_xattr("user.empty").await.unwrap().unwrap(), b"");
        let mut names = file.list_xattrs().await.unwrap();
        names.retain(|name| name.to_string_lossy().starts_with("user."));
        names.sort();
        assert_eq!(names, ["user.empty", "user.note"]);
        file.remove_xattr("user.note").await.unwrap();
        assert_eq!(file.get_xattr("user.note").await.unwrap(), None);
        let error = file.remove_xattr("user.note").await.unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENODATA), "{error}");
    });
}
