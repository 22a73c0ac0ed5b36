//! What has no opcode, and several steps on one file, in one hop to a blocking thread.

use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;

use super::file::SharedFile;
use super::locate::locate;
use crate::driver::fence::Fenced;
use crate::driver::op::Op;
use crate::driver::{self, Driver};
use crate::mounts::Mount;
use crate::opcode::Kind;
use crate::sys::fd::{Target, Whereabouts};
use crate::sys::path::c_path;
pub(crate) use crate::sys::removing::remove_dir_all;
use crate::sys::request::{self, Request};
pub(crate) use crate::sys::steps::Steps;

/// A closure as an operation.
struct Hop<T, F> {
    kind: Kind,
    target: Target,
    #[cfg(feature = "testing")]
    besides: Besides,
    /// What it looks at, if that is an open file.
    fenced: Option<Fenced>,
    wants_thread: bool,
    request: request::Hop<T, F>,
}

/// What else it is about, for rules that name paths.
#[cfg(feature = "testing")]
enum Besides {
    File(request::FdRef),
    Nothing,
    Path(std::path::PathBuf),
}

impl<T, F> Op for Hop<T, F>
where
    T: Send + 'static,
    F: FnOnce(&Steps) -> io::Result<T> + Send + 'static,
{
    type Output = io::Result<T>;

    fn kind(&self) -> Kind {
        self.kind
    }

    fn target(&self) -> Target {
        self.target.clone()
    }

    fn request(&mut self) -> &mut dyn Request {
        &mut self.request
    }

    fn fenced(&self) -> Option<Fenced> {
        self.fenced.clone()
    }

    fn wants_thread(&self) -> bool {
        self.wants_thread
    }

    #[cfg(feature = "testing")]
    fn paths(&mut self, paths: &mut request::Paths) {
        self.target
            .given()
            .into_iter()
            .for_each(|path| paths.path(path));
        match &self.besides {
            Besides::File(file) => paths.file(file),
            Besides::Nothing => {}
            Besides::Path(path) => paths.path(path),
        }
    }

    fn finish(self, result: io::Result<i32>) -> io::Result<T> {
        result?;
        let output = self.request.into_output();
        output.ok_or_else(|| io::ErrorKind::BrokenPipe.into())
    }

    fn lost(error: io::Error) -> io::Result<T> {
        Err(error)
    }
}

/// Runs a closure on a blocking thread of the path's mount. Work of several steps asks its
/// [`Steps`] between them whether to go on.
pub(crate) async fn hop<T, F>(kind: Kind, path: &Path, work: F) -> io::Result<T>
where
    T: Send + 'static,
    F: FnOnce(&Steps) -> io::Result<T> + Send + 'static,
{
    let started = start(kind, path, None, work);
    started?.await
}

/// The same for what names no path, on threads that have no other work.
pub(crate) async fn hop_apart<T, F>(kind: Kind, work: F) -> io::Result<T>
where
    T: Send + 'static,
    F: FnOnce(&Steps) -> io::Result<T> + Send + 'static,
{
    let hop = Hop {
        kind,
        target: Target::Nothing,
        #[cfg(feature = "testing")]
        besides: Besides::Nothing,
        fenced: None,
        wants_thread: false,
        request: request::Hop::new(work),
    };
    driver::current()?.start(hop, &Mount::apart()).await
}

/// The same for what goes from one path to another.
pub(crate) async fn hop_between<T, F>(kind: Kind, from: &Path, to: &Path, work: F) -> io::Result<T>
where
    T: Send + 'static,
    F: FnOnce(&Steps) -> io::Result<T> + Send + 'static,
{
    let started = start(kind, from, Some(to), work);
    started?.await
}

fn start<T, F>(
    kind: Kind,
    path: &Path,
    to: Option<&Path>,
    work: F,
) -> io::Result<impl Future<Output = io::Result<T>> + Send + 'static>
where
    T: Send + 'static,
    F: FnOnce(&Steps) -> io::Result<T> + Send + 'static,
{
    let driver = driver::current()?;
    let c_path = c_path(path).map_err(|error| driver.tell(kind, Some(path), error))?;
    let mount = locate(&driver, &c_path, true);
    let hop = Hop {
        kind,
        target: Target::Path(path.to_path_buf()),
        #[cfg(feature = "testing")]
        besides: to.map_or(Besides::Nothing, |to| Besides::Path(to.to_path_buf())),
        fenced: None,
        wants_thread: false,
        request: request::Hop::new(work),
    };
    #[cfg(not(feature = "testing"))]
    let _ = to;
    Ok(driver.start(hop, &mount))
}

/// The same on the threads of a mount that is known.
pub(crate) fn hop_on<T, F>(
    driver: &Arc<Driver>,
    mount: &Arc<Mount>,
    kind: Kind,
    path: &Path,
    work: F,
) -> impl Future<Output = io::Result<T>> + Send + use<T, F>
where
    T: Send + 'static,
    F: FnOnce(&Steps) -> io::Result<T> + Send + 'static,
{
    let hop = Hop {
        kind,
        target: Target::Path(path.to_path_buf()),
        #[cfg(feature = "testing")]
        besides: Besides::Nothing,
        fenced: None,
        wants_thread: false,
        request: request::Hop::new(work),
    };
    driver.start(hop, mount)
}

/// The same for work on many names, on a thread for itself if there may be one more: so many were asked for as get
/// something done.
pub(crate) fn hop_in_work<T, F>(
    driver: &Arc<Driver>,
    mount: &Arc<Mount>,
    kind: Kind,
    target: Arc<dyn Whereabouts>,
    work: F,
) -> impl Future<Output = io::Result<T>> + Send + use<T, F>
where
    T: Send + 'static,
    F: FnOnce(&Steps) -> io::Result<T> + Send + 'static,
{
    let hop = Hop {
        kind,
        target: Target::Moving(target),
        #[cfg(feature = "testing")]
        besides: Besides::Nothing,
        fenced: None,
        wants_thread: true,
        request: request::Hop::new(work),
    };
    driver.start(hop, mount)
}

/// The same for an open file, after the writes that it has accepted.
pub(crate) async fn hop_on_file<T, F>(file: &Arc<SharedFile>, kind: Kind, work: F) -> io::Result<T>
where
    T: Send + 'static,
    F: FnOnce(&Steps) -> io::Result<T> + Send + 'static,
{
    let hop = Hop {
        kind,
        target: Target::file(file.as_fd()),
        #[cfg(feature = "testing")]
        besides: Besides::File(file.clone()),
        fenced: Some(file.health.looks_at_all()),
        wants_thread: false,
        request: request::Hop::new(work),
    };
    file.driver().start(hop, &file.mount()).await
}
