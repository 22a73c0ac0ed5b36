//! The FUSE filesystem of a stalled tree: every request passes the gate, then acts on the file behind it.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use fuser::{
    BsdFileFlags, Errno, FileHandle, Filesystem, FopenFlags, Generation, INodeNo, InitFlags,
    KernelConfig, LockOwner, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData,
    ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyOpen, ReplyStatfs, ReplyWrite, RequestId,
    TimeOrNow, WriteFlags,
};

use crate::disk_fs::{TRANSFER_BYTES_MAX, configure, errno_of, failed, read_full};
use crate::gate::{Gate, Request};
use crate::relay::RELAYED_BYTES_MAX;
use crate::server::Settings;
use crate::tree_ops::{Change, Tree};

pub(crate) struct TreeFs {
    tree: Arc<Tree>,
    gate: Arc<Gate>,
    attr_ttl: Duration,
    entry_ttl: Duration,
    flags: FopenFlags,
    async_dio: bool,
    transfer_bytes_max: u32,
}

/// A reply that can be an error.
trait Reply: Send + 'static {
    fn fail(self, errno: Errno);
}

macro_rules! replies {
    ($($reply:ty),*) => {
        $(impl Reply for $reply {
            fn fail(self, errno: Errno) {
                self.error(errno);
            }
        })*
    };
}

replies!(
    ReplyAttr,
    ReplyCreate,
    ReplyData,
    ReplyDirectory,
    ReplyEmpty,
    ReplyEntry,
    ReplyOpen,
    ReplyStatfs,
    ReplyWrite
);

impl TreeFs {
    pub(crate) fn open(dir: &Path, gate: Arc<Gate>, settings: &Settings) -> io::Result<TreeFs> {
        let mut flags = FopenFlags::empty();
        flags.set(FopenFlags::FOPEN_DIRECT_IO, settings.direct_io);
        flags.set(FopenFlags::FOPEN_KEEP_CACHE, settings.keep_cache);
        Ok(TreeFs {
            tree: Arc::new(Tree::new(dir)?),
            gate,
            attr_ttl: settings.attr_timeout,
            entry_ttl: settings.entry_timeout,
            flags,
            async_dio: settings.async_dio,
            transfer_bytes_max: if settings.interrupts {
                RELAYED_BYTES_MAX
            } else {
                TRANSFER_BYTES_MAX
            },
        })
    }

    /// Does `work` and answers with `done`, when the gate lets it pass.
    fn pass<R: Reply, T>(
        &self,
        (id, request): (RequestId, Request),
        path: &str,
        reply: R,
        work: impl FnOnce(&Tree) -> io::Result<T> + Send + 'static,
        done: impl FnOnce(R, T) + Send + 'static,
    ) {
        let tree = Arc::clone(&self.tree);
        let answer = move |fail: Option<i32>| match fail.map_or_else(|| work(&tree), failed) {
            Ok(result) => done(reply, result),
            Err(error) => reply.fail(errno_of(&error)),
        };
        self.gate.pass(id.0, request, path, Box::new(answer));
    }

    /// The same for requests that end in an entry of a directory.
    fn pass_entry(
        &self,
        request: (RequestId, Request),
        (parent, name): (INodeNo, &OsStr),
        reply: ReplyEntry,
        work: impl FnOnce(&Path) -> io::Result<()> + Send + 'static,
    ) {
        let (attr_ttl, entry_ttl) = (self.attr_ttl, self.entry_ttl);
        let path = self.tree.child_path(parent, name);
        let name = name.to_owned();
        let work = move |tree: &Tree| {
            tree.at(parent, &name, work)?;
            tree.lookup(parent, &name)
        };
        let done = move |reply: ReplyEntry, attr| {
            reply.entry_with_ttls(&attr_ttl, &entry_ttl, &attr, Generation(0))
        };
        self.pass(request, &path, reply, work, done);
    }

    fn pass_removal(
        &self,
        id: RequestId,
        (parent, name): (INodeNo, &OsStr),
        reply: ReplyEmpty,
        work: impl FnOnce(&Path) -> io::Result<()> + Send + 'static,
    ) {
        let path = self.tree.child_path(parent, name);
        let name = name.to_owned();
        let work = move |tree: &Tree| tree.at(parent, &name, work);
        self.pass((id, Request::Namespace), &path, reply, work, |reply, ()| {
            reply.ok()
        });
    }
}

impl Filesystem for TreeFs {
    fn init(&mut self, _: &fuser::Request, config: &mut KernelConfig) -> io::Result<()> {
        configure(config, self.transfer_bytes_max);
        // What libfuse asks for by default, so that the tree behaves as FUSE filesystems in use do.
        let mut wanted = vec![
            InitFlags::FUSE_PARALLEL_DIROPS,
            InitFlags::FUSE_AUTO_INVAL_DATA,
        ];
        wanted.extend(self.async_dio.then_some(InitFlags::FUSE_ASYNC_DIO));
        for flag in wanted {
            // A kernel without it works in its own way.
            let _ = config.add_capabilities(flag);
        }
        Ok(())
    }

