//! Where a file is read and written next.

use std::io::{ErrorKind, SeekFrom};

use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};

use super::fs::{File, OpenOptions};
use super::{Dir, run};

async fn read_write(dir: &Dir, content: &[u8]) -> File {
    let path = dir.with("file", content);
    OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .await
        .unwrap()
}

async fn text(file: &mut File, count: usize) -> String {
    let mut buf = vec![0; count];
    file.read_exact(&mut buf).await.unwrap();
    String::from_utf8(buf).unwrap()
}

#[test]
fn a_seek_after_a_read_is_relative_to_what_was_read() {
    run(|dir| async move {
        let mut file = read_write(&dir, b"hello, world").await;
        assert_eq!(text(&mut file, 5).await, "hello");
        assert_eq!(file.stream_position().await.unwrap(), 5);
        assert_eq!(file.seek(SeekFrom::Current(2)).await.unwrap(), 7);
        assert_eq!(text(&mut file, 5).await, "world");
        assert_eq!(file.seek(SeekFrom::End(-5)).await.unwrap(), 7);
        assert_eq!(file.seek(SeekFrom::Current(-7)).await.unwrap(), 0);
        assert_eq!(text(&mut file, 5).await, "hello");
        file.rewind().await.unwrap();
        assert_eq!(file.stream_position().await.unwrap(), 0);
    });
}

#[test]
fn a_read_after_a_write_needs_no_flush() {
    run(|dir| async move {
        let mut file = read_write(&dir, b"0123456789").await;
        file.write_all(b"ab").await.unwrap();
        assert_eq!(text(&mut file, 3).await, "234");
        file.write_all(b"c").await.unwrap();
        file.rewind().await.unwrap();
        assert_eq!(text(&mut file, 10).await, "ab234c6789");
    });
}

#[test]
fn a_write_after_reads_with_a_small_buffer_goes_where_they_ended() {
    run(|dir| async move {
        let mut file = read_write(&dir, b"0123456789").await;
        for _ in 0..4 {
            file.read_exact(&mut [0]).await.unwrap();
        }
        file.write_all(b"X").await.unwrap();
        file.flush().await.unwrap();
        assert_eq!(std::fs::read(dir.at("file")).unwrap(), b"0123X56789");
        assert_eq!(text(&mut file, 5).await, "56789");
    });
}

#[test]
fn a_seek_past_the_end_reads_nothing_and_a_write_there_leaves_a_hole() {
    run(|dir| async move {
        let mut file = read_write(&dir, b"ab").await;
        assert_eq!(file.seek(SeekFrom::Start(4)).await.unwrap(), 4);
        assert_eq!(file.read(&mut [0; 8]).await.unwrap(), 0);
        file.write_all(b"c").await.unwrap();
        file.flush().await.unwrap();
        assert_eq!(std::fs::read(dir.at("file")).unwrap(), b"ab\0\0c");
        assert_eq!(file.seek(SeekFrom::End(3)).await.unwrap(), 8);
    });
}

#[test]
fn a_seek_before_the_start_fails_and_moves_nothing() {
    run(|dir| async move {
        let mut file = read_write(&dir, b"0123").await;
        file.seek(SeekFrom::Start(2)).await.unwrap();
        for to in [
            SeekFrom::Current(-3),
            SeekFrom::End(-5),
            SeekFrom::Start(u64::MAX),
        ] {
            let error = file.seek(to).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{to:?}");
        }
        assert_eq!(text(&mut file, 2).await, "23");
    });
}

#[test]
fn the_end_is_read_again_and_again_and_what_comes_later_is_read() {
    run(|dir| async move {
        let mut file = read_write(&dir, b"ab").await;
        assert_eq!(text(&mut file, 2).await, "ab");
        for _ in 0..2 {
            assert_eq!(file.read(&mut [0; 8]).await.unwrap(), 0);
        }
        std::fs::write(dir.at("file"), "abcd").unwrap();
        assert_eq!(text(&mut file, 2).await, "cd");
    });
}

#[test]
fn an_empty_buffer_reads_and_writes_nothing() {
    run(|dir| async move {
        let mut file = read_write(&dir, b"ab").await;
        assert_eq!(file.read(&mut []).await.unwrap(), 0);
        assert_eq!(file.write(&[]).await.unwrap(), 0);
        file.flush().await.unwrap();
        assert_eq!(text(&mut file, 2).await, "ab");
    });
}

