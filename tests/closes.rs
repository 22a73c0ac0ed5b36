//! A file that was dropped is closed: what the kernel does at a close has happened when the drop returns, as with
//! tokio, on every backend.
#![cfg(target_os = "linux")]

mod common;

use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

// What another test's child has inherited until it runs its program is open, too.
use common::{alone, on_each_route, on_every_backend};
use nix::fcntl::{FcntlArg, Flock, FlockArg, fcntl};
use tidegate::fs::{self, File, OpenOptions};
use tokio::io::AsyncWriteExt;

const ROUNDS: usize = 60;

/// How the content is made sure of before the drop.
#[derive(Clone, Copy, Debug)]
enum Ends {
    Flushed,
    Synced,
}

/// Makes a file with this content through a cursor, and drops it.
async fn make(path: &Path, content: &[u8], mode: u32, ends: Ends) {
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(mode)
        .open(path)
        .await
        .unwrap();
    file.write_all(content).await.unwrap();
    file.flush().await.unwrap();
    if let Ends::Synced = ends {
        file.sync_all().await.unwrap();
    }
}

/// A program that was written can be run: nobody has it open for writing.
#[test]
fn a_dropped_program_can_be_run() {
    let _alone = alone();
    let shell = std::fs::read("/bin/true").unwrap();
    on_every_backend(|_| async {
        let dir = tempfile::tempdir().unwrap();
        for round in 0..ROUNDS {
            let ends = if round % 8 == 0 {
                Ends::Synced
            } else {
                Ends::Flushed
            };
            // Also over the one before, which is truncated then.
            let path = dir.path().join(format!("program-{}", round % 2));
            make(&path, &shell, 0o755, ends).await;
            let status = std::process::Command::new(&path).status();
            assert!(status.unwrap().success(), "round {round}, {ends:?}");
        }
    });
}

/// Threads that want every processor, until it is dropped.
struct Crowd(Arc<AtomicBool>);

