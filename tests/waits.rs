//! What waits for somebody, and for no storage, has no default limit: whatever kind of descriptor it is, by whatever
//! path it is reached. And it comes to what it comes to with tokio.
#![cfg(target_os = "linux")]

mod common;

use std::future::Future;
use std::io::Write;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use common::{child, routes, runtime};
use nix::libc;
use nix::sys::stat::Mode;
use tidegate::fs::{self, File, OpenOptions};
use tidegate::{Handle, Timeouts};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// The default limit of the handles here.
const LIMIT: Duration = Duration::from_millis(40);
/// When the peers come. A limit that is not to be there has passed by then.
const LATE: Duration = Duration::from_millis(4 * 40);

/// Runs the test on each backend, where storage may take `LIMIT`.
fn with_short_limits<F: Future<Output = ()>>(test: impl Fn(PathBuf) -> F) {
    for route in routes() {
        eprintln!("on {route:?}");
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        runtime(true).block_on(async {
            let mut timeouts = Timeouts::default();
            timeouts.data = Some(LIMIT);
            timeouts.metadata = Some(LIMIT);
            Handle::builder()
                .route(route)
                .timeouts(timeouts)
                .install()
                .unwrap();
            test(dir.path().to_owned()).await;
        });
    }
}

/// Does this when a limit would have passed.
fn late(peer: impl FnOnce() + Send + 'static) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        std::thread::sleep(LATE);
        peer();
    })
}

fn fifo(dir: &std::path::Path) -> PathBuf {
    let path = dir.join("fifo");
    let _ = std::fs::remove_file(&path);
    nix::unistd::mkfifo(&path, Mode::S_IRWXU).unwrap();
    path
}

/// The reader's end and the writer's.
fn pipe() -> (std::fs::File, std::fs::File) {
    let (reader, writer) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).unwrap();
    (reader.into(), writer.into())
}

/// What a system call gave that makes a descriptor.
fn made(number: libc::c_int) -> OwnedFd {
    assert!(number >= 0, "{}", std::io::Error::last_os_error());
    // SAFETY: it was just made, and nobody else has it.
    unsafe { OwnedFd::from_raw_fd(number) }
}

type Peer = Box<dyn FnOnce() + Send>;

