//! Storage that takes a part and no more, or took it and could not keep it: every way of writing says what std says.

use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{SigHandler, Signal, signal};
use tidegate::Route;
use tidegate::fs::{self, CopyFile, File, OpenOptions, Space};
use tidegate_rig::{FsKind, HeldDisk, Request};
use tokio::io::{AsyncSeekExt, AsyncWriteExt};

use crate::stage::{Outcome, ensure, number, on};

const ROOM: usize = 64 << 10;
pub(crate) const TOO_MUCH: usize = 1 << 20;

/// A small filesystem in memory.
struct Small(tempfile::TempDir);

impl Small {
    fn new() -> std::io::Result<Small> {
        let dir = tempfile::tempdir()?;
        let none = Some("none");
        let options = format!("size={ROOM}");
        mount(
            none,
            dir.path(),
            Some("tmpfs"),
            MsFlags::empty(),
            Some(options.as_str()),
        )?;
        Ok(Small(dir))
    }

    fn set_read_only(&self, read_only: bool) -> nix::Result<()> {
        let flags = match read_only {
            true => MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY,
            false => MsFlags::MS_REMOUNT,
        };
        mount(
            None::<&str>,
            self.0.path(),
            None::<&str>,
            flags,
            None::<&str>,
        )
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = umount2(self.0.path(), MntFlags::MNT_DETACH);
    }
}

/// No file may get longer than the room here, until it is dropped; and nobody is killed for trying.
struct Limit(u64, SigHandler);

impl Limit {
    fn new() -> nix::Result<Limit> {
        // SAFETY: nothing is called in a handler.
        let before = unsafe { signal(Signal::SIGXFSZ, SigHandler::SigIgn)? };
        let (soft, hard) = getrlimit(Resource::RLIMIT_FSIZE)?;
        setrlimit(Resource::RLIMIT_FSIZE, ROOM as u64, hard)?;
        Ok(Limit(soft, before))
    }
}

impl Drop for Limit {
    fn drop(&mut self) {
        let (_, hard) = getrlimit(Resource::RLIMIT_FSIZE).unwrap();
        setrlimit(Resource::RLIMIT_FSIZE, self.0, hard).unwrap();
        // SAFETY: as it was before.
        unsafe { signal(Signal::SIGXFSZ, self.1).unwrap() };
    }
}

async fn filled(path: &Path, bytes: usize) -> std::io::Result<File> {
    let mut file = File::create(path).await?;
    file.write_all(&vec![7; bytes]).await?;
    Ok(file)
}

/// A write that was accepted, and then this; both have to come out.
async fn then_told(path: &Path, last: &str) -> std::io::Result<()> {
    let mut file = filled(path, TOO_MUCH).await?;
    match last {
        "flush" => file.flush().await,
        "shutdown" => file.shutdown().await,
        "sync_all" => file.sync_all().await,
        "sync_data" => file.sync_data().await,
        "close" => file.close().await,
        "set_len, flush" => {
            let _ = file.set_len(5).await;
            file.flush().await
        }
        "metadata, flush" => {
            let _ = file.metadata().await;
            file.flush().await
        }
        "seek, flush" => {
            let _ = file.rewind().await;
            file.flush().await
        }
        "write, flush" => {
            let again = file.write_all(b"more").await;
            again.and(file.flush().await)
        }
        "clone, sync" => {
            // Told to the cursor as it was, and to others as a loss, of the same kind and number within.
            let told = file.try_clone().await?.sync_all().await;
            let number = told.as_ref().err().and_then(tidegate::raw_os_error);
            number.map_or(told, |number| {
                Err(std::io::Error::from_raw_os_error(number))
            })
        }
        _ => unreachable!(),
    }
}

const LAST: [&str; 10] = [
    "flush",
    "shutdown",
    "sync_all",
    "sync_data",
    "close",
    "set_len, flush",
    "metadata, flush",
    "seek, flush",
    "write, flush",
    "clone, sync",
];

/// Without the file, and with its room: that of some filesystems is free again once it is written down.
fn emptied(path: &Path) {
    let _ = std::fs::remove_file(path);
    if let Ok(dir) = std::fs::File::open(path.parent().unwrap()) {
        let _ = nix::unistd::syncfs(&dir);
    }
}

