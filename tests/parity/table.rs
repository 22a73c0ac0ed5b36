//! What is tried for each row of the op table.

use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::time::{Duration, SystemTime};

use tidegate::fs::{self, FileTimes, Follow, OpenOptions};
use tidegate::opcode::Kind;

use crate::beyond;
use crate::case::{Case, Seen, bytes, done, on_pairs, on_paths};
use crate::dirs;
use crate::files;
use crate::raw;
use crate::tree::Place;

const UNSEEN: &str = "it does the caller's own work, or nobody sees what it does";

const WALKS: &str = "std has no walk; tests/walk.rs compares with others";

const BEYOND: &str = "std has nothing like it: tests/durable.rs";

/// All cases of an operation, or why it has none; nothing for one that nobody thought of yet.
pub(crate) fn cases(kind: Kind, place: &Place) -> Option<Result<Vec<Case>, &'static str>> {
    let mut cases = match kind {
        Kind::Append | Kind::CommitFile => return Some(Err(BEYOND)),
        Kind::Blocking | Kind::Prefetch => return Some(Err(UNSEEN)),
        Kind::Walk => return Some(Err(WALKS)),
        Kind::CopyFile | Kind::CopyMetadata => copies(kind, place),
        _ if beyond::KINDS.contains(&kind) => beyond::cases(kind, place),
        Kind::OpenWithin => Vec::new(),
        Kind::Allocate
        | Kind::Close
        | Kind::Duplicate
        | Kind::FileMetadata
        | Kind::Read
        | Kind::Seek
        | Kind::SetLen
        | Kind::SyncAll
        | Kind::SyncData
        | Kind::Write => files::cases(kind, place),
        Kind::GetXattr | Kind::ListXattrs | Kind::RemoveXattr | Kind::SetXattr => {
            xattrs(kind, place)
        }
        Kind::Canonicalize => on_paths(
            place.paths(),
            &[Kind::Canonicalize],
            |path| async move { shown(fs::canonicalize(path).await) },
            |path| shown(std::fs::canonicalize(path)),
        ),
        Kind::CreateDir | Kind::CreateDirAll | Kind::RemoveDir | Kind::RemoveDirAll => {
            directories(kind, place)
        }
        Kind::HardLink | Kind::Rename | Kind::Symlink => pairs(kind, place),
        Kind::MakeFifo => make_fifo(place),
        Kind::Metadata | Kind::Statx | Kind::TryExists => metadata(kind, place),
        Kind::Open => open(place),
        Kind::ReadDir => on_paths(
            place.paths(),
            &[Kind::ReadDir],
            |path| async move { listed(path).await },
            listed_by_std,
        ),
        Kind::ReadFile | Kind::ReadSmallFile => read_file(place),
        Kind::ReadLink => on_paths(
            place.paths(),
            &[Kind::ReadLink],
            |path| async move { shown(fs::read_link(path).await) },
            |path| shown(std::fs::read_link(path)),
        ),
        Kind::RemoveFile => on_paths(
            place.paths(),
            &[Kind::RemoveFile],
            |path| async move { done(fs::remove_file(path).await) },
            |path| done(std::fs::remove_file(path)),
        ),
        Kind::SetOwner => owners(place),
        Kind::SetPermissions => permissions(place),
        Kind::SetTimes => times(place),
        Kind::WriteFile => on_paths(
            place.openable(),
            &[Kind::WriteFile, Kind::Open, Kind::Write],
            |path| async move { done(fs::write(path, "new content").await) },
            |path| done(std::fs::write(path, "new content")),
        ),
        _ => return None,
    };
    cases.extend(dirs::cases(kind, place));
    Some(Ok(cases))
}

