//! Appending to a file from many tasks: one thread at a time writes all records that wait, syncs once, and tells
//! those whose record is in it.

mod seat;
mod turn;

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::{Arc, Mutex};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use self::seat::Seat;
use super::file::SharedFile;
use super::hop::hop;
use super::open::flag;
use crate::base::fork::Born;
use crate::base::lock::lock;
use crate::buf::IoBuf;
use crate::driver;
use crate::error::{Error, LeftBehind};
use crate::limits;
use crate::mem::bytes_of;
use crate::op::waiting::within_limits;
use crate::opcode::Kind;
use crate::sys::append as calls;
use crate::sys::range::{self, Space};

/// How a file is appended to.
#[derive(Clone, Debug)]
pub(crate) struct How {
    pub(crate) mode: u32,
    pub(crate) start: Option<u64>,
    /// Space that is reserved ahead, and how.
    pub(crate) ahead: Option<(u64, Space)>,
    pub(crate) makes_holes: bool,
}

/// What a record is made of.
pub(crate) enum Content {
    Bytes(Box<dyn IoBuf>),
    Hole(u64),
}

impl Content {
    pub(crate) fn bytes(&self) -> u64 {
        match self {
            Content::Bytes(buf) => buf.bytes_init() as u64,
            Content::Hole(bytes) => *bytes,
        }
    }
}

struct Record {
    content: Content,
    /// Where it ends.
    end: u64,
    syncs: bool,
    told: oneshot::Sender<io::Result<()>>,
    _room: OwnedSemaphorePermit,
}

#[derive(Default)]
struct Queue {
    records: VecDeque<Record>,
    /// Where the last record of the queue ends.
    end: u64,
    /// What is on the device.
    synced: u64,
    is_running: bool,
    /// Gives back what is reserved once nothing waits.
    trims: bool,
}

/// What only the thread that has its turn uses.
struct Disk {
    /// How far space is reserved.
    reserved: u64,
    /// Where the file is cut before anything is written: what is behind was lost, or written in part.
    cut: Option<u64>,
    /// How many bytes the next group is written at a time.
    bytes_max: usize,
}

/// A file that is appended to.
pub(crate) struct Appender {
    pub(crate) file: Arc<SharedFile>,
    how: How,
    queue: Mutex<Queue>,
    disk: Mutex<Disk>,
    room: Arc<Semaphore>,
    /// A forked child does not know where its parent's records end.
    born: Born,
    /// Given up behind the file, so that whoever takes it next finds all that was written.
    seat: Seat,
}

/// A record that has its place in the file.
pub(crate) struct Placed {
    pub(crate) offset: u64,
    done: oneshot::Receiver<io::Result<()>>,
}

impl Appender {
    pub(crate) async fn open(path: &Path, how: How) -> io::Result<Arc<Appender>> {
        let driver = driver::current()?;
        let (fd, end, seat) = loop {
            let (owned, start, mode) = (path.to_path_buf(), how.start, how.mode);
            let opened = hop(Kind::Append, path, move |_| {
                let file = calls::open(&owned, mode)?;
                Ok(match Seat::take(file.id()) {
                    Ok(seat) => {
                        let (fd, end) = file.begin_at(&owned, start)?;
                        Ok((fd, end, seat))
                    }
                    Err(other) => Err(other),
                })
            });
            let other = match opened.await? {
                Ok(opened) => break opened,
                Err(other) => other,
            };
            let left = || LeftBehind::NothingHappened;
            within_limits(&driver, Kind::Append, Some(path), left, other.over())
                .await
                .map_err(|error| driver.tell(Kind::Append, Some(path), error))?;
        };
        let queue = Queue {
            end,
            synced: end,
            ..Queue::default()
        };
        let disk = Disk {
            reserved: end,
            cut: None,
            bytes_max: usize::MAX,
        };
        Ok(Arc::new(Appender {
            file: SharedFile::new(&driver, fd, flag::O_RDWR),
            how,
            queue: Mutex::new(queue),
            disk: Mutex::new(disk),
            room: Arc::new(Semaphore::new(limits::APPEND_QUEUED_BYTES)),
            born: Born::here(),
            seat,
        }))
    }

    /// The writer is gone, or about to be: nothing more is appended.
    pub(crate) fn let_go(&self) {
        self.seat.let_go();
    }

    pub(crate) fn end(&self) -> u64 {
        lock(&self.queue).end
    }

    pub(crate) fn synced(&self) -> u64 {
        lock(&self.queue).synced
    }

    /// Forgets the error; what comes next goes where the last good record ends.
    pub(crate) fn acknowledge(&self) -> Option<io::Error> {
        let _queue = lock(&self.queue);
        self.file.health.acknowledge()
    }

