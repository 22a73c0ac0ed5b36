//! Limits that are met in the middle: no space, the largest file, no descriptors, and files that shrink
//! or vanish under an operation. What std gives is given on every backend (R63, R64, R65).
#![cfg(target_os = "linux")]

mod common;

use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use common::child::{in_child, in_child_with_own_mounts};
use common::on_every_backend;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::resource::{Resource, setrlimit};
use tidegate::fs::{self, File, OpenOptions};
use tokio::io::AsyncWriteExt;

/// What a side saw, and how long the file is then.
type Seen = (Result<usize, (ErrorKind, Option<i32>)>, u64);

fn seen(result: io::Result<usize>, path: &Path) -> Seen {
    let result = result.map_err(|error| (error.kind(), tidegate::raw_os_error(&error)));
    let length = std::fs::metadata(path).map_or(0, |metadata| metadata.len());
    let _ = std::fs::remove_file(path);
    (result, length)
}

fn create(path: &Path) -> io::Result<std::fs::File> {
    std::fs::File::create(path)
}

/// Each way to make a file larger than it may be, by std.
fn by_std(path: &Path, bytes: usize) -> Vec<Seen> {
    let mut all = Vec::new();
    all.push(seen(std::fs::write(path, vec![1; bytes]).map(|()| 0), path));
    let written = create(path).and_then(|file| file.write_at(&vec![1; bytes], 100));
    all.push(seen(written, path));
    let written = create(path).and_then(|file| file.write_all_at(&vec![1; bytes], 0));
    all.push(seen(written.map(|()| 0), path));
    let written =
        create(path).and_then(|mut file| io::Write::write_all(&mut file, &vec![1; bytes]));
    all.push(seen(written.map(|()| 0), path));
    all.push(seen(
        create(path)
            .and_then(|file| file.set_len(bytes as u64))
            .map(|()| 0),
        path,
    ));
    let allocated = create(path).and_then(|file| {
        let length = bytes as libc::off_t;
        // SAFETY: the descriptor is open for the call.
        let result =
            unsafe { libc::fallocate(std::os::fd::AsRawFd::as_raw_fd(&file), 0, 0, length) };
        if result == 0 {
            Ok(0)
        } else {
            Err(io::Error::last_os_error())
        }
    });
    all.push(seen(allocated, path));
    all
}

async fn by_us(path: &Path, bytes: usize) -> Vec<Seen> {
    let mut all = Vec::new();
    all.push(seen(
        fs::write(path, vec![1; bytes]).await.map(|()| 0),
        path,
    ));
    let file = File::create(path).await.unwrap();
    let written = file.write_at(vec![1; bytes], 100).await;
    file.close().await.unwrap();
    all.push(seen(
        written.map(|(count, _)| count).map_err(Into::into),
        path,
    ));
    let file = File::create(path).await.unwrap();
    let written = file.write_all_at(vec![1; bytes], 0).await;
    file.close().await.unwrap();
    all.push(seen(written.map(|_| 0).map_err(Into::into), path));
    let mut file = File::create(path).await.unwrap();
    let mut written = file.write_all(&vec![1; bytes]).await;
    if written.is_ok() {
        written = file.flush().await;
    }
    drop(file.close().await);
    all.push(seen(written.map(|()| 0), path));
    let file = File::create(path).await.unwrap();
    let result = file.set_len(bytes as u64).await;
    file.close().await.unwrap();
    all.push(seen(result.map(|()| 0), path));
    let file = File::create(path).await.unwrap();
    let result = file
        .allocate(0, bytes as u64, fs::Space::ReserveExtend)
        .await;
    file.close().await.unwrap();
    all.push(seen(result.map(|()| 0), path));
    all
}

/// A filesystem that is nearly full: of the same size for both sides.
#[test]
fn without_space_everything_is_as_with_std() {
    in_child_with_own_mounts("without_space_everything_is_as_with_std", || {
        let dir = tempfile::tempdir().unwrap();
        let (none, options) = (None::<&str>, Some("size=512k,nr_inodes=8"));
        mount(none, dir.path(), Some("tmpfs"), MsFlags::empty(), options).unwrap();
        let path = dir.path().join("file");
        let expected = by_std(&path, 1 << 20);
        let full = Err((ErrorKind::StorageFull, Some(libc::ENOSPC)));
        assert_eq!(expected[0].0, full, "the test fills nothing");
        on_every_backend(|route| {
            let (path, expected) = (path.clone(), expected.clone());
            async move {
                let ours = by_us(&path, 1 << 20).await;
                // A cursor's writes have pieces of their own, so how much fits is not compared.
                for (ours, expected) in ours.iter().zip(&expected) {
                    assert_eq!(ours.0, expected.0, "{route:?}: {ours:?} {expected:?}");
                }
                assert_eq!(ours[0..3], expected[0..3], "{route:?}");
                without_inodes(path.parent().unwrap()).await;
            }
        });
        umount2(dir.path(), MntFlags::MNT_DETACH).unwrap();
    });
}

/// No space for one more name.
async fn without_inodes(dir: &Path) {
    let mut n = 0;
    while std::fs::write(dir.join(n.to_string()), "").is_ok() {
        n += 1;
    }
    let full = |error: io::Error| {
        assert_eq!(error.raw_os_error(), Some(libc::ENOSPC), "{error}");
    };
    full(fs::create_dir(dir.join("new")).await.unwrap_err());
    full(fs::create_dir_all(dir.join("new/er")).await.unwrap_err());
    full(fs::symlink("x", dir.join("new")).await.unwrap_err());
    full(fs::make_fifo(dir.join("new"), 0o600).await.unwrap_err());
    full(File::create(dir.join("new")).await.unwrap_err());
    full(fs::write(dir.join("new"), "").await.unwrap_err());
    for n in 0..n {
        std::fs::remove_file(dir.join(n.to_string())).unwrap();
    }
}

