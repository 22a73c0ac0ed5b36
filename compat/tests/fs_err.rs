//! Drives fs-err's files for tokio. Run here on tokio, and by `drop_in` on tidegate.

use std::io::{ErrorKind, SeekFrom};
use std::os::unix::fs::{DirEntryExt, MetadataExt, PermissionsExt};

use fs_err::tokio as fs;
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};

#[tokio::test]
async fn files_are_written_read_and_given_back() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    let mut file = fs::File::create_new(&path).await.unwrap();
    file.write_all(b"one two three").await.unwrap();
    file.flush().await.unwrap();
    file.sync_all().await.unwrap();
    file.sync_data().await.unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"one two three");
    file.set_len(7).await.unwrap();
    file.set_permissions(std::fs::Permissions::from_mode(0o640))
        .await
        .unwrap();
    let metadata: std::fs::Metadata = file.metadata().await.unwrap();
    assert_eq!((metadata.len(), metadata.mode() & 0o777), (7, 0o640));
    let mut clone = file.try_clone().await.unwrap();
    clone.seek(SeekFrom::Start(4)).await.unwrap();
    let mut text = String::new();
    file.read_to_string(&mut text).await.unwrap();
    assert_eq!(text, "two");
    let std_file: fs_err::File = file.into_std().await;
    let mut file = fs::File::from_std(std_file);
    file.rewind().await.unwrap();
    file.read_exact(&mut [0; 3]).await.unwrap();
    assert!(file.try_into_std().is_ok());
    let error = fs::File::open(dir.path().join("none")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("none"), "{error}");
}

#[tokio::test]
async fn options_and_directories_do_as_they_say() {
    let dir = tempfile::tempdir().unwrap();
    let deep = dir.path().join("a/b");
    let error = fs::DirBuilder::new().create(&deep).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&deep)
        .await
        .unwrap();
    assert_eq!(std::fs::metadata(&deep).unwrap().mode() & 0o777, 0o700);
    let mut file = fs::OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(deep.join("log"))
        .await
        .unwrap();
    file.write_all(b"line\n").await.unwrap();
    file.shutdown().await.unwrap();
    let mut entries = fs::read_dir(&deep).await.unwrap();
    let entry = entries.next_entry().await.unwrap().unwrap();
    let of_std = std::fs::read_dir(&deep).unwrap().next().unwrap().unwrap();
    assert_eq!((entry.path(), entry.ino()), (of_std.path(), of_std.ino()));
    let kind: std::fs::FileType = entry.file_type().await.unwrap();
    assert!(kind.is_file());
    assert_eq!(entry.metadata().await.unwrap().len(), 5);
    assert!(entries.next_entry().await.unwrap().is_none());
}

#[tokio::test]
async fn names_are_made_followed_and_removed() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    fs::write(at("file"), "text").await.unwrap();
    assert_eq!(fs::copy(at("file"), at("copy")).await.unwrap(), 4);
    fs::hard_link(at("file"), at("hard")).await.unwrap();
    fs::symlink("file", at("soft")).await.unwrap();
    fs::rename(at("copy"), at("moved")).await.unwrap();
    assert_eq!(std::fs::metadata(at("hard")).unwrap().nlink(), 2);
    assert_eq!(
        fs::read_link(at("soft")).await.unwrap().to_str(),
        Some("file")
    );
    let real = std::fs::canonicalize(at("file")).unwrap();
    assert_eq!(fs::canonicalize(at("soft")).await.unwrap(), real);
    let metadata: std::fs::Metadata = fs::symlink_metadata(at("soft")).await.unwrap();
    assert!(metadata.is_symlink());
    assert_eq!(fs::read(at("soft")).await.unwrap(), b"text");
    assert_eq!(fs::read_to_string(at("moved")).await.unwrap(), "text");
    assert!(!fs::try_exists(at("copy")).await.unwrap());
    fs::create_dir_all(at("x/y")).await.unwrap();
    assert_eq!(
        fs::remove_dir(at("x")).await.unwrap_err().kind(),
        ErrorKind::DirectoryNotEmpty
    );
    fs::remove_dir_all(at("x")).await.unwrap();
    fs::remove_file(at("soft")).await.unwrap();
    let mut left: Vec<_> = std::fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    left.sort();
    assert_eq!(left, ["file", "hard", "moved"]);
}
