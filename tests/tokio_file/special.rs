//! Files that are not stored: procfs, devices, named pipes.

use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileTypeExt;
use std::path::PathBuf;

use nix::sys::stat::Mode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::fs::{self, File, OpenOptions};
use super::{Dir, errno, run};

const ENXIO: i32 = 6;

fn pipe(dir: &Dir) -> PathBuf {
    nix::unistd::mkfifo(&dir.at("pipe"), Mode::S_IRWXU).unwrap();
    dir.at("pipe")
}

#[cfg(target_os = "linux")]
#[test]
fn a_file_that_says_it_is_empty_is_read_to_its_end() {
    run(|_| async {
        let path = "/proc/self/mountinfo";
        assert_eq!(fs::metadata(path).await.unwrap().len(), 0);
        assert!(!fs::read(path).await.unwrap().is_empty());
        assert!(fs::read_to_string(path).await.unwrap().contains(" / "));
        let (mut text, mut pieces) = (String::new(), Vec::new());
        let mut file = File::open(path).await.unwrap();
        file.read_to_string(&mut text).await.unwrap();
        let mut file = File::open(path).await.unwrap();
        let mut buf = [0; 7];
        loop {
            match file.read(&mut buf).await.unwrap() {
                0 => break,
                count => pieces.extend_from_slice(&buf[..count]),
            }
        }
        assert!(text.len() > 7 && text.as_bytes() == pieces);
        let mut copied = Vec::new();
        let mut file = File::open(path).await.unwrap();
        tokio::io::copy(&mut file, &mut copied).await.unwrap();
        assert_eq!(copied, text.as_bytes());
    });
}

#[test]
fn a_device_without_end_is_read_as_far_as_is_asked() {
    run(|_| async {
        let mut file = File::open("/dev/zero").await.unwrap();
        assert!(file.metadata().await.unwrap().file_type().is_char_device());
        let mut buf = vec![1; 1_000_000];
        file.read_exact(&mut buf).await.unwrap();
        assert!(buf.iter().all(|&byte| byte == 0));
        let mut some = Vec::new();
        file.take(5000).read_to_end(&mut some).await.unwrap();
        assert_eq!(some, [0; 5000]);
        let mut file = OpenOptions::new()
            .write(true)
            .open("/dev/null")
            .await
            .unwrap();
        file.write_all(&buf).await.unwrap();
        file.flush().await.unwrap();
    });
}

#[test]
fn a_named_pipe_opens_when_both_ends_are_there_and_ends_when_one_goes() {
    run(|dir| async move {
        let path = pipe(&dir);
        assert!(fs::metadata(&path).await.unwrap().file_type().is_fifo());
        let reader = tokio::spawn({
            let path = path.clone();
            async move {
                let mut text = String::new();
                let mut file = File::open(path).await.unwrap();
                file.read_to_string(&mut text).await.unwrap();
                text
            }
        });
        let mut writer = OpenOptions::new().write(true).open(&path).await.unwrap();
        for _ in 0..1000 {
            writer.write_all(b"0123456789").await.unwrap();
        }
        writer.flush().await.unwrap();
        drop(writer);
        assert_eq!(reader.await.unwrap(), "0123456789".repeat(1000));
    });
}

#[test]
fn a_named_pipe_without_a_reader_is_refused_where_waiting_is_not_wanted() {
    run(|dir| async move {
        let path = pipe(&dir);
        let mut options = OpenOptions::new();
        options.write(true).custom_flags(nix::libc::O_NONBLOCK);
        let error = options.open(&path).await.unwrap_err();
        assert_eq!(errno(&error), Some(ENXIO));
    });
}

#[test]
fn what_comes_through_a_pipe_is_handed_out_as_it_comes() {
    run(|dir| async move {
        let path = pipe(&dir);
        // Both ends in one: the open waits for nobody.
        let mut options = OpenOptions::new();
        let mut file = options.read(true).write(true).open(&path).await.unwrap();
        let mut buf = [0; 100];
        for text in ["one", "and another"] {
            file.write_all(text.as_bytes()).await.unwrap();
            file.flush().await.unwrap();
            let count = file.read(&mut buf).await.unwrap();
            assert_eq!(&buf[..count], text.as_bytes());
        }
        use tokio::io::AsyncSeekExt;
        let error = file.seek(std::io::SeekFrom::Start(0)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotSeekable);
    });
}