    fn lookup(&self, request: &fuser::Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        self.pass_entry(
            (request.unique(), Request::Lookup),
            (parent, name),
            reply,
            |_| Ok(()),
        );
    }

    fn forget(&self, _: &fuser::Request, ino: INodeNo, count: u64) {
        self.tree.forget(ino, count);
    }

    fn getattr(
        &self,
        request: &fuser::Request,
        ino: INodeNo,
        _: Option<FileHandle>,
        reply: ReplyAttr,
    ) {
        let ttl = self.attr_ttl;
        let path = self.tree.path(ino);
        let done = move |reply: ReplyAttr, attr| reply.attr(&ttl, &attr);
        self.pass(
            (request.unique(), Request::Getattr),
            &path,
            reply,
            move |tree| tree.attr(ino),
            done,
        );
    }

    fn setattr(
        &self,
        request: &fuser::Request,
        ino: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        size: Option<u64>,
        atime: Option<TimeOrNow>,
        mtime: Option<TimeOrNow>,
        _: Option<SystemTime>,
        _: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let ttl = self.attr_ttl;
        let path = self.tree.path(ino);
        let change = Change {
            mode,
            uid,
            gid,
            len_bytes: size,
            atime,
            mtime,
        };
        let done = move |reply: ReplyAttr, attr| reply.attr(&ttl, &attr);
        self.pass(
            (request.unique(), Request::Setattr),
            &path,
            reply,
            move |tree| tree.change(ino, &change),
            done,
        );
    }

    fn readlink(&self, request: &fuser::Request, ino: INodeNo, reply: ReplyData) {
        let path = self.tree.path(ino);
        let done = |reply: ReplyData, target: std::ffi::OsString| reply.data(target.as_bytes());
        self.pass(
            (request.unique(), Request::Readlink),
            &path,
            reply,
            move |tree| tree.readlink(ino),
            done,
        );
    }

    fn mkdir(
        &self,
        request: &fuser::Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        reply: ReplyEntry,
    ) {
        let mode = std::fs::Permissions::from_mode(mode & !umask & 0o7777);
        let work = move |path: &Path| {
            std::fs::create_dir(path)?;
            std::fs::set_permissions(path, mode)
        };
        self.pass_entry(
            (request.unique(), Request::Namespace),
            (parent, name),
            reply,
            work,
        );
    }

    fn unlink(&self, request: &fuser::Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        self.pass_removal(request.unique(), (parent, name), reply, |path| {
            std::fs::remove_file(path)
        });
    }

    fn rmdir(&self, request: &fuser::Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        self.pass_removal(request.unique(), (parent, name), reply, |path| {
            std::fs::remove_dir(path)
        });
    }

    fn symlink(
        &self,
        request: &fuser::Request,
        parent: INodeNo,
        name: &OsStr,
        target: &Path,
        reply: ReplyEntry,
    ) {
        let target = target.to_owned();
        let work = move |path: &Path| std::os::unix::fs::symlink(target, path);
        self.pass_entry(
            (request.unique(), Request::Namespace),
            (parent, name),
            reply,
            work,
        );
    }

    fn rename(
        &self,
        request: &fuser::Request,
        parent: INodeNo,
        name: &OsStr,
        new_parent: INodeNo,
        new_name: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let path = self.tree.child_path(parent, name);
        let (name, new_name) = (name.to_owned(), new_name.to_owned());
        let work = move |tree: &Tree| {
            if !flags.is_empty() {
                return Err(io::Error::from_raw_os_error(libc::EINVAL));
            }
            tree.rename((parent, &name), (new_parent, &new_name))
        };
        self.pass(
            (request.unique(), Request::Namespace),
            &path,
            reply,
            work,
            |reply, ()| reply.ok(),
        );
    }

    fn link(
        &self,
        request: &fuser::Request,
        ino: INodeNo,
        parent: INodeNo,
        name: &OsStr,
        reply: ReplyEntry,
    ) {
        let (attr_ttl, entry_ttl) = (self.attr_ttl, self.entry_ttl);
        let path = self.tree.child_path(parent, name);
        let name = name.to_owned();
        let work = move |tree: &Tree| tree.link(ino, parent, &name);
        let done = move |reply: ReplyEntry, attr| {
            reply.entry_with_ttls(&attr_ttl, &entry_ttl, &attr, Generation(0))
        };
        self.pass(
            (request.unique(), Request::Namespace),
            &path,
            reply,
            work,
            done,
        );
    }

    fn open(&self, request: &fuser::Request, ino: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        let path = self.tree.path(ino);
        let open_flags = self.flags;
        let done = move |reply: ReplyOpen, handle| reply.opened(FileHandle(handle), open_flags);
        self.pass(
            (request.unique(), Request::Open),
            &path,
            reply,
            move |tree| tree.open(ino, flags.0),
            done,
        );
    }