    /// Appends a record, and waits until it is written, or on the device.
    pub(crate) async fn append(self: &Arc<Self>, content: Content, syncs: bool) -> io::Result<u64> {
        self.born.check(Kind::Append)?;
        let bytes = match &content {
            Content::Bytes(buf) => buf.bytes_init(),
            Content::Hole(_) => 0,
        };
        let room = self.wait_for_room(bytes).await?;
        self.born.check(Kind::Append)?;
        let Placed { offset, done } = self.place(content, syncs, room)?;
        let lost = || Error::Closed {
            operation: Kind::Append,
        };
        let done = async { done.await.unwrap_or_else(|_| Err(lost().into())) };
        let (driver, left) = (self.file.driver(), || LeftBehind::Detached);
        within_limits(&driver, Kind::Append, None, left, done).await?;
        Ok(offset)
    }

    async fn wait_for_room(&self, bytes: usize) -> io::Result<OwnedSemaphorePermit> {
        // One that is larger than all the room has it for itself.
        let bytes = bytes.min(limits::APPEND_QUEUED_BYTES) as u32;
        let room = match self.room.clone().try_acquire_many_owned(bytes) {
            Ok(room) => room,
            Err(_) => {
                let room = self.room.clone().acquire_many_owned(bytes);
                let room = async { room.await.map_err(|_| io::ErrorKind::BrokenPipe.into()) };
                let left = || LeftBehind::NothingHappened;
                within_limits(&self.file.driver(), Kind::Append, None, left, room).await?
            }
        };
        Ok(room)
    }

    /// Gives a record its place. It is written from then on, whether anybody waits or not.
    fn place(
        self: &Arc<Self>,
        content: Content,
        syncs: bool,
        room: OwnedSemaphorePermit,
    ) -> io::Result<Placed> {
        let (told, done) = oneshot::channel();
        let driver = self.file.driver();
        let mut queue = lock(&self.queue);
        self.file.health.check(Kind::Append)?;
        if driver::refused().is_some() || !queue.is_running {
            driver.may_begin(Kind::Append, &self.file.mount())?;
        }
        let offset = queue.end;
        let end = offset.checked_add(content.bytes());
        let end = end.filter(|end| i64::try_from(*end).is_ok());
        let end = end.ok_or(io::ErrorKind::FileTooLarge)?;
        queue.end = end;
        queue.records.push_back(Record {
            content,
            end,
            syncs,
            told,
            _room: room,
        });
        let starts = !std::mem::replace(&mut queue.is_running, true);
        drop(queue);
        if starts {
            self.start(&driver);
        }
        Ok(Placed { offset, done })
    }

    /// What waits, as far as it goes into one group.
    fn next(&self) -> Vec<Record> {
        let mut queue = lock(&self.queue);
        let mut bytes = 0;
        let fits = |record: &&Record| {
            bytes += record
                .content
                .bytes()
                .min(limits::APPEND_GROUP_BYTES as u64);
            bytes <= limits::APPEND_GROUP_BYTES as u64
        };
        let count = queue.records.iter().take_while(fits).count();
        let count = count.clamp(1, limits::VECTOR_PARTS_MAX);
        let count = count.min(queue.records.len());
        queue.records.drain(..count).collect()
    }

    /// Writes a group, syncs it if anybody waits for that, and tells.
    fn commit(&self, group: Vec<Record>) {
        let mut disk = lock(&self.disk);
        let begin = group
            .first()
            .map_or(0, |record| record.end - record.content.bytes());
        let (good_end, result) = self.write(&mut disk, &group, begin);
        disk.bytes_max = usize::MAX;
        let (written, lost): (Vec<_>, Vec<_>) =
            group.into_iter().partition(|record| record.end <= good_end);
        let (syncing, done): (Vec<_>, Vec<_>) =
            written.into_iter().partition(|record| record.syncs);
        for record in done {
            let _ = record.told.send(Ok(()));
        }
        if let Err(error) = &result {
            // Where one fails, the next write tries it again.
            disk.cut = Some(disk.cut.map_or(good_end, |end| end.min(good_end)));
            let _ = self.cut(&mut disk);
            self.fail(error, good_end, lost);
        }
        if syncing.is_empty() {
            return;
        }
        match calls::sync_data(self.file.as_fd()) {
            Ok(()) => {
                let mut queue = lock(&self.queue);
                queue.synced = queue.synced.max(good_end);
                drop(queue);
                for record in syncing {
                    let _ = record.told.send(Ok(()));
                }
            }
            Err(error) => {
                // What was written since the last success may be gone, so that nothing may come behind it.
                let synced = lock(&self.queue).synced;
                disk.cut = Some(synced);
                self.fail(&error, synced, syncing);
            }
        }
    }

