//! Where the cursor of a file is, and what reads and writes there move.

use std::future::poll_fn;
use std::io::{IoSlice, SeekFrom};
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use tokio::io::{
    AsyncRead, AsyncReadExt, AsyncSeek, AsyncSeekExt, AsyncWrite, AsyncWriteExt, ReadBuf,
};

use super::acknowledge;
use super::fs::{File, OpenOptions};
use crate::random::{brief, kind};
use crate::{Answers, told};

async fn opened(root: &Path, content: &[u8]) -> File {
    let path = root.join("file");
    std::fs::write(&path, content).unwrap();
    let mut options = OpenOptions::new();
    options.read(true).write(true).open(path).await.unwrap()
}

fn content(root: &Path) -> String {
    brief(&std::fs::read(root.join("file")).unwrap())
}

fn numbers(count: usize) -> Vec<u8> {
    (0..count).map(|n| (n % 251) as u8).collect()
}

async fn read(file: &mut File, count: usize) -> String {
    let mut found = vec![0; count];
    let mut filled = 0;
    while filled < count {
        match file.read(&mut found[filled..]).await {
            Ok(0) => break,
            Ok(more) => filled += more,
            error => return kind(error),
        }
    }
    brief(&found[..filled])
}

fn once<T>(poll: impl FnOnce(&mut Context<'_>) -> Poll<T>) {
    let _ = poll(&mut Context::from_waker(Waker::noop()));
}

pub(crate) async fn positions(root: &Path) -> Answers {
    let mut answers = Answers::default();
    let mut file = opened(root, &numbers(5000)).await;
    answers.say("complete without a start", told(complete(&mut file).await));
    let _ = read(&mut file, 100).await;
    answers.say("complete after a read", told(complete(&mut file).await));
    // The end of a file that grows, by this file and by another.
    answers.say("end", told(file.seek(SeekFrom::End(0)).await));
    file.write_all(&numbers(300)).await.unwrap();
    answers.say(
        "end after a write",
        told(file.seek(SeekFrom::End(-10)).await),
    );
    let other = std::fs::OpenOptions::new()
        .append(true)
        .open(root.join("file"));
    std::io::Write::write_all(&mut other.unwrap(), &numbers(77)).unwrap();
    answers.say(
        "end after another's",
        told(file.seek(SeekFrom::End(-10)).await),
    );
    answers.say("what is there", read(&mut file, 100).await);
    answers.say("and then", told(file.stream_position().await));
    // Lengths that are set between writes that nobody flushed.
    file.seek(SeekFrom::Start(0)).await.unwrap();
    for length in [4000, 100, 9000, 0, 50] {
        file.write_all(&numbers(700)).await.unwrap();
        answers.say(
            format!("set_len {length}"),
            told(file.set_len(length).await),
        );
        answers.say(
            "length",
            told(file.metadata().await.map(|found| found.len())),
        );
        answers.say("position", told(file.stream_position().await));
        answers.say("content", content(root));
    }
    // Reads that leave something in the buffer, and writes and lengths after them.
    let mut file = opened(root, &numbers(5000)).await;
    answers.say("read", read(&mut file, 10).await);
    answers.say("shorter", told(file.set_len(5).await));
    answers.say("read past it", read(&mut file, 10).await);
    answers.say("longer", told(file.set_len(20).await));
    answers.say("read the hole", read(&mut file, 100).await);
    file.write_all(b"behind").await.unwrap();
    file.flush().await.unwrap();
    answers.say("content", content(root));
    answers.say(
        "before the start",
        told(file.seek(SeekFrom::Current(-1000)).await),
    );
    answers.say("far", told(file.seek(SeekFrom::Current(i64::MAX)).await));
    answers.say("still", told(file.stream_position().await));
    answers.say("rewind", told(file.rewind().await));
    answers.say("read all", read(&mut file, 100).await);
    answers
}

async fn complete(file: &mut File) -> std::io::Result<u64> {
    poll_fn(|cx| Pin::new(&mut *file).poll_complete(cx)).await
}

/// Polls once, and whatever comes of it is left.
fn begin_read(file: &mut File, count: usize) {
    let mut space = vec![0; count];
    let mut into = ReadBuf::new(&mut space);
    once(|cx| Pin::new(&mut *file).poll_read(cx, &mut into));
    // What was ready is given back, so that both are where a read that was given up leaves them.
    let came = into.filled().len();
    if came > 0 {
        let back = SeekFrom::Current(-(came as i64));
        Pin::new(file).start_seek(back).unwrap();
    }
}

pub(crate) async fn polls(root: &Path) -> Answers {
    let mut answers = Answers::default();
    let mut file = opened(root, &numbers(5000)).await;
    begin_read(&mut file, 100);
    answers.say("flush after a read", kind(file.flush().await));
    answers.say("position", told(file.stream_position().await));
    begin_read(&mut file, 100);
    file.write_all(b"written").await.unwrap();
    // A flush that is given up, and one that is not.
    once(|cx| Pin::new(&mut file).poll_flush(cx));
    answers.say("flush", kind(file.flush().await));
    answers.say("content", content(root));
    answers.say("position", told(file.stream_position().await));
    file.write_all(b"and read").await.unwrap();
    begin_read(&mut file, 9);
    let _ = complete(&mut file).await;
    answers.say("read after a write", read(&mut file, 20).await);
    // Shut down, and used again.
    answers.say("shutdown", kind(file.shutdown().await));
    answers.say("write", kind(file.write(b"after").await));
    answers.say("shutdown", kind(file.shutdown().await));
    answers.say("content", content(root));
    // A second seek while the first is not complete.
    let first = Pin::new(&mut file).start_seek(SeekFrom::Start(3));
    answers.say("first seek", kind(first));
    let second = Pin::new(&mut file).start_seek(SeekFrom::Start(9));
    answers.say("second seek", kind(second));
    answers.say("complete", told(complete(&mut file).await));
    answers.say("complete again", told(complete(&mut file).await));
    answers.say("read", read(&mut file, 5).await);
    // A seek that fails is told by `complete`; a read goes on where it was.
    let bad = Pin::new(&mut file).start_seek(SeekFrom::Current(-1000));
    answers.say("bad seek", kind(bad));
    answers.say("read after it", read(&mut file, 5).await);
    let bad = Pin::new(&mut file).start_seek(SeekFrom::Current(-1000));
    answers.say("bad seek", kind(bad));
    answers.say("complete", told(complete(&mut file).await));
    answers.say("position", told(file.stream_position().await));
    let bad = Pin::new(&mut file).start_seek(SeekFrom::End(-9000));
    answers.say("bad seek", kind(bad));
    answers.say("write after it", kind(file.write_all(b"here").await));
    answers.say("flush", kind(file.flush().await));
    answers.say("content", content(root));
    // Filled in part, with room for more, and without room.
    let mut space = [7_u8; 16];
    let mut into = ReadBuf::new(&mut space);
    into.put_slice(b"0123");
    file.rewind().await.unwrap();
    let came = poll_fn(|cx| Pin::new(&mut file).poll_read(cx, &mut into)).await;
    answers.say(
        "into the rest",
        (kind(came), into.filled().len(), into.filled().to_vec()),
    );
    let came = poll_fn(|cx| Pin::new(&mut file).poll_read(cx, &mut into)).await;
    answers.say("into nothing", (kind(came), into.filled().len()));
    answers.say("position", told(file.stream_position().await));
    answers.say("vectored", Pin::new(&file).is_write_vectored());
    answers
}

pub(crate) async fn sizes(root: &Path) -> Answers {
    let mut answers = Answers::default();
    let mut file = opened(root, &numbers(5000)).await;
    answers.say("default", file.max_buf_size());
    for most in [1, 7, 4096, 1 << 20, usize::MAX] {
        file.set_max_buf_size(most);
        file.rewind().await.unwrap();
        let mut space = vec![0; 3000];
        answers.say(format!("read of {most}"), kind(file.read(&mut space).await));
        answers.say(format!("write of {most}"), kind(file.write(&space).await));
        answers.say("position", told(file.stream_position().await));
        let slices: Vec<_> = space.chunks(2).map(IoSlice::new).collect();
        answers.say("slices", kind(file.write_vectored(&slices).await));
        answers.say("position", told(file.stream_position().await));
        let clone = file.try_clone().await.unwrap();
        answers.say("clone's", clone.max_buf_size());
    }
    file.set_max_buf_size(2 << 20);
    file.rewind().await.unwrap();
    answers.say("no bytes", kind(file.read(&mut []).await));
    answers.say("no bytes", kind(file.write(&[]).await));
    answers.say("no slices", kind(file.write_vectored(&[]).await));
    let empty = vec![IoSlice::new(&[]); 1025];
    answers.say("empty slices", kind(file.write_vectored(&empty).await));
    let many = vec![IoSlice::new(b"xy"); 1025];
    answers.say("many slices", kind(file.write_vectored(&many).await));
    let mut mixed = empty.clone();
    mixed.push(IoSlice::new(b"last"));
    answers.say("the last of many", kind(file.write_vectored(&mixed).await));
    answers.say("flush", kind(file.flush().await));
    answers.say("content", content(root));
    file.rewind().await.unwrap();
    // A buffer that has its first part, and a limit.
    let mut found = Vec::from(&b"before"[..]);
    answers.say("read_to_end", kind(file.read_to_end(&mut found).await));
    answers.say("all", brief(&found));
    answers.say("again", kind(file.read_to_end(&mut found).await));
    file.rewind().await.unwrap();
    let mut some = Vec::new();
    answers.say(
        "take",
        kind((&mut file).take(100).read_to_end(&mut some).await),
    );
    answers.say("position", told(file.stream_position().await));
    access(root, &mut answers).await;
    answers
}

async fn access(root: &Path, answers: &mut Answers) {
    for access in ["read", "write"] {
        let mut options = OpenOptions::new();
        options.read(access == "read").write(access == "write");
        let mut file = options.open(root.join("file")).await.unwrap();
        answers.say(
            format!("{access}: read nothing"),
            kind(file.read(&mut []).await),
        );
        answers.say(
            format!("{access}: read"),
            kind(file.read(&mut [0; 4]).await),
        );
        answers.say(
            format!("{access}: write nothing"),
            kind(file.write(&[]).await),
        );
        answers.say(format!("{access}: flush"), kind(file.flush().await));
        acknowledge(&file);
        answers.say(format!("{access}: write"), kind(file.write(b"more").await));
        answers.say(format!("{access}: flush"), kind(file.flush().await));
        acknowledge(&file);
        answers.say(format!("{access}: set_len"), told(file.set_len(3000).await));
        answers.say(format!("{access}: sync"), told(file.sync_all().await));
        answers.say(
            format!("{access}: position"),
            told(file.stream_position().await),
        );
    }
}

pub(crate) async fn far(root: &Path) -> Answers {
    let mut answers = Answers::default();
    let mut file = opened(root, b"start").await;
    let places = [
        (1 << 32) - 3,
        1 << 32,
        (1 << 33) + 1,
        (1 << 44) - 4096,
        (1 << 44) - 3,
        1 << 44,
        i64::MAX as u64 - 4,
        i64::MAX as u64,
    ];
    for place in places {
        answers.say(
            format!("seek {place}"),
            told(file.seek(SeekFrom::Start(place)).await),
        );
        answers.say("read", read(&mut file, 10).await);
        answers.say("write", kind(file.write(b"abcdef").await));
        answers.say("flush", kind(file.flush().await));
        acknowledge(&file);
        answers.say("position", told(file.stream_position().await));
        answers.say(
            "length",
            told(file.metadata().await.map(|found| found.len())),
        );
        let back = file.seek(SeekFrom::Current(-6)).await;
        answers.say("back", told(back));
        answers.say("read", read(&mut file, 10).await);
    }
    for length in [
        1 << 32,
        (1 << 44) - 4096,
        1 << 44,
        1 << 62,
        1 << 63,
        u64::MAX,
    ] {
        answers.say(
            format!("set_len {length}"),
            told(file.set_len(length).await),
        );
        answers.say(
            "length",
            told(file.metadata().await.map(|found| found.len())),
        );
    }
    answers.say("end", told(file.seek(SeekFrom::End(i64::MAX)).await));
    answers.say("end", told(file.seek(SeekFrom::End(i64::MIN)).await));
    answers.say("here", told(file.seek(SeekFrom::Current(i64::MIN)).await));
    answers.say("start", told(file.seek(SeekFrom::Start(u64::MAX)).await));
    answers.say("empty", told(file.set_len(0).await));
    answers
}
