//! Whole files.

use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::time::Duration;

use tidegate::fs::{self, AtomicFile, AtomicOptions, Follow, write_atomic};
use tidegate::opcode::Kind;
use tidegate::testing::Faults;
use tidegate::{Error, Handle, OpExt, Route};
use tokio::io::AsyncWriteExt;

use crate::common;

fn defaults() -> AtomicOptions {
    AtomicOptions::new()
}

/// All names in a folder, sorted.
pub(crate) fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().mode() & 0o7777
}

/// A new file has the umask's mode, a replaced one keeps its own, and one that is asked for is exact; synced or not,
/// of any length, nothing else is left.
#[test]
fn content_comes_whole_with_its_mode() {
    common::on_every_backend(|_| async {
        for sync in [true, false] {
            let dir = tempfile::tempdir().unwrap();
            let plain = dir.path().join("plain");
            std::fs::write(&plain, "").unwrap();
            let usual = mode(&plain);
            let path = dir.path().join("file");
            let options = defaults().sync(sync);
            for (length, kept) in [(0, None), (1, Some(0o640)), (20 << 20, Some(0o400))] {
                let content = vec![length as u8 | 1; length];
                if let Some(kept) = kept {
                    std::fs::set_permissions(&path, PermissionsExt::from_mode(kept)).unwrap();
                }
                write_atomic(&path, content.clone(), options.clone())
                    .await
                    .unwrap();
                assert!(std::fs::read(&path).unwrap() == content, "{length}");
                assert_eq!(mode(&path), kept.unwrap_or(usual), "{length}");
            }
            let exact = options.clone().mode(0o666);
            write_atomic(&path, "exact", exact.clone()).await.unwrap();
            assert_eq!(mode(&path), 0o666);
            assert_eq!(names(dir.path()), ["file", "plain"]);
        }
    });
}

/// Open files keep what they had, hard links too: a name gets another file.
#[test]
fn the_old_file_stays_as_it_was_for_those_who_have_it() {
    common::on_every_backend(|_| async {
        let dir = tempfile::tempdir().unwrap();
        let (path, link) = (dir.path().join("file"), dir.path().join("link"));
        std::fs::write(&path, "old").unwrap();
        std::fs::hard_link(&path, &link).unwrap();
        write_atomic(&path, "new", defaults()).await.unwrap();
        assert_eq!(std::fs::read(&link).unwrap(), b"old");
        assert_eq!(std::fs::read(&path).unwrap(), b"new");
    });
}

/// What is at the path decides: links are followed or replaced, dangling ones are filled; what is no file is left.
#[test]
fn what_is_at_the_path_is_respected() {
    common::on_every_backend(|_| async {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        let at = |name: &str| dir.join(name);
        std::fs::create_dir(at("sub")).unwrap();
        std::fs::write(at("sub/real"), "old").unwrap();
        symlink("sub/real", at("one")).unwrap();
        symlink("one", at("two")).unwrap();
        symlink("sub/new", at("dangling")).unwrap();
        symlink("loop", at("loop")).unwrap();
        write_atomic(at("two"), "through", defaults())
            .await
            .unwrap();
        assert_eq!(std::fs::read(at("sub/real")).unwrap(), b"through");
        assert!(at("one").is_symlink() && at("two").is_symlink());
        write_atomic(at("dangling"), "made", defaults())
            .await
            .unwrap();
        assert_eq!(std::fs::read(at("sub/new")).unwrap(), b"made");
        let replaces = defaults().follow(Follow::No);
        write_atomic(at("two"), "instead", replaces.clone())
            .await
            .unwrap();
        assert!(!at("two").is_symlink());
        assert_eq!(std::fs::read(at("sub/real")).unwrap(), b"through");
        nix::unistd::mkfifo(&at("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        let refused = [
            (at("sub"), ErrorKind::IsADirectory),
            (at("sub/."), ErrorKind::IsADirectory),
            (at("other/"), ErrorKind::IsADirectory),
            (at("fifo"), ErrorKind::InvalidInput),
            (at("none/file"), ErrorKind::NotFound),
            (at("sub/real/file"), ErrorKind::NotADirectory),
            ("".into(), ErrorKind::NotFound),
        ];
        for (path, kind) in refused {
            let error = write_atomic(&path, "x", defaults()).await.unwrap_err();
            assert_eq!(error.kind(), kind, "{path:?}: {error}");
        }
        let looped = write_atomic(at("loop"), "x", defaults()).await;
        assert_eq!(looped.unwrap_err().raw_os_error(), Some(libc_eloop()));
        let new = defaults().create_new(true);
        for path in ["sub/real", "dangling", "loop", "one"] {
            let error = write_atomic(at(path), "x", new.clone()).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::AlreadyExists, "{path}");
        }
        write_atomic(at("fresh"), "x", new.clone()).await.unwrap();
        let left = names(dir).into_iter().chain(names(&at("sub")));
        assert!(!left.into_iter().any(|name| name.ends_with(".tmp")));
    });
}

