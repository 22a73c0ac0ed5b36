//! Reads and writes at an offset.

use std::io;
use std::ops::Range;
use std::os::fd::AsFd;
use std::sync::Arc;

use super::file::SharedFile;
use super::health::Health;
use super::writeback::Bounded;
use crate::base::errno;
use crate::buf::{BufError, IoBuf, IoBufMut, Slice};
use crate::driver;
use crate::driver::fence::Fenced;
use crate::driver::op::{Load, Op};
use crate::error::raw_os_error;
use crate::opcode::Kind;
use crate::sys::fd::Target;
pub(crate) use crate::sys::request::Place;
use crate::sys::request::{self, Request};

struct Read<B> {
    request: request::Read<B>,
    load: Load,
    fenced: Fenced,
}

impl<B: IoBufMut> Op for Read<B> {
    type Output = Result<(usize, B), BufError<B>>;

    fn kind(&self) -> Kind {
        Kind::Read
    }

    fn target(&self) -> Target {
        Target::file(self.request.fd.as_fd())
    }

    fn request(&mut self) -> &mut dyn Request {
        &mut self.request
    }

    fn fenced(&self) -> Option<Fenced> {
        Some(self.fenced.clone())
    }

    fn load(&self) -> Load {
        self.load
    }

    fn finish(self, result: io::Result<i32>) -> Self::Output {
        match result {
            Ok(count) => Ok(self.request.into_parts(count)),
            Err(error) => Err(BufError::new(error, self.request.buf)),
        }
    }

    fn lost(error: io::Error) -> Self::Output {
        Err(BufError::detached(error))
    }
}

struct Write<B> {
    request: request::Write<B>,
    load: Load,
    kept: bool,
    inode: u64,
    health: Arc<Health>,
    fenced: Fenced,
}

impl<B: IoBuf> Op for Write<B> {
    type Output = Result<(usize, B), BufError<B>>;

    fn kind(&self) -> Kind {
        Kind::Write
    }

    fn target(&self) -> Target {
        Target::file(self.request.fd.as_fd())
    }

    fn request(&mut self) -> &mut dyn Request {
        &mut self.request
    }

    fn is_kept(&self) -> bool {
        self.kept
    }

    fn inode(&self) -> u64 {
        self.inode
    }

    fn fenced(&self) -> Option<Fenced> {
        Some(self.fenced.clone())
    }

    fn unheard(&self, number: i32) {
        self.health.note_write(number);
    }

    fn is_whole(&self, count: i32) -> bool {
        count as usize >= self.request.buf.bytes_init()
    }

    fn load(&self) -> Load {
        self.load
    }

    fn finish(self, result: io::Result<i32>) -> Self::Output {
        self.health.uncut.note_write();
        match result {
            Ok(count) => Ok((count as usize, self.request.buf)),
            Err(error) => Err(BufError::new(error, self.request.buf)),
        }
    }

    fn lost(error: io::Error) -> Self::Output {
        Err(BufError::detached(error))
    }
}

pub(super) fn load_of(file: &SharedFile) -> Load {
    if file.is_direct() {
        Load::Direct
    } else {
        Load::Buffered
    }
}

/// The place, by a call where a ring does otherwise than the call.
pub(super) fn in_place(file: &SharedFile, place: Place) -> Place {
    if file.is_for_ring() {
        place
    } else {
        place.by_call()
    }
}

/// Refuses what the kernel would take for 'no position', as `pread` refuses it.
pub(crate) fn check_offset<B>(
    file: &SharedFile,
    kind: Kind,
    offset: u64,
    buf: B,
) -> Result<B, BufError<B>> {
    if i64::try_from(offset).is_ok() {
        return Ok(buf);
    }
    let error = io::Error::from_raw_os_error(errno::EINVAL);
    Err(BufError::new(file.tell(kind, error), buf))
}

/// The same for a write, which is told of a failed writeback that no write was told of: nothing is written then.
pub(crate) fn check_write<B>(
    file: &SharedFile,
    kind: Kind,
    offset: u64,
    buf: B,
) -> Result<B, BufError<B>> {
    let buf = check_offset(file, kind, offset, buf)?;
    match file.health.check_write(kind) {
        Ok(()) => Ok(buf),
        Err(error) => Err(BufError::new(file.tell(kind, error), buf)),
    }
}

/// The offset for the kernel: none for a stream, which the ring reads and writes as it comes, and `pread`
/// would not; none either for a write to a file that appends, where the system would heed it.
pub(super) fn position(file: &SharedFile, kind: Kind, offset: u64) -> Option<u64> {
    let writes = matches!(kind, Kind::Write | Kind::WriteVectored);
    let appends = writes && file.is_append() && cfg!(not(target_os = "linux"));
    (!file.is_pipe() && !appends).then_some(offset)
}

/// Reads once, at an offset; fewer bytes than asked for are no error, none mean the end of the file.
pub(crate) async fn read_at<B: IoBufMut>(
    file: Arc<SharedFile>,
    buf: B,
    offset: u64,
) -> Result<(usize, B), BufError<B>> {
    let mut buf = check_offset(&file, Kind::Read, offset, buf)?;
    match read_at_poll(&file, &mut buf, offset) {
        Some(result) => {
            driver::spend().await;
            match result {
                Ok(count) => Ok((count, buf)),
                Err(error) => Err(BufError::new(error, buf)),
            }
        }
        None => read_missed(file, buf, offset).await,
    }
}

