//! Listings that fail in the middle, and files that grow and shrink while they are read.

use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::TryStreamExt;
use tidegate::Route;
use tidegate::fs::{self, CopyFile, Dir, File, WalkDir};
use tidegate_rig::{Request, StalledFuse};
use tokio::io::AsyncReadExt;

use crate::common::kernel;
use crate::stage::{Outcome, ensure, number, on};

/// More than any listing asks for at a time.
const ENTRIES: usize = 4000;

/// Takes all that comes, the first one before the server fails; how many, and the error.
async fn listed(
    tree: &StalledFuse,
    way: &str,
    dir: &Path,
) -> Result<(usize, io::Result<()>), Box<dyn std::error::Error>> {
    let fail = || tree.fail(libc::EIO, &[Request::Readdir], "/dir");
    let mut count = 1;
    let result = match way {
        "read_dir" => {
            let mut entries = fs::read_dir(dir).await?;
            ensure(entries.next_entry().await?.is_some(), "the first")?;
            let _failing = fail()?;
            loop {
                match entries.next_entry().await {
                    Ok(Some(_)) => count += 1,
                    end => break end.map(drop),
                }
            }
        }
        "Dir::read_dir" => {
            let mut entries = Dir::open(dir).await?.read_dir().await?;
            ensure(entries.next_entry().await?.is_some(), "the first")?;
            let _failing = fail()?;
            loop {
                match entries.next_entry().await {
                    Ok(Some(_)) => count += 1,
                    end => break end.map(drop),
                }
            }
        }
        "walk" => {
            let mut walk = WalkDir::new(dir).walk();
            let first = walk.try_next().await;
            ensure(first.is_ok_and(|first| first.is_some()), "the first")?;
            let _failing = fail()?;
            loop {
                match walk.try_next().await {
                    Ok(Some(_)) => count += 1,
                    Ok(None) => break Ok(()),
                    Err(error) => {
                        let number = error.io_error().raw_os_error();
                        let error = io::Error::from(error);
                        ensure(tidegate::raw_os_error(&error) == number, "its number")?;
                        break Err(io::Error::from_raw_os_error(number.unwrap_or(0)));
                    }
                }
            }
        }
        "remove_dir_all" => {
            let _failing = fail()?;
            count = 0;
            fs::remove_dir_all(dir).await
        }
        _ => unreachable!(),
    };
    Ok((count, result))
}

/// An error in the middle is one, and not the end.
pub(crate) fn that_fail_are_told(route: Route) -> Outcome {
    let tree = StalledFuse::new()?;
    let behind = tree.backing_path().join("dir");
    std::fs::create_dir(&behind)?;
    for index in 0..ENTRIES {
        std::fs::write(behind.join(format!("a-name-of-some-length-{index}")), "")?;
    }
    let dir = tree.path().join("dir");
    on(route, |_| async {
        for way in ["read_dir", "Dir::read_dir", "walk", "remove_dir_all"] {
            let (count, result) = listed(&tree, way, &dir)
                .await
                .map_err(|error| error.to_string())?;
            tree.release()?;
            // What was read before is handed out; all may have been, before the server failed.
            if count >= ENTRIES {
                println!("skip: listings_that_fail_are_told, {way}: all was read at once");
                continue;
            }
            let told = number(&format!("{way} after {count}"), result)?;
            ensure(told == libc::EIO, format!("{way}: {told} after {count}"))?;
        }
        let left = std::fs::read_dir(&behind)?.count();
        ensure(left == ENTRIES, format!("{left} are left"))?;
        Ok(())
    })
}

/// What stands at each place of the file, for as long as it is.
fn content(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at / 7 % 251) as u8).collect()
}

/// Changes the length of a file again and again, until the test is over.
struct Changing(
    std::sync::Arc<AtomicBool>,
    Option<std::thread::JoinHandle<()>>,
);

impl Changing {
    /// Appends up to so much, and begins anew, or cuts off.
    fn start(path: &Path, most: usize, shrinks: bool) -> io::Result<Changing> {
        let file = std::fs::File::options().write(true).open(path)?;
        let is_over = std::sync::Arc::new(AtomicBool::new(false));
        let (over, all) = (is_over.clone(), content(most));
        let change = move || {
            let mut length = file.metadata().unwrap().len() as usize;
            let mut step = 1;
            while !over.load(Ordering::Relaxed) {
                step = step * 5 % 70_001;
                let end = (length + step).min(most);
                file.write_all_at(&all[length..end], length as u64).unwrap();
                length = end;
                if length == most {
                    if !shrinks {
                        return;
                    }
                    length = step % 3000;
                    file.set_len(length as u64).unwrap();
                }
            }
        };
        Ok(Changing(is_over, Some(std::thread::spawn(change))))
    }
}

impl Drop for Changing {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
        let ended = self.1.take().map(|thread| thread.join());
        assert!(
            ended.is_none_or(|ended| ended.is_ok()),
            "it changed to the end"
        );
    }
}

/// Whatever the moment, what comes is a beginning of the file, and as long as was said.
pub(crate) fn of_what_changes_its_size_are_beginnings(route: Route) -> Outcome {
    const MOST: usize = 8 << 20;
    let all = content(MOST);
    let is_beginning = |what: &str, found: &[u8]| {
        let text = format!("{what}: {} bytes are no beginning", found.len());
        ensure(all.starts_with(found), text)
    };
    let changed = [io::ErrorKind::ResourceBusy, io::ErrorKind::UnexpectedEof];
    on(route, |_| async {
        let dir = tempfile::tempdir()?;
        for (first, shrinks) in [(0, false), (10, true), (100_000, false), (3 << 20, true)] {
            let (path, to) = (dir.path().join("file"), dir.path().join("to"));
            std::fs::write(&path, content(first))?;
            let changing = Changing::start(&path, MOST, shrinks)?;
            for _ in 0..15 {
                let read = fs::read(&path).await?;
                is_beginning("read", &read)?;
                let mut by_cursor = Vec::new();
                File::open(&path).await?.read_to_end(&mut by_cursor).await?;
                let stream = File::open(&path).await?.stream(..);
                let streamed: Vec<_> = stream.try_collect().await?;
                is_beginning("stream", &streamed.concat())?;
                let count = fs::copy(&path, &to).await?;
                let copied = std::fs::read(&to)?;
                ensure(
                    copied.len() as u64 == count,
                    "a copy of another length than it says",
                )?;
                if !shrinks {
                    is_beginning("cursor", &by_cursor)?;
                    is_beginning("copy", &copied)?;
                }
                match CopyFile::new(&path, &to).run().await {
                    Ok(copied) => {
                        let found = std::fs::read(&to)?;
                        ensure(copied.bytes == found.len() as u64, "a length")?;
                        if !shrinks || kernel::release() >= (6, 13) {
                            is_beginning("CopyFile", &found)?;
                        }
                    }
                    Err(error) if changed.contains(&error.kind()) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            drop(changing);
        }
        Ok(())
    })
}
