//! Errors of writes in the background, and of files that are not open for what is asked.

use std::io::{ErrorKind, SeekFrom};

use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};

use super::fs::{File, OpenOptions};
use super::{acknowledge, errno, run};

const EBADF: i32 = 9;

/// What is written there does not fit, and what is read there is zero.
#[cfg(target_os = "linux")]
async fn full() -> File {
    let mut options = OpenOptions::new();
    options
        .read(true)
        .write(true)
        .open("/dev/full")
        .await
        .unwrap()
}

#[cfg(target_os = "linux")]
#[test]
fn the_error_of_a_write_comes_with_the_flush_and_only_once() {
    run(|_| async {
        let mut file = full().await;
        assert_eq!(file.write(b"x").await.unwrap(), 1);
        let error = file.flush().await.unwrap_err();
        assert_eq!(
            (error.kind(), errno(&error)),
            (ErrorKind::StorageFull, Some(28))
        );
        acknowledge(&file);
        file.flush().await.unwrap();
    });
}

#[cfg(target_os = "linux")]
#[test]
fn the_error_of_a_write_comes_with_the_next_write() {
    run(|_| async {
        let mut file = full().await;
        assert_eq!(file.write(b"x").await.unwrap(), 1);
        assert_eq!(
            file.write(b"x").await.unwrap_err().kind(),
            ErrorKind::StorageFull
        );
        acknowledge(&file);
        file.flush().await.unwrap();
    });
}

#[cfg(target_os = "linux")]
#[test]
fn the_error_of_a_write_comes_with_the_shutdown() {
    run(|_| async {
        let mut file = full().await;
        assert_eq!(file.write(b"x").await.unwrap(), 1);
        assert_eq!(
            file.shutdown().await.unwrap_err().kind(),
            ErrorKind::StorageFull
        );
    });
}

#[cfg(target_os = "linux")]
#[test]
fn the_error_of_a_write_is_kept_over_a_read() {
    run(|_| async {
        let mut file = full().await;
        assert_eq!(file.write(b"x").await.unwrap(), 1);
        let mut buf = [1; 4];
        assert_eq!(file.read(&mut buf).await.unwrap(), 4);
        assert_eq!(buf, [0; 4]);
        assert_eq!(
            file.flush().await.unwrap_err().kind(),
            ErrorKind::StorageFull
        );
        acknowledge(&file);
        file.flush().await.unwrap();
    });
}

#[cfg(target_os = "linux")]
#[test]
fn the_error_of_a_write_is_kept_over_a_seek() {
    run(|_| async {
        let mut file = full().await;
        assert_eq!(file.write(b"x").await.unwrap(), 1);
        file.seek(SeekFrom::Start(0)).await.unwrap();
        assert_eq!(
            file.write(b"x").await.unwrap_err().kind(),
            ErrorKind::StorageFull
        );
    });
}

#[cfg(target_os = "linux")]
#[test]
fn the_error_of_a_write_is_kept_over_what_waits_for_it() {
    run(|_| async {
        let mut file = full().await;
        assert_eq!(file.write(b"x").await.unwrap(), 1);
        file.try_clone().await.unwrap();
        assert_eq!(
            file.flush().await.unwrap_err().kind(),
            ErrorKind::StorageFull
        );
        assert_eq!(file.write(b"x").await.unwrap(), 1);
        file.metadata().await.unwrap();
        assert_eq!(
            file.flush().await.unwrap_err().kind(),
            ErrorKind::StorageFull
        );
    });
}

#[cfg(target_os = "linux")]
#[test]
fn the_error_of_a_write_does_not_keep_the_file() {
    run(|_| async {
        let mut file = full().await;
        assert_eq!(file.write(b"x").await.unwrap(), 1);
        drop(file.into_std().await);
    });
}

#[test]
fn a_file_for_writing_cannot_be_read() {
    run(|dir| async move {
        let path = dir.with("file", "text");
        let mut file = OpenOptions::new().write(true).open(&path).await.unwrap();
        let error = file.read(&mut [0; 4]).await.unwrap_err();
        assert_eq!(errno(&error), Some(EBADF));
        file.write_all(b"T").await.unwrap();
        file.flush().await.unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"Text");
    });
}

#[test]
fn a_file_for_reading_cannot_be_written_and_can_still_be_read() {
    run(|dir| async move {
        let path = dir.with("file", "text");
        let mut file = File::open(&path).await.unwrap();
        assert_eq!(file.write(b"X").await.unwrap(), 1);
        let error = file.flush().await.unwrap_err();
        assert_eq!(errno(&error), Some(EBADF));
        let mut text = String::new();
        file.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "text");
        assert_eq!(
            file.set_len(1).await.unwrap_err().kind(),
            ErrorKind::InvalidInput
        );
    });
}

#[test]
fn a_folder_opens_and_cannot_be_read_or_written() {
    run(|dir| async move {
        let mut folder = File::open(dir.at("")).await.unwrap();
        assert!(folder.metadata().await.unwrap().is_dir());
        let error = folder.read(&mut [0; 4]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::IsADirectory);
        folder.sync_all().await.unwrap();
        let error = OpenOptions::new()
            .write(true)
            .open(dir.at(""))
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::IsADirectory);
    });
}

#[test]
fn text_that_is_not_utf_8_leaves_the_string_as_it_was() {
    run(|dir| async move {
        let path = dir.with("file", b"ab\xff");
        let mut text = "before".to_owned();
        let mut file = File::open(path).await.unwrap();
        let error = file.read_to_string(&mut text).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData);
        let message = error.to_string().to_lowercase();
        assert!(message.contains("utf-8"), "{error}");
        assert_eq!(text, "before");
    });
}

/// What takes another filesystem, or a program that runs.
#[cfg(target_os = "linux")]
#[test]
fn rarer_errors_have_their_numbers() {
    use std::os::unix::fs::MetadataExt;
    run(|dir| async move {
        let program = dir.at("program");
        std::fs::copy("/bin/sleep", &program).unwrap();
        // Another thread's fork may have the copy open for writing a little longer.
        let running = || std::process::Command::new(&program).arg("60").spawn();
        let mut running = loop {
            match running() {
                Err(error) if error.kind() == ErrorKind::ExecutableFileBusy => {}
                running => break running.unwrap(),
            }
        };
        let mut options = OpenOptions::new();
        let busy = options.write(true).open(&program).await.unwrap_err();
        let busy = (busy.kind(), errno(&busy));
        running.kill().unwrap();
        running.wait().unwrap();
        assert_eq!(busy, (ErrorKind::ExecutableFileBusy, Some(26)));

        let file = dir.with("file", "text");
        let device = |path: &std::path::Path| std::fs::metadata(path).map(|found| found.dev());
        let other = std::path::Path::new("/dev/shm");
        match (device(&file), device(other)) {
            (Ok(here), Ok(there)) if here != there => {
                let to = other.join(format!("tidegate-{}", std::process::id()));
                for error in [
                    super::fs::rename(&file, &to).await.unwrap_err(),
                    super::fs::hard_link(&file, &to).await.unwrap_err(),
                ] {
                    let found = (error.kind(), errno(&error));
                    assert_eq!(found, (ErrorKind::CrossesDevices, Some(18)));
                }
            }
            _ => eprintln!("skip: rarer_errors_have_their_numbers: one filesystem"),
        }
    });
}
