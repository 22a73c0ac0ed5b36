//! No descriptor of a file is closed but those that its user closes: closing any drops the record locks that the
//! process has on the file. And none outlives the user's.
#![cfg(target_os = "linux")]

mod common;

use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use common::on_every_backend;
use futures::TryStreamExt;
use nix::fcntl::{FcntlArg, PosixFadviseAdvice, fcntl, posix_fadvise};
use tidegate::fs::File;
use tokio::io::AsyncReadExt;

const BYTES: usize = 24 << 20;
const STEP: usize = 128 << 10;

/// A file that is on a disk and not in memory, where there is a disk.
struct Scene {
    path: PathBuf,
    /// Another open file of it, which has the locks.
    holder: std::fs::File,
}

impl Scene {
    fn new(dir: &Path) -> Scene {
        let path = dir.join("file");
        std::fs::write(&path, vec![7; BYTES]).unwrap();
        let mut options = std::fs::OpenOptions::new();
        let holder = options.read(true).write(true).open(&path).unwrap();
        holder.sync_all().unwrap();
        Scene { path, holder }
    }

    /// Takes a lock on all of it, and lets nothing of it be in memory.
    fn prepare(&self) {
        let lock = nix::libc::flock {
            l_type: nix::libc::F_WRLCK as _,
            l_whence: nix::libc::SEEK_SET as _,
            l_start: 0,
            l_len: 0,
            l_pid: 0,
        };
        fcntl(&self.holder, FcntlArg::F_SETLK(&lock)).unwrap();
        assert!(self.is_locked());
        let advice = PosixFadviseAdvice::POSIX_FADV_DONTNEED;
        posix_fadvise(self.holder.as_fd(), 0, 0, advice).unwrap();
    }

    /// What the kernel says of all processes' locks. It tells them in parts, and where others unlock between two of
    /// them leaves some out; so what is not there is not there in any of several looks.
    fn is_locked(&self) -> bool {
        (0..16).any(|_| self.is_listed())
    }

    fn is_listed(&self) -> bool {
        let metadata = self.holder.metadata().unwrap();
        let (inode, process) = (
            format!(":{} ", metadata.ino()),
            std::process::id().to_string(),
        );
        let locks = std::fs::read_to_string("/proc/locks").unwrap();
        let mut lines = locks.lines();
        lines.any(|line| {
            let has = |word: &str| line.split_whitespace().any(|other| other == word);
            has("POSIX") && has("WRITE") && has(&process) && line.contains(&inode)
        })
    }

    /// How many descriptors of it this process has.
    fn descriptors(&self) -> usize {
        let all = std::fs::read_dir("/proc/self/fd").unwrap();
        let targets = all.filter_map(|entry| std::fs::read_link(entry.unwrap().path()).ok());
        targets.filter(|target| *target == self.path).count()
    }
}

#[derive(Clone, Copy, Debug)]
enum Reader {
    AtOffsets,
    Cursor,
    KernelsCursor,
    Stream,
    Whole,
}

async fn read(reader: Reader, file: &mut File, bytes: usize) {
    let mut buf = vec![0; STEP];
    match reader {
        Reader::AtOffsets => {
            for offset in (0..bytes as u64).step_by(STEP) {
                buf = file.read_exact_at(buf, offset).await.unwrap();
            }
        }
        Reader::Cursor | Reader::KernelsCursor => {
            if let Reader::KernelsCursor = reader {
                assert!(file.as_fd().try_clone_to_owned().is_ok());
            }
            for _ in 0..bytes / STEP {
                file.read_exact(&mut buf).await.unwrap();
            }
        }
        Reader::Stream => {
            let stream = file.stream(..bytes as u64);
            let all: Vec<_> = stream.try_collect().await.unwrap();
            assert_eq!(all.concat().len(), bytes);
        }
        Reader::Whole => {
            assert_eq!(file.metadata().await.unwrap().len(), BYTES as u64);
            let copied = tokio::io::copy(file, &mut tokio::io::sink()).await.unwrap();
            assert_eq!(copied, BYTES as u64);
        }
    }
}

const READERS: [Reader; 4] = [
    Reader::AtOffsets,
    Reader::Cursor,
    Reader::Stream,
    Reader::Whole,
];

#[test]
fn reading_a_file_leaves_the_locks_of_others_on_it() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let scene = Scene::new(dir.path());
    on_every_backend(|route| {
        let scene = &scene;
        async move {
            for reader in READERS {
                scene.prepare();
                let mut file = File::open(&scene.path).await.unwrap();
                read(reader, &mut file, BYTES).await;
                // Whatever went on besides has come to its end.
                common::until_idle().await;
                assert!(
                    scene.is_locked(),
                    "{reader:?} took the lock away, on {route:?}"
                );
                assert_eq!(scene.descriptors(), 2, "{reader:?}, on {route:?}");
                file.close().await.unwrap();
            }
        }
    });
}