    /// Returns where the last record ends that is written whole.
    fn write(&self, disk: &mut Disk, group: &[Record], begin: u64) -> (u64, io::Result<()>) {
        if let Err(error) = self.cut(disk) {
            return (begin, Err(error));
        }
        let end = group.last().map_or(begin, |record| record.end);
        self.reserve(disk, end);
        let (mut at, mut written) = (begin, begin);
        let mut parts = Vec::with_capacity(group.len());
        let mut result = Ok(());
        for record in group {
            let start = record.end - record.content.bytes();
            debug_assert_eq!(start, at);
            match &record.content {
                Content::Hole(_) => {}
                Content::Bytes(buf) if self.how.makes_holes => {
                    for (from, to) in data_runs(bytes_of(&**buf), start) {
                        let base = start + from as u64;
                        if base != written + length(&parts) {
                            result = self.put(disk, &mut parts, &mut written, base);
                            if result.is_err() {
                                break;
                            }
                        }
                        parts.push(IoSlice::new(&bytes_of(&**buf)[from..to]));
                    }
                }
                Content::Bytes(buf) => {
                    if start != written + length(&parts) {
                        result = self.put(disk, &mut parts, &mut written, start);
                    }
                    parts.push(IoSlice::new(bytes_of(&**buf)));
                }
            }
            at = record.end;
            if result.is_err() {
                break;
            }
        }
        if result.is_ok() {
            result = self.put(disk, &mut parts, &mut written, at);
        }
        let good = group.iter().map(|record| record.end);
        let good_end = good.filter(|end| *end <= written).max().unwrap_or(begin);
        (if result.is_ok() { end } else { good_end }, result)
    }

    /// Writes the parts, and goes on at an offset behind them, up to which there is a hole.
    fn put(
        &self,
        disk: &Disk,
        parts: &mut Vec<IoSlice<'_>>,
        at: &mut u64,
        next: u64,
    ) -> io::Result<()> {
        let mut taken = std::mem::take(parts);
        let (count, result) =
            calls::write_parts(self.file.as_fd(), &mut taken, *at, disk.bytes_max);
        *at += count;
        result?;
        if *at < next {
            let extends = matches!(self.how.ahead, Some((_, Space::ReserveExtend)));
            if !extends || disk.reserved < next {
                calls::set_len(self.file.as_fd(), next)?;
            }
            *at = next;
        }
        Ok(())
    }

    /// Reserves space ahead; a hint.
    fn reserve(&self, disk: &mut Disk, end: u64) {
        let Some((bytes, space)) = self.how.ahead else {
            return;
        };
        if end <= disk.reserved {
            return;
        }
        let (from, to) = (disk.reserved, end.saturating_add(bytes));
        // Where there is no room for it there may be for the record.
        if range::allocate(self.file.as_fd(), from, to - from, space).is_ok() {
            disk.reserved = to;
        }
    }

    /// Cuts off what was lost or written in part.
    fn cut(&self, disk: &mut Disk) -> io::Result<()> {
        if let Some(end) = disk.cut {
            calls::set_len(self.file.as_fd(), end)?;
            (disk.cut, disk.reserved) = (None, end);
        }
        Ok(())
    }

    /// Tells these and all that wait behind them, and takes nothing more until it is acknowledged.
    fn fail(&self, error: &io::Error, end: u64, first: Vec<Record>) {
        let mut queue = lock(&self.queue);
        self.file.health.note_accepted(error);
        queue.end = end;
        let behind = std::mem::take(&mut queue.records);
        drop(queue);
        for record in first.into_iter().chain(behind) {
            let again = self.file.tell(Kind::Append, Error::same(error));
            let _ = record.told.send(Err(again));
        }
    }

    /// Gives back space that was reserved and not used.
    fn trim(&self) {
        let mut disk = lock(&self.disk);
        let is_cut = self.cut(&mut disk).is_ok();
        let end = lock(&self.queue).end;
        if is_cut && disk.reserved > end && calls::set_len(self.file.as_fd(), end).is_ok() {
            disk.reserved = end;
        }
    }

    pub(crate) fn has_reserved(&self) -> bool {
        self.how.ahead.is_some()
    }

    /// Gives back what was reserved, behind all records.
    pub(crate) async fn trimmed(self: &Arc<Self>) -> io::Result<()> {
        self.born.check(Kind::Append)?;
        let appender = self.clone();
        let trim = super::hop::hop_on_file(&self.file, Kind::Append, move |_| {
            appender.trim();
            Ok(())
        });
        trim.await
    }

    /// The same, for nobody.
    pub(crate) fn trim_detached(self: &Arc<Self>) {
        if self.born.is_of_parent() {
            return;
        }
        let mut queue = lock(&self.queue);
        queue.trims = true;
        if queue.is_running {
            return;
        }
        drop(queue);
        let appender = self.clone();
        let trim = driver::chore::Chore::kept(Kind::Append, move |_| {
            appender.trim();
            Ok(())
        });
        self.file.driver().start_detached(trim, &self.file.mount());
    }
}

fn length(parts: &[IoSlice<'_>]) -> u64 {
    parts.iter().map(|part| part.len() as u64).sum()
}

/// The parts of a record that are not blocks of zeros, as they lie in the file.
fn data_runs(bytes: &[u8], offset: u64) -> Vec<(usize, usize)> {
    let block = limits::APPEND_HOLE_BYTES;
    let mut runs: Vec<(usize, usize)> = Vec::new();
    let mut from = 0;
    while from < bytes.len() {
        let into = ((offset + from as u64) % block as u64) as usize;
        let to = (from + block - into).min(bytes.len());
        let is_hole = to - from == block && bytes[from..to].iter().all(|byte| *byte == 0);
        match runs.last_mut() {
            _ if is_hole => {}
            Some(last) if last.1 == from => last.1 = to,
            _ => runs.push((from, to)),
        }
        from = to;
    }
    runs
}
