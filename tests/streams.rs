//! Files as streams: every byte once and in order, bounded read-ahead, and an end whatever the file does.

mod common;

use std::io::{ErrorKind, Write};
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use common::{on_each_route, on_every_backend};
use futures::stream::FusedStream;
use futures::{Stream, StreamExt, TryStreamExt};
use tidegate::fs::{self, File, FileStream, OpenOptions};
use tidegate::opcode::Kind;
use tidegate::{Handle, Route};

/// How long a test waits for what should take microseconds, before it fails.
const PATIENCE: Duration = Duration::from_secs(20);

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|n| (n * 31 % 251) as u8).collect()
}

async fn file_with(dir: &Path, content: &[u8]) -> File {
    let path = dir.join("file");
    std::fs::write(&path, content).unwrap();
    File::open(&path).await.unwrap()
}

async fn all(stream: FileStream) -> Vec<u8> {
    let chunks: Vec<Bytes> = stream.try_collect().await.unwrap();
    chunks.concat()
}

fn poll_once<S: Stream + Unpin>(stream: &mut S) -> Poll<Option<S::Item>> {
    Pin::new(stream).poll_next(&mut Context::from_waker(Waker::noop()))
}

/// Reads that were begun so far.
fn reads() -> u64 {
    let stats = Handle::current().unwrap().stats();
    let of_reads = stats.ops().filter(|op| op.row.name == "read");
    of_reads.map(|op| op.total()).sum()
}

