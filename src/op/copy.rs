//! Copying a file, and the metadata of anything, in one hop each.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::Instant;

use super::hop::hop_between;
use crate::error::{Error, LeftBehind};
use crate::opcode::Kind;
use crate::sys::copy::{self, CopyError, Flow};
use crate::sys::steps::Steps;

pub use crate::sys::copy::{Copied, Preserve, Reflink, Warning};
pub(crate) use crate::sys::copy::{CopyRequest, Holes, Sync};

/// Copies one file; `stop` ends it early, and so does dropping the future.
pub(crate) async fn copy(
    request: CopyRequest,
    stop: Option<Arc<AtomicBool>>,
    progress: Option<Arc<AtomicU64>>,
) -> io::Result<Copied> {
    let (from, to, began) = (request.from.clone(), request.to.clone(), Instant::now());
    let work = move |steps: &Steps| {
        let flow = Flow {
            steps,
            stop: stop.as_deref(),
            progress: progress.as_deref(),
            pulse: None,
        };
        let side = |failed: &CopyError| failed.side.pick(&request.from, &request.to);
        copy::copy_file(&request, &flow).map_err(|failed| match (side(&failed), failed.error) {
            (path, error) if flow.is_stopped() && error.kind() == io::ErrorKind::Interrupted => {
                Error::Cancelled {
                    operation: Some(Kind::CopyFile),
                    path: Some(path),
                    elapsed: began.elapsed(),
                    left: LeftBehind::MayHaveTakenEffect,
                }
                .into()
            }
            (path, error) => Error::io(Kind::CopyFile, Some(&path), error),
        })
    };
    hop_between(Kind::CopyFile, &from, &to, work).await
}

/// Carries all metadata of one path over to another.
pub(crate) async fn copy_metadata(
    from: &Path,
    to: &Path,
    preserve: Preserve,
) -> io::Result<Vec<Warning>> {
    let (source, destination) = (from.to_path_buf(), to.to_path_buf());
    hop_between(Kind::CopyMetadata, from, to, move |_| {
        copy::copy_metadata(&source, &destination, preserve)
    })
    .await
}
