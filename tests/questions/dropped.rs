//! What others see of a file once it was dropped: who runs it, has a lease on it, is at its other end, or needs its room.

use std::io::{Read, SeekFrom, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use nix::libc;
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt, BufWriter};

use super::fs::{self, File, OpenOptions};
use crate::random::kind;
use crate::{Answers, told};

/// The ways to come by a program that can be run.
const WAYS: [&str; 17] = [
    "flushed",
    "synced",
    "shut down",
    "whole",
    "copied",
    "buffered",
    "piped",
    "by a clone",
    "sought",
    "shortened",
    "appended",
    "read back",
    "renamed",
    "linked",
    "given to std",
    "from std",
    "in a task",
];

/// What a shell runs, so that there is a content of some length.
fn program() -> Vec<u8> {
    std::fs::read("/bin/true").unwrap()
}

async fn written(path: &Path) -> File {
    let mut options = OpenOptions::new();
    options
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o755);
    let mut file = options.open(path).await.unwrap();
    file.write_all(&program()).await.unwrap();
    file.flush().await.unwrap();
    file
}

async fn make(way: &str, path: &Path) {
    let bytes = program();
    let mode = std::fs::Permissions::from_mode(0o755);
    match way {
        "flushed" => drop(written(path).await),
        "synced" => written(path).await.sync_all().await.unwrap(),
        "shut down" => written(path).await.shutdown().await.unwrap(),
        "whole" => {
            fs::write(path, &bytes).await.unwrap();
            fs::set_permissions(path, mode).await.unwrap();
        }
        "copied" => {
            fs::copy("/bin/true", path).await.unwrap();
        }
        "buffered" => {
            let mut file = BufWriter::new(File::create(path).await.unwrap());
            file.write_all(&bytes).await.unwrap();
            file.flush().await.unwrap();
            file.get_ref().set_permissions(mode).await.unwrap();
        }
        "piped" => {
            let mut from = File::open("/bin/true").await.unwrap();
            let mut to = File::create(path).await.unwrap();
            tokio::io::copy(&mut from, &mut to).await.unwrap();
            to.flush().await.unwrap();
            to.set_permissions(mode).await.unwrap();
        }
        "by a clone" => {
            let file = File::create(path).await.unwrap();
            let mut clone = file.try_clone().await.unwrap();
            clone.write_all(&bytes).await.unwrap();
            clone.flush().await.unwrap();
            file.set_permissions(mode).await.unwrap();
        }
        _ => make_otherwise(way, path, &bytes, mode).await,
    }
}

async fn make_otherwise(way: &str, path: &Path, bytes: &[u8], mode: std::fs::Permissions) {
    match way {
        "sought" => {
            let mut file = written(path).await;
            file.seek(SeekFrom::Start(100)).await.unwrap();
            file.write_all(&bytes[100..300]).await.unwrap();
            file.flush().await.unwrap();
        }
        "shortened" => {
            let file = written(path).await;
            file.set_len(bytes.len() as u64 + 5000).await.unwrap();
            file.set_len(bytes.len() as u64).await.unwrap();
        }
        "appended" => {
            drop(written(path).await);
            let mut file = OpenOptions::new().append(true).open(path).await.unwrap();
            file.write_all(b"more").await.unwrap();
            file.flush().await.unwrap();
        }
        "read back" => {
            let mut file = written(path).await;
            file.rewind().await.unwrap();
            let mut found = Vec::new();
            file.read_to_end(&mut found).await.unwrap();
            assert_eq!(found, bytes);
        }
        "renamed" => {
            let other = path.with_extension("tmp");
            drop(written(&other).await);
            fs::rename(&other, path).await.unwrap();
        }
        "linked" => {
            let other = path.with_extension("tmp");
            drop(written(&other).await);
            let _ = std::fs::remove_file(path);
            fs::hard_link(&other, path).await.unwrap();
            fs::remove_file(&other).await.unwrap();
        }
        "given to std" => drop(written(path).await.into_std().await),
        "from std" => {
            let mut file = File::from_std(std::fs::File::create(path).unwrap());
            file.write_all(bytes).await.unwrap();
            file.flush().await.unwrap();
            file.set_permissions(mode).await.unwrap();
        }
        "in a task" => {
            let path = path.to_owned();
            let task = tokio::spawn(async move { drop(written(&path).await) });
            task.await.unwrap();
        }
        _ => unreachable!(),
    }
}

fn lease(file: &std::fs::File, kind: i32) -> i32 {
    // SAFETY: it takes a number that is open, and no memory.
    let came = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLEASE, kind) };
    // SAFETY: the same.
    unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLEASE, libc::F_UNLCK) };
    came
}

