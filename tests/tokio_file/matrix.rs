//! Every function on every kind of path: the same outcome as of std, and the same tree afterwards.

use std::fmt::Debug;
use std::fs::{Metadata, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use super::fs::{self, File};
use super::{Dir, errno, run};

const PATHS: &[&str] = &[
    "none",
    "none/x",
    "file",
    "file/",
    "file/x",
    "other",
    "folder",
    "folder/",
    "folder/.",
    "full",
    "full/..",
    "full/in",
    "to_file",
    "to_folder",
    "to_folder/",
    "to_nothing",
    "loop",
    "loop/x",
    ".",
];

/// A tree with one of everything. What was there is gone.
fn plant(root: &Path) {
    let _ = std::fs::remove_dir_all(root);
    for folder in ["folder", "full/in"] {
        std::fs::create_dir_all(root.join(folder)).unwrap();
    }
    std::fs::write(root.join("file"), "content").unwrap();
    std::fs::write(root.join("other"), "more content").unwrap();
    std::fs::write(root.join("full/in/file"), b"not \xff text").unwrap();
    for (target, name) in [
        ("file", "to_file"),
        ("full", "to_folder"),
        ("none", "to_nothing"),
        ("loop", "loop"),
    ] {
        symlink(target, root.join(name)).unwrap();
    }
}

/// What is there, and what it is.
fn tree(root: &Path) -> Vec<String> {
    let (mut found, mut folders) = (Vec::new(), vec![root.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            let metadata = path.symlink_metadata().unwrap();
            let content = match metadata.is_file() {
                true => std::fs::read(&path).ok(),
                false => None,
            };
            let target = std::fs::read_link(&path).ok();
            found.push(format!(
                "{path:?} {:o} {} {content:?} {target:?}",
                metadata.mode(),
                metadata.nlink()
            ));
            if metadata.is_dir() {
                folders.push(path);
            }
        }
    }
    found.sort();
    found
}

fn of_std<T: Debug>(result: io::Result<T>) -> String {
    match result {
        Ok(value) => format!("{value:?}"),
        Err(error) => format!("{:?}, number {:?}", error.kind(), error.raw_os_error()),
    }
}

fn of_ours<T: Debug>(result: io::Result<T>) -> String {
    match result {
        Ok(value) => format!("{value:?}"),
        Err(error) => format!("{:?}, number {:?}", error.kind(), errno(&error)),
    }
}

fn about(metadata: Metadata) -> (u32, u64) {
    (metadata.mode(), metadata.nlink())
}

fn permissions() -> Permissions {
    Permissions::from_mode(0o700)
}

/// Runs the two on trees of their own at the same place.
macro_rules! compare {
    ($wrong:ident, $root:expr, $what:expr, $std_s:expr, $ours:expr) => {{
        let root: &Path = $root;
        plant(root);
        let expected = (of_std($std_s), tree(root));
        plant(root);
        let found = (of_ours($ours.await), tree(root));
        if found != expected {
            let trees = if found.1 == expected.1 {
                ""
            } else {
                ", with another tree"
            };
            $wrong.push(format!(
                "{}: {}, with std {}{trees}",
                $what, found.0, expected.0
            ));
        }
    }};
}

#[test]
fn a_function_of_one_path_does_what_std_s_does() {
    run(|dir| async move {
        let root = dir.at("root");
        let mut wrong = Vec::new();
        macro_rules! each {
            ($($name:ident($path:ident): $std_s:expr, $ours:expr;)+) => {
                for name in PATHS {
                    let path = root.join(name);
                    $({
                        let $path = &*path;
                        compare!(wrong, &root, format!("{}({name})", stringify!($name)), $std_s, $ours);
                    })+
                }
            };
        }
        each! {
            canonicalize(path): std::fs::canonicalize(path), fs::canonicalize(path);
            create_dir(path): std::fs::create_dir(path), fs::create_dir(path);
            create_dir_all(path): std::fs::create_dir_all(path), fs::create_dir_all(path);
            metadata(path): std::fs::metadata(path).map(about),
                async { fs::metadata(path).await.map(about) };
            read(path): std::fs::read(path), fs::read(path);
            read_dir(path): std::fs::read_dir(path).map(drop),
                async { fs::read_dir(path).await.map(drop) };
            read_link(path): std::fs::read_link(path), fs::read_link(path);
            read_to_string(path): std::fs::read_to_string(path), fs::read_to_string(path);
            remove_dir(path): std::fs::remove_dir(path), fs::remove_dir(path);
            remove_dir_all(path): std::fs::remove_dir_all(path), fs::remove_dir_all(path);
            remove_file(path): std::fs::remove_file(path), fs::remove_file(path);
            set_permissions(path): std::fs::set_permissions(path, permissions()),
                fs::set_permissions(path, permissions());
            symlink_metadata(path): std::fs::symlink_metadata(path).map(about),
                async { fs::symlink_metadata(path).await.map(about) };
            try_exists(path): path.try_exists(), fs::try_exists(path);
            write(path): std::fs::write(path, "new"), fs::write(path, "new");
            open(path): std::fs::File::open(path).map(drop),
                async { File::open(path).await.map(drop) };
            create(path): std::fs::File::create(path).map(drop),
                async { File::create(path).await.map(drop) };
            create_new(path): std::fs::File::create_new(path).map(drop),
                async { File::create_new(path).await.map(drop) };
        }
        assert!(
            wrong.is_empty(),
            "{} are other:\n{}",
            wrong.len(),
            wrong.join("\n")
        );
    });
}

/// Those of which each is put together with each.
const PAIRED: &[&str] = &[
    "none",
    "none/x",
    "file",
    "file/x",
    "other",
    "folder/",
    "full",
    "full/in",
    "to_file",
    "to_folder",
    "to_nothing",
    "loop",
];

fn pairs(dir: &Dir) -> impl Iterator<Item = (PathBuf, PathBuf, String)> {
    let root = dir.at("root");
    PAIRED.iter().flat_map(move |from| {
        let root = root.clone();
        PAIRED
            .iter()
            .map(move |to| (root.join(from), root.join(to), format!("{from}, {to}")))
    })
}

#[test]
fn a_function_of_two_paths_does_what_std_s_does() {
    run(|dir| async move {
        let root = dir.at("root");
        let mut wrong = Vec::new();
        for (from, to, what) in pairs(&dir) {
            let name = format!("rename({what})");
            compare!(
                wrong,
                &root,
                name,
                std::fs::rename(&from, &to),
                fs::rename(&from, &to)
            );
            let name = format!("hard_link({what})");
            compare!(
                wrong,
                &root,
                name,
                std::fs::hard_link(&from, &to),
                fs::hard_link(&from, &to)
            );
            let name = format!("symlink({what})");
            compare!(
                wrong,
                &root,
                name,
                symlink(&from, &to),
                fs::symlink(&from, &to)
            );
            plant(&root);
            // What is copied onto itself is among the differences.
            let same = from
                .canonicalize()
                .is_ok_and(|real| to.canonicalize().is_ok_and(|to| to == real));
            if !same {
                let name = format!("copy({what})");
                compare!(
                    wrong,
                    &root,
                    name,
                    std::fs::copy(&from, &to),
                    fs::copy(&from, &to)
                );
            }
        }
        assert!(
            wrong.is_empty(),
            "{} are other:\n{}",
            wrong.len(),
            wrong.join("\n")
        );
    });
}
