//! What others do with an open file.

use std::io::{Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;
use std::process::{Command, Stdio};

use nix::libc;
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};

use super::fs::{File, OpenOptions};
use crate::random::{brief, kind};
use crate::{Answers, told};

const CONTENT: &[u8] = b"0123456789abcdefghijklmnopqrstuvwxyz";

async fn opened(root: &Path) -> File {
    let path = root.join("file");
    std::fs::write(&path, CONTENT).unwrap();
    let mut options = OpenOptions::new();
    options.read(true).write(true).open(path).await.unwrap()
}

fn content(root: &Path) -> String {
    let found = std::fs::read(root.join("file")).unwrap();
    String::from_utf8_lossy(&found).into_owned()
}

async fn text(file: &mut File, count: u64) -> String {
    let mut found = String::new();
    let came = file.take(count).read_to_string(&mut found).await;
    format!("{} {found}", kind(came))
}

fn set_flags(fd: &impl AsRawFd, flags: i32) -> i32 {
    // SAFETY: it takes a number that is open, and no memory.
    unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, flags) }
}

fn seek(fd: &impl AsRawFd, at: i64, whence: i32) -> i64 {
    // SAFETY: it takes a number that is open, and no memory.
    unsafe { libc::lseek(fd.as_raw_fd(), at, whence) }
}

pub(crate) async fn flags(root: &Path) -> Answers {
    let mut answers = Answers::default();
    // Appending from some moment on, and no more from another.
    let mut file = opened(root).await;
    answers.say("read", text(&mut file, 4).await);
    answers.say("flags", set_flags(&file, libc::O_APPEND));
    file.write_all(b"END").await.unwrap();
    file.flush().await.unwrap();
    answers.say("appended", content(root));
    answers.say("position", told(file.stream_position().await));
    answers.say("flags", set_flags(&file, 0));
    file.seek(SeekFrom::Start(1)).await.unwrap();
    file.write_all(b"--").await.unwrap();
    file.flush().await.unwrap();
    answers.say("over it", content(root));
    answers.say("position", told(file.stream_position().await));
    // The same by somebody who has a descriptor of the same open file.
    let other = file.as_fd().try_clone_to_owned().unwrap();
    answers.say(
        "flags",
        set_flags(&other, libc::O_APPEND | libc::O_NONBLOCK),
    );
    file.write_all(b"more").await.unwrap();
    file.flush().await.unwrap();
    answers.say("appended", content(root));
    answers.say("position", told(file.stream_position().await));
    // Past the page cache, with buffers that are not aligned.
    let mut file = opened(root).await;
    answers.say("flags", set_flags(&file, libc::O_SYNC | libc::O_NOATIME));
    answers.say("read", text(&mut file, 4).await);
    file.write_all(b"synced").await.unwrap();
    answers.say("flush", kind(file.flush().await));
    answers.say("content", content(root));
    // Opened so.
    for (name, flags) in [
        ("append", libc::O_APPEND),
        ("nonblocking", libc::O_NONBLOCK),
        ("truncated", libc::O_TRUNC),
        ("synced", libc::O_DSYNC),
        ("no links", libc::O_NOFOLLOW),
        ("a folder", libc::O_DIRECTORY),
        ("made", libc::O_CREAT),
        ("new", libc::O_CREAT | libc::O_EXCL),
        ("path", libc::O_PATH),
        ("all access", libc::O_RDWR),
        ("unknown", 1 << 30),
    ] {
        std::fs::write(root.join("file"), CONTENT).unwrap();
        let mut options = OpenOptions::new();
        options.read(true).write(true).custom_flags(flags);
        let mut file = match options.open("file").await {
            Ok(file) => file,
            error => {
                answers.say(name, told(error.map(drop)));
                continue;
            }
        };
        answers.say(format!("{name}: read"), text(&mut file, 3).await);
        answers.say(format!("{name}: write"), kind(file.write_all(b"WW").await));
        answers.say(format!("{name}: flush"), kind(file.flush().await));
        super::acknowledge(&file);
        answers.say(
            format!("{name}: position"),
            told(file.stream_position().await),
        );
        answers.say(format!("{name}: content"), content(root));
    }
    answers
}