fn libc_eloop() -> i32 {
    nix::errno::Errno::ELOOP as i32
}

/// Attributes and owner go over if that is asked for, and a set-user-id bit only with its owner.
#[test]
fn what_is_asked_for_is_kept() {
    common::on_every_backend(|_| async {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        std::fs::write(&path, "old").unwrap();
        if fs::set_xattr(&path, "user.kept", "value", Follow::Links)
            .await
            .is_err()
        {
            return eprintln!("skip: what_is_asked_for_is_kept: no extended attributes here");
        }
        let root = common::child::is_root();
        if root {
            std::os::unix::fs::chown(&path, Some(65534), Some(65534)).unwrap();
        }
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o4755)).unwrap();
        let keeps = defaults().keep_owner(true).keep_xattrs(true);
        write_atomic(&path, "new", keeps.clone()).await.unwrap();
        let value = fs::get_xattr(&path, "user.kept", Follow::Links).await;
        assert_eq!(value.unwrap().as_deref(), Some(&b"value"[..]));
        assert_eq!(mode(&path), 0o4755);
        let owner = std::fs::metadata(&path).unwrap().uid();
        assert!(!root || owner == 65534);
        write_atomic(&path, "newer", defaults()).await.unwrap();
        let value = fs::get_xattr(&path, "user.kept", Follow::Links).await;
        assert_eq!(value.unwrap(), None);
        assert_eq!(mode(&path), if root { 0o755 } else { 0o4755 });
    });
}

/// Many at one path: whoever reads it finds one of them whole at any time.
#[test]
fn readers_find_one_of_many_whole() {
    common::on_each_route(|_| async {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        std::fs::write(&path, vec![0; 10_000]).unwrap();
        let options = defaults().sync(false);
        let mut tasks = tokio::task::JoinSet::new();
        for number in 1..=64_u8 {
            let (path, options) = (path.clone(), options.clone());
            tasks.spawn(async move { write_atomic(path, vec![number; 10_000], options).await });
        }
        while let Some(done) = tasks.try_join_next().or(tasks.join_next().await) {
            done.unwrap().unwrap();
            let found = std::fs::read(&path).unwrap();
            assert!(found.len() == 10_000 && found.iter().all(|byte| *byte == found[0]));
        }
        assert_eq!(names(dir.path()), ["file"]);
    });
}

/// Dropped, out of time, failed: before the name is given, the old file stays and nothing is left.
#[test]
fn what_is_given_up_leaves_the_old_file() {
    for route in common::routes() {
        common::runtime(true).block_on(async {
            let faults = Faults::new();
            let builder = Handle::builder().route(route).faults(faults.clone());
            builder.install().unwrap();
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("file");
            std::fs::write(&path, "old").unwrap();
            let stuck = faults.on(Kind::CommitFile).path_is(&path).never();
            let late = write_atomic(&path, "late", defaults());
            let error = late.timeout(Duration::from_millis(5)).await.unwrap_err();
            assert!(matches!(
                Error::from_io(&error),
                Some(Error::TimedOut { .. })
            ));
            let dropped = tokio::spawn({
                let path = path.clone();
                async move { write_atomic(path, "dropped", defaults()).await }
            });
            stuck.wait_hit(2).await;
            dropped.abort();
            assert!(dropped.await.unwrap_err().is_cancelled());
            stuck.release();
            common::until_idle().await;
            let full = faults.on(Kind::CommitFile).path_is(&path).times(1).fail(28);
            let error = write_atomic(&path, "full", defaults()).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::StorageFull);
            assert_eq!(full.hits(), 1);
            assert_eq!(std::fs::read(&path).unwrap(), b"old");
            assert_eq!(names(dir.path()), ["file"]);
            write_atomic(&path, "new", defaults()).await.unwrap();
            assert_eq!(std::fs::read(&path).unwrap(), b"new");
        });
    }
}