/// Reads once at an offset what was not answered at the poll; begun when this returns.
pub(crate) fn read_missed<B: IoBufMut>(
    file: Arc<SharedFile>,
    buf: B,
    offset: u64,
) -> impl Future<Output = Result<(usize, B), BufError<B>>> + Send + 'static {
    file.after_miss(offset, buf.bytes_total() as u64);
    let offset = position(&file, Kind::Read, offset);
    read_through(file, buf, offset.into())
}

/// Reads once at an offset what the page cache holds; `None` if that has to wait.
pub(crate) fn read_at_poll<B: IoBufMut>(
    file: &Arc<SharedFile>,
    buf: &mut B,
    offset: u64,
) -> Option<io::Result<usize>> {
    let result = file.read_at_poll(buf, offset)?;
    file.driver_ref().answered(Kind::Read);
    if let Ok(count) = result {
        file.after_hit(offset, count as u64);
    }
    Some(result.map_err(|error| file.tell(Kind::Read, error)))
}

/// Reads once at an offset, never at the poll.
pub(crate) async fn read_at_kernel<B: IoBufMut>(
    file: Arc<SharedFile>,
    buf: B,
    offset: u64,
) -> Result<(usize, B), BufError<B>> {
    let buf = check_offset(&file, Kind::Read, offset, buf)?;
    let offset = position(&file, Kind::Read, offset);
    read_through(file, buf, offset.into()).await
}

/// Reads once by ring or pool, never at the poll.
pub(crate) fn read_through<B: IoBufMut>(
    file: Arc<SharedFile>,
    buf: B,
    place: Place,
) -> impl Future<Output = Result<(usize, B), BufError<B>>> + Send + 'static {
    let (driver, mount, load) = (file.driver(), file.mount(), load_of(&file));
    let fenced = looked_at(&file, place, buf.bytes_total());
    let place = in_place(&file, place);
    driver.start(
        Read {
            request: request::Read::new(file, buf, place),
            load,
            fenced,
        },
        &mount,
    )
}

/// What a read looks at, for the fence: all, where only the kernel knows which bytes.
pub(super) fn looked_at(file: &SharedFile, place: Place, length: usize) -> Fenced {
    file.health.looks(match place {
        Place::At(offset) => offset..offset.saturating_add(length as u64),
        _ => 0..u64::MAX,
    })
}

/// The bytes of the file that a write may change: all, where only the kernel knows which.
pub(super) fn changed(file: &SharedFile, place: Place, length: usize) -> Range<u64> {
    match place {
        Place::At(offset) if !file.is_append() => offset..offset.saturating_add(length as u64),
        _ => 0..u64::MAX,
    }
}

/// Writes once, in a way that leaves nothing in the page cache where dirty pages are bounded and that was measured to be
/// the better one.
pub(crate) async fn write_step<B: IoBuf>(
    file: Arc<SharedFile>,
    buf: B,
    place: Place,
    kept: bool,
) -> Result<(usize, B), BufError<B>> {
    let is_at_a_place = matches!(place, Place::At(_));
    let uncached = file.uncached(buf.bytes_init()).filter(|_| is_at_a_place);
    let Some(ways) = uncached else {
        return write_once(file, buf, place, kept).await;
    };
    let written = write_in(file.clone(), buf, place, kept, true).await;
    match written {
        Err(error) if is_unsupported(&error.error) => {
            ways.refuse();
            match error.into_parts() {
                (_, Some(buf)) => write_once(file, buf, place, kept).await,
                (error, None) => Err(BufError::detached(error)),
            }
        }
        written => written,
    }
}

/// Whether the kernel or the filesystem has no such write.
fn is_unsupported(error: &io::Error) -> bool {
    let numbers = [errno::EINVAL, errno::ENOSYS, errno::EOPNOTSUPP];
    raw_os_error(error).is_some_and(|number| numbers.contains(&number))
}

/// Writes once; fewer bytes than asked for are no error. A write that is kept goes on when the future is
/// dropped, and whatever else is done through the file sees it.
pub(crate) fn write_once<B: IoBuf>(
    file: Arc<SharedFile>,
    buf: B,
    place: Place,
    kept: bool,
) -> impl Future<Output = Result<(usize, B), BufError<B>>> + Send + 'static {
    write_in(file, buf, place, kept, false)
}

fn write_in<B: IoBuf>(
    file: Arc<SharedFile>,
    buf: B,
    place: Place,
    kept: bool,
    uncached: bool,
) -> impl Future<Output = Result<(usize, B), BufError<B>>> + Send + 'static {
    let inode = if file.is_regular() { file.inode() } else { 0 };
    let health = file.health.clone();
    let range = changed(&file, place, buf.bytes_init());
    // What a pipe has not taken yet, its reader may be about to: who waited for that would wait for himself.
    let fenced = if kept && place != Place::Stream {
        health.accepts(range)
    } else {
        health.changes(range)
    };
    let (driver, mount, load) = (file.driver(), file.mount(), load_of(&file));
    let place = in_place(&file, place);
    driver.start(
        Write {
            request: request::Write::new(file, buf, place).uncached(uncached),
            load,
            kept,
            inode,
            health,
            fenced,
        },
        &mount,
    )
}

