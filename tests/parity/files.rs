//! What is tried on open files: every way of opening, with lengths and offsets in and out of range.

use std::io::SeekFrom;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::time::SystemTime;

use tidegate::fs::{File, Space};
use tidegate::opcode::Kind;

use crate::case::{Case, Seen, done, on_files};
use crate::raw;
use crate::table::{attributes, times_of};
use crate::tree::Place;

pub(crate) const LAST: u64 = i64::MAX as u64;

/// Offsets in, at, beyond and far beyond the file, and those that would look negative.
const OFFSETS: &[u64] = &[
    0,
    5,
    18,
    19,
    20,
    4096,
    1 << 31,
    1 << 32,
    LAST - 10,
    LAST - 1,
    LAST,
    LAST + 1,
    u64::MAX - 4096,
    u64::MAX - 1,
    u64::MAX,
];

pub(crate) fn cases(kind: Kind, place: &Place) -> Vec<Case> {
    match kind {
        Kind::Allocate => allocate(place),
        Kind::Close => on_files(
            place,
            &[Kind::Close],
            &[()],
            |file, ()| async move { done(file.close().await) },
            |file, ()| {
                drop(file);
                done(Ok(()))
            },
        ),
        Kind::Duplicate => on_files(
            place,
            &[Kind::Duplicate],
            &[()],
            |file, ()| async move { file.try_clone().await.map(|_| "done".into()) },
            |file, ()| file.try_clone().map(|_| "done".into()),
        ),
        Kind::FileMetadata => on_files(
            place,
            &[Kind::FileMetadata],
            &[()],
            |file, ()| async move { file.metadata().await.map(|m| attributes(&m)) },
            |file, ()| file.metadata().map(|m| attributes(&m)),
        ),
        Kind::Read => read(place),
        Kind::Seek => seek(place),
        Kind::SetLen => on_files(
            place,
            &[Kind::SetLen],
            &[
                0,
                1,
                19,
                20,
                1 << 20,
                1 << 40,
                LAST - 1,
                LAST,
                LAST + 1,
                u64::MAX - 1,
                u64::MAX,
            ],
            |file, len| async move { done(file.set_len(len).await) },
            |file, len| done(file.set_len(len)),
        ),
        Kind::SyncAll => on_files(
            place,
            &[Kind::SyncAll],
            &[()],
            |file, ()| async move { done(file.sync_all().await) },
            |file, ()| done(file.sync_all()),
        ),
        Kind::SyncData => on_files(
            place,
            &[Kind::SyncData],
            &[()],
            |file, ()| async move { done(file.sync_data().await) },
            |file, ()| done(file.sync_data()),
        ),
        _ => write(place),
    }
}

pub(crate) fn permissions(place: &Place) -> Vec<Case> {
    on_files(
        place,
        &[Kind::SetPermissions],
        &[0o600, 0o4711],
        |file, mode| async move {
            let permissions = std::fs::Permissions::from_mode(mode);
            done(file.set_permissions(permissions).await)
        },
        |file, mode| done(file.set_permissions(std::fs::Permissions::from_mode(mode))),
    )
}

/// Two seeks, so that the second is relative to something.
fn seek(place: &Place) -> Vec<Case> {
    let mut pairs = Vec::new();
    for first in [0, 7, 1 << 32] {
        for second in [
            SeekFrom::Start(3),
            SeekFrom::Start(1 << 41),
            SeekFrom::Start(LAST),
            SeekFrom::Start(u64::MAX),
            SeekFrom::Current(5),
            SeekFrom::Current(-8),
            SeekFrom::Current(i64::MAX),
            SeekFrom::Current(i64::MIN),
            SeekFrom::End(0),
            SeekFrom::End(-3),
            SeekFrom::End(-100),
            SeekFrom::End(1 << 33),
            SeekFrom::End(i64::MAX),
        ] {
            pairs.push((first, second));
        }
    }
    on_files(
        place,
        &[Kind::Seek],
        &pairs,
        |mut file, (first, second)| async move {
            use tokio::io::AsyncSeekExt;
            let first = file.seek(SeekFrom::Start(first)).await?;
            let second = file.seek(second).await;
            let position = file.stream_position().await?;
            second.map(|second| format!("{first} {second} {position}"))
        },
        |mut file, (first, second)| {
            use std::io::Seek;
            let first = file.seek(SeekFrom::Start(first))?;
            let second = file.seek(second);
            let position = file.stream_position()?;
            second.map(|second| format!("{first} {second} {position}"))
        },
    )
}

