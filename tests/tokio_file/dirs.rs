//! Directories: made, listed, removed.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirEntryExt, MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use super::fs::{self, DirBuilder};
use super::run;

async fn names(path: &Path) -> Vec<OsString> {
    let mut entries = fs::read_dir(path).await.unwrap();
    let mut names = Vec::new();
    while let Some(entry) = entries.next_entry().await.unwrap() {
        names.push(entry.file_name());
    }
    names
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().mode() & 0o7777
}

#[test]
fn a_listing_has_the_order_of_std_without_the_dots() {
    run(|dir| async move {
        for n in 0..300 {
            dir.with(&format!("{n}"), "");
        }
        let of_std = std::fs::read_dir(dir.at("")).unwrap();
        let of_std: Vec<OsString> = of_std.map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names(&dir.at("")).await, of_std);
        std::fs::create_dir(dir.at("empty")).unwrap();
        assert!(names(&dir.at("empty")).await.is_empty());
    });
}

#[test]
fn a_listing_that_is_over_stays_over() {
    run(|dir| async move {
        dir.with("file", "");
        let mut entries = fs::read_dir(dir.at("")).await.unwrap();
        let entry = std::future::poll_fn(|cx| entries.poll_next_entry(cx)).await;
        assert_eq!(entry.unwrap().unwrap().file_name(), "file");
        for _ in 0..3 {
            assert!(entries.next_entry().await.unwrap().is_none());
        }
    });
}

#[test]
fn an_entry_s_path_begins_as_the_listing_s() {
    run(|dir| async move {
        std::fs::create_dir(dir.at("sub")).unwrap();
        dir.with("file", "");
        for start in ["", "sub/..", "./sub/../", "sub/../."] {
            let mut of_std = std::fs::read_dir(dir.at(start)).unwrap();
            let mut entries = fs::read_dir(dir.at(start)).await.unwrap();
            while let Some(entry) = entries.next_entry().await.unwrap() {
                let path = of_std.next().unwrap().unwrap().path();
                assert_eq!(entry.path().as_os_str(), path.as_os_str());
            }
        }
    });
}

#[test]
fn an_entry_tells_what_it_is_and_not_where_it_leads() {
    run(|dir| async move {
        dir.with("file", "12345");
        std::fs::create_dir(dir.at("folder")).unwrap();
        symlink("folder", dir.at("link")).unwrap();
        let mut of_std = std::fs::read_dir(dir.at("")).unwrap();
        let mut entries = fs::read_dir(dir.at("")).await.unwrap();
        while let Some(entry) = entries.next_entry().await.unwrap() {
            let same = of_std.next().unwrap().unwrap();
            let kind = entry.file_type().await.unwrap();
            let metadata = entry.metadata().await.unwrap();
            assert_eq!(kind, same.file_type().unwrap());
            assert_eq!(metadata.file_type(), kind);
            assert_eq!(kind.is_symlink(), entry.file_name() == "link");
            assert_eq!(kind.is_dir(), entry.file_name() == "folder");
            assert_eq!(entry.ino(), same.ino());
            assert_eq!(
                (metadata.ino(), metadata.nlink()),
                (entry.ino(), same.metadata().unwrap().nlink())
            );
        }
    });
}

#[test]
fn a_name_that_is_not_utf_8_is_listed_as_it_is() {
    run(|dir| async move {
        let name = OsStr::from_bytes(b"a\xffb");
        if std::fs::write(dir.at(name), "").is_err() {
            return eprintln!(
                "skip: a_name_that_is_not_utf_8_is_listed_as_it_is: not on this filesystem"
            );
        }
        assert_eq!(names(&dir.at("")).await, [name]);
    });
}

#[test]
fn what_is_removed_while_it_is_listed_does_no_harm() {
    run(|dir| async move {
        let all: BTreeSet<OsString> = (0..500).map(|n| format!("{n}").into()).collect();
        for name in &all {
            std::fs::write(dir.at(name), "").unwrap();
        }
        let mut entries = fs::read_dir(dir.at("")).await.unwrap();
        let first = entries.next_entry().await.unwrap().unwrap();
        for name in &all {
            std::fs::remove_file(dir.at(name)).unwrap();
        }
        let error = first.metadata().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        let mut seen = BTreeSet::from([first.file_name()]);
        while let Some(entry) = entries.next_entry().await.unwrap() {
            assert!(all.contains(&entry.file_name()) && seen.insert(entry.file_name()));
        }
        std::fs::remove_dir(dir.at("")).unwrap();
        assert!(fs::read_dir(dir.at("")).await.is_err());
        std::fs::create_dir(dir.at("")).unwrap();
    });
}