#[test]
fn a_socket_that_becomes_a_file_is_read_and_written() {
    run(|_| async {
        let (near, far) = std::os::unix::net::UnixStream::pair().unwrap();
        let mut near = File::from(OwnedFd::from(near));
        let mut far = File::from(OwnedFd::from(far));
        let answer = tokio::spawn(async move {
            let mut buf = [0; 5];
            far.read_exact(&mut buf).await.unwrap();
            far.write_all(&buf.map(|byte| byte.to_ascii_uppercase()))
                .await
                .unwrap();
            far.flush().await.unwrap();
        });
        near.write_all(b"hello").await.unwrap();
        near.flush().await.unwrap();
        let mut text = String::new();
        near.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "HELLO");
        answer.await.unwrap();
    });
}

/// The reader's end of a pipe, and the writer's.
#[cfg(target_os = "linux")]
fn ends() -> (std::fs::File, std::fs::File) {
    let (reader, writer) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).unwrap();
    (reader.into(), writer.into())
}

/// Descriptors of every kind that there is something to say of at once, made anew by each call.
#[cfg(target_os = "linux")]
fn descriptors(dir: &Dir) -> Vec<(&'static str, OwnedFd)> {
    use std::io::Write;
    use std::os::fd::{AsRawFd, FromRawFd};

    use nix::libc;

    fn made(number: libc::c_int) -> OwnedFd {
        assert!(number >= 0, "{}", std::io::Error::last_os_error());
        // SAFETY: it was just made, and nobody else has it.
        unsafe { OwnedFd::from_raw_fd(number) }
    }
    let open = |path: &str, write: bool| -> OwnedFd {
        let mut options = std::fs::OpenOptions::new();
        options.read(true).write(write).open(path).unwrap().into()
    };
    // SAFETY: the calls take numbers, and strings that end with a zero.
    let (event, quiet_event, memory, notify) = unsafe {
        let quiet = libc::EFD_CLOEXEC | libc::EFD_NONBLOCK;
        (
            made(libc::eventfd(7, libc::EFD_CLOEXEC)),
            made(libc::eventfd(0, quiet)),
            made(libc::memfd_create(c"memory".as_ptr(), libc::MFD_CLOEXEC)),
            made(libc::inotify_init1(libc::IN_CLOEXEC | libc::IN_NONBLOCK)),
        )
    };
    let mut memory = std::fs::File::from(memory);
    memory.write_all(b"in memory").unwrap();
    std::io::Seek::rewind(&mut memory).unwrap();
    let (reader, mut writer) = ends();
    writer.write_all(b"through a pipe").unwrap();
    let (empty, kept) = ends();
    // SAFETY: the descriptor is open.
    unsafe { libc::fcntl(empty.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK) };
    // A pipe that is empty and has a writer, for as long as the test runs.
    std::mem::forget(kept);
    let (near, far) = std::os::unix::net::UnixStream::pair().unwrap();
    (&far).write_all(b"through a socket").unwrap();
    far.shutdown(std::net::Shutdown::Write).unwrap();
    std::mem::forget(far);
    vec![
        ("an event", event),
        ("no event", quiet_event),
        ("memory", memory.into()),
        ("no notice", notify),
        ("a pipe's reader", reader.into()),
        ("a pipe's writer", {
            let (reader, writer) = ends();
            std::mem::forget(reader);
            writer.into()
        }),
        ("an empty pipe", empty.into()),
        ("a socket", near.into()),
        ("/dev/null", open("/dev/null", true)),
        ("/dev/zero", open("/dev/zero", true)),
        ("/dev/full", open("/dev/full", true)),
        ("procfs", open("/proc/self/comm", true)),
        (
            "procfs, of the kernel",
            open("/proc/sys/kernel/ostype", false),
        ),
        (
            "sysfs",
            open("/sys/kernel/mm/transparent_hugepage/enabled", false),
        ),
        ("a folder", open(dir.at("").to_str().unwrap(), false)),
    ]
}