/// Futures that are dropped at any poll leave the old content or the new.
#[test]
fn a_drop_at_any_time_leaves_old_or_new() {
    common::on_each_route(|_| async {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        std::fs::write(&path, vec![b'0'; 3000]).unwrap();
        let seed = std::process::id() as u64;
        eprintln!("seed {seed}");
        let mut random = seed | 1;
        for round in 0..300_u32 {
            random = random
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            let content = format!("{round:06}").repeat(500);
            let write = write_atomic(&path, content.into_bytes(), defaults());
            tokio::select! {
                biased;
                done = write => done.unwrap(),
                () = yields(random >> 58) => {}
            }
            let found = std::fs::read_to_string(&path).unwrap();
            assert!(
                found.len() == 3000 && found == found[..6].repeat(500),
                "round {round}"
            );
        }
        common::until_idle().await;
        assert_eq!(names(dir.path()), ["file"]);
    });
}

async fn yields(count: u64) {
    for _ in 0..count * 8 {
        tokio::task::yield_now().await;
    }
}

/// A file that is written in pieces, small or large, owned or through the trait, is what was written; dropped, nothing.
#[test]
fn pieces_come_in_order() {
    common::on_every_backend(|route| async move {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let lengths = [0, 1, 4095, 70_000, 300_000, 5, 1 << 20, 262_144, 262_145, 9];
        let pieces = lengths.iter().enumerate();
        let pieces: Vec<Vec<u8>> = pieces.map(|(n, len)| vec![n as u8 + 1; *len]).collect();
        for count in 0..=pieces.len() {
            let mut file = AtomicFile::new(&path);
            for (number, piece) in pieces[..count].iter().enumerate() {
                if (number + count) % 2 == 0 {
                    file.write(piece.clone()).await.unwrap();
                } else {
                    file.write_all(piece).await.unwrap();
                    file.flush().await.unwrap();
                }
            }
            let expected = pieces[..count].concat();
            assert_eq!(file.bytes(), expected.len() as u64);
            file.commit().await.unwrap();
            assert!(
                std::fs::read(&path).unwrap() == expected,
                "{count} on {route:?}"
            );
            let mut dropped = AtomicFile::new(dir.path().join("dropped"));
            for piece in &pieces[..count] {
                dropped.write(piece.clone()).await.unwrap();
            }
            drop(dropped);
        }
        common::until_idle().await;
        assert_eq!(names(dir.path()), ["file"]);
    });
}

/// The error of a piece that goes to the disk is told by whatever comes next, and the old file stays.
#[test]
fn errors_of_pieces_are_told() {
    for route in [Route::Pool, Route::Auto] {
        common::runtime(true).block_on(async {
            let faults = Faults::new();
            let builder = Handle::builder().route(route).faults(faults.clone());
            builder.install().unwrap();
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("file");
            std::fs::write(&path, "old").unwrap();
            let full = faults.on(Kind::WriteVectored).under(&dir).times(1).fail(28);
            let mut file = AtomicFile::new(&path);
            file.write(vec![1; 1 << 20]).await.unwrap();
            // One piece is on its way while the next is taken.
            while file.write(vec![1; 1 << 20]).await.is_ok() {
                tokio::task::yield_now().await;
            }
            assert!(file.write_all(b"more").await.is_err() && file.flush().await.is_err());
            let error = file.commit().await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::StorageFull);
            assert_eq!(full.hits(), 1);
            assert_eq!(std::fs::read(&path).unwrap(), b"old");
            common::until_idle().await;
            assert_eq!(names(dir.path()), ["file"]);
        });
    }
}
