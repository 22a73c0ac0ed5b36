//! What is tried from an open directory.

use std::path::{Path, PathBuf};

use tidegate::fs::{self, Dir, OpenOptions, RenameMode, Resolve};
use tidegate::opcode::Kind;

use crate::case::{Case, Seen, done, on_pairs, one};
use crate::raw_at;
use crate::table::{attributes, shown};
use crate::tree::Place;

/// The cases of an operation that start from a directory; none for those that never do.
pub(crate) fn cases(kind: Kind, place: &Place) -> Vec<Case> {
    match kind {
        Kind::CreateDir => on_names(
            place,
            &[Kind::CreateDir],
            |dir, path| async move { done(dir.create_dir(path).await) },
            |dir, path| done(raw_at::create_dir(dir, path)),
        ),
        Kind::HardLink => on_two(
            place,
            &[Kind::HardLink],
            |dir, original, link| async move { done(dir.hard_link(original, &dir, link).await) },
            |dir, original, link| done(raw_at::hard_link(dir, original, link)),
        ),
        Kind::Open => open(place, Resolve::new(), 0),
        Kind::OpenWithin => within(place),
        Kind::ReadDir => on_names(
            place,
            &[Kind::ReadDir, Kind::Open],
            |dir, path| async move { listed(dir, path).await },
            |dir, path| {
                let opened = raw_at::open(dir, path, libc::O_DIRECTORY, 0)?;
                // Under another name, which is the way to list what is open.
                use std::os::fd::AsRawFd;
                listed_by_std(&format!("/proc/self/fd/{}/.", opened.as_raw_fd()))
            },
        ),
        Kind::ReadLink => on_names(
            place,
            &[Kind::ReadLink],
            |dir, path| async move { shown(dir.read_link(path).await) },
            |dir, path| shown(raw_at::read_link(dir, path)),
        ),
        Kind::RemoveDir => on_names(
            place,
            &[Kind::RemoveDir],
            |dir, path| async move { done(dir.remove_dir(path).await) },
            |dir, path| done(raw_at::remove(dir, path, true)),
        ),
        Kind::RemoveFile => on_names(
            place,
            &[Kind::RemoveFile],
            |dir, path| async move { done(dir.remove_file(path).await) },
            |dir, path| done(raw_at::remove(dir, path, false)),
        ),
        Kind::Rename => renames(place),
        Kind::Statx => on_names(
            place,
            &[Kind::Statx],
            |dir, path| async move { dir.statx(path).await.map(|found| attributes(&found)) },
            raw_at::attributes,
        ),
        Kind::Symlink => on_two(
            place,
            &[Kind::Symlink],
            |dir, original, link| async move { done(dir.symlink(original, link).await) },
            |dir, original, link| done(raw_at::symlink(dir, original, link)),
        ),
        Kind::SyncAll => on_names(
            place,
            &[Kind::SyncAll, Kind::Open],
            |dir, path| async move { done(dir.open_dir(path).await?.sync().await) },
            |dir, path| done(raw_at::open(dir, path, libc::O_DIRECTORY, 0)?.sync_all()),
        ),
        _ => Vec::new(),
    }
}

/// Paths of the tree as they are seen from its root.
fn names(place: &Place) -> Vec<(&'static str, PathBuf)> {
    let mut paths = place.paths();
    for (_, path) in &mut paths {
        if let Ok(below) = path.strip_prefix(&place.access) {
            let slash = path.as_os_str().as_encoded_bytes().ends_with(b"/");
            // A slash at the end is lost to the components, and means something.
            *path = if slash {
                below.join("")
            } else {
                below.to_path_buf()
            };
        }
    }
    paths.push(("upwards", "full/../file".into()));
    paths.push(("out and back", "../tree/file".into()));
    paths.push(("here", ".".into()));
    paths
}

fn openable(place: &Place) -> Vec<(&'static str, PathBuf)> {
    let mut names = names(place);
    names.retain(|(label, _)| *label != "fifo");
    names
}

/// The names that make a difference where two are given.
fn few(place: &Place) -> Vec<(&'static str, PathBuf)> {
    let mut names = names(place);
    let few = [
        "empty",
        "name over the limit",
        "new",
        "file",
        "file/below",
        "dir",
        "full",
        "broken",
        "missing/deeper",
        "with\0nul",
        "frozen/new",
        "here",
    ];
    names.retain(|(label, _)| few.contains(label));
    names
}

async fn opened(path: PathBuf) -> Dir {
    Dir::open(path).await.unwrap()
}

/// An operation from the root of the tree on each name.
fn on_names<F>(
    place: &Place,
    steps: &'static [Kind],
    ours: impl Fn(Dir, PathBuf) -> F + Clone + Send + 'static,
    theirs: impl Fn(&std::fs::File, &Path) -> Seen + Clone + 'static,
) -> Vec<Case>
where
    F: Future<Output = Seen> + Send + 'static,
{
    let case = |(label, path): (&str, PathBuf)| {
        let (ours, theirs, root) = (ours.clone(), theirs.clone(), place.access.clone());
        let (same, known, same_root) = (path.clone(), path.clone(), root.clone());
        one(
            format!("{label:?} from the directory"),
            steps,
            vec![known],
            move || {
                let (ours, root, path) = (ours.clone(), root.clone(), path.clone());
                async move {
                    let dir = opened(root).await;
                    ours(dir, path).await
                }
            },
            move || theirs(&std::fs::File::open(&same_root).unwrap(), &same),
        )
    };
    openable(place).into_iter().map(case).collect()
}