/// Copies, other than of a file onto itself: std empties it, and this crate refuses.
fn copies(kind: Kind, place: &Place) -> Vec<Case> {
    if kind == Kind::CopyMetadata {
        return on_pairs(
            place,
            &[Kind::CopyMetadata],
            |from, to| async move {
                let copied = fs::copy_metadata(from, to, fs::Preserve::default()).await;
                copied.map(drop)
            },
            |from, to| {
                let from = std::fs::symlink_metadata(from)?;
                let is_link = std::fs::symlink_metadata(to).map(|to| to.is_symlink());
                if let Err(error) = &is_link
                    && error.kind() == std::io::ErrorKind::InvalidInput
                {
                    // What is no path at all.
                    return is_link.map(drop);
                }
                if !from.is_symlink() && is_link.is_ok_and(|is_link| !is_link) {
                    // What cannot be carried over is a warning.
                    let _ = std::fs::set_permissions(to, from.permissions());
                }
                Ok(())
            },
        );
    }
    let mut cases = on_pairs(
        place,
        &[Kind::CopyFile],
        |from, to| async move { fs::copy(from, to).await.map(drop) },
        |from, to| std::fs::copy(from, to).map(drop),
    );
    cases.retain(|case| !case.is_onto_itself());
    cases
}

/// What takes two paths.
fn pairs(kind: Kind, place: &Place) -> Vec<Case> {
    match kind {
        Kind::HardLink => on_pairs(place, &[Kind::HardLink], fs::hard_link, |original, link| {
            std::fs::hard_link(original, link)
        }),
        Kind::Rename => on_pairs(place, &[Kind::Rename], fs::rename, |from, to| {
            std::fs::rename(from, to)
        }),
        _ => on_pairs(place, &[Kind::Symlink], fs::symlink, |original, link| {
            std::os::unix::fs::symlink(original, link)
        }),
    }
}

pub(crate) fn shown(path: io::Result<std::path::PathBuf>) -> Seen {
    path.map(|path| path.display().to_string())
}

fn directories(kind: Kind, place: &Place) -> Vec<Case> {
    let paths = place.paths();
    match kind {
        Kind::CreateDir => on_paths(
            paths,
            &[Kind::CreateDir],
            |path| async move { done(fs::create_dir(path).await) },
            |path| done(std::fs::create_dir(path)),
        ),
        Kind::CreateDirAll => {
            let mut paths = paths;
            paths.push(("several levels", place.access.join("a/b/c/d")));
            paths.push(("below a file", place.access.join("a/../file/c")));
            on_paths(
                paths,
                &[Kind::CreateDirAll],
                |path| async move { done(fs::create_dir_all(path).await) },
                |path| done(std::fs::create_dir_all(path)),
            )
        }
        Kind::RemoveDir => on_paths(
            paths,
            &[Kind::RemoveDir],
            |path| async move { done(fs::remove_dir(path).await) },
            |path| done(std::fs::remove_dir(path)),
        ),
        _ => {
            let mut paths = paths;
            paths.push(("the whole tree", place.access.join("full/../dir")));
            on_paths(
                paths,
                &[Kind::RemoveDirAll],
                |path| async move { done(fs::remove_dir_all(path).await) },
                |path| done(std::fs::remove_dir_all(path)),
            )
        }
    }
}

/// The attributes, less those that a new tree has other values of.
pub(crate) fn attributes(metadata: &impl MetadataExt) -> String {
    let size = if metadata.mode() & libc::S_IFMT == libc::S_IFDIR {
        0
    } else {
        metadata.size()
    };
    let (mode, links, rdev) = (metadata.mode(), metadata.nlink(), metadata.rdev());
    let (uid, gid) = (metadata.uid(), metadata.gid());
    format!("{mode:o} links {links} of {uid}:{gid} device {rdev} size {size}")
}

