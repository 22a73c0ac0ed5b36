//! A filesystem that took the bytes says with the close that it could not keep them, as one with quotas does.

use std::path::Path;

use tidegate::Route;
use tidegate::fs::{self, CopyFile, File};
use tidegate_rig::{Request, StalledFuse};
use tokio::io::AsyncWriteExt;

use crate::stage::{Outcome, ensure, number, on};

const ERRORS: [i32; 3] = [libc::EDQUOT, libc::ENOSPC, libc::EIO];

/// Everything that writes a file and closes it.
pub(crate) fn are_told(route: Route) -> Outcome {
    let tree = StalledFuse::new()?;
    let source = tempfile::NamedTempFile::new()?;
    std::fs::write(source.path(), vec![7; 100_000])?;
    on(route, |_| async move {
        for errno in ERRORS {
            let guard = tree.fail(errno, &[Request::Flush], "/")?;
            let to = tree.path().join("file");
            let told = [
                number("write", fs::write(&to, "text").await)?,
                number("write of nothing", fs::write(&to, "").await)?,
                number("copy", fs::copy(source.path(), &to).await)?,
                number("CopyFile", CopyFile::new(source.path(), &to).run().await)?,
                number("close", written(&to).await?.close().await)?,
            ];
            ensure(told == [errno; 5], format!("{told:?} for {errno}"))?;
            guard.release()?;
            fs::write(&to, "text").await?;
            ensure(fs::copy(source.path(), &to).await? == 100_000, "a copy")?;
        }
        Ok(())
    })
}

async fn written(path: &Path) -> std::io::Result<File> {
    let mut file = File::create(path).await?;
    file.write_all(b"text").await?;
    file.flush().await?;
    Ok(file)
}

/// What did not arrive whole is not there under the name that it should have, nor under another.
pub(crate) fn leave_no_name(route: Route) -> Outcome {
    let tree = StalledFuse::new()?;
    let source = tempfile::NamedTempFile::new()?;
    std::fs::write(source.path(), vec![7; 100_000])?;
    on(route, |_| async move {
        let guard = tree.fail(libc::EDQUOT, &[Request::Flush], "/")?;
        let to = tree.path().join("file");
        let copy = CopyFile::new(source.path(), &to).rename_into_place(true);
        let told = number("CopyFile", copy.run().await)?;
        ensure(told == libc::EDQUOT, format!("{told}"))?;
        guard.release()?;
        let left: Vec<_> = std::fs::read_dir(tree.backing_path())?.collect();
        ensure(left.is_empty(), format!("{left:?}"))?;
        Ok(())
    })
}