#[test]
fn only_folders_are_listed() {
    run(|dir| async move {
        let error = fs::read_dir(dir.at("none")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        let error = fs::read_dir(dir.with("file", "")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotADirectory);
        symlink(dir.at(""), dir.at("link")).unwrap();
        assert_eq!(names(&dir.at("link")).await.len(), 2);
    });
}

#[test]
fn a_folder_is_made_once_and_in_a_folder() {
    run(|dir| async move {
        fs::create_dir(dir.at("a")).await.unwrap();
        let error = fs::create_dir(dir.at("a")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AlreadyExists);
        let error = fs::create_dir(dir.at("b/c")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        let error = fs::create_dir(dir.with("file", "").join("c"))
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotADirectory);
    });
}

#[test]
fn folders_are_made_where_they_are_missing() {
    run(|dir| async move {
        fs::create_dir_all(dir.at("a/b/c")).await.unwrap();
        fs::create_dir_all(dir.at("a/b/c")).await.unwrap();
        symlink("a", dir.at("link")).unwrap();
        fs::create_dir_all(dir.at("link")).await.unwrap();
        fs::create_dir_all(dir.at("link/b/../d/")).await.unwrap();
        assert!(dir.at("a/d").is_dir());
        fs::create_dir_all("").await.unwrap();
        let file = dir.with("file", "");
        let error = fs::create_dir_all(&file).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AlreadyExists);
        let error = fs::create_dir_all(file.join("a")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotADirectory);
    });
}

#[test]
fn a_builder_has_a_mode_and_makes_parents_if_told() {
    run(|dir| async move {
        let builder = DirBuilder::default();
        builder.create(dir.at("plain")).await.unwrap();
        let of_std = dir.at("of_std");
        std::fs::create_dir(&of_std).unwrap();
        assert_eq!(mode(&dir.at("plain")), mode(&of_std));
        let error = builder.create(dir.at("plain")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AlreadyExists);
        let error = builder.create(dir.at("a/b")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(0o750);
        for _ in 0..2 {
            builder.create(dir.at("a/b")).await.unwrap();
        }
        assert_eq!((mode(&dir.at("a")), mode(&dir.at("a/b"))), (0o750, 0o750));
        builder.recursive(false);
        assert!(builder.create(dir.at("a/b")).await.is_err());
        let error = DirBuilder::new()
            .recursive(true)
            .create(dir.with("file", ""))
            .await;
        assert_eq!(error.unwrap_err().kind(), ErrorKind::AlreadyExists);
    });
}

#[test]
fn only_an_empty_folder_is_removed() {
    run(|dir| async move {
        std::fs::create_dir_all(dir.at("a/b")).unwrap();
        symlink("a/b", dir.at("link")).unwrap();
        let error = fs::remove_dir(dir.at("a")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::DirectoryNotEmpty);
        for name in [dir.at("link"), dir.with("file", "")] {
            let error = fs::remove_dir(name).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::NotADirectory);
        }
        fs::remove_dir(dir.at("a/b")).await.unwrap();
        let error = fs::remove_dir(dir.at("a/b")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
    });
}

#[test]
fn a_tree_is_removed_and_not_what_its_links_lead_to() {
    run(|dir| async move {
        std::fs::create_dir_all(dir.at("tree/a/b")).unwrap();
        std::fs::create_dir(dir.at("kept")).unwrap();
        for n in 0..100 {
            dir.with(&format!("tree/a/{n}"), "");
        }
        let kept = dir.with("kept/file", "");
        symlink(dir.at("kept"), dir.at("tree/a/link")).unwrap();
        fs::remove_dir_all(dir.at("tree")).await.unwrap();
        assert!(!dir.at("tree").exists() && kept.exists());
        let error = fs::remove_dir_all(dir.at("tree")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
    });
}

#[test]
fn a_link_in_place_of_a_tree_is_removed_itself() {
    run(|dir| async move {
        std::fs::create_dir(dir.at("kept")).unwrap();
        let file = dir.with("kept/file", "");
        symlink("kept", dir.at("link")).unwrap();
        fs::remove_dir_all(dir.at("link")).await.unwrap();
        assert!(dir.at("link").symlink_metadata().is_err() && file.exists());
        let error = fs::remove_dir_all(&file).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotADirectory);
        assert!(file.exists());
    });
}

#[test]
fn a_folder_that_may_not_be_searched_cannot_be_listed() {
    let name = super::full_name(
        module_path!(),
        "a_folder_that_may_not_be_searched_cannot_be_listed",
    );
    super::child::in_child_without_privileges(&name, || {
        run(|dir| async move {
            std::fs::create_dir(dir.at("closed")).unwrap();
            std::fs::set_permissions(dir.at("closed"), PermissionsExt::from_mode(0o0)).unwrap();
            for error in [
                fs::read_dir(dir.at("closed")).await.unwrap_err(),
                fs::create_dir(dir.at("closed/a")).await.unwrap_err(),
                fs::create_dir_all(dir.at("closed/a/b")).await.unwrap_err(),
                fs::metadata(dir.at("closed/a")).await.unwrap_err(),
                fs::try_exists(dir.at("closed/a")).await.unwrap_err(),
                fs::read(dir.at("closed/a")).await.unwrap_err(),
            ] {
                assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error}");
            }
        });
    });
}
