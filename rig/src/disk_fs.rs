//! The FUSE filesystem under a held disk: a root directory with one file, `disk`.

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use fuser::{
    BsdFileFlags, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation,
    INodeNo, KernelConfig, LockOwner, OpenFlags, ReplyAttr, ReplyData, ReplyEmpty, ReplyEntry,
    ReplyOpen, ReplyWrite, TimeOrNow, WriteFlags,
};

use crate::error::Context;
use crate::gate::{Gate, Request};
use crate::story::Recorder;

/// Nobody interrupts what a disk is asked for.
const NO_ID: u64 = 0;
const DISK: INodeNo = INodeNo(2);
pub(crate) const DISK_NAME: &str = "disk";
/// The size of the disk never changes, so the kernel need not ask again.
const ATTR_TTL: Duration = Duration::from_secs(3600);
/// The largest read or write in one request.
pub(crate) const TRANSFER_BYTES_MAX: u32 = 1 << 20;
/// More than a loop device has, so that this limit is never what makes a request wait.
pub(crate) const BACKGROUND_MAX: u16 = 4096;

pub(crate) struct DiskFs {
    file: Arc<File>,
    len_bytes: u64,
    gate: Arc<Gate>,
    recorder: Option<Arc<Recorder>>,
}

impl DiskFs {
    pub(crate) fn open(dir: &Path, gate: Arc<Gate>, records: bool) -> io::Result<DiskFs> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(dir.join(DISK_NAME))
            .context("open the disk's file")?;
        let len_bytes = file.metadata()?.len();
        Ok(DiskFs {
            file: Arc::new(file),
            len_bytes,
            gate,
            recorder: match records {
                true => Some(Arc::new(Recorder::create(dir)?)),
                false => None,
            },
        })
    }

    fn attr(&self, ino: INodeNo) -> Option<FileAttr> {
        let (kind, perm, size) = match ino {
            INodeNo::ROOT => (FileType::Directory, 0o755, 0),
            DISK => (FileType::RegularFile, 0o600, self.len_bytes),
            _ => return None,
        };
        Some(FileAttr {
            ino,
            size,
            blocks: size.div_ceil(512),
            atime: UNIX_EPOCH,
            mtime: UNIX_EPOCH,
            ctime: UNIX_EPOCH,
            crtime: UNIX_EPOCH,
            kind,
            perm,
            nlink: 1,
            uid: 0,
            gid: 0,
            rdev: 0,
            blksize: 4096,
            flags: 0,
        })
    }
}

/// Settings of the FUSE connection that both filesystems share.
pub(crate) fn configure(config: &mut KernelConfig, transfer_bytes_max: u32) {
    // Each fails only where the kernel allows less than that, and then its own limit holds.
    let _ = config.set_max_write(transfer_bytes_max);
    let _ = config.set_max_readahead(transfer_bytes_max);
    let _ = config.set_max_background(BACKGROUND_MAX);
    let _ = config.set_congestion_threshold(BACKGROUND_MAX);
}

/// Reads until `size` bytes or the end of the file.
pub(crate) fn read_full(file: &File, offset: u64, size: u32) -> io::Result<Vec<u8>> {
    let mut buf = vec![0; size as usize];
    let mut filled = 0;
    while filled < buf.len() {
        match file.read_at(&mut buf[filled..], offset + filled as u64)? {
            0 => break,
            read => filled += read,
        }
    }
    buf.truncate(filled);
    Ok(buf)
}

/// An error number of a failed request; one that has none becomes EIO.
pub(crate) fn errno_of(error: &io::Error) -> Errno {
    Errno::from_i32(error.raw_os_error().unwrap_or(libc::EIO))
}

impl Filesystem for DiskFs {
    fn init(&mut self, _: &fuser::Request, config: &mut KernelConfig) -> io::Result<()> {
        configure(config, TRANSFER_BYTES_MAX);
        Ok(())
    }

    fn lookup(&self, _: &fuser::Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        match self.attr(DISK) {
            Some(attr) if parent == INodeNo::ROOT && name == DISK_NAME => {
                reply.entry(&ATTR_TTL, &attr, Generation(0))
            }
            _ => reply.error(Errno::ENOENT),
        }
    }

    fn getattr(&self, _: &fuser::Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match self.attr(ino) {
            Some(attr) => reply.attr(&ATTR_TTL, &attr),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn setattr(
        &self,
        request: &fuser::Request,
        ino: INodeNo,
        _mode: Option<u32>,
        _uid: Option<u32>,
        _gid: Option<u32>,
        _size: Option<u64>,
        _atime: Option<TimeOrNow>,
        _mtime: Option<TimeOrNow>,
        _ctime: Option<std::time::SystemTime>,
        handle: Option<FileHandle>,
        _crtime: Option<std::time::SystemTime>,
        _chgtime: Option<std::time::SystemTime>,
        _bkuptime: Option<std::time::SystemTime>,
        _flags: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        self.getattr(request, ino, handle, reply);
    }

    fn open(&self, _: &fuser::Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        // Without a page cache in between, what the loop device asks for is what arrives here.
        reply.opened(FileHandle(0), FopenFlags::FOPEN_DIRECT_IO);
    }

    fn read(
        &self,
        _: &fuser::Request,
        _: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let file = Arc::clone(&self.file);
        let answer = move |fail: Option<i32>| match fail
            .map_or_else(|| read_full(&file, offset, size), failed)
        {
            Ok(data) => reply.data(&data),
            Err(error) => reply.error(errno_of(&error)),
        };
        self.gate.pass(NO_ID, Request::Read, "", Box::new(answer));
    }

    fn write(
        &self,
        _: &fuser::Request,
        _: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let file = Arc::clone(&self.file);
        let data = data.to_vec();
        let recorder = self.recorder.clone();
        let write = move |data: &[u8]| {
            file.write_all_at(data, offset)?;
            recorder.map_or(Ok(()), |recorder| recorder.note_write(offset, data))
        };
        let answer = move |fail: Option<i32>| match fail.map_or_else(|| write(&data), failed) {
            Ok(()) => reply.written(data.len() as u32),
            Err(error) => reply.error(errno_of(&error)),
        };
        self.gate.pass(NO_ID, Request::Write, "", Box::new(answer));
    }

    fn flush(
        &self,
        _: &fuser::Request,
        _: INodeNo,
        _: FileHandle,
        _: LockOwner,
        reply: ReplyEmpty,
    ) {
        reply.ok();
    }

    fn fsync(&self, _: &fuser::Request, _: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        // The machine under the test does not lose power, so there is nothing to write back.
        let recorder = self.recorder.clone();
        let flush = move || recorder.map_or(Ok(()), |recorder| recorder.note_flush());
        let answer = move |fail: Option<i32>| match fail.map_or_else(flush, failed) {
            Ok(()) => reply.ok(),
            Err(error) => reply.error(errno_of(&error)),
        };
        self.gate.pass(NO_ID, Request::Fsync, "", Box::new(answer));
    }
}

/// The result of a request that a rule makes fail.
pub(crate) fn failed<T>(errno: i32) -> io::Result<T> {
    Err(io::Error::from_raw_os_error(errno))
}
