//! Copying a tree: a walk whose threads copy what they find, between directories that are open on both sides.
//!
//! `docs/design/copy.md` says why it is so.

mod actor;
mod dirs;
mod left;
mod links;
mod temporaries;
mod verify;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};

use super::copy::{CopyRequest, Warning};
use super::statx::Statx;
use super::walk::{Options, Visitor, WalkCall, WalkError, Walking};
use crate::sys::kept_time;
use actor::TreeActor;
pub(crate) use temporaries::Temporaries;

/// What an entry of a copied tree is.
///
/// See [`TreeEvent`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TreeKind {
    /// A directory, told when all that is in it is done.
    Directory,
    /// A FIFO.
    Fifo,
    /// A regular file.
    File,
    /// One more name of a file that was copied under another.
    HardLink,
    /// A symbolic link, copied as one.
    Symlink,
}

/// What a copy of a tree tells of an entry.
///
/// ```
/// # #[tokio::main] async fn main() -> std::io::Result<()> {
/// use tidegate::fs::{self, CopyTree, TreeEvent, TreeKind};
/// # let dir = tempfile::tempdir()?;
/// # let (from, to) = (dir.path().join("from"), dir.path().join("to"));
/// # fs::create_dir(&from).await?;
/// # fs::write(from.join("file"), "text").await?;
/// let mut copying = CopyTree::new(&from, &to).start();
/// let mut files = 0;
/// while let Some(event) = copying.next_event().await {
///     match event {
///         TreeEvent::Copied(copied) if copied.kind == TreeKind::File => files += 1,
///         TreeEvent::Failed(error) => eprintln!("{error}"),
///         _ => {}
///     }
/// }
/// assert_eq!(files, 1);
/// # Ok(()) }
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum TreeEvent {
    /// The destination has it.
    Copied(TreeCopied),
    /// It could not be copied, or not seen; the rest goes on.
    Failed(TreeError),
    /// What is at the destination stays: the path of the source.
    Kept(PathBuf),
    /// What would be copied, where nothing is: the path of the source.
    Planned(PathBuf),
    /// Source and destination were compared, and are the same.
    Verified(TreeCopied),
}

/// An entry that was copied.
///
/// See [`TreeEvent`].
#[derive(Debug)]
#[non_exhaustive]
pub struct TreeCopied {
    /// The source.
    pub path: PathBuf,
    /// What it is.
    pub kind: TreeKind,
    /// Length of a file.
    pub bytes: u64,
    /// The same without its holes.
    pub data_bytes: u64,
    /// Of that, what an earlier copy had left and was found to be right.
    pub reused_bytes: u64,
    /// What of its metadata could not be carried over: the operation and its error.
    pub warnings: Vec<Warning>,
}

/// An entry that was not copied.
///
/// ```
/// # #[tokio::main] async fn main() {
/// use tidegate::fs::{CopyTree, TreeEvent};
/// let mut copying = CopyTree::new("/no/such/tree", "/no/such/copy").start();
/// let Some(TreeEvent::Failed(error)) = copying.next_event().await else { panic!() };
/// assert_eq!(error.error.kind(), std::io::ErrorKind::NotFound);
/// # }
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub struct TreeError {
    /// The source; of what an earlier copy has left, its place at the destination.
    pub path: PathBuf,
    /// What was done with it.
    pub operation: &'static str,
    /// The system's error, or ours.
    pub error: io::Error,
}

impl TreeCopied {
    /// Of what has no content.
    fn of(path: PathBuf, kind: TreeKind) -> TreeCopied {
        TreeCopied {
            path,
            kind,
            bytes: 0,
            data_bytes: 0,
            reused_bytes: 0,
            warnings: Vec::new(),
        }
    }
}

impl std::fmt::Display for TreeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let TreeError {
            path,
            operation,
            error,
        } = self;
        write!(f, "{operation} {}: {error}", path.display())
    }
}

impl std::error::Error for TreeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}

/// Whether a copy is as new as its source, or newer.
pub(crate) fn is_as_new(source: &Statx, copy: &Statx) -> bool {
    let time = |of: &Statx| (of.0.modified.seconds, of.0.modified.nanos.into());
    kept_time::is_as_new(time(source), time(copy))
}

pub(crate) type Keep = Arc<dyn Fn(&Statx, &Statx) -> bool + Send + Sync>;
pub(crate) type Exclude = Arc<dyn Fn(&Path) -> bool + Send + Sync>;

/// What is to be copied, and how.
#[derive(Clone)]
pub(crate) struct TreeRequest {
    /// Each file; its paths are put in as it goes.
    pub(crate) file: CopyRequest,
    /// Whether the disk has the names in a directory before it is told.
    pub(crate) sync_names: bool,
    /// Whether what is at the destination stays.
    pub(crate) keep: Option<Keep>,
    /// What is left out, by its path below the root.
    pub(crate) exclude: Option<Exclude>,
    pub(crate) one_file_system: bool,
    pub(crate) dry_run: bool,
    /// Goes on with what an earlier copy has left.
    pub(crate) resume: bool,
    /// Compares, and copies nothing.
    pub(crate) verify: bool,
    /// Whether a copy may lack attributes of its source, where it is verified.
    pub(crate) may_lack_xattrs: bool,
    pub(crate) threads: Option<usize>,
    pub(crate) stop: Option<Arc<AtomicBool>>,
    pub(crate) progress: Option<Arc<AtomicU64>>,
}

impl TreeRequest {
    /// Whether it only looks.
    fn makes_nothing(&self) -> bool {
        self.dry_run || self.verify
    }
}

/// A copy that goes on.
pub(crate) fn start(request: TreeRequest) -> (Walking<TreeEvent>, Arc<Temporaries>) {
    let options = Options {
        threads: request.threads,
        ..Options::default()
    };
    let temporaries = Arc::<Temporaries>::default();
    let (root, name) = split(&request.file.from);
    let actor = TreeActor::new(request, name, temporaries.clone());
    let visitor = Visitor {
        choose: None,
        make: Box::new(|_| None),
        is_foreign: false,
        actor: Some(Arc::new(actor)),
    };
    (Walking::new(&root, options, visitor), temporaries)
}

/// The directory that a path's last name is in, and the name. What leads through the last name, by a slash at its end
/// or because it has none, is the directory itself. The working directory is no part of paths that do not name it.
fn split(path: &Path) -> (PathBuf, PathBuf) {
    use std::os::unix::ffi::OsStrExt;
    let is_whole = path.as_os_str().as_bytes().ends_with(b"/");
    match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) if !is_whole => {
            let parent = match parent.as_os_str().as_bytes() {
                b"" => Path::new("."),
                b"." => Path::new("./"),
                _ => parent,
            };
            (parent.into(), name.into())
        }
        _ if path == Path::new(".") => (PathBuf::from("./"), PathBuf::from(".")),
        _ => (path.into(), PathBuf::from(".")),
    }
}

/// What a walk could not do, as a copy tells it.
pub(crate) fn told(error: WalkError) -> TreeEvent {
    let operation = match error.call() {
        WalkCall::Stat => "metadata",
        WalkCall::List | WalkCall::Open => "read_dir",
        WalkCall::Enter => "create_dir",
        WalkCall::Leave => "copy_metadata",
        _ => "copy",
    };
    TreeEvent::Failed(TreeError {
        path: error.path().to_path_buf(),
        operation,
        error: error.into_io_error(),
    })
}
