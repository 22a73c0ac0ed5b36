//! What is tried on open files of the operations that std lacks.

use std::os::fd::{AsRawFd, OwnedFd};

use tidegate::fs::{Advice, File, OpenOptions, Writeback};
use tidegate::opcode::Kind;

use crate::case::{Case, done, on_files};
use crate::files::{LAST, text};
use crate::provided;
use crate::raw;
use crate::tree::Place;

pub(crate) const KINDS: &[Kind] = &[
    Kind::Advise,
    Kind::GetFileXattr,
    Kind::ReadProvided,
    Kind::ReadProvidedStream,
    Kind::ReadVectored,
    Kind::SetFileXattr,
    Kind::Splice,
    Kind::SyncRange,
    Kind::Tee,
    Kind::WriteVectored,
];

pub(crate) fn cases(kind: Kind, place: &Place) -> Vec<Case> {
    match kind {
        Kind::Advise => advise(place),
        Kind::GetFileXattr | Kind::SetFileXattr => xattrs(kind, place),
        Kind::ReadProvided | Kind::ReadProvidedStream => provided::cases(kind, place),
        Kind::ReadVectored => on_files(
            place,
            &[Kind::ReadVectored],
            &vectors(),
            |file, (lengths, offset)| async move {
                let (count, bufs) = file.readv_at(bufs(lengths, b'.'), offset).await?;
                text(count, &bufs.concat())
            },
            |file, (lengths, offset)| {
                let mut bufs = bufs(lengths, b'.');
                let count = raw::read_vectored(&file, &mut bufs, offset)?;
                text(count, &bufs.concat())
            },
        ),
        Kind::Splice => splice(place),
        Kind::SyncRange => sync_range(place),
        Kind::Tee => tee(place),
        _ => on_files(
            place,
            &[Kind::WriteVectored],
            &vectors(),
            |file, (lengths, offset)| async move {
                let (count, _) = file.writev_at(bufs(lengths, b'+'), offset).await?;
                text(count, b"")
            },
            |file, (lengths, offset)| {
                let mut bufs = bufs(lengths, b'+');
                text(raw::write_vectored(&file, &mut bufs, offset)?, b"")
            },
        ),
    }
}

/// Offsets and lengths in and out of range.
const RANGES: &[(u64, u64)] = &[
    (0, 0),
    (0, 1),
    (4, 10),
    (0, 1 << 20),
    (1 << 32, 1 << 32),
    (0, LAST),
    (0, LAST + 1),
    (LAST, 1),
    (LAST, LAST),
    (LAST + 1, 1),
    (u64::MAX, 1),
    (0, u64::MAX),
];

fn advise(place: &Place) -> Vec<Case> {
    let all = [
        Advice::DontNeed,
        Advice::NoReuse,
        Advice::Normal,
        Advice::Random,
        Advice::Sequential,
        Advice::WillNeed,
    ];
    let with = |advice| RANGES.iter().map(move |&(at, length)| (at, length, advice));
    let arguments: Vec<_> = all.into_iter().flat_map(with).collect();
    on_files(
        place,
        &[Kind::Advise],
        &arguments,
        |file, (at, length, advice)| async move { done(file.advise(at, length, advice).await) },
        |file, (at, length, advice)| done(raw::advise(&file, at, length, advice)),
    )
}

fn sync_range(place: &Place) -> Vec<Case> {
    let all = [Writeback::Complete, Writeback::Start, Writeback::Wait];
    let with = |how| RANGES.iter().map(move |&(at, length)| (at, length, how));
    let arguments: Vec<_> = all.into_iter().flat_map(with).collect();
    on_files(
        place,
        &[Kind::SyncRange],
        &arguments,
        |file, (at, length, how)| async move { done(file.sync_range(at, length, how).await) },
        |file, (at, length, how)| done(raw::sync_range(&file, at, length, how)),
    )
}