pub(crate) async fn moved(root: &Path) -> Answers {
    let mut answers = Answers::default();
    // Data and holes are looked for on the descriptor, which moves it.
    let mut file = opened(root).await;
    file.set_len(1 << 20).await.unwrap();
    answers.say("read", text(&mut file, 5).await);
    answers.say("hole", seek(&file, 0, libc::SEEK_HOLE) > 0);
    answers.say("position", told(file.stream_position().await));
    answers.say("data", seek(&file, 0, libc::SEEK_DATA));
    answers.say("read", text(&mut file, 5).await);
    answers.say("end", seek(&file, -3, libc::SEEK_END));
    answers.say("read", text(&mut file, 50).await);
    // A child that seeks, reads and writes.
    for script in [
        "exec 3<&0; read -r -n 4 line <&3; printf '[child]' >&0",
        "head -c 3 <&0 >/dev/null; printf x >&0",
        "printf yy 1<>&0",
        "dd bs=1 count=2 skip=1 status=none of=/dev/null",
    ] {
        let mut file = opened(root).await;
        answers.say("read", text(&mut file, 5).await);
        file.write_all(b"w").await.unwrap();
        file.flush().await.unwrap();
        let stdin: OwnedFd = file.as_fd().try_clone_to_owned().unwrap();
        let child = Command::new("/bin/sh")
            .args(["-c", script])
            .stdin(Stdio::from(stdin))
            .stderr(Stdio::null())
            .status();
        answers.say(script, child.map(|status| status.code()).ok());
        file.write_all(b"!").await.unwrap();
        file.flush().await.unwrap();
        answers.say("content", content(root));
        answers.say("position", told(file.stream_position().await));
    }
    // A clone of std's, before and after.
    let std = std::fs::File::options()
        .read(true)
        .write(true)
        .open("file")
        .unwrap();
    let mut beside = std.try_clone().unwrap();
    let mut file = File::from_std(std);
    answers.say("by ours", text(&mut file, 5).await);
    let mut space = [0; 4];
    beside.read_exact(&mut space).unwrap();
    answers.say("by std's", space);
    beside.write_all(b"STD").unwrap();
    file.write_all(b"ours").await.unwrap();
    file.flush().await.unwrap();
    beside.write_all(b"STD").unwrap();
    answers.say("content", content(root));
    beside.seek(SeekFrom::Start(2)).unwrap();
    answers.say("position", told(file.stream_position().await));
    answers.say("by ours", text(&mut file, 3).await);
    let mut back = file.into_std().await;
    answers.say("of std", back.stream_position().unwrap());
    answers
}

pub(crate) async fn clones(root: &Path) -> Answers {
    let mut answers = Answers::default();
    for first_goes in [true, false] {
        let mut file = opened(root).await;
        answers.say("read", text(&mut file, 5).await);
        file.write_all(b"AA").await.unwrap();
        let mut clone = file.try_clone().await.unwrap();
        clone.write_all(b"BB").await.unwrap();
        // What is dropped is written, with tokio at some time.
        answers.say("flush", kind(file.flush().await));
        answers.say("flush", kind(clone.flush().await));
        let mut left = match first_goes {
            true => {
                drop(file);
                clone
            }
            false => {
                drop(clone);
                file
            }
        };
        answers.say("flush", kind(left.flush().await));
        answers.say("read", left.seek(SeekFrom::Start(0)).await.is_ok());
        let third = left.try_clone().await.unwrap().into_std().await;
        answers.say("third's", third.metadata().unwrap().len());
        answers.say("max", left.max_buf_size());
        drop(left);
        let mut third = File::from_std(third);
        answers.say("at", told(third.stream_position().await));
        answers.say("all", text(&mut third, 100).await);
        answers.say("into", third.try_into_std().is_ok());
    }
    // Given back while something is in its buffer or on its way.
    let mut file = opened(root).await;
    answers.say("read", text(&mut file, 5).await);
    let mut std = file.into_std().await;
    answers.say("position", std.stream_position().unwrap());
    std.write_all(b"S").unwrap();
    let mut file = File::from(std);
    file.write_all(b"T").await.unwrap();
    let mut std = file.into_std().await;
    answers.say("position", std.stream_position().unwrap());
    answers.say("content", content(root));
    // Of a folder, a device and a write-only file.
    for path in [".", "/dev/null", "/dev/full"] {
        let file = File::open(path).await.unwrap();
        let clone = file.try_clone().await;
        answers.say(path, clone.map(|clone| clone.max_buf_size()).ok());
        let about = file.metadata().await.unwrap();
        answers.say(path, (about.is_dir(), about.file_type()));
        answers.say(path, file.try_into_std().is_ok());
    }
    answers.say("bytes", brief(content(root).as_bytes()));
    answers
}
