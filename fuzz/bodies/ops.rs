//! A sequence of operations in two directories: in one by this crate, in the other by std. What they
//! answer and what they leave must be the same. The input chooses the backend too.

use std::fs as theirs;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use arbitrary::{Arbitrary, Unstructured};
use tidegate::fs as ours;
use tidegate::{Handle, Route, Submit};
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};

/// Operations of one sequence; what comes after is left out.
const OPERATIONS_MAX: usize = 48;

/// Files that are open at a time.
const SLOTS: usize = 3;

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Backend {
    Auto,
    Inline,
    Isolated,
    Pool,
    Ring,
}

/// Few names, so that operations meet each other.
#[derive(Arbitrary, Clone, Copy, Debug)]
enum Name {
    A,
    B,
    Below,
    Deep,
    Dir,
    DirSlash,
    Empty,
    Inner,
    Long,
    Nul,
    Self_,
}

impl Name {
    fn under(self, root: &Path) -> PathBuf {
        root.join(match self {
            Name::A => "a",
            Name::B => "b",
            Name::Below => "a/below",
            Name::Deep => "d/e/f",
            Name::Dir => "d",
            Name::DirSlash => "d/",
            Name::Empty => return PathBuf::new(),
            Name::Inner => "d/a",
            Name::Long => return root.join("l".repeat(256)),
            Name::Nul => "a\0",
            Name::Self_ => "d/.",
        })
    }
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Offset {
    Far(u8),
    Near(u16),
    Wide(u32),
}

impl Offset {
    /// Within a megabyte, or beyond what a file can have.
    fn get(self) -> u64 {
        match self {
            Offset::Far(below) => u64::MAX - u64::from(below),
            Offset::Near(offset) => u64::from(offset),
            Offset::Wide(offset) => u64::from(offset) % (1 << 20),
        }
    }
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum To {
    Current(i32),
    End(i32),
    Far(i64),
    Start(u16),
}

impl To {
    fn get(self) -> SeekFrom {
        match self {
            To::Current(by) => SeekFrom::Current(i64::from(by % (1 << 20))),
            To::End(by) => SeekFrom::End(i64::from(by % (1 << 20))),
            // Before the start of any file.
            To::Far(by) => SeekFrom::Current(by | i64::MIN),
            To::Start(at) => SeekFrom::Start(u64::from(at)),
        }
    }
}

#[derive(Arbitrary, Clone, Debug)]
enum Operation {
    Canonicalize(Name),
    Close(u8),
    CreateDir(Name),
    CreateDirAll(Name),
    FileMetadata(u8),
    HardLink(Name, Name),
    Metadata(Name),
    Open(u8, Name, [bool; 6]),
    Read(u8, u16),
    ReadAt(u8, u16, Offset),
    ReadDir(Name),
    ReadExactAt(u8, u16, Offset),
    ReadFile(Name),
    ReadLink(Name),
    RemoveDir(Name),
    RemoveDirAll(Name),
    RemoveFile(Name),
    Rename(Name, Name),
    Seek(u8, To),
    SetLen(u8, Offset),
    SetPermissions(Name, u16),
    Symlink(Name, Name),
    SymlinkMetadata(Name),
    Sync(u8),
    Write(u8, u16, u8),
    WriteAllAt(u8, u16, u8, Offset),
    WriteAt(u8, u16, u8, Offset),
    WriteFile(Name, u16, u8),
}

/// What came of an operation: text on success, kind and errno on failure.
type Seen = Result<String, (io::ErrorKind, Option<i32>)>;

fn seen<T>(result: io::Result<T>, show: impl FnOnce(T) -> String) -> Seen {
    match result {
        Ok(value) => Ok(show(value)),
        Err(error) => Err((error.kind(), tidegate::raw_os_error(&error))),
    }
}

fn nothing((): ()) -> String {
    String::new()
}

fn bytes(bytes: &[u8]) -> String {
    // A sum that depends on the order, and the length, are enough to tell two reads apart.
    let sum = bytes.iter().fold(17u64, |sum, &byte| {
        sum.wrapping_mul(31).wrapping_add(u64::from(byte))
    });
    format!("{} bytes, {sum:x}", bytes.len())
}

fn attributes(metadata: &impl MetadataExt) -> String {
    let is_dir = metadata.mode() & 0o170_000 == 0o040_000;
    let size = if is_dir { 0 } else { metadata.size() };
    let (mode, links) = (metadata.mode(), metadata.nlink());
    format!("{mode:o} {links} {size}")
}

/// What both sides have open.
struct Slot {
    ours: ours::File,
    theirs: theirs::File,
    is_dir: bool,
}

struct Sides {
    our_root: PathBuf,
    their_root: PathBuf,
    slots: [Option<Slot>; SLOTS],
}

/// Runs one input, and panics where the sides differ.
pub(crate) fn run(data: &[u8]) {
    let mut input = Unstructured::new(data);
    let Ok(backend) = Backend::arbitrary(&mut input) else {
        return;
    };
    let mut operations = Vec::new();
    while let (false, Ok(operation)) = (input.is_empty(), Operation::arbitrary(&mut input)) {
        operations.push(operation);
        if operations.len() == OPERATIONS_MAX {
            break;
        }
    }
    on(backend, async {
        let dir = tempfile::tempdir().expect("a directory to work in");
        let (our_root, their_root) = (dir.path().join("o"), dir.path().join("t"));
        theirs::create_dir(&our_root).expect("a new directory");
        theirs::create_dir(&their_root).expect("a new directory");
        let mut sides = Sides {
            our_root,
            their_root,
            slots: [const { None }; SLOTS],
        };
        for (index, operation) in operations.iter().enumerate() {
            let (ours, theirs) = sides.step(operation).await;
            assert!(
                equal(&ours, &theirs),
                "operation {index} on {backend:?}: {operation:?}: {ours:?}, and std gives {theirs:?}; all: {operations:?}"
            );
        }
        for slot in &mut sides.slots {
            if let Some(slot) = slot.take() {
                slot.ours.close().await.expect("closed");
            }
        }
        let (ours, theirs) = (tree(&sides.our_root), tree(&sides.their_root));
        assert_eq!(ours, theirs, "on {backend:?} after {operations:?}");
    });
}

/// Releases of std differ in whether options that contradict each other give an errno.
fn equal(ours: &Seen, theirs: &Seen) -> bool {
    const EINVAL: Option<i32> = Some(22);
    match (ours, theirs) {
        (Err((io::ErrorKind::InvalidInput, EINVAL)), Err((io::ErrorKind::InvalidInput, None))) => {
            true
        }
        _ => ours == theirs,
    }
}

/// Runs on a runtime of this thread that is kept, one per backend.
fn on(backend: Backend, work: impl Future<Output = ()>) {
    thread_local! {
        static RUNTIMES: [std::cell::OnceCell<tokio::runtime::Runtime>; 5] =
            const { [const { std::cell::OnceCell::new() }; 5] };
    }
    RUNTIMES.with(|runtimes| {
        let runtime = runtimes[backend as usize].get_or_init(|| start(backend));
        runtime.block_on(work);
    });
}

fn start(backend: Backend) -> tokio::runtime::Runtime {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.expect("a runtime");
    runtime.block_on(async {
        let has_ring = tidegate::probe::report().ring_reason().is_none();
        let (route, submit) = match backend {
            Backend::Auto => (Route::Auto, Submit::Auto),
            Backend::Inline => (Route::Auto, Submit::Inline),
            Backend::Isolated => (Route::Auto, Submit::Isolated),
            Backend::Ring if has_ring => (Route::Ring, Submit::Auto),
            Backend::Pool | Backend::Ring => (Route::Pool, Submit::Auto),
        };
        let builder = Handle::builder().route(route).submit(submit);
        builder.install().expect("the runtime is new");
    });
    runtime
}

impl Sides {
    async fn step(&mut self, operation: &Operation) -> (Seen, Seen) {
        match *operation {
            Operation::Open(slot, name, on) => self.open(slot, name, on).await,
            Operation::Close(slot) => match self.slots[usize::from(slot) % SLOTS].take() {
                Some(slot) => (seen(slot.ours.close().await, nothing), Ok(String::new())),
                None => skipped(),
            },
            Operation::FileMetadata(slot)
            | Operation::Read(slot, _)
            | Operation::ReadAt(slot, ..)
            | Operation::ReadExactAt(slot, ..)
            | Operation::Seek(slot, _)
            | Operation::SetLen(slot, _)
            | Operation::Sync(slot)
            | Operation::Write(slot, ..)
            | Operation::WriteAllAt(slot, ..)
            | Operation::WriteAt(slot, ..) => match &mut self.slots[usize::from(slot) % SLOTS] {
                Some(slot) => slot.step(operation).await,
                None => skipped(),
            },
            _ => self.on_names(operation).await,
        }
    }