fn metadata(kind: Kind, place: &Place) -> Vec<Case> {
    let paths = place.paths();
    match kind {
        Kind::Statx => {
            let mut cases = on_paths(
                paths.clone(),
                &[Kind::Statx],
                |path| async move { fs::statx(path).await.map(|m| attributes(&m)) },
                |path| std::fs::metadata(path).map(|m| attributes(&m)),
            );
            cases.extend(on_paths(
                paths,
                &[Kind::Statx],
                |path| async move {
                    let of_links = fs::StatxOptions::new().follow(Follow::No);
                    of_links.path(path).await.map(|m| attributes(&m))
                },
                |path| std::fs::symlink_metadata(path).map(|m| attributes(&m)),
            ));
            cases
        }
        Kind::TryExists => on_paths(
            paths,
            &[Kind::TryExists],
            |path| async move { fs::try_exists(path).await.map(|there| there.to_string()) },
            |path| std::fs::exists(path).map(|there| there.to_string()),
        ),
        _ => {
            let mut cases = on_paths(
                paths.clone(),
                &[Kind::Metadata],
                |path| async move { fs::metadata(path).await.map(|m| attributes(&m)) },
                |path| std::fs::metadata(path).map(|m| attributes(&m)),
            );
            cases.extend(on_paths(
                paths,
                &[Kind::Metadata],
                |path| async move { fs::symlink_metadata(path).await.map(|m| attributes(&m)) },
                |path| std::fs::symlink_metadata(path).map(|m| attributes(&m)),
            ));
            cases
        }
    }
}

/// Which switches are on: read, write, append, truncate, create, create_new; and further flags.
const OPENINGS: &[([bool; 6], i32)] = &[
    ([true, false, false, false, false, false], 0),
    ([false, true, false, false, false, false], 0),
    ([true, true, false, false, false, false], 0),
    ([false, false, true, false, false, false], 0),
    ([false, true, false, true, false, false], 0),
    ([false, true, false, false, true, false], 0),
    ([true, true, false, true, true, false], 0),
    ([true, true, false, false, false, true], 0),
    ([false, false, true, false, true, false], 0),
    ([true, false, true, false, false, false], 0),
    ([false, false, false, false, false, false], 0),
    ([true, false, false, true, false, false], 0),
    ([true, false, false, false, true, false], 0),
    ([false, false, true, true, false, false], 0),
    ([true, false, false, false, false, false], libc::O_NOFOLLOW),
    ([true, false, false, false, false, false], libc::O_DIRECTORY),
    ([true, false, false, false, false, false], libc::O_PATH),
    ([true, true, false, false, false, false], libc::O_TMPFILE),
    ([true, false, false, false, false, false], libc::O_NOATIME),
];

fn open(place: &Place) -> Vec<Case> {
    let mut cases = Vec::new();
    for &(on, flags) in OPENINGS {
        let ours = move |path| async move {
            let mut options = OpenOptions::new();
            options
                .read(on[0])
                .write(on[1])
                .append(on[2])
                .truncate(on[3]);
            options.create(on[4]).create_new(on[5]);
            let file = options.mode(0o640).custom_flags(flags).open(path).await?;
            let seen = attributes(&file.metadata().await?);
            file.close().await?;
            Ok(seen)
        };
        let theirs = move |path: &Path| {
            let mut options = std::fs::OpenOptions::new();
            options
                .read(on[0])
                .write(on[1])
                .append(on[2])
                .truncate(on[3]);
            options.create(on[4]).create_new(on[5]);
            let file = options.mode(0o640).custom_flags(flags).open(path)?;
            Ok(attributes(&file.metadata()?))
        };
        let mut more = on_paths(place.openable(), &[Kind::Open], ours, theirs);
        for case in &mut more {
            case.label += &format!(" with {on:?} and {flags:#x}");
        }
        cases.extend(more);
    }
    cases
}

async fn listed(path: std::path::PathBuf) -> Seen {
    let mut entries = fs::read_dir(path).await?;
    let mut seen = Vec::new();
    while let Some(entry) = entries.next_entry().await? {
        let (path, name) = (entry.path(), entry.file_name());
        let metadata = entry.metadata().await?;
        let file_type = entry.file_type().await?;
        assert_eq!(entry.ino(), metadata.ino());
        let kinds = (
            file_type.is_dir(),
            file_type.is_file(),
            file_type.is_symlink(),
        );
        seen.push(format!(
            "{path:?} {name:?} {kinds:?} {}",
            attributes(&metadata)
        ));
    }
    seen.sort();
    Ok(seen.join("\n"))
}