async fn nothing_in_flight() {
    let (handle, end) = (Handle::current().unwrap(), Instant::now() + PATIENCE);
    while handle.stats().in_flight > 0 {
        assert!(Instant::now() < end, "something is in flight for ever");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[test]
fn every_range_comes_whole_and_in_order() {
    on_every_backend(|_| async {
        let dir = tempfile::tempdir().unwrap();
        let content = pattern(10_000);
        let file = file_with(dir.path(), &content).await;
        for chunk in [1000, 4096, 10_000, 1 << 20] {
            for ahead in [0, 1, 3, 64] {
                let stream = || file.stream(..).chunk_bytes(chunk).read_ahead(ahead);
                assert_eq!(all(stream()).await, content);
                let part = |range: std::ops::Range<u64>| {
                    file.stream(range).chunk_bytes(chunk).read_ahead(ahead)
                };
                for (from, to) in [
                    (0, 1),
                    (1, 4097),
                    (4096, 8192),
                    (9_999, 10_000),
                    (5, 20_000),
                ] {
                    let expected = &content[from.min(10_000)..to.min(10_000)];
                    assert_eq!(all(part(from as u64..to as u64)).await, expected);
                }
            }
        }
        assert_eq!(all(file.stream(9_000..)).await, content[9_000..]);
        assert_eq!(all(file.stream(..=9)).await, content[..10]);
        let after = (std::ops::Bound::Excluded(9_997), std::ops::Bound::Unbounded);
        assert_eq!(all(file.stream(after)).await, content[9_998..]);
        assert_eq!(all(file.stream(..=u64::MAX)).await, content);
        let nothing = [10..10, 10_000..10_001, 20_000..30_000];
        for range in nothing {
            assert!(all(file.stream(range)).await.is_empty());
        }
        let (begin, end) = (7, 3);
        assert!(all(file.stream(begin..end)).await.is_empty());
        // Several at once, and positional reads besides.
        let several = (0..8u64).map(|n| all(file.stream(n * 1000..).chunk_bytes(512)));
        for (n, bytes) in futures::future::join_all(several).await.iter().enumerate() {
            assert_eq!(*bytes, content[n * 1000..]);
        }
    });
}

/// The chunk is the buffer that was read into, with its capacity.
#[test]
fn chunks_are_not_copied() {
    on_each_route(|_| async {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("fifo");
        fs::make_fifo(&path, 0o600).await.unwrap();
        let mut both = OpenOptions::new();
        let file = both.read(true).write(true).open(&path).await.unwrap();
        let mut writer = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
        writer.write_all(b"abc").unwrap();
        let mut stream = file.stream(..).chunk_bytes(5000);
        let chunk = stream.try_next().await.unwrap().unwrap();
        assert_eq!(&chunk[..], b"abc");
        assert_eq!(chunk.try_into_mut().unwrap().capacity(), 5000);
    });
}

/// Nothing is read before the first poll; then no more than is allowed ahead of the consumer.
#[test]
fn read_ahead_begins_with_the_first_poll_and_is_bounded() {
    on_each_route(|route| async move {
        if route == Route::Auto {
            // Answered from memory, and so without read-ahead: see the next test.
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let content = pattern(64 * 1000);
        let file = file_with(dir.path(), &content).await;
        for ahead in [0, 1, 4, 64] {
            let before = reads();
            let mut stream = file.stream(..).chunk_bytes(1000).read_ahead(ahead);
            assert_eq!(reads(), before);
            for taken in 1..=10 {
                let chunk = stream.try_next().await.unwrap().unwrap();
                assert_eq!(chunk, content[(taken - 1) * 1000..taken * 1000]);
                let expected = (taken + ahead).min(64);
                // What still waits in a queue has not begun, and is counted once it has.
                while ((reads() - before) as usize) < expected {
                    tokio::task::yield_now().await;
                }
                assert_eq!((reads() - before) as usize, expected, "{ahead} ahead");
            }
            drop(stream);
            nothing_in_flight().await;
        }
        // Not past the end that was known, however long the range.
        let before = reads();
        assert_eq!(
            all(file.stream(..).chunk_bytes(1000).read_ahead(64)).await,
            content
        );
        assert_eq!(reads() - before, 65, "one read finds the end");
        let before = reads();
        assert_eq!(all(file.stream(..64_000).chunk_bytes(1000)).await, content);
        assert_eq!(reads() - before, 64, "nothing is asked behind the range");
    });
}

/// What is in memory costs one read per chunk, at the poll.
#[test]
fn a_file_in_memory_is_answered_at_the_poll() {
    common::runtime(true).block_on(async {
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let content = pattern(1 << 20);
        let file = file_with(dir.path(), &content).await;
        std::fs::File::open(dir.path().join("file"))
            .unwrap()
            .sync_all()
            .unwrap();
        let handle = Handle::current().unwrap();
        let at_poll = || handle.stats().count(Kind::Read, tidegate::Way::AtPoll);
        let filesystem = tidegate::probe::filesystem(dir.path()).unwrap();
        if !filesystem.answers_at_poll || filesystem.fs_type == "tmpfs" {
            return eprintln!(
                "skip: a_file_in_memory_is_answered_at_the_poll: {} has no reads at the poll",
                filesystem.fs_type
            );
        }
        // The first reads may come before the mount is described, and one sets the access time.
        for _ in 0..10_000 {
            if at_poll() > 0 {
                break;
            }
            file.read_at(vec![0; 1 << 20], 0).await.unwrap();
            tokio::task::yield_now().await;
        }
        assert!(at_poll() > 0);
        let before = (at_poll(), reads());
        assert_eq!(all(file.stream(..1 << 20)).await, content);
        assert_eq!((at_poll() - before.0, reads() - before.1), (8, 8));
    });
}

/// What is not in memory comes by all ways at once: reads in flight, the prefetch behind them, and at the poll
/// what that has brought; also for several streams of one file.
#[cfg(target_os = "linux")]
#[test]
fn an_evicted_file_comes_whole() {
    use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
    on_every_backend(|_| async {
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let content = pattern(8 << 20);
        let file = file_with(dir.path(), &content).await;
        let evict = || {
            let file = std::fs::File::open(dir.path().join("file")).unwrap();
            file.sync_all().unwrap();
            posix_fadvise(&file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED).unwrap();
        };
        for ahead in [0, 4] {
            evict();
            assert!(all(file.stream(..).read_ahead(ahead)).await == content);
            evict();
            let several = (0..4u64).map(|n| all(file.stream(n << 20..).read_ahead(ahead)));
            for (n, bytes) in futures::future::join_all(several).await.iter().enumerate() {
                assert!(*bytes == content[n << 20..], "{n}");
            }
        }
    });
}

/// A long stream from memory leaves the other tasks of its thread their turn.
#[test]
fn a_stream_from_memory_yields() {
    common::runtime(false).block_on(async {
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let file = file_with(dir.path(), &pattern(16 << 20)).await;
        let (mut chunks, mut pending) = (0, 0);
        let mut stream = file.stream(..);
        std::future::poll_fn(|cx| {
            loop {
                match Pin::new(&mut stream).poll_next(cx) {
                    Poll::Ready(Some(chunk)) => chunks += usize::from(chunk.is_ok()),
                    Poll::Ready(None) => return Poll::Ready(()),
                    Poll::Pending => {
                        pending += 1;
                        return Poll::Pending;
                    }
                }
            }
        })
        .await;
        assert_eq!(chunks, 128);
        assert!(pending >= 7, "{pending} turns for 16 MiB");
    });
}

#[test]
fn a_file_that_shrinks_ends_the_stream() {
    on_every_backend(|_| async {
        let dir = tempfile::tempdir().unwrap();
        let content = pattern(100_000);
        for ahead in [0, 2] {
            let file = file_with(dir.path(), &content).await;
            let mut stream = file.stream(..100_000).chunk_bytes(1000).read_ahead(ahead);
            let mut bytes = stream.try_next().await.unwrap().unwrap().to_vec();
            let shorter = std::fs::OpenOptions::new()
                .write(true)
                .open(dir.path().join("file"));
            shorter.unwrap().set_len(50_500).unwrap();
            while let Some(chunk) = stream.try_next().await.unwrap() {
                bytes.extend_from_slice(&chunk);
            }
            assert_eq!(bytes, content[..50_500]);
            assert!(stream.is_terminated());
            assert!(stream.try_next().await.unwrap().is_none());
            assert_eq!(stream.bytes_left(), Some(0));
        }
    });
}

#[test]
fn a_file_that_grows_is_read_on_without_gaps() {
    on_every_backend(|_| async {
        let dir = tempfile::tempdir().unwrap();
        let content = pattern(50_000);
        for ahead in [0, 1, 8] {
            let file = file_with(dir.path(), &content[..2_500]).await;
            let path = dir.path().join("file");
            let mut writer = std::fs::OpenOptions::new().append(true).open(path).unwrap();
            let mut stream = file.stream(..).chunk_bytes(1000).read_ahead(ahead);
            let (mut bytes, mut written) = (Vec::new(), 2_500);
            while let Some(chunk) = stream.try_next().await.unwrap() {
                bytes.extend_from_slice(&chunk);
                let more = (written + 777).min(content.len());
                writer.write_all(&content[written..more]).unwrap();
                written = more;
            }
            assert_eq!(bytes.len(), content.len());
            assert_eq!(bytes, content);
        }
    });
}

/// An error is the last item, and what came before it is not lost.
#[test]
fn an_error_is_told_once() {
    on_every_backend(|_| async {
        let dir = tempfile::tempdir().unwrap();
        let write_only = File::create(dir.path().join("file")).await.unwrap();
        write_only.write_all_at("content", 0).await.unwrap();
        let directory = File::open(dir.path()).await.unwrap();
        let beyond = file_with(dir.path(), b"x").await;
        let cases = [
            (write_only.stream(..), libc::EBADF),
            (directory.stream(..), libc::EISDIR),
            (beyond.stream(1 << 63..), libc::EINVAL),
        ];
        for (mut stream, errno) in cases {
            let error = stream.try_next().await.unwrap_err();
            assert_eq!(error.raw_os_error(), Some(errno), "{error:?}");
            for _ in 0..3 {
                assert!(stream.next().await.is_none());
            }
            assert!(stream.is_terminated());
            assert_eq!(stream.size_hint(), (0, Some(0)));
        }
    });
}

/// Pipes and procfs have no size, and pipes no positions.
#[test]
fn files_without_size_or_positions() {
    on_every_backend(|_| async {
        let status = File::open("/proc/self/status").await.unwrap();
        let text = all(status.stream(..).chunk_bytes(100)).await;
        let text = String::from_utf8(text).unwrap();
        assert!(
            text.starts_with("Name:") && text.contains("VmHWM:"),
            "{text}"
        );
        let zeros = File::open("/dev/zero").await.unwrap();
        assert_eq!(all(zeros.stream(..300_000)).await, vec![0; 300_000]);

        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("fifo");
        fs::make_fifo(&path, 0o600).await.unwrap();
        let content = pattern(300_000);
        let writer = {
            let (path, content) = (path.clone(), content.clone());
            std::thread::spawn(move || std::fs::write(path, content))
        };
        let pipe = File::open(&path).await.unwrap();
        let mut stream = pipe.stream(10..1_010);
        let mut first = Vec::new();
        while let Some(chunk) = stream.try_next().await.unwrap() {
            first.extend_from_slice(&chunk);
        }
        assert_eq!(first, content[..1000]);
        assert_eq!(all(pipe.stream(..)).await, content[1000..]);
        writer.join().unwrap().unwrap();
    });
}

/// Whatever waits in the kernel for a stream is cancelled with it.
#[test]
fn dropping_a_stream_cancels_what_is_on_its_way() {
    on_every_backend(|route| async move {
        let dir = tempfile::tempdir().unwrap();
        let file = file_with(dir.path(), &pattern(1 << 20)).await;
        for _ in 0..50 {
            let mut stream = file.stream(..).chunk_bytes(4096).read_ahead(32);
            let _ = poll_once(&mut stream);
        }
        if route != Route::Pool {
            // A blocking read of a FIFO cannot be cancelled; it is what a ring is for.
            let path = dir.path().join("fifo");
            fs::make_fifo(&path, 0o600).await.unwrap();
            let file = OpenOptions::new().read(true).write(true).open(&path).await;
            let mut stream = file.unwrap().stream(..);
            assert!(poll_once(&mut stream).is_pending());
        }
        nothing_in_flight().await;
    });
}

/// The stream holds the file open, goes to any thread, and bounds what it has in memory.
#[test]
fn a_stream_outlives_its_file() {
    fn goes_anywhere<T: Send + Sync + Unpin + 'static>(stream: T) -> T {
        stream
    }
    on_every_backend(|_| async {
        let dir = tempfile::tempdir().unwrap();
        let content = pattern(500_000);
        let file = file_with(dir.path(), &content).await;
        let stream = goes_anywhere(file.stream(..));
        drop(file);
        std::fs::remove_file(dir.path().join("file")).unwrap();
        assert_eq!(tokio::spawn(all(stream)).await.unwrap(), content);
    });
}

#[test]
fn hints_hold() {
    on_each_route(|_| async {
        let dir = tempfile::tempdir().unwrap();
        let file = file_with(dir.path(), &pattern(10_000)).await;
        let mut stream = file.stream(..9_000).chunk_bytes(1000);
        for taken in 0..=9u64 {
            let left = 9 - taken as usize;
            let (least, most) = stream.size_hint();
            assert!(least <= left && most.unwrap() >= left);
            assert_eq!(stream.bytes_left(), Some(9_000 - taken * 1000));
            assert_eq!(stream.is_terminated(), left == 0);
            assert_eq!(stream.next().await.is_some(), left > 0);
        }
        assert_eq!(stream.size_hint(), (0, Some(0)));
        assert_eq!(file.stream(..).size_hint(), (0, None));
        assert_eq!(file.stream(..).bytes_left(), None);
        assert_eq!(file.stream(..10_001).bytes_left(), None);
        assert_eq!(file.stream(20_000..20_000).bytes_left(), Some(0));
        assert!(format!("{:?}", file.stream(5..)).contains("position: 5"));
    });
}

/// As a body: exact where it can be, and an error where an announced length does not come.
#[test]
fn a_stream_is_a_body() {
    use http_body::Body;
    async fn frame(body: &mut FileStream) -> Option<std::io::Result<Bytes>> {
        let mut body = Pin::new(body);
        let frame = std::future::poll_fn(|cx| body.as_mut().poll_frame(cx)).await?;
        Some(frame.map(|frame| frame.into_data().unwrap()))
    }
    on_each_route(|_| async {
        let dir = tempfile::tempdir().unwrap();
        let content = pattern(10_000);
        let file = file_with(dir.path(), &content).await;
        let mut body = file.stream(1_000..10_000).chunk_bytes(5_000);
        assert_eq!(Body::size_hint(&body).exact(), Some(9_000));
        assert!(!body.is_end_stream());
        assert_eq!(
            frame(&mut body).await.unwrap().unwrap(),
            content[1_000..6_000]
        );
        assert_eq!(Body::size_hint(&body).exact(), Some(4_000));
        assert_eq!(frame(&mut body).await.unwrap().unwrap(), content[6_000..]);
        assert!(body.is_end_stream());
        assert!(frame(&mut body).await.is_none());
        assert_eq!(Body::size_hint(&body).exact(), Some(0));
        assert!(file.stream(..0).is_end_stream());
        assert_eq!(Body::size_hint(&file.stream(..)).exact(), None);
        assert_eq!(Body::size_hint(&file.stream(..20_000)).exact(), None);

        let mut open = file.stream(..);
        assert_eq!(frame(&mut open).await.unwrap().unwrap(), content);
        assert!(frame(&mut open).await.is_none());
        assert!(open.is_end_stream());

        let mut shrunk = file.stream(..10_000).chunk_bytes(1_000).read_ahead(0);
        assert!(frame(&mut shrunk).await.unwrap().is_ok());
        std::fs::File::create(dir.path().join("file")).unwrap();
        let error = frame(&mut shrunk).await.unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
        assert!(frame(&mut shrunk).await.is_none());
    });
}

#[test]
fn on_executors_that_are_not_tokio() {
    let dir = tempfile::tempdir().unwrap();
    let content = pattern(1_000_000);
    let work = || async {
        let file = file_with(dir.path(), &content).await;
        assert_eq!(all(file.stream(..).chunk_bytes(10_000)).await, content);
    };
    futures::executor::block_on(work());
    smol::block_on(work());
    #[cfg(target_os = "linux")]
    match tidegate::probe::report().ring_reason() {
        Some(reason) => eprintln!("skip: stream_inside_tokio_uring: {reason}"),
        None => tokio_uring::start(work()),
    }
}

#[test]
fn lines_of_a_file() {
    on_every_backend(|_| async {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let expected: Vec<String> = (0..20_000).map(|n| format!("line {n}")).collect();
        std::fs::write(&path, expected.join("\n")).unwrap();
        let mut lines = fs::lines(&path).await.unwrap();
        for line in &expected {
            assert_eq!(lines.next_line().await.unwrap().as_ref(), Some(line));
        }
        assert!(lines.next_line().await.unwrap().is_none());
        let error = fs::lines(dir.path().join("none")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert_eq!(error.raw_os_error(), Some(libc::ENOENT), "{error}");
        std::fs::write(&path, b"\xff\n").unwrap();
        let error = fs::lines(&path)
            .await
            .unwrap()
            .next_line()
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData);
    });
}