    async fn open(&mut self, slot: u8, name: Name, on: [bool; 6]) -> (Seen, Seen) {
        let slot = &mut self.slots[usize::from(slot) % SLOTS];
        if let Some(slot) = slot.take() {
            slot.ours.close().await.expect("closed");
        }
        let mut options = ours::OpenOptions::new();
        options
            .read(on[0])
            .write(on[1])
            .append(on[2])
            .truncate(on[3]);
        options.create(on[4]).create_new(on[5]);
        let ours = options.open(name.under(&self.our_root)).await;
        let mut options = theirs::OpenOptions::new();
        options
            .read(on[0])
            .write(on[1])
            .append(on[2])
            .truncate(on[3]);
        options.create(on[4]).create_new(on[5]);
        let theirs = options.open(name.under(&self.their_root));
        match (ours, theirs) {
            (Ok(ours), Ok(theirs)) => {
                let is_dir = theirs.metadata().is_ok_and(|metadata| metadata.is_dir());
                *slot = Some(Slot {
                    ours,
                    theirs,
                    is_dir,
                });
                skipped()
            }
            (ours, theirs) => (
                seen(ours, |_| "opened".into()),
                seen(theirs, |_| "opened".into()),
            ),
        }
    }

    async fn on_names(&self, operation: &Operation) -> (Seen, Seen) {
        let paths = |name: Name| (name.under(&self.our_root), name.under(&self.their_root));
        macro_rules! both {
            ($name:expr, $function:ident $(, $argument:expr)*; $show:expr) => {{
                let (ours, theirs) = paths($name);
                (
                    seen(ours::$function(ours $(, $argument)*).await, $show),
                    seen(theirs::$function(theirs $(, $argument)*), $show),
                )
            }};
        }
        match *operation {
            Operation::Canonicalize(name) => {
                let (ours, theirs) = paths(name);
                let relative = |path: PathBuf| path.file_name().map(|name| format!("{name:?}"));
                // The name of the root itself is not the same.
                let show = |path: PathBuf| relative(path).filter(|name| name.len() > 3);
                (
                    seen(ours::canonicalize(ours).await, |path| {
                        format!("{:?}", show(path))
                    }),
                    seen(theirs::canonicalize(theirs), |path| {
                        format!("{:?}", show(path))
                    }),
                )
            }
            Operation::CreateDir(name) => both!(name, create_dir; nothing),
            Operation::CreateDirAll(name) => both!(name, create_dir_all; nothing),
            Operation::Metadata(name) => {
                let (ours, theirs) = paths(name);
                (
                    seen(ours::metadata(ours).await, |m| attributes(&m)),
                    seen(theirs::metadata(theirs), |m| attributes(&m)),
                )
            }
            Operation::SymlinkMetadata(name) => {
                let (ours, theirs) = paths(name);
                (
                    seen(ours::symlink_metadata(ours).await, |m| attributes(&m)),
                    seen(theirs::symlink_metadata(theirs), |m| attributes(&m)),
                )
            }
            Operation::ReadDir(name) => {
                let (ours, theirs) = paths(name);
                (listed(ours).await, listed_by_std(theirs))
            }
            Operation::ReadFile(name) => both!(name, read; |read| bytes(&read)),
            Operation::ReadLink(name) => both!(name, read_link; |path| format!("{path:?}")),
            Operation::RemoveDir(name) => both!(name, remove_dir; nothing),
            Operation::RemoveDirAll(name) => both!(name, remove_dir_all; nothing),
            Operation::RemoveFile(name) => both!(name, remove_file; nothing),
            Operation::SetPermissions(name, mode) => {
                // The owner keeps the right to clean up.
                let mode = u32::from(mode) & 0o777 | 0o700;
                let permissions = theirs::Permissions::from_mode(mode);
                both!(name, set_permissions, permissions.clone(); nothing)
            }
            Operation::WriteFile(name, length, byte) => {
                let contents = vec![byte; usize::from(length)];
                both!(name, write, &contents; nothing)
            }
            _ => self.on_pairs(operation).await,
        }
    }

