//! The reads, writes and seeks of a file's cursor, at its position or at the kernel's.

use std::io::{self, SeekFrom};
use std::sync::Arc;

use super::File;
use crate::buf::{BufError, IoBuf, Slice};
use crate::error::Error;
use crate::limits;
use crate::op::file::SharedFile;
use crate::op::position::Position;
use crate::op::rw::Place;
use crate::op::writeback::Room;
use crate::op::{meta, rw, seek};
use crate::opcode::Kind;

type Part = Slice<Vec<u8>>;
type Counted = Result<(usize, Vec<u8>), BufError<Vec<u8>>>;

/// Whether a write goes on though its caller was told of its end.
fn is_detached(error: &io::Error) -> bool {
    use crate::LeftBehind::Detached;
    matches!(
        Error::from_io(error),
        Some(Error::Cancelled { left: Detached, .. } | Error::TimedOut { left: Detached, .. })
    )
}

/// Whether a limit was over, and not the write.
pub(super) fn is_given_up(error: &io::Error) -> bool {
    matches!(
        Error::from_io(error),
        Some(Error::Cancelled { .. } | Error::TimedOut { .. })
    )
}

/// Reads once, at the cursor where there is one.
pub(super) async fn read(
    shared: Arc<SharedFile>,
    buf: Vec<u8>,
    wanted: usize,
    position: Position,
) -> Result<Vec<u8>, BufError<Vec<u8>>> {
    if !shared.is_seekable() {
        return read_in_turn(shared, buf, wanted, Place::Stream).await;
    }
    let Some(begin) = position.reserve(0, wanted as u64) else {
        shared.reads_ahead();
        return read_in_turn(shared, buf, wanted, Place::Kernel { back: 0 }).await;
    };
    let read = whole(rw::read_at(shared.clone(), buf.slice(..wanted), begin).await);
    // What is not read here, nobody would read: a clone may have gone on behind it.
    let read = read_on(&shared, read, wanted, begin).await;
    let used = match &read {
        Ok((_, buf)) => buf.len() as u64,
        Err(_) => 0,
    };
    let reserved = begin.saturating_add(wanted as u64);
    position.settle(&shared, reserved, begin + used).await;
    match read {
        Ok((_, buf)) => Ok(buf),
        Err(error) => match refused_at(&shared, &position, &error.error, begin).await {
            Some(place) => match error.into_parts() {
                (_, Some(buf)) => read_in_turn(shared, buf, wanted, place).await,
                (error, None) => Err(BufError::detached(error)),
            },
            None => Err(error),
        },
    }
}

/// Where to do what could not be done at a position, if the file takes no positions: some of procfs and sysfs take
/// none of writes, and have one all the same, from which reads went on.
async fn refused_at(
    shared: &Arc<SharedFile>,
    position: &Position,
    error: &io::Error,
    at: u64,
) -> Option<Place> {
    if !SharedFile::refuses_positions(error) {
        return None;
    }
    if position.leave_to_kernel(shared, at).await {
        return Some(Place::Kernel { back: 0 });
    }
    shared.has_no_positions(error).then_some(Place::Stream)
}

/// Reads once what comes next, by the kernel's own position where there is one.
async fn read_in_turn(
    shared: Arc<SharedFile>,
    buf: Vec<u8>,
    wanted: usize,
    place: Place,
) -> Result<Vec<u8>, BufError<Vec<u8>>> {
    Ok(whole(rw::read_through(shared, buf.slice(..wanted), place).await)?.1)
}

/// What came of reading into a part of a buffer, with the buffer.
fn whole(read: Result<(usize, Part), BufError<Part>>) -> Counted {
    read.map(|(count, part)| (count, part.into_inner()))
        .map_err(|error| error.map(Slice::into_inner))
}

/// Reads until there are as many bytes as wanted or the file is at its end.
async fn read_on(
    shared: &Arc<SharedFile>,
    mut read: Counted,
    wanted: usize,
    begin: u64,
) -> Counted {
    loop {
        let (count, buf) = read?;
        let start = buf.len();
        if count == 0 || start >= wanted {
            return Ok((start, buf));
        }
        let (rest, offset) = (buf.slice(start..wanted), begin + start as u64);
        read = whole(rw::read_at(shared.clone(), rest, offset).await);
    }
}

