//! Whole files in one call.

use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use super::fs;
use super::run;

#[test]
fn a_file_is_read_whole_whatever_its_size() {
    run(|dir| async move {
        for size in [0, 1, 4095, 4096, 4097, 100_000, 3_000_000] {
            let content: Vec<u8> = (0..size).map(|n: u32| (n % 251) as u8).collect();
            let path = dir.with("file", &content);
            assert!(fs::read(&path).await.unwrap() == content, "{size}");
        }
    });
}

#[test]
fn a_file_is_written_whole_in_place_of_what_was_there() {
    run(|dir| async move {
        let path = dir.with("file", "something long");
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
        let ino = std::fs::metadata(&path).unwrap().ino();
        fs::write(&path, "short").await.unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"short");
        let metadata = std::fs::metadata(&path).unwrap();
        assert_eq!((metadata.ino(), metadata.mode() & 0o7777), (ino, 0o600));
        fs::write(&path, vec![7; 3_000_000]).await.unwrap();
        assert!(std::fs::read(&path).unwrap() == vec![7; 3_000_000]);
        fs::write(&path, b"").await.unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().len(), 0);
        fs::write(dir.at("new"), String::from("text"))
            .await
            .unwrap();
        assert_eq!(std::fs::read(dir.at("new")).unwrap(), b"text");
    });
}

#[test]
fn whole_files_are_read_and_written_through_links() {
    run(|dir| async move {
        dir.with("file", "one");
        symlink("file", dir.at("link")).unwrap();
        assert_eq!(fs::read_to_string(dir.at("link")).await.unwrap(), "one");
        fs::write(dir.at("link"), "two").await.unwrap();
        assert_eq!(std::fs::read(dir.at("file")).unwrap(), b"two");
        assert!(dir.at("link").symlink_metadata().unwrap().is_symlink());
    });
}

#[test]
fn text_has_to_be_utf_8() {
    run(|dir| async move {
        let path = dir.with("file", "h\u{e9}llo");
        assert_eq!(fs::read_to_string(&path).await.unwrap(), "h\u{e9}llo");
        std::fs::write(&path, b"ab\xff").unwrap();
        let error = fs::read_to_string(&path).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData);
        let text = error.to_string();
        assert!(
            text.contains("stream did not contain valid UTF-8"),
            "{text}"
        );
        assert_eq!(fs::read(&path).await.unwrap(), b"ab\xff");
    });
}

#[test]
fn only_files_are_read_and_written_whole() {
    run(|dir| async move {
        for (path, kind) in [
            (dir.at("none"), ErrorKind::NotFound),
            (dir.at(""), ErrorKind::IsADirectory),
            (dir.with("file", "").join("x"), ErrorKind::NotADirectory),
        ] {
            assert_eq!(fs::read(&path).await.unwrap_err().kind(), kind);
            assert_eq!(fs::read_to_string(&path).await.unwrap_err().kind(), kind);
        }
        for (path, kind) in [
            (dir.at("none/x"), ErrorKind::NotFound),
            (dir.at(""), ErrorKind::IsADirectory),
            (dir.at("file/x"), ErrorKind::NotADirectory),
        ] {
            assert_eq!(fs::write(&path, "x").await.unwrap_err().kind(), kind);
        }
    });
}

#[test]
fn many_whole_files_at_once() {
    run(|dir| async move {
        let write = |n: usize| {
            let path = dir.at(format!("{n}"));
            tokio::spawn(async move {
                fs::write(&path, vec![n as u8; n * 100]).await.unwrap();
                assert!(fs::read(&path).await.unwrap() == vec![n as u8; n * 100]);
            })
        };
        let tasks: Vec<_> = (0..100).map(write).collect();
        for task in tasks {
            task.await.unwrap();
        }
    });
}