/// Takes an interruption for no progress, so that a loop goes on with the buffer it gets back: `None`
/// in place of the count.
pub(crate) fn uninterrupted<B>(
    result: Result<(usize, B), BufError<B>>,
) -> Result<(Option<usize>, B), BufError<B>> {
    match result {
        Ok((count, buf)) => Ok((Some(count), buf)),
        Err(error) if is_interruption(&error.error) => match error.into_parts() {
            (_, Some(buf)) => Ok((None, buf)),
            (error, None) => Err(BufError::detached(error)),
        },
        Err(error) => Err(error),
    }
}

/// Whether an error only says that a signal came.
pub(crate) fn is_interruption(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::Interrupted
}

/// The same for a loop that needs more bytes: where none came, or none were taken, that is the error.
pub(crate) fn progress<B>(
    file: &SharedFile,
    result: Result<(usize, B), BufError<B>>,
    kind: Kind,
    without: io::ErrorKind,
) -> Result<(usize, B), BufError<B>> {
    match uninterrupted(result)? {
        (Some(0), buf) => Err(BufError::new(file.tell(kind, without.into()), buf)),
        (count, buf) => Ok((count.unwrap_or(0), buf)),
    }
}

/// Writes once at an offset.
pub(crate) async fn write_at<B: IoBuf>(
    file: Arc<SharedFile>,
    buf: B,
    offset: u64,
) -> Result<(usize, B), BufError<B>> {
    let buf = check_write(&file, Kind::Write, offset, buf)?;
    let offset = position(&file, Kind::Write, offset);
    match file.bounded().cloned() {
        None => write_once(file, buf, offset.into(), false).await,
        Some(bounded) => write_bounded(file, bounded, buf, offset).await,
    }
}

/// Where a write goes, if that is known before.
pub(crate) fn known(file: &SharedFile, offset: Option<u64>) -> Option<u64> {
    offset.filter(|_| !file.is_append())
}

/// Writes piece by piece, each once there is room for it. Ends with the first piece that came short.
async fn write_bounded<B: IoBuf>(
    file: Arc<SharedFile>,
    bounded: Arc<Bounded>,
    buf: B,
    offset: Option<u64>,
) -> Result<(usize, B), BufError<B>> {
    let (shared, total) = (file.clone(), buf.bytes_init());
    let write = move |buf: B, done, most, at: Option<u64>| {
        let piece = buf.slice(done..done + most);
        let written = write_step(shared.clone(), piece, at.into(), false);
        async move {
            match written.await {
                Ok((count, piece)) => Ok((count, piece.into_inner())),
                Err(error) => Err(error.map(Slice::into_inner)),
            }
        }
    };
    by_rooms(file, bounded, buf, total, offset, write).await
}

/// Writes `total` bytes of a buffer piece by piece, each once there is room for it: `write` is given the buffer, how far
/// it is written, how much of it may be written now, and where. Ends with the first piece that came short.
pub(super) async fn by_rooms<B, F>(
    file: Arc<SharedFile>,
    bounded: Arc<Bounded>,
    mut buf: B,
    total: usize,
    offset: Option<u64>,
    write: impl Fn(B, usize, usize, Option<u64>) -> F,
) -> Result<(usize, B), BufError<B>>
where
    F: Future<Output = Result<(usize, B), BufError<B>>>,
{
    let mut done = 0;
    loop {
        let at = offset.map(|offset| offset.saturating_add(done as u64));
        let known = known(&file, at);
        let room = bounded.clone().room(known, total - done).await;
        let most = room.bytes().min(total - done);
        match write(buf, done, most, at).await {
            Ok((count, rest)) => {
                room.wrote(&file, known, count);
                (done, buf) = (done + count, rest);
                if count < most || done == total {
                    return Ok((done, buf));
                }
            }
            Err(error) => {
                if error.is_detached() {
                    // It may still take effect: the room is taken for written.
                    return Err(error);
                }
                room.wrote(&file, known, 0);
                return match error.into_parts() {
                    (_, Some(buf)) if done > 0 => Ok((done, buf)),
                    (error, Some(buf)) => Err(BufError::new(error, buf)),
                    (error, None) => Err(BufError::detached(error)),
                };
            }
        }
    }
}

/// Reads into the caller's own memory what the page cache holds; `None` if it has to wait.
pub(crate) fn read_into_at_poll(
    file: &Arc<SharedFile>,
    into: &mut tokio::io::ReadBuf<'_>,
    offset: u64,
) -> Option<io::Result<usize>> {
    let result = file.read_into_at_poll(into, offset)?;
    file.driver_ref().answered(Kind::Read);
    if let Ok(count) = result {
        file.after_hit(offset, count as u64);
    }
    Some(result.map_err(|error| file.tell(Kind::Read, error)))
}
