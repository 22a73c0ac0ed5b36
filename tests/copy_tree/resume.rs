//! What a copy that was killed has left is gone on with where it is right, and never trusted.

use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use tidegate::fs::{CopyTree, TreeEvent};

use crate::{all, assert_same, paths, run};

const MIB: u64 = 1 << 20;

/// The name that a copy gives to a file until it is whole.
fn temporary(of: &Path) -> String {
    let name = of.file_name().unwrap().as_bytes();
    let sum = name.iter().fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| {
        (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!(".tidegate-{sum:016x}-0123456789abcdef.tmp")
}

fn leave(to: &Path, name: &str, content: &[u8]) -> PathBuf {
    let path = to.join(temporary(Path::new(name)));
    fs::write(&path, content).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    path
}

fn content(length: u64) -> Vec<u8> {
    (0..length).map(|at| (at * 31 % 251) as u8 | 1).collect()
}

fn is_clean(root: &Path) -> bool {
    let is_temporary = |path: &PathBuf| path.to_string_lossy().contains(".tidegate-");
    !paths(root).iter().any(is_temporary)
}

/// Copies, and tells how much was reused.
fn reused(copy: CopyTree) -> u64 {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let (mut copying, mut reused) = (copy.start(), 0);
        while let Some(event) = copying.next_event().await {
            match event {
                TreeEvent::Copied(copied) => reused += copied.reused_bytes,
                other => panic!("{other:?}"),
            }
        }
        reused
    })
}

/// Whatever a part has in it, the copy is the same as its source, and what was right is not written again.
#[test]
fn a_part_is_gone_on_with_where_it_is_right() {
    let whole = content(3 * MIB + 5);
    let with = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut part = whole.clone();
        change(&mut part);
        part
    };
    let cases: [(&str, Vec<u8>, u64); 9] = [
        ("all of it", whole.clone(), 3 * MIB + 5),
        (
            "half of it",
            with(&|part| part.truncate(MIB as usize * 2)),
            2 * MIB,
        ),
        (
            "an odd part",
            with(&|part| part.truncate(MIB as usize + 7)),
            MIB + 7,
        ),
        (
            "the beginning is wrong",
            with(&|part| part[0] ^= 1),
            2 * MIB + 5,
        ),
        (
            "the middle is wrong",
            with(&|part| part[MIB as usize * 3 / 2] ^= 1),
            2 * MIB + 5,
        ),
        (
            "the last byte is wrong",
            with(&|part| *part.last_mut().unwrap() ^= 1),
            3 * MIB,
        ),
        (
            "too long",
            with(&|part| part.extend([1; 5000])),
            3 * MIB + 5,
        ),
        (
            "the size is right, and nothing else",
            vec![0; whole.len()],
            0,
        ),
        ("small", with(&|part| part.truncate(9)), 0),
    ];
    for (case, part, expected) in cases {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        fs::create_dir(&from).unwrap();
        fs::write(from.join("large"), &whole).unwrap();
        fs::create_dir(&to).unwrap();
        leave(&to, "large", &part);
        leave(&to, "vanished", &whole);
        assert_eq!(reused(all(&from, &to).resume(true)), expected, "{case}");
        assert_same(&from, &to);
        assert!(is_clean(&to), "{case}");
    }
}

/// The same of a file with holes, which stay holes: what a part has where the source has nothing is gone.
#[test]
fn holes_are_holes_in_what_is_gone_on_with() {
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("from"), dir.path().join("to"));
    fs::create_dir(&from).unwrap();
    let sparse = fs::File::create(from.join("sparse")).unwrap();
    sparse.set_len(16 * MIB).unwrap();
    for at in [1, 6, 13] {
        sparse.write_all_at(&content(MIB), at * MIB).unwrap();
    }
    if sparse.metadata().unwrap().blocks() * 512 > 8 * MIB {
        println!("skip: holes_are_holes_in_what_is_gone_on_with: the filesystem makes no holes");
        return;
    }
    for length in [3, 8, 10, 15, 16, 20] {
        let _ = fs::remove_dir_all(&to);
        fs::create_dir(&to).unwrap();
        let part = leave(&to, "sparse", &vec![7; (length * MIB) as usize]);
        let file = fs::File::options().write(true).open(part).unwrap();
        file.write_all_at(&content(MIB), MIB).unwrap();
        assert_eq!(reused(all(&from, &to).resume(true)), MIB, "{length}");
        assert_same(&from, &to);
        let made = fs::metadata(to.join("sparse")).unwrap();
        assert!(
            made.blocks() * 512 <= 4 * MIB,
            "{length}: {}",
            made.blocks()
        );
        assert!(is_clean(&to));
    }
}

