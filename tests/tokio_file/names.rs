//! Names and what they lead to: copies, links, renames, and what is there.

use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use super::fs;
use super::{errno, run};

const ELOOP: i32 = if cfg!(target_os = "linux") { 40 } else { 62 };

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().mode() & 0o7777
}

#[test]
fn a_copy_has_content_and_permissions_and_tells_its_length() {
    run(|dir| async move {
        let content = vec![b'x'; 300_000];
        let from = dir.with("from", &content);
        std::fs::set_permissions(&from, PermissionsExt::from_mode(0o751)).unwrap();
        assert_eq!(fs::copy(&from, dir.at("to")).await.unwrap(), 300_000);
        assert!(std::fs::read(dir.at("to")).unwrap() == content);
        assert_eq!(mode(&dir.at("to")), 0o751);
    });
}

#[test]
fn a_copy_replaces_the_content_and_the_permissions_of_what_is_there() {
    run(|dir| async move {
        let (from, to) = (
            dir.with("from", "short"),
            dir.with("to", "much longer than that"),
        );
        std::fs::set_permissions(&from, PermissionsExt::from_mode(0o640)).unwrap();
        let ino = std::fs::metadata(&to).unwrap().ino();
        std::fs::hard_link(&to, dir.at("other")).unwrap();
        assert_eq!(fs::copy(&from, &to).await.unwrap(), 5);
        assert_eq!(std::fs::read(dir.at("other")).unwrap(), b"short");
        assert_eq!(
            (mode(&to), std::fs::metadata(&to).unwrap().ino()),
            (0o640, ino)
        );
        assert_eq!(fs::copy(dir.with("empty", ""), &to).await.unwrap(), 0);
        assert_eq!(std::fs::metadata(&to).unwrap().len(), 0);
    });
}

#[test]
fn a_copy_follows_links_on_both_sides() {
    run(|dir| async move {
        dir.with("from", "text");
        dir.with("to", "");
        symlink("from", dir.at("from_link")).unwrap();
        symlink("to", dir.at("to_link")).unwrap();
        fs::copy(dir.at("from_link"), dir.at("to_link"))
            .await
            .unwrap();
        assert_eq!(std::fs::read(dir.at("to")).unwrap(), b"text");
        assert!(dir.at("to_link").symlink_metadata().unwrap().is_symlink());
    });
}