type Vector = (&'static [usize], u64);

/// Lengths of buffers with offsets.
fn vectors() -> Vec<Vector> {
    const LENGTHS: &[&[usize]] = &[
        &[],
        &[0],
        &[0, 0],
        &[7],
        &[3, 0, 4],
        &[9, 9, 9],
        &[4096, 5000],
    ];
    const OFFSETS: &[u64] = &[
        0,
        5,
        18,
        19,
        20,
        1 << 32,
        LAST - 4,
        LAST,
        LAST + 1,
        u64::MAX,
    ];
    let with = |lengths: &'static [usize]| OFFSETS.iter().map(move |&offset| (lengths, offset));
    LENGTHS.iter().copied().flat_map(with).collect()
}

fn bufs(lengths: &[usize], fill: u8) -> Vec<Vec<u8>> {
    lengths.iter().map(|&length| vec![fill; length]).collect()
}

const NAMES: &[&str] = &[
    "user.note",
    "user.absent",
    "",
    "no-namespace",
    "user.with\0nul",
];

/// Each case begins by setting an attribute where that can be done.
fn xattrs(kind: Kind, place: &Place) -> Vec<Case> {
    if kind == Kind::GetFileXattr {
        let mut cases = on_files(
            place,
            &[Kind::GetFileXattr, Kind::SetFileXattr],
            NAMES,
            |file, name| async move {
                let _ = file.set_xattr("user.note", "old").await;
                file.get_xattr(name).await.map(|value| format!("{value:?}"))
            },
            |file, name| {
                let _ = raw::set_file_xattr(&file, "user.note", b"old");
                raw::get_file_xattr(&file, name).map(|value| format!("{value:?}"))
            },
        );
        cases.extend(on_files(
            place,
            &[Kind::RemoveXattr],
            NAMES,
            |file, name| async move {
                let _ = file.set_xattr("user.note", "old").await;
                done(file.remove_xattr(name).await)
            },
            |file, name| {
                let _ = raw::set_file_xattr(&file, "user.note", b"old");
                done(raw::remove_file_xattr(&file, name))
            },
        ));
        return cases;
    }
    let values: [&'static [u8]; 3] = [b"new", b"", Box::leak(Box::new([b'x'; 65_537]))];
    let with = |name: &'static str| values.map(|value| (name, Hidden(value)));
    let arguments: Vec<_> = NAMES.iter().copied().flat_map(with).collect();
    on_files(
        place,
        &[Kind::SetFileXattr],
        &arguments,
        |file, (name, value)| async move {
            file.set_xattr(name, value.0).await?;
            let listed = file.list_xattrs().await?;
            Ok(format!(
                "{} of {}",
                value.0.len(),
                listed.contains(&name.into())
            ))
        },
        |file, (name, value)| {
            raw::set_file_xattr(&file, name, value.0)?;
            Ok(format!("{} of true", value.0.len()))
        },
    )
}

/// A value that is too long to be shown.
#[derive(Clone, Copy)]
struct Hidden(&'static [u8]);

impl std::fmt::Debug for Hidden {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

/// A pipe with something in it.
pub(crate) fn pipe() -> (OwnedFd, OwnedFd) {
    let (output, input) = nix::unistd::pipe().unwrap();
    nix::unistd::write(&input, b"piped").unwrap();
    (output, input)
}

pub(crate) async fn opened(fd: &OwnedFd, write: bool) -> File {
    let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
    let mut options = OpenOptions::new();
    options.read(!write).write(write).open(path).await.unwrap()
}

fn splice(place: &Place) -> Vec<Case> {
    let arguments = [
        (None, 100),
        (Some(0), 100),
        (Some(0), 4),
        (Some(0), 0),
        (Some(5), 1 << 33),
        (Some(19), 10),
        (Some(1 << 33), 3),
        (Some(LAST), 3),
        (Some(LAST + 1), 3),
        (Some(u64::MAX), 3),
    ];
    let steps = &[Kind::Splice];
    let mut cases = on_files(
        place,
        steps,
        &arguments,
        |file, (at, length)| async move {
            let (_output, input) = pipe();
            let to = opened(&input, true).await;
            let moved = tidegate::fs::splice((&file, at), (&to, None), length).await?;
            text(moved, b"")
        },
        |file, (at, length)| {
            let (_output, input) = pipe();
            text(raw::splice((&file, at), (&input, None), length)?, b"")
        },
    );
    cases.extend(on_files(
        place,
        steps,
        &arguments,
        |file, (at, length)| async move {
            let (output, _input) = pipe();
            let from = opened(&output, false).await;
            let moved = tidegate::fs::splice((&from, None), (&file, at), length).await?;
            text(moved, b"")
        },
        |file, (at, length)| {
            let (output, _input) = pipe();
            text(raw::splice((&output, None), (&file, at), length)?, b"")
        },
    ));
    cases.extend(on_files(
        place,
        steps,
        &[(0, None), (0, Some(0)), (9, Some(3))],
        |_, (length, at)| async move {
            let ((output, _a), (_b, input)) = (pipe(), pipe());
            let (from, to) = (opened(&output, false).await, opened(&input, true).await);
            let moved = tidegate::fs::splice((&from, at), (&to, None), length).await?;
            text(moved, b"")
        },
        |_, (length, at)| {
            let ((output, _a), (_b, input)) = (pipe(), pipe());
            text(raw::splice((&output, at), (&input, None), length)?, b"")
        },
    ));
    cases
}

fn tee(place: &Place) -> Vec<Case> {
    on_files(
        place,
        &[Kind::Tee],
        &[(true, 3), (true, 0), (true, 100), (false, 3), (false, 0)],
        |file, (from_pipe, length)| async move {
            let ((output, _a), (_b, input)) = (pipe(), pipe());
            let (from, to) = (opened(&output, false).await, opened(&input, true).await);
            let from = if from_pipe { from } else { file };
            text(tidegate::fs::tee(&from, &to, length).await?, b"")
        },
        |file, (from_pipe, length)| {
            let ((output, _a), (_b, input)) = (pipe(), pipe());
            let from: &dyn AsRawFd = if from_pipe { &output } else { &file };
            text(raw::tee(from, &input, length)?, b"")
        },
    )
}