    async fn on_pairs(&self, operation: &Operation) -> (Seen, Seen) {
        let (from, to) = match *operation {
            Operation::HardLink(from, to)
            | Operation::Rename(from, to)
            | Operation::Symlink(from, to) => (from, to),
            _ => unreachable!("all other operations are done elsewhere"),
        };
        let our_to = to.under(&self.our_root);
        let their_to = to.under(&self.their_root);
        let (our_from, their_from) = (from.under(&self.our_root), from.under(&self.their_root));
        match operation {
            Operation::HardLink(..) => (
                seen(ours::hard_link(our_from, our_to).await, nothing),
                seen(theirs::hard_link(their_from, their_to), nothing),
            ),
            Operation::Rename(..) => (
                seen(ours::rename(our_from, our_to).await, nothing),
                seen(theirs::rename(their_from, their_to), nothing),
            ),
            _ => {
                // Relative, so that the links of both sides are the same.
                let target = from.under(Path::new(""));
                let linked = std::os::unix::fs::symlink(&target, their_to);
                (
                    seen(ours::symlink(&target, our_to).await, nothing),
                    seen(linked, nothing),
                )
            }
        }
    }
}

fn skipped() -> (Seen, Seen) {
    (Ok(String::new()), Ok(String::new()))
}

async fn listed(path: PathBuf) -> Seen {
    let read = async {
        let mut entries = ours::read_dir(path).await?;
        let mut names = Vec::new();
        while let Some(entry) = entries.next_entry().await? {
            names.push((entry.file_name(), entry.file_type().await?.is_dir()));
        }
        names.sort();
        Ok(names)
    };
    seen(read.await, |names| format!("{names:?}"))
}

fn listed_by_std(path: PathBuf) -> Seen {
    let read = || {
        let mut names = Vec::new();
        for entry in theirs::read_dir(path)? {
            let entry = entry?;
            names.push((entry.file_name(), entry.file_type()?.is_dir()));
        }
        names.sort();
        Ok(names)
    };
    seen(read(), |names| format!("{names:?}"))
}

impl Slot {
    async fn step(&mut self, operation: &Operation) -> (Seen, Seen) {
        let Slot { ours, theirs, .. } = self;
        match *operation {
            Operation::FileMetadata(_) => (
                seen(ours.metadata().await, |m| attributes(&m)),
                seen(theirs.metadata(), |m| attributes(&m)),
            ),
            Operation::ReadAt(_, length, offset) => {
                let (length, offset) = (usize::from(length), offset.get());
                let read = ours.read_at(vec![1; length], offset).await;
                let mut buf = vec![1; length];
                let count = theirs.read_at(&mut buf, offset);
                (
                    seen(read.map_err(Into::into), |(count, buf)| {
                        format!("{count}, {}", bytes(&buf))
                    }),
                    seen(count, |count| format!("{count}, {}", bytes(&buf))),
                )
            }
            Operation::ReadExactAt(_, length, offset) => {
                let (length, offset) = (usize::from(length), offset.get());
                let read = ours.read_exact_at(vec![1; length], offset).await;
                let mut buf = vec![1; length];
                let filled = theirs.read_exact_at(&mut buf, offset);
                (
                    seen(read.map_err(Into::into), |buf| bytes(&buf)),
                    seen(filled, |()| bytes(&buf)),
                )
            }
            Operation::SetLen(_, length) => (
                seen(ours.set_len(length.get()).await, nothing),
                seen(theirs.set_len(length.get()), nothing),
            ),
            Operation::Sync(_) => (
                seen(ours.sync_data().await, nothing),
                seen(theirs.sync_data(), nothing),
            ),
            Operation::WriteAllAt(_, length, byte, offset) => {
                let buf = vec![byte; usize::from(length)];
                let written = theirs.write_all_at(&buf, offset.get());
                let ours = ours.write_all_at(buf, offset.get()).await;
                (
                    seen(ours.map_err(Into::into), |_| String::new()),
                    seen(written, nothing),
                )
            }
            Operation::WriteAt(_, length, byte, offset) => {
                let buf = vec![byte; usize::from(length)];
                let written = theirs.write_at(&buf, offset.get());
                let ours = ours.write_at(buf, offset.get()).await;
                (
                    seen(ours.map_err(Into::into), |(count, _)| count.to_string()),
                    seen(written, |count| count.to_string()),
                )
            }
            // A directory's cursor counts what its filesystem likes.
            _ if self.is_dir => skipped(),
            _ => self.at_cursor(operation).await,
        }
    }

