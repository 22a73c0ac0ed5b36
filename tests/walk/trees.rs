//! Trees to walk, and what others find in them.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};

use tidegate::fs::{FileKind, WalkEntry};

/// What is compared of an entry: type, size, inode.
pub(crate) type Seen = BTreeMap<PathBuf, (FileKind, u64, u64)>;

pub(crate) fn kind_of(file_type: fs::FileType) -> FileKind {
    use std::os::unix::fs::FileTypeExt;
    match file_type {
        kind if kind.is_dir() => FileKind::Directory,
        kind if kind.is_file() => FileKind::File,
        kind if kind.is_symlink() => FileKind::Symlink,
        kind if kind.is_fifo() => FileKind::Fifo,
        kind if kind.is_socket() => FileKind::Socket,
        kind if kind.is_block_device() => FileKind::BlockDevice,
        kind if kind.is_char_device() => FileKind::CharDevice,
        _ => FileKind::Other,
    }
}

/// What the crate of that name finds, and how many errors.
pub(crate) fn by_walkdir(walk: walkdir::WalkDir) -> (Seen, usize) {
    let (mut seen, mut errors) = (Seen::new(), 0);
    for entry in walk {
        let found = entry.and_then(|entry| Ok((entry.metadata()?, entry)));
        let Ok((metadata, entry)) = found else {
            errors += 1;
            continue;
        };
        let kind = kind_of(metadata.file_type());
        let told = (kind, metadata.size(), metadata.ino());
        assert_eq!(seen.insert(entry.path().into(), told), None);
    }
    (seen, errors)
}

pub(crate) fn note(seen: &mut Seen, entry: &WalkEntry) {
    let metadata = entry.metadata().expect("it was asked for");
    assert_eq!(metadata.kind(), entry.kind());
    let told = (entry.kind(), metadata.size(), entry.ino());
    let before = seen.insert(entry.path(), told);
    assert_eq!(before, None, "twice: {}", entry.path().display());
}

/// A tree with every kind of file, names that are no text, links that lead nowhere, back and to each other, empty
/// directories, and a few hundred ordinary files.
pub(crate) fn odd(root: &Path) {
    fs::create_dir_all(root.join("a/b/c/d")).unwrap();
    fs::create_dir(root.join("empty")).unwrap();
    for at in 0..700 {
        fs::write(root.join(format!("a/b/{at}")), vec![b'x'; at]).unwrap();
    }
    for at in 0..40 {
        let dir = root.join(format!("many/{at}"));
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("file"), "text").unwrap();
    }
    let bytes: &[&[u8]] = &[
        b"\xff\xfe",
        b"new\nline",
        b"sp ace",
        b"\x01",
        b"-rf",
        b"...",
        b"..x",
        b".hidden",
    ];
    for name in bytes {
        fs::write(root.join(OsStr::from_bytes(name)), name).unwrap();
    }
    fs::write(root.join("n".repeat(255)), "long").unwrap();
    nix::unistd::mkfifo(&root.join("fifo"), nix::sys::stat::Mode::S_IRUSR).unwrap();
    drop(std::os::unix::net::UnixListener::bind(root.join("socket")).unwrap());
    symlink("nowhere", root.join("dangling")).unwrap();
    symlink("self", root.join("self")).unwrap();
    symlink("two", root.join("one")).unwrap();
    symlink("one", root.join("two")).unwrap();
    symlink("..", root.join("a/back")).unwrap();
    symlink("b", root.join("a/beside")).unwrap();
    symlink("/", root.join("empty/slash")).unwrap();
    symlink("a/b/7", root.join("to_file")).unwrap();
    fs::hard_link(root.join("a/b/9"), root.join("a/nine")).unwrap();
    fs::hard_link(root.join("a/b/9"), root.join("many/nine")).unwrap();
    let device = nix::sys::stat::SFlag::S_IFCHR;
    let number = nix::sys::stat::makedev(1, 3);
    // Only for root.
    let _ = nix::sys::stat::mknod(
        &root.join("null"),
        device,
        nix::sys::stat::Mode::S_IRUSR,
        number,
    );
}

/// A chain of directories with a file beside each, far longer than a path may be.
pub(crate) fn deep(root: &Path, depth: usize) {
    let mut at = fs::File::open(root).unwrap();
    let name = "a directory with a name of some length";
    for level in 0..depth {
        nix::sys::stat::mkdirat(&at, name, nix::sys::stat::Mode::S_IRWXU).unwrap();
        if level % 2 == 0 {
            nix::sys::stat::mkdirat(&at, "b", nix::sys::stat::Mode::S_IRWXU).unwrap();
        }
        let flags = nix::fcntl::OFlag::O_RDONLY | nix::fcntl::OFlag::O_DIRECTORY;
        let next = nix::fcntl::openat(&at, name, flags, nix::sys::stat::Mode::empty()).unwrap();
        at = next.into();
    }
}

/// Removes such a chain, which is too deep for those that go down one call in another.
pub(crate) fn remove_deep(root: &Path) {
    let name = "a directory with a name of some length";
    let mut at = 0;
    // The rest is moved up, so that no path gets long.
    while root.join(name).exists() {
        let moved = root.join(format!("moved-{at}"));
        fs::rename(root.join(name), &moved).unwrap();
        if moved.join(name).exists() {
            fs::rename(moved.join(name), root.join(name)).unwrap();
        }
        let _ = fs::remove_dir(moved.join("b"));
        fs::remove_dir(&moved).unwrap();
        at += 1;
    }
    let _ = fs::remove_dir(root.join("b"));
}