fn listed_by_std(path: &Path) -> Seen {
    let mut seen = Vec::new();
    for entry in std::fs::read_dir(path)? {
        let entry = entry?;
        let (path, name) = (entry.path(), entry.file_name());
        let (metadata, file_type) = (entry.metadata()?, entry.file_type()?);
        let kinds = (
            file_type.is_dir(),
            file_type.is_file(),
            file_type.is_symlink(),
        );
        seen.push(format!(
            "{path:?} {name:?} {kinds:?} {}",
            attributes(&metadata)
        ));
    }
    seen.sort();
    Ok(seen.join("\n"))
}

fn make_fifo(place: &Place) -> Vec<Case> {
    on_paths(
        place.paths(),
        &[Kind::MakeFifo],
        |path| async move { done(fs::make_fifo(path, 0o640).await) },
        |path| done(raw::make_fifo(path, 0o640)),
    )
}

fn read_file(place: &Place) -> Vec<Case> {
    const STEPS: &[Kind] = &[Kind::ReadFile, Kind::ReadSmallFile, Kind::Open, Kind::Read];
    let mut cases = on_paths(
        place.openable(),
        STEPS,
        |path| async move { bytes(fs::read(path).await) },
        |path| bytes(std::fs::read(path)),
    );
    let mut texts = place.openable();
    // Not text, without a size, without an end, and refusing to be read.
    texts.push(("not text", "/proc/self/auxv".into()));
    texts.push(("without a size", "/proc/version".into()));
    texts.push(("refusing", "/proc/self/mem".into()));
    texts.push(("empty device", "/dev/null".into()));
    cases.extend(on_paths(
        texts,
        STEPS,
        |path| async move { fs::read_to_string(path).await },
        |path| std::fs::read_to_string(path),
    ));
    cases
}

fn owners(place: &Place) -> Vec<Case> {
    let mut cases = Vec::new();
    for (uid, gid) in [
        (None, None),
        (Some(12), None),
        (None, Some(34)),
        (Some(0), Some(0)),
    ] {
        for follow in [Follow::Links, Follow::No] {
            cases.extend(on_paths(
                place.paths(),
                &[Kind::SetOwner],
                move |path| async move { done(fs::set_owner(path, uid, gid, follow).await) },
                move |path| {
                    done(match follow {
                        Follow::Links => std::os::unix::fs::chown(path, uid, gid),
                        Follow::No => std::os::unix::fs::lchown(path, uid, gid),
                    })
                },
            ));
        }
    }
    cases
}

fn permissions(place: &Place) -> Vec<Case> {
    let mut cases = Vec::new();
    for mode in [0o600, 0o4755] {
        cases.extend(on_paths(
            place.paths(),
            &[Kind::SetPermissions],
            move |path| async move {
                let permissions = std::fs::Permissions::from_mode(mode);
                done(fs::set_permissions(path, permissions).await)
            },
            move |path| {
                let permissions = std::fs::Permissions::from_mode(mode);
                done(std::fs::set_permissions(path, permissions))
            },
        ));
    }
    cases.extend(files::permissions(place));
    cases
}

pub(crate) fn times_of(accessed: Option<SystemTime>, modified: Option<SystemTime>) -> FileTimes {
    let mut times = FileTimes::new();
    if let Some(accessed) = accessed {
        times = times.set_accessed(accessed);
    }
    if let Some(modified) = modified {
        times = times.set_modified(modified);
    }
    times
}