/// What every way of writing too much came to.
pub(crate) async fn every_way(dir: &Path, source: &Path) -> Result<Vec<(String, i32)>, String> {
    let too_much = vec![7; TOO_MUCH];
    let to = dir.join("file");
    let fresh = || async {
        emptied(&to);
        File::create(&to).await.map_err(|error| error.to_string())
    };
    let mut told = Vec::new();
    for last in LAST {
        told.push((last.to_owned(), number(last, then_told(&to, last).await)?));
        emptied(&to);
    }
    let mut tell = |what: &str, result| -> Result<(), String> {
        told.push((what.to_owned(), number(what, result)?));
        Ok(())
    };
    tell("write", fs::write(&to, &too_much).await)?;
    emptied(&to);
    tell("copy", fs::copy(source, &to).await.map(drop))?;
    emptied(&to);
    let copy = CopyFile::new(source, &to).run().await;
    tell("CopyFile", copy.map(drop))?;
    let written = fresh().await?.write_all_at(too_much.clone(), 0).await;
    tell("write_all_at", written.map(drop).map_err(Into::into))?;
    let parts = vec![vec![7; ROOM / 2]; TOO_MUCH / ROOM * 2];
    let written = fresh().await?.writev_all_at(parts, 0).await;
    tell("writev_all_at", written.map(drop).map_err(Into::into))?;
    let allocated = fresh()
        .await?
        .allocate(0, TOO_MUCH as u64, Space::ReserveExtend);
    tell("allocate", allocated.await)?;
    let mut file = fresh().await?;
    let copied = tokio::io::copy(&mut too_much.as_slice(), &mut file).await;
    tell("tokio's copy", copied.map(drop).and(file.flush().await))?;
    Ok(told)
}

/// The disk is full, or the file as long as it may be.
pub(crate) fn of_too_much_is_told(route: Route) -> Outcome {
    let source = tempfile::NamedTempFile::new()?;
    std::fs::write(source.path(), vec![7; TOO_MUCH])?;
    let small = Small::new()?;
    let elsewhere = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    on(route, |_| async move {
        let full = every_way(small.0.path(), source.path()).await?;
        let wrong: Vec<_> = full
            .iter()
            .filter(|(_, told)| *told != libc::ENOSPC)
            .collect();
        ensure(wrong.is_empty(), format!("of a full disk: {wrong:?}"))?;
        // Of a part is told that it is one.
        std::fs::remove_file(small.0.path().join("file"))?;
        let file = File::create(small.0.path().join("part")).await?;
        let (count, _) = file.write_at(vec![7; TOO_MUCH], 0).await?;
        ensure(count <= ROOM, format!("{count} bytes of {ROOM}"))?;
        ensure(
            file.metadata().await?.len() == count as u64,
            "as long as was told",
        )?;

        let limit = Limit::new()?;
        let std_s = std::fs::File::create(elsewhere.path().join("std"))?;
        let std_s = std_s.write_all_at(&vec![7; TOO_MUCH], 0);
        ensure(
            std_s.unwrap_err().raw_os_error() == Some(libc::EFBIG),
            "std",
        )?;
        let long = every_way(elsewhere.path(), source.path()).await?;
        let len = File::create(elsewhere.path().join("len")).await?;
        let len = number("set_len", len.set_len(TOO_MUCH as u64).await)?;
        drop(limit);
        let wrong: Vec<_> = long
            .iter()
            .filter(|(_, told)| *told != libc::EFBIG)
            .collect();
        ensure(wrong.is_empty(), format!("of a long file: {wrong:?}"))?;
        ensure(len == libc::EFBIG, format!("set_len: {len}"))?;
        Ok(())
    })
}