/// A part that somebody else may have put there, or may have open, is not written to, whatever it leads to.
#[test]
fn what_may_be_anothers_is_not_gone_on_with() {
    let whole = content(MIB);
    type Plant<'a> = &'a dyn Fn(&Path, &Path);
    let name = temporary(Path::new("large"));
    let cases: [(&str, Plant<'_>); 6] = [
        ("a link", &|to, outside| {
            symlink(outside, to.join(&name)).unwrap()
        }),
        ("another name", &|to, outside| {
            fs::hard_link(outside, to.join(&name)).unwrap()
        }),
        ("others may read it", &|to, _| {
            let part = leave(to, "large", &whole);
            fs::set_permissions(part, fs::Permissions::from_mode(0o644)).unwrap();
        }),
        ("others may write into the directory", &|to, _| {
            leave(to, "large", &whole);
            fs::set_permissions(to, fs::Permissions::from_mode(0o777)).unwrap();
        }),
        ("a FIFO", &|to, _| {
            let mode = nix::sys::stat::Mode::from_bits_truncate(0o600);
            nix::unistd::mkfifo(&to.join(&name), mode).unwrap();
        }),
        ("another's", &|to, _| {
            let part = leave(to, "large", &whole);
            if nix::unistd::geteuid().is_root() {
                std::os::unix::fs::chown(part, Some(12345), None).unwrap();
            } else {
                fs::remove_file(part).unwrap();
            }
        }),
    ];
    for (case, plant) in cases {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir(at("from")).unwrap();
        fs::write(at("from/large"), &whole).unwrap();
        fs::create_dir(at("to")).unwrap();
        fs::write(at("outside"), vec![9; MIB as usize]).unwrap();
        fs::set_permissions(at("outside"), fs::Permissions::from_mode(0o600)).unwrap();
        plant(&at("to"), &at("outside"));
        assert_eq!(
            reused(all(&at("from"), &at("to")).resume(true)),
            0,
            "{case}"
        );
        assert_same(&at("from"), &at("to"));
        assert!(is_clean(&at("to")), "{case}");
        assert!(
            fs::read(at("outside")).unwrap() == vec![9; MIB as usize],
            "{case}"
        );
    }
}

/// What another copy has in work is left alone, and all is copied anew.
#[test]
fn what_another_copy_has_in_work_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("from"), dir.path().join("to"));
    fs::create_dir(&from).unwrap();
    fs::write(from.join("large"), content(MIB)).unwrap();
    fs::create_dir(&to).unwrap();
    let part = leave(&to, "large", &content(MIB));
    let other = fs::File::open(&to).unwrap();
    // SAFETY: the descriptor is open.
    let locked = unsafe { libc::flock(other.as_raw_fd(), libc::LOCK_SH) };
    assert_eq!(locked, 0);
    assert_eq!(reused(all(&from, &to).resume(true)), 0);
    assert!(fs::read(to.join("large")).unwrap() == content(MIB));
    assert!(fs::read(&part).unwrap() == content(MIB));
    drop(other);
    run(all(&from, &to).resume(true));
    assert_same(&from, &to);
    assert!(is_clean(&to));
}

/// A single file has its part beside it, and what belongs to others there stays.
#[test]
fn a_single_file_is_gone_on_with() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    fs::write(at("from"), content(2 * MIB)).unwrap();
    fs::create_dir(at("into")).unwrap();
    leave(&at("into"), "to", &content(MIB));
    let other = leave(&at("into"), "other", &content(MIB));
    assert_eq!(reused(all(&at("from"), &at("into/to")).resume(true)), MIB);
    assert!(fs::read(at("into/to")).unwrap() == content(2 * MIB));
    assert!(other.exists() && paths(&at("into")).len() == 2);
}

/// A file is whole if all of it is the same: neither by its size nor by its times. What is whole is not made again.
#[test]
fn what_is_whole_stays_and_what_is_not_does_not() {
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("from"), dir.path().join("to"));
    super::everything(&from);
    run(all(&from, &to));
    let node = |path: &str| to.join(path).symlink_metadata().unwrap().ino();
    let before = [node("large"), node("deep/file-200")];
    let again = run(all(&from, &to).resume(true));
    assert!(again.failed.is_empty(), "{again:?}");
    // One of the three names of a file is kept, and the others are linked to it.
    assert_eq!(again.kept.len(), 302);
    assert_eq!([node("large"), node("deep/file-200")], before);
    assert_same(&from, &to);

    let time = fs::metadata(from.join("large"))
        .unwrap()
        .modified()
        .unwrap();
    let file = fs::File::options()
        .write(true)
        .open(to.join("large"))
        .unwrap();
    file.write_all_at(b"x", 2 * MIB).unwrap();
    file.set_modified(time).unwrap();
    let private = fs::Permissions::from_mode(0o600);
    fs::set_permissions(to.join("deep/file-200"), private).unwrap();
    fs::remove_file(to.join("again")).unwrap();
    fs::hard_link(to.join("deep/file-7"), to.join("deep/file-8-too")).unwrap();
    fs::remove_file(to.join("deep/file-8")).unwrap();
    fs::rename(to.join("deep/file-8-too"), to.join("deep/file-8")).unwrap();
    run(all(&from, &to).resume(true));
    assert_same(&from, &to);
    assert!(node("large") != before[0] && node("deep/file-200") != before[1]);
}
