//! From files of std and descriptors, and back; files that share one.

use std::io::{Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, IntoRawFd, OwnedFd};
use std::path::Path;

use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};

use super::fs::{File, OpenOptions};
use super::run;

async fn read_write(path: &Path) -> File {
    OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .await
        .unwrap()
}

fn std_file(path: &Path, at: u64) -> std::fs::File {
    let mut file = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .unwrap();
    file.seek(SeekFrom::Start(at)).unwrap();
    file
}

async fn text(file: &mut File, count: usize) -> String {
    let mut buf = vec![0; count];
    file.read_exact(&mut buf).await.unwrap();
    String::from_utf8(buf).unwrap()
}

/// R72.
#[test]
fn a_file_of_std_goes_on_where_its_cursor_is() {
    run(|dir| async move {
        let path = dir.with("file", "0123456789");
        let from_descriptor = File::from(OwnedFd::from(std_file(&path, 4)));
        // SAFETY: the descriptor was just given away, and nobody else has it.
        let from_raw = unsafe { File::from_raw_fd(std_file(&path, 4).into_raw_fd()) };
        let others = [
            File::from_std(std_file(&path, 4)),
            File::from(std_file(&path, 4)),
        ];
        for mut file in others.into_iter().chain([from_descriptor, from_raw]) {
            assert_eq!(text(&mut file, 2).await, "45");
            assert_eq!(file.seek(SeekFrom::Current(1)).await.unwrap(), 7);
            file.write_all(b"7").await.unwrap();
            file.flush().await.unwrap();
        }
        let mut file = File::from_std(std_file(&path, 9));
        file.write_all(b"XY").await.unwrap();
        file.flush().await.unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"012345678XY");
    });
}

#[test]
fn a_file_of_std_that_is_sought_first_goes_from_its_cursor() {
    run(|dir| async move {
        let path = dir.with("file", "0123456789");
        let mut file = File::from_std(std_file(&path, 4));
        assert_eq!(file.seek(SeekFrom::Current(2)).await.unwrap(), 6);
        assert_eq!(text(&mut file, 1).await, "6");
    });
}

#[test]
fn a_file_of_std_that_appends_appends() {
    run(|dir| async move {
        let path = dir.with("file", "0123");
        let mut file = File::from_std(
            std::fs::OpenOptions::new()
                .append(true)
                .open(&path)
                .unwrap(),
        );
        file.write_all(b"45").await.unwrap();
        file.flush().await.unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"012345");
    });
}

#[test]
fn a_file_is_given_back_with_its_cursor() {
    run(|dir| async move {
        let path = dir.with("file", "0123456789");
        let mut file = read_write(&path).await;
        text(&mut file, 3).await;
        let mut std_file = file.into_std().await;
        assert_eq!(std_file.stream_position().unwrap(), 3);
        let mut buf = [0; 2];
        std_file.read_exact(&mut buf).unwrap();
        assert_eq!(&buf, b"34");
        let mut file = File::from_std(std_file);
        file.seek(SeekFrom::End(-1)).await.unwrap();
        let mut std_file = file.into_std().await;
        assert_eq!(std_file.stream_position().unwrap(), 9);
        std_file.write_all(b"X").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"012345678X");
    });
}

#[test]
fn a_file_is_given_back_after_what_it_still_writes() {
    run(|dir| async move {
        let path = dir.with("file", "");
        let mut file = read_write(&path).await;
        file.write_all(&[b'a'; 100_000]).await.unwrap();
        let mut std_file = file.into_std().await;
        assert_eq!(std_file.stream_position().unwrap(), 100_000);
        std_file.write_all(b"b").unwrap();
        drop(std_file);
        let content = std::fs::read(&path).unwrap();
        assert!(content.len() == 100_001 && content.ends_with(b"ab"));
    });
}

#[test]
fn an_idle_file_is_given_back_at_once_with_its_cursor() {
    run(|dir| async move {
        let path = dir.with("file", "0123456789");
        let mut file = read_write(&path).await;
        text(&mut file, 4).await;
        file.write_all(b"X").await.unwrap();
        file.flush().await.unwrap();
        let mut std_file = file.try_into_std().unwrap();
        assert_eq!(std_file.stream_position().unwrap(), 5);
        assert_eq!(std::fs::read(&path).unwrap(), b"0123X56789");
    });
}

#[test]
fn clones_share_one_cursor() {
    run(|dir| async move {
        let path = dir.with("file", "0123456789");
        let mut one = read_write(&path).await;
        one.set_max_buf_size(1234);
        assert_eq!(text(&mut one, 3).await, "012");
        let mut two = one.try_clone().await.unwrap();
        assert_eq!(two.max_buf_size(), 1234);
        assert_ne!(one.as_raw_fd(), two.as_raw_fd());
        assert_eq!(text(&mut two, 2).await, "34");
        assert_eq!(text(&mut one, 1).await, "5");
        assert_eq!(two.stream_position().await.unwrap(), 6);
        two.seek(SeekFrom::Start(8)).await.unwrap();
        one.write_all(b"X").await.unwrap();
        one.flush().await.unwrap();
        assert_eq!(text(&mut two, 1).await, "9");
        assert_eq!(std::fs::read(&path).unwrap(), b"01234567X9");
    });
}

#[test]
fn a_clone_comes_after_the_writes_before_it_and_outlives_the_first() {
    run(|dir| async move {
        let path = dir.with("file", "");
        let mut one = read_write(&path).await;
        one.write_all(b"one").await.unwrap();
        let mut two = one.try_clone().await.unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"one");
        drop(one);
        two.write_all(b" two").await.unwrap();
        two.flush().await.unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"one two");
    });
}

#[test]
fn the_descriptor_is_the_open_file_and_is_not_inherited() {
    run(|dir| async move {
        use nix::fcntl::{FcntlArg, FdFlag, fcntl};
        let path = dir.with("file", "text");
        let file = File::open(&path).await.unwrap();
        assert_eq!(file.as_fd().as_raw_fd(), file.as_raw_fd());
        let mut copy = std::fs::File::from(file.as_fd().try_clone_to_owned().unwrap());
        let mut text = String::new();
        copy.read_to_string(&mut text).unwrap();
        assert_eq!(text, "text");
        let flags = fcntl(file.as_fd(), FcntlArg::F_GETFD).unwrap();
        assert!(FdFlag::from_bits_retain(flags).contains(FdFlag::FD_CLOEXEC));
    });
}

#[test]
fn the_debug_output_names_the_type_and_the_descriptor() {
    run(|dir| async move {
        let file = File::open(dir.with("file", "")).await.unwrap();
        let text = format!("{file:?}");
        assert!(text.contains("File"), "{text}");
        assert!(
            text.contains(&format!("fd: {}", file.as_raw_fd())),
            "{text}"
        );
    });
}