#[test]
fn a_shorter_file_leaves_the_cursor_where_it_is() {
    run(|dir| async move {
        let mut file = read_write(&dir, b"0123456789").await;
        assert_eq!(text(&mut file, 4).await, "0123");
        file.set_len(2).await.unwrap();
        assert_eq!(file.read(&mut [0; 8]).await.unwrap(), 0);
        file.write_all(b"X").await.unwrap();
        file.flush().await.unwrap();
        assert_eq!(std::fs::read(dir.at("file")).unwrap(), b"01\0\0X");
        file.set_len(7).await.unwrap();
        assert_eq!(text(&mut file, 2).await, "\0\0");
        assert_eq!(file.metadata().await.unwrap().len(), 7);
    });
}

#[test]
fn a_change_of_length_comes_after_the_writes_before_it() {
    run(|dir| async move {
        let mut file = read_write(&dir, b"").await;
        file.write_all(b"0123456789").await.unwrap();
        file.set_len(3).await.unwrap();
        assert_eq!(std::fs::read(dir.at("file")).unwrap(), b"012");
    });
}

#[test]
fn a_write_takes_no_more_than_the_largest_buffer() {
    run(|dir| async move {
        let mut file = read_write(&dir, b"").await;
        assert_eq!(file.max_buf_size(), 2 * 1024 * 1024);
        let content = vec![7; 3 * 1024 * 1024];
        assert_eq!(file.write(&content).await.unwrap(), 2 * 1024 * 1024);
        file.set_max_buf_size(10);
        assert_eq!(file.max_buf_size(), 10);
        assert_eq!(file.write(&content).await.unwrap(), 10);
        file.write_all(&content[..95]).await.unwrap();
        file.flush().await.unwrap();
        assert_eq!(
            std::fs::metadata(dir.at("file")).unwrap().len(),
            2 * 1024 * 1024 + 105
        );
    });
}

#[test]
fn a_read_brings_no_more_than_the_largest_buffer_and_its_size_may_change() {
    run(|dir| async move {
        let content: Vec<u8> = (0..100_000u32).map(|n| (n % 251) as u8).collect();
        let mut file = read_write(&dir, &content).await;
        let (mut all, mut buf) = (Vec::new(), vec![0; 5000]);
        for size in [1, 10, 4999, 5000, 5001, 3, 100_000, 7].into_iter().cycle() {
            file.set_max_buf_size(size);
            let count = file.read(&mut buf).await.unwrap();
            assert!(count <= size, "{count} bytes with a buffer of {size}");
            if count == 0 {
                break;
            }
            all.extend_from_slice(&buf[..count]);
        }
        assert!(all == content);
    });
}

#[test]
#[should_panic(expected = "must be greater than 0")]
fn a_largest_buffer_of_nothing_is_refused() {
    run(|dir| async move {
        read_write(&dir, b"").await.set_max_buf_size(0);
    });
}

#[test]
fn a_flush_waits_for_every_write_before_it() {
    run(|dir| async move {
        let content: Vec<u8> = (0..5_000_000u32).map(|n| (n % 253) as u8).collect();
        for last in ["flush", "shutdown", "sync_all", "sync_data"] {
            let mut file = File::create(dir.at("file")).await.unwrap();
            file.write_all(&content).await.unwrap();
            match last {
                "flush" => file.flush().await.unwrap(),
                "shutdown" => file.shutdown().await.unwrap(),
                "sync_all" => file.sync_all().await.unwrap(),
                _ => file.sync_data().await.unwrap(),
            }
            assert!(std::fs::read(dir.at("file")).unwrap() == content, "{last}");
        }
    });
}

#[test]
fn a_shut_down_file_can_still_be_used() {
    run(|dir| async move {
        let mut file = read_write(&dir, b"").await;
        file.write_all(b"a").await.unwrap();
        file.shutdown().await.unwrap();
        file.write_all(b"b").await.unwrap();
        file.flush().await.unwrap();
        assert_eq!(std::fs::read(dir.at("file")).unwrap(), b"ab");
    });
}
