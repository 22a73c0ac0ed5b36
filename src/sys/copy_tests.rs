//! Tests of the blocking copy.

use std::fs;
use std::os::unix::fs::symlink;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::*;
use crate::sys::steps::Steps;

fn request(from: &Path, to: &Path) -> CopyRequest {
    CopyRequest {
        from: from.to_path_buf(),
        to: to.to_path_buf(),
        is_plain: false,
        create_new: false,
        follow: true,
        holes: Holes::Source,
        mode: None,
        preserve: Preserve {
            owner: false,
            times: true,
            xattrs: true,
        },
        rename_into_place: true,
        sync: Sync::No,
        drop_cache: false,
        reflink: Reflink::Auto,
        temporary: None,
    }
}

fn flow<'a>(stop: &'a AtomicBool, progress: Option<&'a AtomicU64>) -> Flow<'a> {
    static STEPS: std::sync::LazyLock<Steps> = std::sync::LazyLock::new(Steps::default);
    Flow {
        steps: &STEPS,
        stop: Some(stop),
        progress,
        pulse: None,
    }
}

fn run(request: &CopyRequest) -> io::Result<Copied> {
    copy_file(request, &flow(&AtomicBool::new(false), None)).map_err(|error| error.error)
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Every size around the limits between the ways of copying comes out the same, under its own name alone.
#[test]
fn sizes_around_the_limits_are_copied_whole() {
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("from"), dir.path().join("to"));
    let small = crate::limits::COPY_SMALL_BYTES as usize;
    let buffer = crate::limits::COPY_BUFFER_BYTES;
    for size in [
        0,
        1,
        4095,
        4096,
        small - 1,
        small,
        small + 1,
        buffer - 1,
        buffer,
        buffer + 1,
        3 * buffer + 7,
    ] {
        let bytes: Vec<u8> = (0..size).map(|at| (at * 31 % 251) as u8).collect();
        fs::write(&from, &bytes).unwrap();
        fs::set_permissions(&from, fs::Permissions::from_mode(0o640)).unwrap();
        let progress = AtomicU64::new(0);
        let copied = copy_file(
            &request(&from, &to),
            &flow(&AtomicBool::new(false), Some(&progress)),
        )
        .unwrap();
        assert_eq!(
            (copied.bytes, copied.data_bytes),
            (size as u64, size as u64)
        );
        assert_eq!(progress.load(Ordering::Relaxed), size as u64);
        assert!(copied.warnings.is_empty(), "{:?}", copied.warnings);
        assert!(fs::read(&to).unwrap() == bytes, "{size}");
        let (source, made) = (fs::metadata(&from).unwrap(), fs::metadata(&to).unwrap());
        assert_eq!(made.mode(), source.mode());
        assert_eq!(
            (made.mtime(), made.mtime_nsec()),
            (source.mtime(), source.mtime_nsec())
        );
    }
    assert_eq!(names(dir.path()), ["from", "to"]);
}

/// Holes stay holes, wherever they are, and the data around them is whole.
#[test]
fn holes_stay_holes() {
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("from"), dir.path().join("to"));
    let file = File::create(&from).unwrap();
    let data = vec![7; 64 << 10];
    for at in [1 << 20, 5 << 20] {
        std::os::unix::fs::FileExt::write_all_at(&file, &data, at).unwrap();
    }
    file.set_len(9 << 20).unwrap();
    let copied = run(&request(&from, &to)).unwrap();
    assert_eq!(copied.bytes, 9 << 20);
    assert!(fs::read(&from).unwrap() == fs::read(&to).unwrap());
    if fs::metadata(&from).unwrap().blocks() * 512 >= 9 << 20 {
        println!("skip: holes_stay_holes: the filesystem has no holes");
        return;
    }
    assert!(copied.data_bytes < 1 << 20, "{}", copied.data_bytes);
    assert!(fs::metadata(&to).unwrap().blocks() * 512 < 1 << 20);
}

/// A file that says it is empty and is not is read to its end.
#[cfg(target_os = "linux")]
#[test]
fn a_file_of_procfs_is_read_to_its_end() {
    let dir = tempfile::tempdir().unwrap();
    let to = dir.path().join("to");
    let mut request = request(Path::new("/proc/self/limits"), &to);
    request.mode = Some(0o600);
    let copied = run(&request).unwrap();
    assert!(copied.bytes > 100);
    assert_eq!(
        fs::read(&to).unwrap(),
        fs::read("/proc/self/limits").unwrap()
    );
}

/// A cancelled copy leaves neither the destination nor a temporary file.
#[test]
fn cancel_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("from"), dir.path().join("to"));
    fs::write(&from, vec![1; 3 << 20]).unwrap();
    let error = copy_file(&request(&from, &to), &flow(&AtomicBool::new(true), None)).unwrap_err();
    assert_eq!(error.error.kind(), io::ErrorKind::Interrupted);
    assert_eq!(names(dir.path()), ["from"]);
}