pub(crate) fn times(
    place: &Place,
    accessed: Option<SystemTime>,
    modified: Option<SystemTime>,
) -> Vec<Case> {
    on_files(
        place,
        &[Kind::SetTimes],
        &[(accessed, modified)],
        |file, (accessed, modified)| async move {
            done(file.set_times(times_of(accessed, modified)).await)
        },
        |file, (accessed, modified)| {
            let mut times = std::fs::FileTimes::new();
            if let Some(accessed) = accessed {
                times = times.set_accessed(accessed);
            }
            if let Some(modified) = modified {
                times = times.set_modified(modified);
            }
            done(file.set_times(times))
        },
    )
}

fn allocate(place: &Place) -> Vec<Case> {
    let ranges: &[(u64, u64)] = &[
        (0, 0),
        (0, 1),
        (5, 3),
        (10, 0),
        (0, 65_536),
        (4096, 4096),
        (0, LAST),
        (0, LAST + 1),
        (0, u64::MAX),
        (LAST, 1),
        (LAST - 1, 2),
        (LAST + 1, 1),
        (u64::MAX, 1),
        (u64::MAX, u64::MAX),
    ];
    let hows = [
        Space::Collapse,
        Space::Insert,
        Space::PunchHole,
        Space::Reserve,
        Space::ReserveExtend,
        Space::Zero,
        Space::ZeroExtend,
    ];
    let all: Vec<(u64, u64, Space)> = hows
        .into_iter()
        .flat_map(|how| ranges.iter().map(move |&(at, length)| (at, length, how)))
        .collect();
    on_files(
        place,
        &[Kind::Allocate],
        &all,
        |file, (offset, length, how)| async move { done(file.allocate(offset, length, how).await) },
        |file, (offset, length, how)| done(raw::allocate(&file, offset, length, how)),
    )
}

pub(crate) fn text(count: usize, buf: &[u8]) -> Seen {
    Ok(format!("{count}: {:?}", String::from_utf8_lossy(buf)))
}

/// Lengths of buffers with offsets.
fn ranges() -> Vec<(usize, u64)> {
    let all = OFFSETS.iter().map(|&offset| (7, offset));
    let others = [
        (0, 0),
        (0, 19),
        (0, LAST + 1),
        (1, 18),
        (19, 0),
        (20, 0),
        (9000, 3),
        (9000, LAST),
    ];
    all.chain(others).collect()
}

fn read(place: &Place) -> Vec<Case> {
    const STEPS: &[Kind] = &[Kind::Read];
    let ranges = ranges();
    let mut cases = on_files(
        place,
        STEPS,
        &ranges,
        |file, (length, offset)| async move {
            let (count, buf) = file.read_at(vec![b'.'; length], offset).await?;
            text(count, &buf)
        },
        |file, (length, offset)| {
            let mut buf = vec![b'.'; length];
            text(file.read_at(&mut buf, offset)?, &buf)
        },
    );
    cases.extend(on_files(
        place,
        STEPS,
        &ranges,
        |file, (length, offset)| async move {
            let buf = file.read_exact_at(vec![b'.'; length], offset).await?;
            text(length, &buf)
        },
        |file, (length, offset)| {
            let mut buf = vec![b'.'; length];
            file.read_exact_at(&mut buf, offset)?;
            text(length, &buf)
        },
    ));
    cases.extend(on_files(
        place,
        STEPS,
        &[()],
        |mut file: File, ()| async move {
            let mut buf = Vec::new();
            tokio::io::AsyncReadExt::read_to_end(&mut file, &mut buf).await?;
            text(0, &buf)
        },
        |mut file, ()| {
            let mut buf = Vec::new();
            std::io::Read::read_to_end(&mut file, &mut buf)?;
            text(0, &buf)
        },
    ));
    cases
}

fn write(place: &Place) -> Vec<Case> {
    const STEPS: &[Kind] = &[Kind::Write];
    let ranges = ranges();
    let mut cases = on_files(
        place,
        STEPS,
        &ranges,
        |file, (length, offset)| async move {
            let (count, buf) = file.write_at(vec![b'+'; length], offset).await?;
            text(count, &buf)
        },
        |file, (length, offset)| {
            let buf = vec![b'+'; length];
            text(file.write_at(&buf, offset)?, &buf)
        },
    );
    cases.extend(on_files(
        place,
        STEPS,
        &ranges,
        |file, (length, offset)| async move {
            let buf = file.write_all_at(vec![b'+'; length], offset).await?;
            text(length, &buf)
        },
        |file, (length, offset)| {
            let buf = vec![b'+'; length];
            file.write_all_at(&buf, offset)?;
            text(length, &buf)
        },
    ));
    cases.extend(on_files(
        place,
        STEPS,
        &[0usize, 1, 9000],
        |mut file: File, length| async move {
            use tokio::io::AsyncWriteExt;
            file.write_all(&vec![b'+'; length]).await?;
            file.flush().await?;
            text(length, b"")
        },
        |mut file, length| {
            std::io::Write::write_all(&mut file, &vec![b'+'; length])?;
            text(length, b"")
        },
    ));
    cases
}