/// An operation from the root of the tree on each pair of names.
fn on_two<F>(
    place: &Place,
    steps: &'static [Kind],
    ours: impl Fn(Dir, PathBuf, PathBuf) -> F + Clone + Send + 'static,
    theirs: impl Fn(&std::fs::File, &Path, &Path) -> Seen + Clone + 'static,
) -> Vec<Case>
where
    F: Future<Output = Seen> + Send + 'static,
{
    let mut cases = Vec::new();
    for (from_label, from) in few(place) {
        for (to_label, to) in few(place) {
            let (ours, theirs, root) = (ours.clone(), theirs.clone(), place.access.clone());
            let (a, b, c, d) = (from.clone(), to.clone(), from.clone(), to.clone());
            let same_root = root.clone();
            cases.push(one(
                format!("{from_label:?} to {to_label:?} from the directory"),
                steps,
                vec![from.clone(), to],
                move || {
                    let (ours, root, from, to) = (ours.clone(), root.clone(), a.clone(), b.clone());
                    async move {
                        let dir = opened(root).await;
                        ours(dir, from, to).await
                    }
                },
                move || theirs(&std::fs::File::open(&same_root).unwrap(), &c, &d),
            ));
        }
    }
    cases
}

fn renames(place: &Place) -> Vec<Case> {
    let mut cases = on_pairs(
        place,
        &[Kind::Rename],
        |from, to| async move { fs::rename_with(from, to, RenameMode::Exchange).await },
        |from, to| {
            let root = std::fs::File::open("/")?;
            raw_at::rename(&root, from, to, RenameMode::Exchange)
        },
    );
    for mode in [
        RenameMode::Exchange,
        RenameMode::NoReplace,
        RenameMode::Replace,
        RenameMode::Whiteout,
    ] {
        let mut more = on_two(
            place,
            &[Kind::Rename],
            move |dir, from, to| async move { done(dir.rename_with(from, &dir, to, mode).await) },
            move |dir, from, to| done(raw_at::rename(dir, from, to, mode)),
        );
        for case in &mut more {
            case.label += &format!(" by {mode:?}");
        }
        cases.extend(more);
    }
    cases
}

/// Each way of opening from the directory: read, write, create, and further flags.
const OPENINGS: &[(bool, bool, bool, i32)] = &[
    (true, false, false, 0),
    (true, true, false, 0),
    (true, true, true, 0),
    (true, false, false, libc::O_DIRECTORY),
    (true, false, false, libc::O_NOFOLLOW),
    (true, true, false, libc::O_TMPFILE),
    (true, false, false, libc::O_PATH),
];

fn open(place: &Place, resolve: Resolve, flags: u64) -> Vec<Case> {
    let mut cases = Vec::new();
    for &(read, write, create, custom) in OPENINGS {
        let access = if write { libc::O_RDWR } else { libc::O_RDONLY };
        let all = access | custom | if create { libc::O_CREAT } else { 0 };
        let mut more = on_names(
            place,
            &[Kind::Open, Kind::OpenWithin],
            move |dir, path| async move {
                let mut options = OpenOptions::new();
                options.read(read).write(write).create(create).mode(0o640);
                let options = options.custom_flags(custom);
                let file = dir.open_file_within(path, options, resolve).await?;
                Ok(attributes(&file.metadata().await?))
            },
            move |dir, path| {
                let file = raw_at::open(dir, path, all, flags)?;
                Ok(attributes(&file.metadata()?))
            },
        );
        for case in &mut more {
            case.label += &format!(" with {all:#x} within {flags:#x}");
        }
        cases.extend(more);
    }
    cases
}

fn within(place: &Place) -> Vec<Case> {
    let all = [
        (Resolve::new().beneath(), 0x08),
        (Resolve::new().in_root(), 0x10),
        (Resolve::new().no_symlinks(), 0x04),
        (Resolve::new().no_magiclinks().no_xdev(), 0x03),
        (Resolve::new().beneath().in_root(), 0x18),
    ];
    all.into_iter()
        .flat_map(|(resolve, flags)| open(place, resolve, flags))
        .collect()
}

async fn listed(dir: Dir, path: PathBuf) -> Seen {
    let mut entries = dir.open_dir(&path).await?.read_dir().await?;
    let mut seen = Vec::new();
    while let Some(entry) = entries.next_entry().await? {
        seen.push(format!(
            "{:?} {:?}",
            entry.file_name(),
            entry.kind() == Some(fs::FileKind::Directory)
        ));
    }
    seen.sort();
    Ok(seen.join("\n"))
}

fn listed_by_std(path: &str) -> Seen {
    let mut seen = Vec::new();
    for entry in std::fs::read_dir(path)? {
        let entry = entry?;
        seen.push(format!(
            "{:?} {:?}",
            entry.file_name(),
            entry.file_type()?.is_dir()
        ));
    }
    seen.sort();
    Ok(seen.join("\n"))
}
