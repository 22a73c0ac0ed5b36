//! Operations that are on their way when the next one comes, or when the file goes.

use std::io::{ErrorKind, SeekFrom};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use tokio::io::{
    AsyncRead, AsyncReadExt, AsyncSeek, AsyncSeekExt, AsyncWrite, AsyncWriteExt, ReadBuf,
};

use super::fs::{File, OpenOptions};
use super::{Dir, run};

const REFUSED: &str = "other file operation is pending, call poll_complete before start_seek";

/// What is written in the background is there after this long at the latest.
const WRITTEN_BOUND: Duration = Duration::from_secs(30);

async fn opened(dir: &Dir) -> File {
    let path = dir.with("file", "0123456789");
    OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .await
        .unwrap()
}

/// Polls a read of so many bytes once, with a waker that nobody listens to; the cursor afterwards.
fn poll_read_once(file: &mut File, count: usize) -> usize {
    let mut space = vec![0; count];
    let mut buf = ReadBuf::new(&mut space);
    let mut cx = Context::from_waker(Waker::noop());
    match Pin::new(file).poll_read(&mut cx, &mut buf) {
        Poll::Ready(read) => {
            read.unwrap();
            buf.filled().len()
        }
        Poll::Pending => 0,
    }
}

fn poll_write_once(file: &mut File, bytes: &[u8]) -> usize {
    let mut cx = Context::from_waker(Waker::noop());
    match Pin::new(file).poll_write(&mut cx, bytes) {
        Poll::Ready(count) => count.unwrap(),
        Poll::Pending => panic!("a first write is taken at once"),
    }
}

#[test]
fn what_an_abandoned_read_brings_is_kept_for_a_smaller_one() {
    run(|dir| async move {
        let mut file = opened(&dir).await;
        let at = poll_read_once(&mut file, 8);
        let mut buf = [0; 2];
        file.read_exact(&mut buf).await.unwrap();
        assert_eq!(buf, b"0123456789"[at..at + 2]);
        assert_eq!(file.stream_position().await.unwrap(), at as u64 + 2);
        let mut rest = String::new();
        file.read_to_string(&mut rest).await.unwrap();
        assert_eq!(rest, "0123456789"[at + 2..]);
    });
}

#[test]
fn a_write_after_an_abandoned_read_goes_where_the_reader_is() {
    run(|dir| async move {
        let mut file = opened(&dir).await;
        let at = poll_read_once(&mut file, 5);
        file.write_all(b"X").await.unwrap();
        file.flush().await.unwrap();
        let mut expected = *b"0123456789";
        expected[at] = b'X';
        assert_eq!(std::fs::read(dir.at("file")).unwrap(), expected);
    });
}

#[test]
fn a_seek_after_an_abandoned_read_forgets_what_it_brings() {
    run(|dir| async move {
        let mut file = opened(&dir).await;
        poll_read_once(&mut file, 5);
        assert_eq!(file.seek(SeekFrom::Start(8)).await.unwrap(), 8);
        let mut rest = String::new();
        file.read_to_string(&mut rest).await.unwrap();
        assert_eq!(rest, "89");
    });
}

#[test]
fn a_change_of_length_forgets_what_an_abandoned_read_brings() {
    run(|dir| async move {
        let mut file = opened(&dir).await;
        let at = poll_read_once(&mut file, 8);
        file.set_len(1).await.unwrap();
        let mut rest = String::new();
        file.read_to_string(&mut rest).await.unwrap();
        assert_eq!(rest, "0123456789"[at.min(1)..1]);
    });
}

#[test]
fn the_end_that_an_abandoned_read_found_is_forgotten_with_a_seek() {
    run(|dir| async move {
        let mut file = opened(&dir).await;
        file.seek(SeekFrom::End(0)).await.unwrap();
        poll_read_once(&mut file, 5);
        file.rewind().await.unwrap();
        let mut text = String::new();
        file.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "0123456789");
    });
}

#[test]
fn the_end_that_an_abandoned_read_found_is_forgotten_with_a_longer_file() {
    run(|dir| async move {
        let mut file = opened(&dir).await;
        file.seek(SeekFrom::End(0)).await.unwrap();
        poll_read_once(&mut file, 5);
        file.set_len(12).await.unwrap();
        let mut text = String::new();
        file.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "\0\0");
    });
}