/// What an operation came to. The number of a write's error is lost in tokio.
#[cfg(target_os = "linux")]
fn tell(result: &std::io::Result<usize>) -> String {
    match result {
        Ok(count) => format!("{count}"),
        Err(error) => format!("{:?}", error.kind()),
    }
}

/// Whatever a descriptor is, each operation on it comes to what it comes to on a file of std's.
#[cfg(target_os = "linux")]
#[test]
fn an_operation_on_any_descriptor_does_what_std_s_does() {
    use std::io::{Read, Seek, SeekFrom, Write};

    use tokio::io::AsyncSeekExt;

    run(|dir| async move {
        let mut wrong = Vec::new();
        for (step, name) in [
            "read", "write", "seek", "set_len", "sync", "metadata", "clone",
        ]
        .iter()
        .enumerate()
        {
            for ((what, of_std), (_, of_crate)) in
                descriptors(&dir).into_iter().zip(descriptors(&dir))
            {
                let (mut buf, mut other) = ([0; 64], [0; 64]);
                let mut of_std = std::fs::File::from(of_std);
                let mut of_crate = File::from(of_crate);
                let to = SeekFrom::Current(3);
                let text = 5u64.to_ne_bytes();
                let (expected, found) = match step {
                    0 => (of_std.read(&mut buf), of_crate.read(&mut other).await),
                    1 => {
                        let written = of_crate.write(&text).await;
                        (
                            of_std.write(&text),
                            written.and(of_crate.flush().await.map(|()| 8)),
                        )
                    }
                    2 => {
                        let at = |position| position as usize;
                        (of_std.seek(to).map(at), of_crate.seek(to).await.map(at))
                    }
                    3 => (
                        of_std.set_len(2).map(|()| 0),
                        of_crate.set_len(2).await.map(|()| 0),
                    ),
                    4 => (
                        of_std.sync_all().map(|()| 0),
                        of_crate.sync_all().await.map(|()| 0),
                    ),
                    5 => {
                        use std::os::unix::fs::MetadataExt;
                        let mode = |metadata: std::fs::Metadata| metadata.mode() as usize;
                        (
                            of_std.metadata().map(mode),
                            of_crate.metadata().await.map(mode),
                        )
                    }
                    _ => {
                        let clone = of_std
                            .try_clone()
                            .and_then(|mut clone| clone.read(&mut buf));
                        let mut other_clone = of_crate.try_clone().await.unwrap();
                        (clone, other_clone.read(&mut other).await)
                    }
                };
                let (expected, found) = (tell(&expected), tell(&found));
                if expected != found || buf != other {
                    wrong.push(format!("{name} of {what}: {found}, with std {expected}"));
                }
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    });
}

/// What a copy came to, with std's or through a crate: the count, and what is there then.
#[cfg(target_os = "linux")]
fn came(result: std::io::Result<u64>, to: &std::path::Path) -> String {
    let stored = std::fs::symlink_metadata(to).is_ok_and(|metadata| metadata.is_file());
    let content = stored.then(|| std::fs::read(to).unwrap_or_default());
    match result {
        Ok(count) => format!("{count}, {content:?}"),
        Err(error) => format!("{:?} {:?}, {content:?}", error.kind(), errno(&error)),
    }
}

/// Names in the test's folder, and elsewhere.
#[cfg(target_os = "linux")]
const SOURCES: [&str; 18] = [
    "stored",
    "empty",
    "sparse",
    "folder",
    "link",
    "dangling",
    "loop",
    "socket",
    "nothing",
    "stored/below",
    "/dev/null",
    "/dev/zero",
    "/proc/version",
    "/proc/sys/kernel/pid_max",
    "/proc/self/mem",
    "/proc/kcore/below",
    "/sys/kernel/mm/transparent_hugepage/enabled",
    "/sys/kernel",
];

#[cfg(target_os = "linux")]
const TARGETS: [&str; 9] = [
    "new",
    "folder",
    "link to",
    "socket",
    "new/below",
    "/dev/null",
    "/dev/full",
    "/proc/version",
    "/proc/self/comm/below",
];

/// Whatever is copied to wherever, it comes to what it comes to with std.
#[cfg(target_os = "linux")]
#[test]
fn a_copy_of_anything_to_anything_does_what_std_s_does() {
    run(|dir| async move {
        let at = |name: &str| dir.at(name);
        dir.with("stored", "stored");
        dir.with("empty", "");
        std::fs::create_dir(at("folder")).unwrap();
        std::os::unix::fs::symlink("stored", at("link")).unwrap();
        std::os::unix::fs::symlink("nothing", at("dangling")).unwrap();
        std::os::unix::fs::symlink("loop", at("loop")).unwrap();
        // Of a FIFO both wait for the other end.
        let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
        let sparse = std::fs::File::create(at("sparse")).unwrap();
        sparse.set_len(1 << 20).unwrap();
        std::os::unix::fs::FileExt::write_at(&sparse, b"far", (1 << 20) - 3).unwrap();
        let mut wrong = Vec::new();
        for source in SOURCES {
            for target in TARGETS {
                // A copy of a file onto itself is refused on purpose, and what takes no holes says so.
                if source == target || source == "sparse" && target == "/proc/version" {
                    continue;
                }
                let (from, to) = (at(source), at(target));
                let fresh = || {
                    let _ = std::fs::remove_file(at("new"));
                    let _ = std::fs::remove_file(at("link to"));
                    dir.with("there", "something that was there before");
                    std::os::unix::fs::symlink("there", at("link to")).unwrap();
                };
                fresh();
                let expected = came(std::fs::copy(&from, &to), &to);
                fresh();
                let found = came(fs::copy(&from, &to).await, &to);
                if expected != found {
                    let short = |text: &str| text.chars().take(120).collect::<String>();
                    let (found, expected) = (short(&found), short(&expected));
                    wrong.push(format!(
                        "{source} to {target}: {found}, with std {expected}"
                    ));
                }
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    });
}

/// Most files of procfs that can be written refuse writes at a position, and have one from which reads go on.
#[cfg(target_os = "linux")]
#[test]
fn what_takes_no_writes_at_a_position_is_written_where_it_is() {
    use tokio::io::AsyncSeekExt;
    run(|_| async {
        // A thread's name.
        let name = format!("/proc/self/task/{}/comm", nix::unistd::gettid());
        fs::write(&name, "of a whole").await.unwrap();
        assert_eq!(fs::read_to_string(&name).await.unwrap(), "of a whole\n");
        let error = fs::write("/proc/version", "x").await.unwrap_err();
        assert_eq!(super::errno(&error), Some(nix::libc::EIO));

        let mut file = fs::OpenOptions::new();
        let mut file = file.read(true).write(true).open(&name).await.unwrap();
        let mut begin = [0; 4];
        file.read_exact(&mut begin).await.unwrap();
        assert_eq!(&begin, b"of a");
        file.write_all(b"by a cursor").await.unwrap();
        file.flush().await.unwrap();
        let mut rest = String::new();
        file.read_to_string(&mut rest).await.unwrap();
        // What the kernel has made up is handed out to its end.
        assert_eq!(rest, " whole\n");
        assert_eq!(file.stream_position().await.unwrap(), 11);
        assert_eq!(fs::read(&name).await.unwrap(), b"by a cursor\n");
    });
}

/// The memory of a process has places that no read at a position takes.
#[cfg(target_os = "linux")]
#[test]
fn a_seek_goes_wherever_the_file_has_places() {
    use tokio::io::AsyncSeekExt;
    run(|_| async {
        let content = *b"what is there";
        let mut file = fs::File::open("/proc/self/mem").await.unwrap();
        let far = std::io::SeekFrom::Start(u64::MAX - 4095);
        assert_eq!(file.seek(far).await.unwrap(), u64::MAX - 4095);
        let error = file.read(&mut [0; 8]).await.unwrap_err();
        assert_eq!(super::errno(&error), Some(nix::libc::EIO));
        let near = std::io::SeekFrom::Start(content.as_ptr() as u64);
        file.seek(near).await.unwrap();
        let mut found = [0; 13];
        file.read_exact(&mut found).await.unwrap();
        assert_eq!(found, content);
    });
}
