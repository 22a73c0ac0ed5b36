//! The example of an incremental scan reads what has changed and nothing else, and extended attributes are read only
//! where somebody asks for them: system calls that must not be made end the process that makes them.
#![cfg(target_os = "linux")]

mod common;
#[path = "fallback/seccomp.rs"]
mod seccomp;

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use common::child::{in_child, is_root};
use common::on_each_route;
use futures::StreamExt;
use seccomp::Filter;
use tidegate::fs::{FileKind, Follow, StatxMask, StatxOptions, WalkDir, WalkSort};

/// Every call that reads extended attributes. The last two have the same number on every architecture.
const XATTR_CALLS: [u32; 8] = [
    libc::SYS_getxattr as u32,
    libc::SYS_lgetxattr as u32,
    libc::SYS_fgetxattr as u32,
    libc::SYS_listxattr as u32,
    libc::SYS_llistxattr as u32,
    libc::SYS_flistxattr as u32,
    464,
    465,
];

/// The example, where cargo has put it: beside the folder of the tests.
fn example() -> Command {
    let mut path = std::env::current_exe().unwrap();
    path.pop();
    path.pop();
    path.extend(["examples", "incremental"]);
    assert!(path.exists(), "cargo build --example incremental");
    Command::new(path)
}

/// A tree and its index, and a tree's change of every kind.
struct Scene {
    dir: tempfile::TempDir,
}

impl Scene {
    fn new() -> Scene {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("tree");
        fs::create_dir_all(root.join("a/b")).unwrap();
        for at in 0..300 {
            fs::write(root.join(format!("a/b/{at}")), vec![b'x'; at * 7]).unwrap();
        }
        for name in [&b"new\nline"[..], b"\xff\xfe", b"1 2 3", b"-", b" "] {
            fs::write(root.join(OsStr::from_bytes(name)), name).unwrap();
        }
        fs::write(root.join("with"), "attributes").unwrap();
        symlink("nowhere", root.join("dangling")).unwrap();
        nix::unistd::mkfifo(&root.join("fifo"), nix::sys::stat::Mode::S_IRUSR).unwrap();
        Scene { dir }
    }

    fn root(&self) -> PathBuf {
        self.dir.path().join("tree")
    }

    fn index(&self) -> PathBuf {
        self.dir.path().join("index")
    }

    fn files(&self) -> usize {
        let entries = walkdir::WalkDir::new(self.root()).into_iter();
        let is_file = |entry: &walkdir::DirEntry| entry.file_type().is_file();
        entries
            .filter(|entry| is_file(entry.as_ref().unwrap()))
            .count()
    }

    fn run(&self, prepare: impl FnOnce(&mut Command)) -> Output {
        let mut command = example();
        command.arg(self.root()).arg(self.index());
        prepare(&mut command);
        command.output().unwrap()
    }

    /// Scans, and compares what it came to: unchanged, read, gone, missed.
    #[track_caller]
    fn scan(&self, expected: [usize; 4], prepare: impl FnOnce(&mut Command)) {
        let output = self.run(prepare);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        let [unchanged, read, gone, missed] = expected;
        let line = format!("{unchanged} unchanged, {read} read, {gone} gone, {missed} missed;");
        assert!(out.starts_with(&line), "{out}{err}, expected {line}");
        let code = i32::from(missed > 0);
        assert_eq!(
            output.status.code(),
            Some(code),
            "{}: {out}{err}",
            output.status
        );
    }
}

fn set_xattr(path: &Path, value: &str) -> bool {
    use tidegate::fs::set_xattr;
    let set = set_xattr(path, "user.note", value, Follow::No);
    common::runtime(false).block_on(set).is_ok()
}

/// A tree as it was is neither asked for extended attributes nor read; the filter that shows it does bite.
#[test]
fn unchanged_files_are_not_asked_for_extended_attributes() {
    let scene = Scene::new();
    if !set_xattr(&scene.root().join("with"), "one") {
        eprintln!("skip: extended_attributes: the filesystem has none");
    }
    let files = scene.files();
    scene.scan([0, files, 0, 0], |_| {});
    let must_not = |command: &mut Command| Filter::end_at(&XATTR_CALLS).apply(command);
    scene.scan([files, 0, 0, 0], must_not);
    fs::write(scene.root().join("a/b/7"), "other").unwrap();
    let output = scene.run(must_not);
    assert_eq!(output.status.signal(), Some(libc::SIGSYS), "{output:?}");
    // It ended before it saved anything.
    scene.scan([files - 1, 1, 0, 0], |_| {});
    scene.scan([files, 0, 0, 0], must_not);
}