#[test]
fn a_seek_that_was_started_is_done_before_the_next_read() {
    run(|dir| async move {
        let mut file = opened(&dir).await;
        Pin::new(&mut file).start_seek(SeekFrom::Start(7)).unwrap();
        let mut rest = String::new();
        file.read_to_string(&mut rest).await.unwrap();
        assert_eq!(rest, "789");
    });
}

#[test]
fn a_seek_that_was_started_is_done_before_the_next_write() {
    run(|dir| async move {
        let mut file = opened(&dir).await;
        Pin::new(&mut file).start_seek(SeekFrom::End(-1)).unwrap();
        file.write_all(b"X").await.unwrap();
        file.flush().await.unwrap();
        assert_eq!(std::fs::read(dir.at("file")).unwrap(), b"012345678X");
    });
}

#[test]
fn a_second_seek_before_the_first_is_complete_is_refused() {
    run(|dir| async move {
        let mut file = opened(&dir).await;
        Pin::new(&mut file).start_seek(SeekFrom::Start(7)).unwrap();
        let error = Pin::new(&mut file)
            .start_seek(SeekFrom::Start(1))
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Other);
        assert!(error.to_string().contains(REFUSED), "{error}");
        let at = std::future::poll_fn(|cx| Pin::new(&mut file).poll_complete(cx)).await;
        assert_eq!(at.unwrap(), 7);
        assert_eq!(file.seek(SeekFrom::Current(1)).await.unwrap(), 8);
    });
}

#[test]
fn a_seek_during_a_write_is_refused_or_comes_after_it() {
    run(|dir| async move {
        let mut file = opened(&dir).await;
        assert_eq!(poll_write_once(&mut file, b"XY"), 2);
        match Pin::new(&mut file).start_seek(SeekFrom::Current(1)) {
            Ok(()) => {
                let at = std::future::poll_fn(|cx| Pin::new(&mut file).poll_complete(cx)).await;
                assert_eq!(at.unwrap(), 3);
            }
            Err(error) => assert!(error.to_string().contains(REFUSED), "{error}"),
        }
        file.flush().await.unwrap();
        assert_eq!(std::fs::read(dir.at("file")).unwrap(), b"XY23456789");
    });
}

#[test]
fn a_seek_future_waits_for_a_write_on_its_way() {
    run(|dir| async move {
        let mut file = opened(&dir).await;
        assert_eq!(poll_write_once(&mut file, b"XY"), 2);
        assert_eq!(file.seek(SeekFrom::Current(1)).await.unwrap(), 3);
        assert_eq!(std::fs::read(dir.at("file")).unwrap(), b"XY23456789");
    });
}

#[test]
fn a_file_with_a_write_on_its_way_is_given_back_or_kept_whole() {
    run(|dir| async move {
        let mut file = opened(&dir).await;
        assert_eq!(poll_write_once(&mut file, &[b'X'; 1_000_000]), 1_000_000);
        // Whether the write is over by now is a race that both may win.
        if let Err(mut file) = file.try_into_std() {
            file.flush().await.unwrap();
            file.rewind().await.unwrap();
            file.read_exact(&mut [0; 100]).await.unwrap();
            assert!(file.try_into_std().is_ok(), "nothing is on its way");
        }
        assert!(std::fs::read(dir.at("file")).unwrap() == [b'X'; 1_000_000]);
    });
}

#[test]
fn a_write_that_was_taken_happens_without_a_flush() {
    run(|dir| async move {
        let mut file = opened(&dir).await;
        let content = vec![b'X'; 1_500_000];
        assert_eq!(poll_write_once(&mut file, &content), content.len());
        drop(file);
        let start = Instant::now();
        while std::fs::read(dir.at("file")).unwrap() != content {
            assert!(start.elapsed() < WRITTEN_BOUND, "it was not written");
            tokio::task::yield_now().await;
        }
    });
}

/// Outside of `run`, which is within a runtime.
#[test]
fn a_write_that_was_taken_happens_though_the_runtime_ends() {
    let dir = Dir::new();
    let content = vec![b'X'; 1_500_000];
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut file = opened(&dir).await;
        assert_eq!(poll_write_once(&mut file, &content), content.len());
    });
    drop(runtime);
    let start = Instant::now();
    while std::fs::read(dir.at("file")).unwrap() != content {
        assert!(start.elapsed() < WRITTEN_BOUND, "it was not written");
        std::thread::yield_now();
    }
}