#[test]
fn only_a_file_is_copied_and_only_to_a_file() {
    run(|dir| async move {
        let file = dir.with("file", "text");
        std::fs::create_dir(dir.at("folder")).unwrap();
        let error = fs::copy(dir.at("folder"), dir.at("to")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        let error = fs::copy(dir.at("none"), dir.at("to")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(!dir.at("to").exists());
        let error = fs::copy(&file, dir.at("folder")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::IsADirectory);
        let error = fs::copy(&file, dir.at("none/to")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
    });
}

#[test]
fn a_rename_replaces_what_is_there_if_it_is_of_the_same_kind() {
    run(|dir| async move {
        dir.with("a", "a");
        dir.with("b", "b");
        fs::rename(dir.at("a"), dir.at("b")).await.unwrap();
        assert_eq!(std::fs::read(dir.at("b")).unwrap(), b"a");
        assert!(!dir.at("a").exists());
        std::fs::create_dir_all(dir.at("full/sub")).unwrap();
        std::fs::create_dir(dir.at("empty")).unwrap();
        let error = fs::rename(dir.at("empty"), dir.at("full"))
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::DirectoryNotEmpty);
        let error = fs::rename(dir.at("b"), dir.at("empty")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::IsADirectory);
        let error = fs::rename(dir.at("empty"), dir.at("b")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotADirectory);
        fs::rename(dir.at("full"), dir.at("empty")).await.unwrap();
        assert!(dir.at("empty/sub").is_dir());
        let error = fs::rename(dir.at("none"), dir.at("b")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        let error = fs::rename(dir.at("empty"), dir.at("empty/sub/x"))
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    });
}

#[test]
fn a_hard_link_is_another_name_of_the_same_file() {
    run(|dir| async move {
        let file = dir.with("file", "text");
        fs::hard_link(&file, dir.at("other")).await.unwrap();
        let metadata = std::fs::metadata(&file).unwrap();
        assert_eq!(metadata.nlink(), 2);
        assert_eq!(
            metadata.ino(),
            std::fs::metadata(dir.at("other")).unwrap().ino()
        );
        let error = fs::hard_link(&file, dir.at("other")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AlreadyExists);
        let error = fs::hard_link(dir.at("none"), dir.at("new"))
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        symlink("file", dir.at("link")).unwrap();
        fs::hard_link(dir.at("link"), dir.at("link2"))
            .await
            .unwrap();
        assert!(dir.at("link2").symlink_metadata().unwrap().is_symlink());
    });
}

#[test]
fn a_symbolic_link_may_lead_anywhere_and_replaces_nothing() {
    run(|dir| async move {
        for target in ["none", "../x/./y", "/"] {
            fs::symlink(target, dir.at("link")).await.unwrap();
            assert_eq!(
                fs::read_link(dir.at("link")).await.unwrap().to_str(),
                Some(target)
            );
            let error = fs::symlink(target, dir.at("link")).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::AlreadyExists);
            fs::remove_file(dir.at("link")).await.unwrap();
        }
        assert!(fs::symlink("", dir.at("link")).await.is_err());
    });
}

#[test]
fn only_a_link_is_read_as_a_link() {
    run(|dir| async move {
        for path in [dir.with("file", ""), dir.at("")] {
            let error = fs::read_link(path).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
        }
        let error = fs::read_link(dir.at("none")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        let long = "x/".repeat(1000);
        symlink(&long, dir.at("long")).unwrap();
        assert_eq!(
            fs::read_link(dir.at("long")).await.unwrap().to_str(),
            Some(&*long)
        );
    });
}

#[test]
fn a_canonical_path_is_absolute_and_has_no_links() {
    run(|dir| async move {
        std::fs::create_dir_all(dir.at("a/b")).unwrap();
        symlink("a", dir.at("link")).unwrap();
        let real = std::fs::canonicalize(dir.at("a/b")).unwrap();
        for path in ["a/b", "link/b", "./a/../link/./b/"] {
            assert_eq!(fs::canonicalize(dir.at(path)).await.unwrap(), real);
        }
        let here = std::env::current_dir().unwrap();
        assert_eq!(
            fs::canonicalize(".").await.unwrap(),
            std::fs::canonicalize(here).unwrap()
        );
        let error = fs::canonicalize(dir.at("none")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        symlink("loop", dir.at("loop")).unwrap();
        let error = fs::canonicalize(dir.at("loop")).await.unwrap_err();
        assert_eq!(errno(&error), Some(ELOOP));
    });
}

#[test]
fn a_broken_link_does_not_exist() {
    run(|dir| async move {
        let file = dir.with("file", "");
        symlink("none", dir.at("broken")).unwrap();
        symlink("file", dir.at("whole")).unwrap();
        symlink("loop", dir.at("loop")).unwrap();
        assert!(fs::try_exists(&file).await.unwrap());
        assert!(fs::try_exists(dir.at("whole")).await.unwrap());
        assert!(!fs::try_exists(dir.at("broken")).await.unwrap());
        assert!(!fs::try_exists(dir.at("none/x")).await.unwrap());
        let error = fs::try_exists(file.join("x")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotADirectory);
        let error = fs::try_exists(dir.at("loop")).await.unwrap_err();
        assert_eq!(errno(&error), Some(ELOOP));
    });
}

#[test]
fn metadata_is_of_the_target_or_of_the_link() {
    run(|dir| async move {
        let file = dir.with("file", "12345");
        symlink("file", dir.at("link")).unwrap();
        let of_target = fs::metadata(dir.at("link")).await.unwrap();
        let of_std = std::fs::metadata(&file).unwrap();
        assert!(of_target.is_file() && of_target.len() == 5);
        assert_eq!(
            (of_target.ino(), of_target.dev()),
            (of_std.ino(), of_std.dev())
        );
        assert_eq!(of_target.modified().unwrap(), of_std.modified().unwrap());
        assert_eq!(of_target.permissions(), of_std.permissions());
        assert_eq!(
            (of_target.ctime_nsec(), of_target.blocks()),
            (of_std.ctime_nsec(), of_std.blocks())
        );
        let of_link = fs::symlink_metadata(dir.at("link")).await.unwrap();
        assert!(of_link.is_symlink() && !of_link.is_file() && of_link.len() == 4);
        for error in [
            fs::metadata(dir.at("none")).await.unwrap_err(),
            fs::symlink_metadata(dir.at("none")).await.unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::NotFound);
        }
    });
}

#[test]
fn permissions_are_set_through_a_link() {
    run(|dir| async move {
        let file = dir.with("file", "");
        symlink("file", dir.at("link")).unwrap();
        for bits in [0o600, 0o4755, 0o000] {
            fs::set_permissions(dir.at("link"), PermissionsExt::from_mode(bits))
                .await
                .unwrap();
            assert_eq!(mode(&file), bits);
        }
        let mut permissions = std::fs::metadata(&file).unwrap().permissions();
        permissions.set_mode(0o644);
        permissions.set_readonly(true);
        fs::set_permissions(&file, permissions).await.unwrap();
        assert_eq!(mode(&file), 0o444);
        let error = fs::set_permissions(dir.at("none"), PermissionsExt::from_mode(0o0)).await;
        assert_eq!(error.unwrap_err().kind(), ErrorKind::NotFound);
    });
}

#[test]
fn a_file_is_removed_by_its_name_and_a_folder_is_not() {
    run(|dir| async move {
        let file = dir.with("file", "");
        symlink("file", dir.at("link")).unwrap();
        fs::remove_file(dir.at("link")).await.unwrap();
        assert!(file.exists());
        fs::remove_file(&file).await.unwrap();
        let error = fs::remove_file(&file).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        std::fs::create_dir(dir.at("folder")).unwrap();
        let error = fs::remove_file(dir.at("folder")).await.unwrap_err();
        let of_std = std::fs::remove_file(dir.at("folder")).unwrap_err();
        assert_eq!(
            (error.kind(), errno(&error)),
            (of_std.kind(), of_std.raw_os_error())
        );
    });
}

#[test]
fn a_name_that_no_system_call_takes_is_refused() {
    run(|dir| async move {
        for error in [
            fs::metadata("a\0b").await.unwrap_err(),
            fs::read("a\0b").await.unwrap_err(),
            fs::write("a\0b", "").await.unwrap_err(),
            fs::create_dir("a\0b").await.unwrap_err(),
            fs::rename("a", "a\0b").await.unwrap_err(),
            fs::read_dir("a\0b").await.unwrap_err(),
            fs::File::open("a\0b").await.unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
        }
        let error = fs::File::open("").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        let long = dir.at("x".repeat(300));
        let of_std = std::fs::File::open(&long).unwrap_err();
        let error = fs::File::open(&long).await.unwrap_err();
        assert_eq!(
            (error.kind(), errno(&error)),
            (of_std.kind(), of_std.raw_os_error())
        );
    });
}