/// Also in the middle, while the thread that reads ahead is at it.
#[test]
fn nothing_has_a_file_open_once_it_is_closed() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let scene = Scene::new(dir.path());
    on_every_backend(|route| {
        let scene = &scene;
        async move {
            let readers = [READERS.as_slice(), &[Reader::KernelsCursor]].concat();
            for (round, reader) in readers.iter().cycle().take(30).enumerate() {
                scene.prepare();
                let mut file = File::open(&scene.path).await.unwrap();
                read(*reader, &mut file, (3 + round) * STEP).await;
                let what = format!("{reader:?}, round {round}, on {route:?}");
                match round % 3 {
                    0 => file.close().await.unwrap(),
                    1 => {
                        let of_std = file.into_std().await;
                        assert_eq!(scene.descriptors(), 2, "{what}");
                        drop(of_std);
                    }
                    _ => {
                        drop(file);
                        let end = Instant::now() + Duration::from_secs(20);
                        while scene.descriptors() > 1 && Instant::now() < end {
                            tokio::task::yield_now().await;
                        }
                    }
                }
                assert_eq!(scene.descriptors(), 1, "{what}");
            }
        }
    });
}

/// How a lock is taken and asked for: `true` where somebody else has one that is in the way.
#[derive(Clone, Copy, Debug)]
enum Lock {
    Record,
    OpenFile,
    Flock,
}

const LOCKS: [Lock; 3] = [Lock::Record, Lock::OpenFile, Lock::Flock];

fn whole(kind: i32) -> nix::libc::flock {
    nix::libc::flock {
        l_type: kind as _,
        l_whence: nix::libc::SEEK_SET as _,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    }
}

impl Lock {
    fn take(self, fd: impl AsFd) {
        let lock = whole(nix::libc::F_WRLCK);
        let taken = match self {
            Lock::Record => fcntl(fd, FcntlArg::F_SETLK(&lock)).map(drop),
            Lock::OpenFile => fcntl(fd, FcntlArg::F_OFD_SETLK(&lock)).map(drop),
            Lock::Flock => {
                rustix::fs::flock(fd, rustix::fs::FlockOperation::NonBlockingLockExclusive)
                    .map_err(|error| nix::Error::from_raw(error.raw_os_error()))
            }
        };
        taken.unwrap();
    }

    /// What another process is told.
    fn is_in_the_way(self, path: &Path) -> bool {
        let mut options = std::fs::OpenOptions::new();
        let file = options.read(true).write(true).open(path).unwrap();
        let mut lock = whole(nix::libc::F_WRLCK);
        match self {
            Lock::Record => fcntl(&file, FcntlArg::F_GETLK(&mut lock))
                .map(drop)
                .unwrap(),
            Lock::OpenFile => fcntl(&file, FcntlArg::F_OFD_GETLK(&mut lock))
                .map(drop)
                .unwrap(),
            Lock::Flock => {
                use rustix::fs::FlockOperation::NonBlockingLockExclusive;
                return rustix::fs::flock(&file, NonBlockingLockExclusive).is_err();
            }
        }
        i32::from(lock.l_type) != nix::libc::F_UNLCK
    }
}

/// Every kind of lock, taken through the file itself, stands for other processes until the file is closed.
#[test]
fn locks_through_a_file_stand_for_other_processes_until_it_is_closed() {
    const TEST: &str = "locks_through_a_file_stand_for_other_processes_until_it_is_closed";
    const PATH: &str = "TIDEGATE_TEST_LOCKED";
    if common::child::is_child(TEST) {
        let path = PathBuf::from(std::env::var_os(PATH).unwrap());
        let seen = LOCKS.map(|lock| lock.is_in_the_way(&path));
        println!("seen {seen:?}");
        return;
    }
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let scene = Scene::new(dir.path());
    let seen = |path: &Path| {
        let mut command = common::child::command(TEST);
        let output = command.env(PATH, path).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let line = text
            .lines()
            .find_map(|line| line.split_once("seen "))
            .map(|(_, seen)| seen);
        line.unwrap_or_else(|| panic!("{text}")).to_owned()
    };
    common::on_each_route(|route| {
        let (scene, seen) = (&scene, &seen);
        async move {
            for lock in LOCKS {
                let mut options = File::options();
                let file = options.read(true).write(true).open(&scene.path).await;
                let mut file = file.unwrap();
                lock.take(&file);
                for reader in READERS {
                    read(reader, &mut file, BYTES / 3).await;
                    tokio::io::AsyncSeekExt::rewind(&mut file).await.unwrap();
                }
                if !matches!(lock, Lock::Record) {
                    // A record lock goes with any close of the process's, those of clones included.
                    drop(file.try_clone().await.unwrap());
                }
                common::until_idle().await;
                // Whoever asks for one kind of record lock meets the other.
                let expected = match lock {
                    Lock::Flock => [false, false, true],
                    Lock::Record | Lock::OpenFile => [true, true, false],
                };
                assert_eq!(
                    seen(&scene.path),
                    format!("{expected:?}"),
                    "{lock:?}, on {route:?}"
                );
                drop(file);
                assert_eq!(
                    seen(&scene.path),
                    "[false, false, false]",
                    "{lock:?}, on {route:?}"
                );
            }
        }
    });
}
