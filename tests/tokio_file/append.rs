//! R71: files that are appended to.

use std::io::SeekFrom;
use std::path::Path;

use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};

use super::fs::{File, OpenOptions};
use super::run;

async fn open(path: &Path) -> File {
    let mut options = OpenOptions::new();
    options
        .read(true)
        .append(true)
        .create(true)
        .open(path)
        .await
        .unwrap()
}

async fn append(file: &mut File, text: &str) {
    file.write_all(text.as_bytes()).await.unwrap();
    file.flush().await.unwrap();
}

#[test]
fn what_is_appended_goes_to_the_end_wherever_the_cursor_is() {
    run(|dir| async move {
        let path = dir.with("file", "0123");
        let mut file = open(&path).await;
        file.seek(SeekFrom::Start(1)).await.unwrap();
        append(&mut file, "45").await;
        assert_eq!(file.stream_position().await.unwrap(), 6);
        file.rewind().await.unwrap();
        file.read_exact(&mut [0; 2]).await.unwrap();
        append(&mut file, "67").await;
        assert_eq!(std::fs::read(&path).unwrap(), b"01234567");
        assert_eq!(file.read(&mut [0; 4]).await.unwrap(), 0);
    });
}

#[test]
fn two_writers_do_not_overwrite_each_other() {
    run(|dir| async move {
        let path = dir.at("file");
        let (mut one, mut two) = (open(&path).await, open(&path).await);
        for text in ["a", "bb", "ccc"] {
            append(&mut one, text).await;
            append(&mut two, &text.to_uppercase()).await;
        }
        assert_eq!(std::fs::read(&path).unwrap(), b"aAbbBBcccCCC");
        assert_eq!(one.stream_position().await.unwrap(), 9);
        assert_eq!(two.stream_position().await.unwrap(), 12);
    });
}

#[test]
fn appending_starts_to_read_at_the_start() {
    run(|dir| async move {
        let path = dir.with("file", "0123");
        let mut file = open(&path).await;
        let mut text = String::new();
        file.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "0123");
    });
}

#[test]
fn appended_pieces_larger_than_the_buffer_stay_in_order() {
    run(|dir| async move {
        let path = dir.at("file");
        let mut file = open(&path).await;
        file.set_max_buf_size(1000);
        let content: Vec<u8> = (0..20_500u32).map(|n| (n % 251) as u8).collect();
        file.write_all(&content).await.unwrap();
        file.flush().await.unwrap();
        assert!(std::fs::read(&path).unwrap() == content);
    });
}

#[test]
fn a_truncated_log_is_appended_to_at_its_new_end() {
    run(|dir| async move {
        let path = dir.at("file");
        let mut file = open(&path).await;
        append(&mut file, "old old").await;
        file.set_len(0).await.unwrap();
        append(&mut file, "new").await;
        assert_eq!(std::fs::read(&path).unwrap(), b"new");
    });
}
