//! Writes that are to last, where a step of them fails.

use std::path::Path;

use tidegate::Route;
use tidegate::fs::{AppendWriter, AtomicOptions, CommitBatch, FileState, write_atomic};
use tidegate_rig::{Request, StalledFuse};

use crate::stage::{Outcome, ensure, on};

/// The number of the error that must come of it.
fn number<T>(what: &str, result: std::io::Result<T>) -> Result<i32, String> {
    match result {
        Ok(_) => Err(format!("{what} succeeded")),
        Err(error) => {
            tidegate::raw_os_error(&error).ok_or_else(|| format!("{what}: {error:?} has no number"))
        }
    }
}

fn names(dir: &Path) -> std::io::Result<Vec<String>> {
    let entries = std::fs::read_dir(dir)?;
    entries
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect()
}

/// Whatever step fails is told, the old file stays, and nothing else is left.
pub(crate) fn whole_or_not_at_all(route: Route) -> Outcome {
    let tree = StalledFuse::new()?;
    on(route, |_| async move {
        let (path, behind) = (tree.path().join("file"), tree.backing_path().join("file"));
        for replaces in [false, true] {
            let steps = [
                Request::Create,
                Request::Write,
                Request::Setattr,
                Request::Fsync,
                Request::Flush,
                Request::Namespace,
            ];
            for step in steps {
                for errno in [libc::EIO, libc::ENOSPC] {
                    let case = format!("{step:?} fails with {errno}, {replaces}");
                    if replaces {
                        std::fs::write(&behind, "old")?;
                    }
                    let guard = tree.fail(errno, &[step], "/")?;
                    let written = write_atomic(&path, "new", AtomicOptions::new()).await;
                    let batch = CommitBatch::new(AtomicOptions::new());
                    let mut file = batch.begin(&path).await?;
                    file.write("new").await?;
                    let batched = batch.commit(file).await?.await;
                    guard.release()?;
                    // A new file has its attributes from the start.
                    if step == Request::Setattr && !replaces {
                        written?;
                        // The second one has a file to replace.
                        ensure(number(&case, batched)? == errno, case)?;
                        tidegate::fs::remove_file(&path).await?;
                        continue;
                    }
                    let told = [number(&case, written)?, number(&case, batched)?];
                    ensure(told == [errno; 2], format!("{case}: {told:?}"))?;
                    let found = std::fs::read(&behind).ok();
                    let expected = replaces.then(|| b"old".to_vec());
                    ensure(found == expected, format!("{case}: {found:?}"))?;
                    let left = names(tree.backing_path())?;
                    if step == Request::Namespace {
                        // Nor could anything be removed.
                        for name in left.iter().filter(|name| name.ends_with(".tmp")) {
                            std::fs::remove_file(tree.backing_path().join(name))?;
                        }
                        continue;
                    }
                    let is_clean = left.iter().all(|name| name == "file");
                    ensure(is_clean, format!("{case}: {left:?}"))?;
                }
            }
        }
        Ok(())
    })
}

/// A sync that failed once, and succeeds when it is asked again, is no success: the log says so until somebody takes
/// note, and goes on behind what was synced before.
pub(crate) fn logs_tell_of_failed_syncs(route: Route) -> Outcome {
    let tree = StalledFuse::new()?;
    on(route, |_| async move {
        let (path, behind) = (tree.path().join("log"), tree.backing_path().join("log"));
        let log = AppendWriter::open(&path).await?;
        let mut expected = Vec::new();
        for errno in [libc::EIO, libc::ENOSPC, libc::EDQUOT] {
            ensure(
                log.append_sync("kept;").await? == expected.len() as u64,
                "kept",
            )?;
            expected.extend(b"kept;");
            let guard = tree.fail(errno, &[Request::Fsync], "/")?;
            log.append("written;").await?;
            let told = number("append_sync", log.append_sync("lost;").await)?;
            ensure(told == errno, format!("{told}, not {errno}"))?;
            guard.release()?;
            // The kernel would say that all is well now.
            ensure(number("sync", log.sync().await)? == errno, "sync")?;
            ensure(number("append", log.append("x").await)? == errno, "append")?;
            ensure(log.state() == FileState::Poisoned, "the state")?;
            let taken = log.acknowledge().and_then(|error| error.raw_os_error());
            ensure(taken == Some(errno), format!("{taken:?}"))?;
            let end = (log.end(), log.synced());
            let kept = expected.len() as u64;
            ensure(end == (kept, kept), format!("{end:?}, not {kept}"))?;
        }
        for errno in [libc::EIO, libc::ENOSPC] {
            let guard = tree.fail(errno, &[Request::Write], "/")?;
            // The filesystem may only say at the sync that it could not write.
            let told = number("append_sync", log.append_sync("torn;").await)?;
            ensure(told == errno, format!("{told}, not {errno}"))?;
            guard.release()?;
            ensure(number("sync", log.sync().await)? == errno, "sync")?;
            log.acknowledge();
            log.append_sync("good;").await?;
            expected.extend(b"good;");
        }
        log.close().await?;
        let found = std::fs::read(&behind)?;
        ensure(found == expected, String::from_utf8_lossy(&found))?;
        Ok(())
    })
}