fn times(place: &Place) -> Vec<Case> {
    let at = |seconds, nanos| SystemTime::UNIX_EPOCH + Duration::new(seconds, nanos);
    let before = SystemTime::UNIX_EPOCH - Duration::new(86_400, 250_000_000);
    let choices = [
        (None, None),
        (Some(at(1_000_000_000, 123_456_789)), None),
        (None, Some(at(0, 0))),
        (Some(before), Some(before)),
        (Some(at(1 << 40, 0)), Some(at(1, 999_999_999))),
    ];
    let mut cases = Vec::new();
    for (accessed, modified) in choices {
        for follow in [Follow::Links, Follow::No] {
            let times = times_of(accessed, modified);
            cases.extend(on_paths(
                place.paths(),
                &[Kind::SetTimes],
                move |path| {
                    let times = times.clone();
                    async move { done(fs::set_times(path, times, follow).await) }
                },
                move |path| done(raw::set_times(path, accessed, modified, follow)),
            ));
        }
        cases.extend(files::times(place, accessed, modified));
    }
    cases
}

const NAMES: &[&str] = &[
    "user.note",
    "user.absent",
    "",
    "user.",
    "no-namespace",
    "unknown.name",
    "trusted.note",
    "user.with\0nul",
];

fn xattrs(kind: Kind, place: &Place) -> Vec<Case> {
    let mut cases = Vec::new();
    for follow in [Follow::Links, Follow::No] {
        if kind == Kind::ListXattrs {
            cases.extend(on_paths(
                place.paths(),
                &[Kind::ListXattrs],
                move |path| async move { list_of(fs::list_xattrs(path, follow).await) },
                move |path| list_of(raw::list_xattrs(path, follow)),
            ));
            continue;
        }
        let long = format!("user.{}", "n".repeat(256));
        for name in NAMES
            .iter()
            .copied()
            .chain([&*Box::leak(long.into_boxed_str())])
        {
            cases.extend(on_one_xattr(kind, place, name, follow));
        }
    }
    cases
}

fn list_of(names: io::Result<Vec<std::ffi::OsString>>) -> Seen {
    names.map(|mut names| {
        names.sort();
        format!("{names:?}")
    })
}

/// Each case begins by setting an attribute, so that there is one to read, replace or remove.
fn on_one_xattr(kind: Kind, place: &Place, name: &'static str, follow: Follow) -> Vec<Case> {
    let mut paths = place.few();
    paths.retain(|(label, _)| name.starts_with("user.note") || ["file", "link"].contains(label));
    let prepare = |path: &Path| drop(raw::set_xattr(path, "user.note", b"old", Follow::Links));
    match kind {
        Kind::GetXattr => on_paths(
            paths,
            &[Kind::GetXattr],
            move |path| async move {
                prepare(&path);
                let value = fs::get_xattr(path, name, follow).await;
                value.map(|value| format!("{value:?}"))
            },
            move |path| {
                prepare(path);
                raw::get_xattr(path, name, follow).map(|value| format!("{value:?}"))
            },
        ),
        Kind::RemoveXattr => on_paths(
            paths,
            &[Kind::RemoveXattr],
            move |path| async move {
                prepare(&path);
                fs::remove_xattr(&path, name, follow).await?;
                list_of(raw::list_xattrs(&path, Follow::Links))
            },
            move |path| {
                prepare(path);
                raw::remove_xattr(path, name, follow)?;
                list_of(raw::list_xattrs(path, Follow::Links))
            },
        ),
        _ => [&b"new"[..], b"", Box::leak(Box::new([b'x'; 65_537]))]
            .into_iter()
            .flat_map(|value| {
                on_paths(
                    paths.clone(),
                    &[Kind::SetXattr],
                    move |path| async move {
                        prepare(&path);
                        fs::set_xattr(&path, name, value, follow).await?;
                        raw::get_xattr(&path, name, follow).map(|value| format!("{value:?}"))
                    },
                    move |path| {
                        prepare(path);
                        raw::set_xattr(path, name, value, follow)?;
                        raw::get_xattr(path, name, follow).map(|value| format!("{value:?}"))
                    },
                )
            })
            .collect(),
    }
}
