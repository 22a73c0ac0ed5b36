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