/// Writes all of the buffer: where it was reserved, or, given how many bytes were read and not handed out, so
/// far before the kernel's position; what has no positions takes it as it comes.
pub(super) async fn write_all(
    shared: Arc<SharedFile>,
    buf: Vec<u8>,
    mut begin: Result<u64, u64>,
    position: Position,
    room: Option<Room>,
) -> io::Result<()> {
    let total = buf.len();
    let (done, written) = write_steps(&shared, buf, &mut begin, &position, true).await;
    match room {
        Some(room) if !written.as_ref().is_err_and(is_detached) => {
            room.wrote(&shared, rw::known(&shared, begin.ok()), done);
        }
        room => drop(room),
    }
    if let (true, Ok(begin)) = (shared.is_seekable(), begin) {
        let (reserved, end) = (begin.saturating_add(total as u64), begin + done as u64);
        // What goes on without us still writes its bytes: the next ones come after them.
        if !written.as_ref().is_err_and(is_detached) {
            position.settle(&shared, reserved, end).await;
        }
        // What is appended goes to the end, wherever that was.
        if shared.is_append() && done > 0 {
            if let Ok(size) = meta::size_of(&shared).await {
                if !position.set(size) {
                    let _ = seek::in_kernel(&shared, SeekFrom::Start(size)).await;
                }
            }
        }
    }
    written
}

/// Writes all of a new file, which is then closed: as its cursor would, but that a future which is dropped ends it.
pub(crate) async fn write_whole(file: File, buf: impl IoBuf) -> io::Result<()> {
    let (_, written) = write_steps(&file.shared, buf, &mut Ok(0), &file.position, false).await;
    written?;
    file.close().await
}

/// The steps of a write, and how many bytes they wrote. Nothing is reserved any more once the position is the kernel's.
async fn write_steps<B: IoBuf>(
    shared: &Arc<SharedFile>,
    mut buf: B,
    begin: &mut Result<u64, u64>,
    position: &Position,
    kept: bool,
) -> (usize, io::Result<()>) {
    let (total, mut done) = (buf.bytes_init(), 0);
    while done < total {
        let place = match begin {
            _ if !shared.is_seekable() => Place::Stream,
            Ok(begin) => Place::At(*begin + done as u64),
            Err(back) if done == 0 => Place::Kernel { back: *back },
            Err(_) => Place::Kernel { back: 0 },
        };
        let step = rw::write_step(shared.clone(), buf.slice(done..total), place, kept).await;
        let (count, part) = match rw::progress(shared, step, Kind::Write, io::ErrorKind::WriteZero)
        {
            Ok(progress) => progress,
            Err(error) => {
                let elsewhere = match place {
                    Place::At(at) => refused_at(shared, position, &error.error, at).await,
                    _ => None,
                };
                if let Some(Place::Kernel { back }) = elsewhere {
                    *begin = Err(back);
                }
                match error.into_parts() {
                    (_, Some(part)) if elsewhere.is_some() => (0, part),
                    (error, _) => return (done, Err(error)),
                }
            }
        };
        buf = part.into_inner();
        done += count;
    }
    (done, Ok(()))
}

/// Where to go, and how many bytes were read and not handed out that the kernel's position is ahead of it.
pub(super) struct Sought {
    pub(super) to: SeekFrom,
    pub(super) back: u64,
}

impl Sought {
    /// From the kernel's position.
    fn in_kernel(&self) -> SeekFrom {
        match self.to {
            SeekFrom::Current(offset) => {
                SeekFrom::Current(offset.saturating_sub_unsigned(self.back))
            }
            to => to,
        }
    }
}

/// Moves the cursor.
pub(super) async fn move_to(
    shared: Arc<SharedFile>,
    sought: Sought,
    position: Position,
) -> io::Result<u64> {
    let here = position.get().filter(|_| shared.is_seekable());
    let Some(here) = here else {
        return seek::in_kernel(&shared, sought.in_kernel()).await;
    };
    let target = match sought.to {
        SeekFrom::Start(offset) => Some(offset),
        SeekFrom::Current(offset) => here.checked_add_signed(offset),
        SeekFrom::End(offset) => match seek::end(&shared).await? {
            Some(size) => size.checked_add_signed(offset),
            None => Some(seek::in_kernel(&shared, sought.to).await?),
        },
    };
    let mut target = target.ok_or_else(|| seek::invalid(&shared))?;
    if target > limits::SEEK_UNCHECKED_BYTES_MAX {
        // Filesystems differ in how long a file can be.
        target = seek::in_kernel(&shared, SeekFrom::Start(target)).await?;
    }
    // The memory of a process has places there, which no read or write at a position takes.
    if i64::try_from(target).is_err() {
        position.leave_to_kernel(&shared, target).await;
        return Ok(target);
    }
    if position.set(target) {
        return Ok(target);
    }
    seek::in_kernel(&shared, SeekFrom::Start(target)).await
}