/// A descriptor on which a read waits until its peer has come.
type Waiting = (&'static str, OwnedFd, Peer);

/// Those of two ends.
fn streams() -> [Waiting; 3] {
    let (reader, mut writer) = pipe();
    let to_pipe = move || writer.write_all(b"come").unwrap();
    let (near, mut far) = std::os::unix::net::UnixStream::pair().unwrap();
    let to_socket = move || far.write_all(b"come").unwrap();
    let (mut master, mut slave) = (0, 0);
    let none = std::ptr::null_mut();
    // SAFETY: the two numbers are filled in, and nothing else is wanted.
    let result = unsafe {
        libc::openpty(
            &raw mut master,
            &raw mut slave,
            none,
            none.cast(),
            none.cast(),
        )
    };
    assert_eq!(result, 0);
    let mut master = std::fs::File::from(made(master));
    let to_terminal = move || {
        master.write_all(b"come\n").unwrap();
        // What a terminal has not handed out when it hangs up is lost.
        std::thread::sleep(LATE);
    };
    [
        ("pipe", reader.into(), Box::new(to_pipe)),
        ("socket", near.into(), Box::new(to_socket)),
        ("terminal", made(slave), Box::new(to_terminal)),
    ]
}

/// Those of the kernel's own events.
fn events(dir: &std::path::Path) -> [Waiting; 3] {
    let path = std::ffi::CString::new(dir.to_str().unwrap()).unwrap();
    // SAFETY: the calls take numbers, a path that ends with a zero, and a descriptor that is open.
    let (event, timer, notify) = unsafe {
        let notify = made(libc::inotify_init1(libc::IN_CLOEXEC));
        let watch = libc::inotify_add_watch(notify.as_raw_fd(), path.as_ptr(), libc::IN_CREATE);
        assert!(watch >= 0);
        (
            made(libc::eventfd(0, libc::EFD_CLOEXEC)),
            made(libc::timerfd_create(
                libc::CLOCK_MONOTONIC,
                libc::TFD_CLOEXEC,
            )),
            notify,
        )
    };
    let mut bell = std::fs::File::from(event.try_clone().unwrap());
    let ring = move || bell.write_all(&1u64.to_ne_bytes()).unwrap();
    let other = timer.try_clone().unwrap();
    let set = move || {
        let at = |tv_nsec| libc::timespec { tv_sec: 0, tv_nsec };
        let time = libc::itimerspec {
            it_value: at(1000),
            it_interval: at(0),
        };
        let none = std::ptr::null_mut();
        // SAFETY: the descriptor is open, and the structure is one.
        let result = unsafe { libc::timerfd_settime(other.as_raw_fd(), 0, &raw const time, none) };
        assert_eq!(result, 0);
    };
    let noticed = dir.join("noticed");
    let make = move || std::fs::write(noticed, "").unwrap();
    [
        ("eventfd", event, Box::new(ring)),
        ("timerfd", timer, Box::new(set)),
        ("inotify", notify, Box::new(make)),
    ]
}

#[test]
fn a_read_of_what_waits_for_a_peer_has_no_default_limit() {
    with_short_limits(|dir| async move {
        let mut reads = Vec::new();
        for (what, fd, peer) in streams().into_iter().chain(events(&dir)) {
            let mut file = File::from(fd);
            reads.push(tokio::spawn(async move {
                let peer = late(peer);
                let mut buf = [0; 300];
                let read = file.read(&mut buf).await;
                assert!(
                    read.unwrap_or_else(|error| panic!("{what}: {error}")) > 0,
                    "{what}"
                );
                peer.join().unwrap();
            }));
        }
        for read in reads {
            read.await.unwrap();
        }
    });
}

#[test]
fn whole_files_that_are_pipes_have_no_default_limit() {
    with_short_limits(|dir| async move {
        // By a name that is in memory, by one that is not, and by one that leads there.
        let fifo = fifo(&dir);
        for by in ["fifo", "link"] {
            let path = dir.join(by);
            if by == "link" {
                std::os::unix::fs::symlink(&fifo, &path).unwrap();
            }
            let to = fifo.clone();
            let peer = late(move || {
                let mut writer = std::fs::OpenOptions::new().write(true).open(to).unwrap();
                std::thread::sleep(LATE);
                writer.write_all(b"come").unwrap();
            });
            assert_eq!(fs::read_to_string(&path).await.unwrap(), "come", "{by}");
            peer.join().unwrap();
        }
        let (reader, mut writer) = pipe();
        let peer = late(move || writer.write_all(b"come").unwrap());
        let path = format!("/proc/self/fd/{}", reader.as_fd().as_raw_fd());
        assert_eq!(fs::read(path).await.unwrap(), b"come");
        peer.join().unwrap();

        let from = fifo.clone();
        let peer = late(move || {
            let mut reader = std::fs::File::open(from).unwrap();
            std::thread::sleep(LATE);
            let mut text = Vec::new();
            std::io::Read::read_to_end(&mut reader, &mut text).unwrap();
            assert_eq!(text.len(), 1_000_000);
        });
        fs::write(&fifo, vec![7; 1_000_000]).await.unwrap();
        peer.join().unwrap();
    });
}

#[test]
fn the_open_of_a_fifo_has_no_default_limit() {
    with_short_limits(|dir| async move {
        let path = fifo(&dir);
        let to = path.clone();
        let peer = late(move || {
            let mut writer = std::fs::OpenOptions::new().write(true).open(to).unwrap();
            writer.write_all(b"come").unwrap();
        });
        let mut file = File::open(&path).await.unwrap();
        let mut text = String::new();
        file.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "come");
        peer.join().unwrap();
        // While it has a reader, the pipe opens at once.
        file.close().await.unwrap();

        let from = path.clone();
        let peer = late(move || drop(std::fs::read(from).unwrap()));
        let mut file = OpenOptions::new().write(true).open(&path).await.unwrap();
        file.write_all(b"gone").await.unwrap();
        file.shutdown().await.unwrap();
        drop(file);
        common::until_idle().await;
        peer.join().unwrap();
    });
}

/// Whatever is behind it: here a pipe whose writer takes his time.
#[test]
fn what_comes_in_slowly_has_no_default_limit() {
    const TEST: &str = "what_comes_in_slowly_has_no_default_limit";
    if child::is_child(TEST) {
        with_short_limits(|_| async {
            // Each takes one line: they share the pipe.
            let mut input = File::open("/dev/stdin").await.unwrap();
            let mut word = [0; 4];
            input.read_exact(&mut word).await.unwrap();
            assert_eq!(&word, b"come");
        });
        return runtime(true).block_on(async {
            let mut timeouts = Timeouts::default();
            timeouts.data = Some(LIMIT);
            Handle::builder().timeouts(timeouts).install().unwrap();
            assert_eq!(fs::read_to_string("/dev/stdin").await.unwrap(), "last");
        });
    }
    let mut command = child::command(TEST);
    let mut process = command.stdin(Stdio::piped()).spawn().unwrap();
    let mut input = process.stdin.take().unwrap();
    for _ in routes() {
        std::thread::sleep(LATE);
        input.write_all(b"come").unwrap();
    }
    std::thread::sleep(3 * LATE);
    input.write_all(b"last").unwrap();
    drop(input);
    let output = process.wait_with_output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