    fn create(
        &self,
        request: &fuser::Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        flags: i32,
        reply: ReplyCreate,
    ) {
        let (ttl, open_flags) = (self.attr_ttl, self.flags);
        let path = self.tree.child_path(parent, name);
        let name = name.to_owned();
        let work = move |tree: &Tree| tree.create(parent, &name, mode & !umask, flags);
        let done = move |reply: ReplyCreate, (attr, handle)| {
            reply.created(&ttl, &attr, Generation(0), FileHandle(handle), open_flags);
        };
        self.pass(
            (request.unique(), Request::Create),
            &path,
            reply,
            work,
            done,
        );
    }

    fn read(
        &self,
        request: &fuser::Request,
        ino: INodeNo,
        handle: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let work = move |tree: &Tree| read_full(&*tree.file(handle.0)?, offset, size);
        let done = |reply: ReplyData, data: Vec<u8>| reply.data(&data);
        self.pass(
            (request.unique(), Request::Read),
            &self.tree.path(ino),
            reply,
            work,
            done,
        );
    }

    fn write(
        &self,
        request: &fuser::Request,
        ino: INodeNo,
        handle: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let data = data.to_vec();
        let work = move |tree: &Tree| {
            tree.file(handle.0)?
                .write_all_at(&data, offset)
                .map(|()| data.len() as u32)
        };
        self.pass(
            (request.unique(), Request::Write),
            &self.tree.path(ino),
            reply,
            work,
            |reply, written| reply.written(written),
        );
    }

    fn flush(
        &self,
        request: &fuser::Request,
        ino: INodeNo,
        _: FileHandle,
        _: LockOwner,
        reply: ReplyEmpty,
    ) {
        self.pass(
            (request.unique(), Request::Flush),
            &self.tree.path(ino),
            reply,
            |_| Ok(()),
            |reply, ()| reply.ok(),
        );
    }

    fn release(
        &self,
        request: &fuser::Request,
        ino: INodeNo,
        handle: FileHandle,
        _: OpenFlags,
        _: Option<LockOwner>,
        _: bool,
        reply: ReplyEmpty,
    ) {
        let work = move |tree: &Tree| {
            tree.close(handle.0);
            Ok(())
        };
        self.pass(
            (request.unique(), Request::Release),
            &self.tree.path(ino),
            reply,
            work,
            |reply, ()| reply.ok(),
        );
    }

    fn fsync(
        &self,
        request: &fuser::Request,
        ino: INodeNo,
        handle: FileHandle,
        _: bool,
        reply: ReplyEmpty,
    ) {
        let work = move |tree: &Tree| tree.file(handle.0)?.sync_all();
        self.pass(
            (request.unique(), Request::Fsync),
            &self.tree.path(ino),
            reply,
            work,
            |reply, ()| reply.ok(),
        );
    }

    fn opendir(&self, request: &fuser::Request, ino: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        let done = |reply: ReplyOpen, handle| reply.opened(FileHandle(handle), FopenFlags::empty());
        self.pass(
            (request.unique(), Request::Open),
            &self.tree.path(ino),
            reply,
            move |tree| tree.open_dir(ino),
            done,
        );
    }

    fn readdir(
        &self,
        request: &fuser::Request,
        ino: INodeNo,
        handle: FileHandle,
        offset: u64,
        reply: ReplyDirectory,
    ) {
        let done = move |mut reply: ReplyDirectory, listing: crate::tree_ops::Listing| {
            for (next, (ino, kind, name)) in (1..).zip(listing.iter()).skip(offset as usize) {
                if reply.add(*ino, next, *kind, name) {
                    break;
                }
            }
            reply.ok();
        };
        self.pass(
            (request.unique(), Request::Readdir),
            &self.tree.path(ino),
            reply,
            move |tree| tree.listing(handle.0),
            done,
        );
    }

    fn releasedir(
        &self,
        _: &fuser::Request,
        _: INodeNo,
        handle: FileHandle,
        _: OpenFlags,
        reply: ReplyEmpty,
    ) {
        self.tree.close(handle.0);
        reply.ok();
    }

    fn fsyncdir(
        &self,
        request: &fuser::Request,
        ino: INodeNo,
        _: FileHandle,
        _: bool,
        reply: ReplyEmpty,
    ) {
        self.pass(
            (request.unique(), Request::Fsync),
            &self.tree.path(ino),
            reply,
            |_| Ok(()),
            |reply, ()| reply.ok(),
        );
    }

    fn statfs(&self, request: &fuser::Request, ino: INodeNo, reply: ReplyStatfs) {
        let done = |reply: ReplyStatfs, stat: nix::sys::statvfs::Statvfs| {
            let (blocks, free, available) =
                (stat.blocks(), stat.blocks_free(), stat.blocks_available());
            let (size, fragment) = (stat.block_size() as u32, stat.fragment_size() as u32);
            let name_max = stat.name_max() as u32;
            reply.statfs(
                blocks,
                free,
                available,
                stat.files(),
                stat.files_free(),
                size,
                name_max,
                fragment,
            );
        };
        self.pass(
            (request.unique(), Request::Statfs),
            &self.tree.path(ino),
            reply,
            move |tree| tree.statfs(ino),
            done,
        );
    }
}