/// Nothing is changed where nothing may be.
pub(crate) fn of_what_is_read_only_is_told(route: Route) -> Outcome {
    let small = Small::new()?;
    let at = |name: &str| -> PathBuf { small.0.path().join(name) };
    std::fs::write(at("file"), "text")?;
    std::fs::create_dir(at("dir"))?;
    small.set_read_only(true)?;
    let outcome = on(route, |_| async {
        let permissions = std::fs::metadata(at("file"))?.permissions();
        let told = [
            ("write", fs::write(at("file"), "x").await),
            ("a new one", fs::write(at("new"), "x").await),
            ("create_dir", fs::create_dir(at("new")).await),
            ("create_dir_all", fs::create_dir_all(at("new/er")).await),
            ("rename", fs::rename(at("file"), at("new")).await),
            ("remove_file", fs::remove_file(at("file")).await),
            ("remove_dir", fs::remove_dir(at("dir")).await),
            ("remove_dir_all", fs::remove_dir_all(at("dir")).await),
            ("hard_link", fs::hard_link(at("file"), at("new")).await),
            ("symlink", fs::symlink("file", at("new")).await),
            (
                "permissions",
                fs::set_permissions(at("file"), permissions).await,
            ),
            ("copy", fs::copy(at("file"), at("new")).await.map(drop)),
            (
                "open",
                OpenOptions::new()
                    .append(true)
                    .open(at("file"))
                    .await
                    .map(drop),
            ),
        ];
        for (what, result) in told {
            let told = number(what, result)?;
            ensure(told == libc::EROFS, format!("{what}: {told}"))?;
        }
        // What is there already is there, as with std.
        fs::create_dir_all(at("dir")).await?;
        ensure(fs::read(at("file")).await? == b"text", "what is there")?;
        Ok(())
    });
    small.set_read_only(false)?;
    outcome
}

/// The cache took it, and the disk does not: a sync says so, as often as it is asked.
pub(crate) fn of_what_the_disk_lost_is_told(route: Route) -> Outcome {
    for kind in [FsKind::Ext4, FsKind::Xfs, FsKind::Btrfs] {
        for lost in [libc::EIO, libc::ENOSPC] {
            let disk = HeldDisk::new(kind, kind.size_bytes_min())?;
            on(route, |_| async {
                let path = disk.path().join("file");
                let mut file = filled(&path, TOO_MUCH).await?;
                file.flush().await?;
                let guard = disk.fail(lost, &[Request::Write])?;
                let first = number("sync_all", file.sync_all().await)?;
                let name = kind.name();
                ensure(
                    [libc::EIO, libc::ENOSPC].contains(&first),
                    format!("{name}: {first} for {lost}"),
                )?;
                for _ in 0..2 {
                    ensure(
                        file.sync_data().await.is_err(),
                        format!("{name}: said once"),
                    )?;
                }
                ensure(
                    file.try_clone().await?.sync_all().await.is_err(),
                    format!("{name}: a clone"),
                )?;
                guard.release()?;
                ensure(
                    file.sync_all().await.is_err(),
                    format!("{name}: until acknowledged"),
                )?;
                ensure(
                    file.acknowledge().is_some(),
                    format!("{name}: to be acknowledged"),
                )?;
                Ok(())
            })?;
        }
    }
    Ok(())
}

/// Others make and remove the same tree, which is neither an error nor a success without a tree.
pub(crate) fn of_the_same_folders_is_none(route: Route) -> Outcome {
    let dir = tempfile::tempdir()?;
    on(route, |_| async move {
        for round in 0..50 {
            let path = dir.path().join(format!("{round}/a/b/c/d"));
            let other = path.clone();
            let theirs = tokio::task::spawn_blocking(move || std::fs::create_dir_all(other));
            let ours = fs::create_dir_all(&path);
            let more = fs::create_dir_all(&path);
            let (theirs, ours, more) = tokio::join!(theirs, ours, more);
            theirs.map_err(|error| error.to_string())??;
            ours.and(more)?;
            ensure(path.is_dir(), "a folder")?;
        }
        let mut file = std::fs::File::create(dir.path().join("file"))?;
        file.write_all(b"text")?;
        for below in ["file", "file/a", "file/a/b"] {
            let path = dir.path().join(below);
            let ours = number(below, fs::create_dir_all(&path).await)?;
            let std_s = number(below, std::fs::create_dir_all(&path))?;
            ensure(ours == std_s, format!("{below}: {ours}, with std {std_s}"))?;
        }
        Ok(())
    })
}