/// RLIMIT_FSIZE, with its signal ignored as a server has it.
#[test]
fn the_largest_file_is_as_with_std() {
    in_child(
        "the_largest_file_is_as_with_std",
        |_| {},
        || {
            // SAFETY: ignores a signal; no handler is involved.
            unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
            setrlimit(Resource::RLIMIT_FSIZE, 100_000, 100_000).unwrap();
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("file");
            for bytes in [100_001, 200_000, 100_000] {
                let expected = by_std(&path, bytes);
                on_every_backend(|route| {
                    let (path, expected) = (path.clone(), expected.clone());
                    async move {
                        let ours = by_us(&path, bytes).await;
                        assert_eq!(ours, expected, "{route:?}");
                    }
                });
            }
        },
    );
}

/// A reader of a file that another shortens and lengthens all the time: it ends, and what it gets is
/// what was written or less.
#[test]
fn a_file_that_changes_under_a_read_never_spins() {
    on_every_backend(|_| async {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        std::fs::write(&path, vec![7; 400_000]).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let changer = std::thread::spawn({
            let (path, stop) = (path.clone(), stop.clone());
            move || {
                let file = std::fs::File::options().write(true).open(path).unwrap();
                while !stop.load(Ordering::Relaxed) {
                    file.set_len(10).unwrap();
                    file.write_all_at(&[7; 300_000], 0).unwrap();
                }
            }
        });
        let file = File::open(&path).await.unwrap();
        for _ in 0..100 {
            let bytes = fs::read(&path).await.unwrap();
            assert!(bytes.len() <= 400_000);
            assert!(bytes.iter().all(|&byte| byte == 7 || byte == 0));
            match file.read_exact_at(vec![1; 200_000], 50_000).await {
                Ok(bytes) => assert!(bytes.iter().all(|&byte| byte == 7 || byte == 0)),
                Err(error) => assert_eq!(error.error.kind(), ErrorKind::UnexpectedEof),
            }
        }
        stop.store(true, Ordering::Relaxed);
        changer.join().unwrap();
    });
}

/// A file that was cut off, one that grew, and one whose name is gone.
#[test]
fn a_file_that_shrinks_grows_or_vanishes_is_read_as_it_is() {
    on_every_backend(|_| async {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        std::fs::write(&path, vec![7; 100_000]).unwrap();
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).open(&path).await.unwrap();
        assert_eq!(file.read_at(vec![0; 10], 99_995).await.unwrap().0, 5);
        let other = std::fs::File::options().write(true).open(&path).unwrap();
        other.set_len(10).unwrap();
        assert_eq!(file.read_at(vec![0; 10], 99_990).await.unwrap().0, 0);
        assert_eq!(file.read_at(vec![0; 10], 5).await.unwrap().0, 5);
        let error = file.read_exact_at(vec![0; 20], 0).await.unwrap_err();
        assert_eq!(error.error.kind(), ErrorKind::UnexpectedEof);
        other.write_all_at(b"later", 200_000).unwrap();
        assert_eq!(
            file.read_exact_at(vec![0; 5], 200_000).await.unwrap(),
            b"later"
        );
        assert_eq!(file.metadata().await.unwrap().len(), 200_005);
        let mut entries = fs::read_dir(dir.path()).await.unwrap();
        let entry = entries.next_entry().await.unwrap().unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(
            entry.metadata().await.unwrap_err().kind(),
            ErrorKind::NotFound
        );
        assert!(entry.file_type().await.unwrap().is_file());
        assert_eq!(
            fs::read(&path).await.unwrap_err().kind(),
            ErrorKind::NotFound
        );
        assert_eq!(
            fs::metadata(&path).await.unwrap_err().kind(),
            ErrorKind::NotFound
        );
        file.write_all_at("still", 0).await.unwrap();
        assert_eq!(file.read_exact_at(vec![0; 5], 0).await.unwrap(), b"still");
        file.sync_all().await.unwrap();
        file.close().await.unwrap();
        std::fs::write(&path, "another").unwrap();
        assert_eq!(fs::read(&path).await.unwrap(), b"another");
    });
}

/// R63: pseudo files without a size, one that fills several buffers, and devices.
#[test]
fn files_without_a_size_are_read_to_their_end() {
    on_every_backend(|_| async {
        for path in [
            "/proc/self/maps",
            "/proc/mounts",
            "/proc/cpuinfo",
            "/proc/filesystems",
        ] {
            let bytes = fs::read(path).await.unwrap();
            assert!(!bytes.is_empty() && bytes.ends_with(b"\n"), "{path}");
        }
        assert_eq!(
            fs::read("/proc/filesystems").await.unwrap(),
            std::fs::read("/proc/filesystems").unwrap()
        );
        assert!(fs::read("/dev/null").await.unwrap().is_empty());
        let mut zero = File::open("/dev/zero").await.unwrap();
        let mut bytes = vec![1; 100_000];
        tokio::io::AsyncReadExt::read_exact(&mut zero, &mut bytes)
            .await
            .unwrap();
        assert_eq!(bytes, vec![0; 100_000]);
        let full = OpenOptions::new()
            .write(true)
            .open("/dev/full")
            .await
            .unwrap();
        let error = full.write_all_at("x", 0).await.unwrap_err();
        assert_eq!(tidegate::raw_os_error(&error.error), Some(libc::ENOSPC));
    });
}