/// What is not a file, what is missing and what exists already is refused, with nothing left behind.
#[test]
fn bad_input_is_refused_and_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("from"), dir.path().join("to"));
    let kind = |request: &CopyRequest| run(request).unwrap_err().kind();
    assert_eq!(kind(&request(&from, &to)), io::ErrorKind::NotFound);
    assert_eq!(kind(&request(dir.path(), &to)), io::ErrorKind::InvalidInput);
    let fifo = dir.path().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::from_bits_truncate(0o600)).unwrap();
    assert_eq!(kind(&request(&fifo, &to)), io::ErrorKind::InvalidInput);
    fs::write(&from, b"new").unwrap();
    assert_eq!(
        kind(&request(&from, &dir.path().join("no/such"))),
        io::ErrorKind::NotFound
    );
    fs::write(&to, b"old").unwrap();
    for rename_into_place in [false, true] {
        let request = CopyRequest {
            create_new: true,
            rename_into_place,
            ..request(&from, &to)
        };
        assert_eq!(kind(&request), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&to).unwrap(), b"old");
    }
    let link = dir.path().join("link");
    symlink(&from, &link).unwrap();
    let unfollowed = CopyRequest {
        follow: false,
        ..request(&link, &to)
    };
    assert_eq!(
        run(&unfollowed).unwrap_err().raw_os_error(),
        Some(libc::ELOOP)
    );
    assert_eq!(names(dir.path()), ["fifo", "from", "link", "to"]);
}

/// A file that is copied onto itself keeps its content.
#[test]
fn a_file_copied_onto_itself_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let (from, link) = (dir.path().join("from"), dir.path().join("link"));
    fs::write(&from, b"content").unwrap();
    symlink(&from, &link).unwrap();
    let request = CopyRequest {
        rename_into_place: false,
        ..request(&from, &link)
    };
    assert_eq!(
        run(&request).unwrap_err().kind(),
        io::ErrorKind::InvalidInput
    );
    assert_eq!(fs::read(&from).unwrap(), b"content");
}

/// The longest name there can be is copied: the temporary name does not grow with it.
#[test]
fn the_longest_name_is_copied() {
    let dir = tempfile::tempdir().unwrap();
    let from = dir.path().join("a".repeat(255));
    fs::write(&from, b"content").unwrap();
    let to = dir.path().join("b".repeat(255));
    run(&request(&from, &to)).unwrap();
    assert_eq!(fs::read(&to).unwrap(), b"content");
}

/// A source that is written to, grows or shrinks under the copy is an error of its own, never a success.
#[test]
fn a_source_that_changes_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let from = dir.path().join("from");
    fs::write(&from, vec![1; 100]).unwrap();
    let source = File::open(&from).unwrap();
    let before = source.metadata().unwrap();
    let check =
        || check_whole(&source, &before, &source.metadata().unwrap()).map_err(|error| error.kind());
    assert_eq!(check(), Ok(()));
    fs::write(&from, vec![1; 50]).unwrap();
    assert_eq!(check(), Err(io::ErrorKind::UnexpectedEof));
    fs::write(&from, vec![1; 150]).unwrap();
    assert_eq!(check(), Err(io::ErrorKind::ResourceBusy));
    fs::write(&from, vec![2; 100]).unwrap();
    // Whoever puts the time of the change back cannot do so without a trace.
    let times = copy_meta::times_of(&before).unwrap();
    File::options()
        .write(true)
        .open(&from)
        .and_then(|file| file.set_times(times))
        .unwrap();
    assert_eq!(source.metadata().unwrap().mtime_nsec(), before.mtime_nsec());
    assert_eq!(check(), Err(io::ErrorKind::ResourceBusy));
}

/// What lets others act as owner or group goes only with both.
#[test]
fn bits_of_an_owner_go_only_with_the_owner() {
    let dir = tempfile::tempdir().unwrap();
    let (one, root) = (dir.path().join("one"), fs::metadata("/").unwrap());
    fs::write(&one, b"").unwrap();
    fs::set_permissions(&one, fs::Permissions::from_mode(0o7755)).unwrap();
    let one = fs::metadata(&one).unwrap();
    let (same, root) = (Stat::from(one.clone()), Stat::from(root));
    assert_eq!(copy_meta::mode_for(&one, Some(&same)), 0o7755);
    assert_eq!(copy_meta::mode_for(&one, None), 0o1755);
    let is_same = (one.uid(), one.gid()) == (root.uid, root.gid);
    let expected = if is_same { 0o7755 } else { 0o1755 };
    assert_eq!(copy_meta::mode_for(&one, Some(&root)), expected);
}

/// The look at what is written to tells the same as any other, but for its times.
#[test]
fn what_is_written_to_is_looked_at_without_its_times() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    fs::write(&path, b"content").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o4751)).unwrap();
    for path in [path.as_path(), dir.path(), Path::new("/dev/null")] {
        let file = fs::File::open(path).unwrap();
        let (seen, all) = (copy_meta::look_at(&file).unwrap(), file.metadata().unwrap());
        assert_eq!((seen.mode, seen.size), (all.mode(), all.len()));
        assert_eq!((seen.uid, seen.gid), (all.uid(), all.gid()));
        assert_eq!((seen.dev, seen.ino), (all.dev(), all.ino()));
        assert_eq!((seen.nlink, seen.rdev), (all.nlink(), all.rdev()));
    }
}