pub(crate) async fn programs(root: &Path) -> Answers {
    let mut answers = Answers::default();
    for way in WAYS {
        let path = root.join(way.replace(' ', "_"));
        // The second is made over the first.
        for _ in 0..2 {
            make(way, &path).await;
            let status = std::process::Command::new(&path).status();
            answers.say(
                way,
                status
                    .map(|status| status.success())
                    .map_err(|error| error.kind()),
            );
        }
        // A lease to write is given to who has it open alone.
        make(way, &path).await;
        let file = std::fs::File::open(&path).unwrap();
        answers.say(
            format!("{way}: lease to write"),
            lease(&file, libc::F_WRLCK),
        );
        drop(file);
        for (look, mut file) in [
            ("read", File::open(&path).await.unwrap()),
            ("asked", File::open(&path).await.unwrap()),
        ] {
            match look {
                "read" => drop(file.read(&mut [0; 10]).await.unwrap()),
                _ => drop(file.metadata().await.unwrap()),
            }
            drop(file);
            let file = std::fs::File::open(&path).unwrap();
            answers.say(format!("{way}, {look}: lease"), lease(&file, libc::F_WRLCK));
        }
        for (look, came) in [
            ("read", kind(fs::read(&path).await.map(drop))),
            ("metadata", kind(fs::metadata(&path).await.map(drop))),
            (
                "canonicalize",
                kind(fs::canonicalize(&path).await.map(drop)),
            ),
            ("copy", kind(fs::copy(&path, "copy").await.map(drop))),
        ] {
            answers.say(look, came);
            let file = std::fs::File::open(&path).unwrap();
            answers.say(format!("{way}, {look}: lease"), lease(&file, libc::F_WRLCK));
        }
    }
    without_a_name(root, &mut answers).await;
    answers
}

async fn without_a_name(root: &Path, answers: &mut Answers) {
    let mut options = OpenOptions::new();
    options
        .write(true)
        .mode(0o755)
        .custom_flags(libc::O_TMPFILE);
    let mut file = options.open(root).await.unwrap();
    file.write_all(&program()).await.unwrap();
    file.flush().await.unwrap();
    let by = format!("/proc/self/fd/{}", file.as_raw_fd());
    let target = root.join("no_name");
    let flags = nix::fcntl::AtFlags::AT_SYMLINK_FOLLOW;
    let cwd = nix::fcntl::AT_FDCWD;
    let linked = nix::unistd::linkat(cwd, by.as_str(), cwd, &target, flags);
    answers.say("linked", linked);
    drop(file);
    let status = std::process::Command::new(&target).status();
    answers.say(
        "no name",
        status
            .map(|status| status.success())
            .map_err(|error| error.kind()),
    );
}

/// The reader's end and the writer's.
fn pipe() -> (std::fs::File, std::fs::File) {
    let (reader, writer) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).unwrap();
    (reader.into(), writer.into())
}

fn nonblocking(fd: &impl AsFd) {
    let flag = nix::fcntl::OFlag::O_NONBLOCK;
    nix::fcntl::fcntl(fd, nix::fcntl::FcntlArg::F_SETFL(flag)).unwrap();
}

fn seen(file: &mut (impl Read + AsFd)) -> String {
    nonblocking(file);
    let mut all = Vec::new();
    let came = file.read_to_end(&mut all);
    told(came.map(|_| all.len()))
}

/// What is done with an end before it is dropped.
const BEFORE: [&str; 7] = [
    "nothing",
    "write",
    "read",
    "write and read",
    "cloned",
    "read in part",
    "asked",
];

async fn use_end(before: &str, mut file: File) {
    match before {
        "write" => {
            file.write_all(b"last words").await.unwrap();
            file.flush().await.unwrap();
        }
        "read" => {
            let mut buf = [0; 5];
            file.read_exact(&mut buf).await.unwrap();
        }
        "write and read" => {
            file.write_all(b"last words").await.unwrap();
            file.flush().await.unwrap();
            file.read_exact(&mut [0; 5]).await.unwrap();
        }
        "cloned" => {
            let mut clone = file.try_clone().await.unwrap();
            drop(file);
            clone.write_all(b"last words").await.unwrap();
            clone.flush().await.unwrap();
        }
        "read in part" => {
            file.read_exact(&mut [0; 2]).await.unwrap();
        }
        "asked" => drop(file.metadata().await),
        _ => {}
    }
}