/// A change of every kind is seen, and makes one file be read.
#[test]
fn what_changed_is_read_and_nothing_else() {
    let scene = Scene::new();
    let root = scene.root();
    let files = scene.files();
    scene.scan([0, files, 0, 0], |_| {});
    let file = |name: &str| root.join("a/b").join(name);
    let touch_back = |path: &Path| {
        let before = fs::metadata(path).unwrap();
        fs::write(path, vec![b'y'; before.len() as usize]).unwrap();
        let file = fs::File::options().write(true).open(path).unwrap();
        file.set_modified(before.modified().unwrap()).unwrap();
    };
    let changes: [(&str, &dyn Fn()); 7] = [
        ("appended", &|| {
            fs::write(file("1"), "longer than it was").unwrap()
        }),
        ("rewritten, time put back", &|| touch_back(&file("9"))),
        ("permissions", &|| {
            fs::set_permissions(file("3"), fs::Permissions::from_mode(0o640)).unwrap();
        }),
        ("replaced", &|| {
            let metadata = fs::metadata(file("4")).unwrap();
            fs::write(root.join("4.new"), vec![b'x'; metadata.len() as usize]).unwrap();
            fs::rename(root.join("4.new"), file("4")).unwrap();
        }),
        ("linked", &|| {
            fs::hard_link(file("5"), root.join("5.link")).unwrap();
            fs::remove_file(root.join("5.link")).unwrap();
        }),
        ("in a name of bytes", &|| {
            fs::write(root.join(OsStr::from_bytes(b"\xff\xfe")), "text").unwrap();
        }),
        ("attributes", &|| {
            if !set_xattr(&file("6"), "two") {
                eprintln!("skip: an extended attribute: the filesystem has none");
                fs::write(file("6"), "instead").unwrap();
            }
        }),
    ];
    for (what, change) in changes {
        println!("{what}");
        change();
        scene.scan([files - 1, 1, 0, 0], |_| {});
        scene.scan([files, 0, 0, 0], |_| {});
    }
    fs::rename(file("8"), file("8.renamed")).unwrap();
    scene.scan([files - 1, 1, 1, 0], |_| {});
    fs::rename(root.join("a"), root.join("c")).unwrap();
    scene.scan([files - 300, 300, 300, 0], |_| {});
    fs::remove_dir_all(root.join("c")).unwrap();
    scene.scan([files - 300, 0, 300, 0], |_| {});
}

/// What could not be seen is not taken for gone: its records stay, and it need not be read again.
#[test]
fn what_was_not_seen_is_not_gone() {
    if !is_root() {
        return eprintln!("skip: what_was_not_seen_is_not_gone: takes root");
    }
    let scene = Scene::new();
    let (root, files) = (scene.root(), scene.files());
    scene.scan([0, files, 0, 0], |_| {});
    let open = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode));
    for path in [scene.dir.path(), &root, &root.join("a"), &scene.index()] {
        std::os::unix::fs::chown(path, Some(65534), Some(65534)).unwrap();
    }
    open(scene.dir.path(), 0o755).unwrap();
    open(&root.join("a/b"), 0o700).unwrap();
    let example = example();
    let as_nobody = |command: &mut Command| {
        command.uid(65534).gid(65534);
    };
    let tried = Command::new(example.get_program())
        .arg(&root)
        .arg("/none/index")
        .uid(65534)
        .output();
    if let Err(error) = tried {
        return eprintln!("skip: what_was_not_seen_is_not_gone: {error}");
    }
    scene.scan([files - 300, 0, 0, 1], as_nobody);
    scene.scan([files, 0, 0, 0], |_| {});
    // A tree that is not there is no empty tree.
    fs::rename(&root, scene.dir.path().join("away")).unwrap();
    let output = scene.run(|_| {});
    assert!(
        !output.status.success() && output.stdout.is_empty(),
        "{output:?}"
    );
    fs::rename(scene.dir.path().join("away"), &root).unwrap();
    scene.scan([files, 0, 0, 0], |_| {});
}

/// No walk and no batch reads extended attributes, whatever it is told to find out.
#[test]
fn no_walk_reads_extended_attributes() {
    in_child(
        "no_walk_reads_extended_attributes",
        |_| {},
        || {
            let scene = Scene::new();
            let root = scene.root();
            set_xattr(&root.join("with"), "one");
            Filter::end_at(&XATTR_CALLS).install();
            on_each_route(|_| async {
                let walks = [
                    WalkDir::new(&root),
                    WalkDir::new(&root).metadata(true),
                    WalkDir::new(&root).statx(StatxMask::ALL),
                    WalkDir::new(&root).metadata(true).follow_links(true),
                    WalkDir::new(&root).metadata(true).same_file_system(true),
                    WalkDir::new(&root).hard_links_once(true),
                    WalkDir::new(&root)
                        .sort(WalkSort::Name)
                        .contents_first(true),
                ];
                for walk in walks {
                    let entries = walk.walk().map(|entry| entry.unwrap());
                    let files =
                        entries.filter(|entry| std::future::ready(entry.kind() == FileKind::File));
                    assert_eq!(files.count().await, scene.files());
                }
                let options = StatxOptions::new().mask(StatxMask::ALL);
                let paths = [root.join("with"), root.join("a/b/9")];
                for found in tidegate::fs::metadata_many(&paths, &options).await {
                    assert!(found.unwrap().size() > 0);
                }
            });
        },
    );
}