impl Crowd {
    fn new() -> Crowd {
        let stop = Arc::new(AtomicBool::new(false));
        let processors = std::thread::available_parallelism().map_or(1, |count| count.get());
        for _ in 0..8 * processors {
            let stopped = stop.clone();
            std::thread::spawn(move || {
                while !stopped.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
        }
        Crowd(stop)
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Whether nobody has the file open for writing.
fn has_no_writer(path: &Path) -> bool {
    let reader = std::fs::File::open(path).unwrap();
    let fd = reader.as_raw_fd();
    // SAFETY: it is open.
    unsafe { libc::fcntl(fd, libc::F_SETLEASE, libc::F_RDLCK) == 0 }
}

/// A file is closed when its drop returns also where threads get no processor for long: that is no slow disk. Memory is
/// none, so that nothing else can keep a close from ending.
#[test]
fn a_busy_machine_is_no_slow_disk() {
    let _alone = alone();
    let Ok(dir) = tempfile::tempdir_in("/dev/shm") else {
        println!("skip: a_busy_machine_is_no_slow_disk: no filesystem in memory");
        return;
    };
    let dir = dir.path();
    let crowd = Crowd::new();
    on_each_route(|_| async {
        for round in 0..8 {
            let path = dir.join(format!("file-{}", round % 2));
            make(&path, b"text", 0o755, Ends::Flushed).await;
            assert!(has_no_writer(&path), "round {round}");
        }
    });
    drop(crowd);
}

/// A lock on the open file is gone with it.
#[test]
fn a_dropped_lock_is_free() {
    let _alone = alone();
    on_every_backend(|_| async {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let other = std::fs::File::create(&path).unwrap();
        for round in 0..ROUNDS {
            let file = File::create(&path).await.unwrap();
            lock(&file);
            drop(file);
            let taken = Flock::lock(other.try_clone().unwrap(), FlockArg::LockExclusiveNonblock);
            let taken = taken.map_err(|(_, error)| error);
            assert!(taken.is_ok(), "round {round}: {:?}", taken.err());
        }
    });
}

/// Locks it through its own descriptor, for as long as that is open.
fn lock(file: &File) {
    let status = std::process::Command::new("flock")
        .args(["-x", "-n", "0"])
        .stdin(std::process::Stdio::from(
            file.as_fd().try_clone_to_owned().unwrap(),
        ))
        .status();
    assert!(status.unwrap().success(), "locking {}", file.as_raw_fd());
}

/// The reader of a pipe sees the end once the writer is dropped.
#[test]
fn a_dropped_pipe_hangs_up() {
    let _alone = alone();
    on_every_backend(|_| async {
        for round in 0..ROUNDS {
            let (mut reader, writer) = std::io::pipe().unwrap();
            let mut file = File::from_std(std::fs::File::from(std::os::fd::OwnedFd::from(writer)));
            file.write_all(b"last words").await.unwrap();
            file.flush().await.unwrap();
            drop(file);
            nonblocking(&reader);
            let mut got = Vec::new();
            let end = reader.read_to_end(&mut got);
            assert!(end.is_ok(), "round {round}: {:?}", end.err());
            assert_eq!(got, b"last words");
        }
    });
}

fn nonblocking(fd: impl AsFd) {
    fcntl(fd, FcntlArg::F_SETFL(nix::fcntl::OFlag::O_NONBLOCK)).unwrap();
}

/// A record lock that is taken after the drop is not lost to the old file's close.
#[test]
fn a_later_record_lock_is_kept() {
    let _alone = alone();
    on_every_backend(|_| async {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("records");
        for round in 0..ROUNDS {
            make(&path, b"records", 0o644, Ends::Flushed).await;
            if round % 2 == 0 {
                // What reads a whole file closes a descriptor of its own.
                assert_eq!(fs::read(&path).await.unwrap(), b"records");
            }
            let file = std::fs::OpenOptions::new()
                .read(true)
                .write(true)
                .custom_flags(nix::libc::O_CLOEXEC)
                .open(&path)
                .unwrap();
            let wanted = nix::libc::flock {
                l_type: nix::libc::F_WRLCK as _,
                l_whence: nix::libc::SEEK_SET as _,
                l_start: 0,
                l_len: 0,
                l_pid: 0,
            };
            fcntl(&file, FcntlArg::F_SETLK(&wanted)).unwrap();
            tokio::task::yield_now().await;
            let text = std::fs::read_to_string("/proc/locks").unwrap();
            let own = format!(" {} ", std::process::id());
            let is_there = text
                .lines()
                .any(|line| line.contains("POSIX") && line.contains(&own));
            assert!(is_there, "round {round}: the lock is gone: {text}");
            drop(file);
        }
    });
}

/// Nothing of a dropped file keeps its filesystem mounted.
#[test]
fn a_dropped_file_does_not_keep_a_mount_busy() {
    let _alone = alone();
    if !nix::unistd::Uid::effective().is_root() {
        return println!("skip: a_dropped_file_does_not_keep_a_mount_busy: root");
    }
    on_every_backend(|_| async {
        let dir = tempfile::tempdir().unwrap();
        let point = dir.path();
        for round in 0..ROUNDS / 4 {
            let flags = nix::mount::MsFlags::empty();
            nix::mount::mount(Some("none"), point, Some("tmpfs"), flags, None::<&str>).unwrap();
            let unmount = Unmount(point);
            make(&point.join("file"), b"content", 0o644, Ends::Flushed).await;
            assert_eq!(fs::metadata(point.join("file")).await.unwrap().len(), 7);
            drop(File::open(point.join("file")).await.unwrap());
            let done = nix::mount::umount(point);
            std::mem::forget(unmount);
            if done.is_err() {
                let _ = nix::mount::umount2(point, nix::mount::MntFlags::MNT_DETACH);
            }
            assert_eq!(done, Ok(()), "round {round}");
        }
    });
}

struct Unmount<'a>(&'a Path);

impl Drop for Unmount<'_> {
    fn drop(&mut self) {
        let _ = nix::mount::umount2(self.0, nix::mount::MntFlags::MNT_DETACH);
    }
}

/// The look that lists a folder in more than one step.
const IN_BATCHES: usize = 8;

/// Something that has the filesystem open while it is under way: by its number, on the folder where it is mounted.
async fn look(number: usize, point: &Path) -> Option<&'static str> {
    let file = point.join("file");
    Some(match number {
        0 => {
            fs::metadata(&file).await.unwrap();
            "metadata"
        }
        1 => {
            fs::symlink_metadata(&file).await.unwrap();
            "symlink_metadata"
        }
        2 => {
            fs::canonicalize(&file).await.unwrap();
            "canonicalize"
        }
        3 => {
            fs::read(&file).await.unwrap();
            "read"
        }
        4 => {
            fs::rename(&file, point.join("other")).await.unwrap();
            "rename"
        }
        5 => {
            let mut entries = fs::read_dir(point).await.unwrap();
            while let Some(entry) = entries.next_entry().await.unwrap() {
                entry.metadata().await.unwrap();
            }
            "read_dir"
        }
        6 => {
            let mut entries = fs::read_dir(point).await.unwrap();
            entries.next_entry().await.unwrap().unwrap();
            "read_dir in part"
        }
        7 => {
            let entry = fs::read_dir(point).await.unwrap().next_entry().await;
            drop(entry.unwrap().unwrap());
            "an entry"
        }
        IN_BATCHES => {
            let dir = fs::Dir::open(point).await.unwrap();
            let mut entries = dir.read_dir().await.unwrap();
            entries.next_entry().await.unwrap().unwrap();
            "Dir::read_dir in part"
        }
        _ => return None,
    })
}

/// How many descriptors of this process lead there.
fn open_below(point: &Path) -> usize {
    let all = std::fs::read_dir("/proc/self/fd").unwrap();
    let leads_there =
        |path: std::path::PathBuf| std::fs::read_link(path).is_ok_and(|to| to.starts_with(point));
    all.filter(|entry| leads_there(entry.as_ref().unwrap().path()))
        .count()
}

/// What only looks at a filesystem has nothing open there once it is over and dropped, also where it is the first that
/// looks. A busy machine may make single ones late.
#[test]
fn what_looked_has_nothing_open() {
    let _alone = alone();
    if !nix::unistd::Uid::effective().is_root() {
        return println!("skip: what_looked_has_nothing_open: root");
    }
    on_every_backend(|_| async {
        let dir = tempfile::tempdir().unwrap();
        let point = &dir.path().canonicalize().unwrap();
        let (mut looks, mut late) = (0, Vec::new());
        for number in 0.. {
            let mut name = None;
            for _ in 0..ROUNDS / 6 {
                let flags = nix::mount::MsFlags::empty();
                nix::mount::mount(Some("none"), point, Some("tmpfs"), flags, None::<&str>).unwrap();
                let unmount = Unmount(point);
                std::fs::write(point.join("file"), "content").unwrap();
                for file in 0..if number == IN_BATCHES { 1500 } else { 0 } {
                    std::fs::File::create(point.join(format!("file-{file}"))).unwrap();
                }
                name = look(number, point).await;
                looks += 1;
                if open_below(point) > 0 {
                    late.push(name);
                    // After a late close no drop waits for one for a second.
                    tokio::time::sleep(Duration::from_millis(1100)).await;
                }
                drop(unmount);
            }
            if name.is_none() || late.len() * 8 > looks {
                break;
            }
        }
        assert!(late.len() * 8 <= looks, "of {looks} looks: {late:?}");
    });
}

/// A dropped file that was written is on disk for whoever opens it next, whole.
#[test]
fn what_was_flushed_is_there_after_the_drop() {
    let _alone = alone();
    on_every_backend(|_| async {
        let dir = tempfile::tempdir().unwrap();
        for round in 0..ROUNDS {
            let path = dir.path().join(format!("f-{round}"));
            make(&path, &[round as u8; 5000], 0o644, Ends::Flushed).await;
            assert_eq!(std::fs::read(&path).unwrap(), [round as u8; 5000]);
            std::fs::File::create(&path)
                .unwrap()
                .write_all(b"again")
                .unwrap();
        }
    });
}

/// Where a close is known not to sleep, it is over at the poll, whoever waits for it.
#[test]
fn a_close_that_cannot_sleep_takes_no_thread() {
    const TRIES: usize = 10_000;
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let found = tidegate::probe::filesystem(dir.path()).unwrap();
    if !found.answers_at_poll {
        return println!("skip: a_close_that_cannot_sleep_takes_no_thread: {found:?}");
    }
    let path = dir.path().join("file");
    std::fs::write(&path, "content").unwrap();
    std::fs::File::open(&path).unwrap().sync_all().unwrap();
    let runtime = common::runtime(true);
    runtime.block_on(async {
        let handle = tidegate::Handle::builder().install().unwrap();
        let at_poll = || {
            let stats = handle.stats();
            let mut ops = stats.ops();
            ops.find(|op| op.row.kind == tidegate::opcode::Kind::Close)
                .map_or(0, |op| op.at_poll)
        };
        // Until the mount is known.
        for _ in 0..TRIES {
            File::open(&path).await.unwrap().close().await.unwrap();
            if at_poll() > 0 {
                return;
            }
        }
        panic!("none of {TRIES}");
    });
}