pub(crate) async fn peers(_: &Path) -> Answers {
    let mut answers = Answers::default();
    for before in BEFORE {
        let (near, mut far) = std::os::unix::net::UnixStream::pair().unwrap();
        far.write_all(b"hello").unwrap();
        use_end(before, File::from_std(OwnedFd::from(near).into())).await;
        answers.say(format!("socket, {before}: read"), seen(&mut far));
        answers.say(format!("socket, {before}: write"), told(far.write(b"x")));

        let pair = nix::pty::openpty(None, None).unwrap();
        let mut settings = nix::sys::termios::tcgetattr(&pair.slave).unwrap();
        nix::sys::termios::cfmakeraw(&mut settings);
        let now = nix::sys::termios::SetArg::TCSANOW;
        nix::sys::termios::tcsetattr(&pair.slave, now, &settings).unwrap();
        let mut master = std::fs::File::from(pair.master);
        master.write_all(b"hello").unwrap();
        use_end(before, File::from_std(pair.slave.into())).await;
        answers.say(format!("terminal, {before}: read"), seen(&mut master));

        let pair = nix::pty::openpty(None, None).unwrap();
        nix::sys::termios::tcsetattr(&pair.slave, now, &settings).unwrap();
        let mut slave = std::fs::File::from(pair.slave);
        slave.write_all(b"hello").unwrap();
        use_end(before, File::from_std(pair.master.into())).await;
        answers.say(format!("program, {before}: read"), seen(&mut slave));
        answers.say(format!("program, {before}: write"), told(slave.write(b"x")));
    }
    for before in ["nothing", "read"] {
        let (reader, mut writer) = pipe();
        writer.write_all(b"hello").unwrap();
        use_end(before, File::from_std(reader)).await;
        answers.say(format!("pipe's reader, {before}"), told(writer.write(b"x")));
    }
    for before in ["nothing", "write", "cloned"] {
        let (mut reader, writer) = pipe();
        use_end(before, File::from_std(writer)).await;
        answers.say(format!("pipe's writer, {before}"), seen(&mut reader));
    }
    answers
}

/// What has no name takes no room once it is dropped.
pub(crate) async fn room(root: &Path) -> Answers {
    let mut answers = Answers::default();
    let flags = nix::mount::MsFlags::empty();
    let at = root.join("small");
    std::fs::create_dir(&at).unwrap();
    nix::mount::mount(
        Some("none"),
        &at,
        Some("tmpfs"),
        flags,
        Some("size=4m,nr_inodes=12"),
    )
    .unwrap();
    let path = at.join("file");
    for round in 0..8 {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true);
        let mut file = options.open(&path).await.unwrap();
        answers.say("write", kind(file.write_all(&vec![7; 3 << 20]).await));
        answers.say("flush", kind(file.flush().await));
        match round % 4 {
            0 => {
                file.rewind().await.unwrap();
                let mut all = Vec::new();
                answers.say("read", kind(file.read_to_end(&mut all).await));
            }
            1 => drop(file.try_clone().await.unwrap()),
            2 => {
                file.rewind().await.unwrap();
                file.read_exact(&mut [0; 10]).await.unwrap();
            }
            _ => {}
        }
        fs::remove_file(&path).await.unwrap();
        drop(file);
        let free = nix::sys::statvfs::statvfs(&at).unwrap();
        answers.say("free", (free.blocks_free(), free.files_free()));
    }
    answers.say("unmounted", nix::mount::umount(&at));
    answers
}

/// Many more files than there may be descriptors, each dropped before the next.
pub(crate) async fn few_numbers(root: &Path) -> Answers {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    const SPARE: u64 = 64;
    let mut answers = Answers::default();
    let large = root.join("large");
    std::fs::write(&large, vec![7; 3 << 20]).unwrap();
    let use_all = async |round: u64| {
        let mut file = File::open(&large).await?;
        if round % 2 == 0 {
            file.seek(SeekFrom::Start(round * 4096)).await?;
            file.read_exact(&mut [0; 8192]).await?;
        }
        let mut listing = fs::read_dir(root).await?;
        listing.next_entry().await?;
        fs::write(root.join("file"), "text").await
    };
    // What the runtime needs once is there.
    answers.say("before", told(use_all(0).await));
    let (before, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    let next = std::fs::File::open("/dev/null").unwrap().as_raw_fd();
    setrlimit(Resource::RLIMIT_NOFILE, next as u64 + SPARE, hard).unwrap();
    for round in 0..5 * SPARE {
        answers.say(format!("round {round}"), told(use_all(round).await));
    }
    setrlimit(Resource::RLIMIT_NOFILE, before, hard).unwrap();
    answers
}