    async fn at_cursor(&mut self, operation: &Operation) -> (Seen, Seen) {
        let Slot { ours, theirs, .. } = self;
        match *operation {
            Operation::Read(_, length) => {
                // Reading nothing at the cursor asks nobody, as with tokio.
                let length = length.max(1);
                let mut buf = vec![1; usize::from(length)];
                let count = ours.read(&mut buf).await;
                let ours = seen(count, |count| bytes(&buf[..count]));
                let mut buf = vec![1; usize::from(length)];
                let count = theirs.read(&mut buf);
                (ours, seen(count, |count| bytes(&buf[..count])))
            }
            Operation::Seek(_, to) => (
                seen(ours.seek(to.get()).await, |at| at.to_string()),
                seen(theirs.seek(to.get()), |at| at.to_string()),
            ),
            Operation::Write(_, length, byte) => {
                let buf = vec![byte; usize::from(length)];
                let mut written = ours.write_all(&buf).await;
                if written.is_ok() {
                    written = ours.flush().await;
                }
                (
                    seen(written, nothing),
                    seen(theirs.write_all(&buf), nothing),
                )
            }
            _ => unreachable!("all other operations are done elsewhere"),
        }
    }
}

/// Everything below a directory, with attributes and content.
fn tree(root: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    let mut waiting = vec![root.to_path_buf()];
    while let Some(path) = waiting.pop() {
        // A test that removed the root itself removed it on both sides.
        let Ok(metadata) = theirs::symlink_metadata(&path) else {
            continue;
        };
        let name = path.strip_prefix(root).unwrap_or(&path).display();
        let mut line = format!("{name} {}", attributes(&metadata));
        if metadata.is_symlink() {
            line += &format!(" to {:?}", theirs::read_link(&path));
        } else if metadata.is_dir() {
            let entries = theirs::read_dir(&path).into_iter().flatten().flatten();
            waiting.extend(entries.map(|entry| entry.path()));
        } else {
            line += &format!(" {}", bytes(&theirs::read(&path).unwrap_or_default()));
        }
        lines.push(line);
    }
    lines.sort();
    lines
}
