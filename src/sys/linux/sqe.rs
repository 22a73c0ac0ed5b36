//! Submission entries, one constructor per operation.

use std::ffi::CStr;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::sync::atomic::AtomicU64;

use io_uring::opcode;
use io_uring::squeue::{Entry, Flags};
use io_uring::types::{DestinationSlot, Fd, Fixed, FsyncFlags};

use super::eventfd::EventFd;
use super::openat2::OpenHow;
use super::statx::{self, StatxBuf};
use super::tables::NamedFd;
use crate::opcode::Form;
use crate::sys::at::At;
use crate::sys::stat::How;

/// Opcodes that no operation is named after, by number.
pub(crate) mod code {
    use io_uring::opcode;

    pub(crate) const READ_FIXED: u8 = opcode::ReadFixed::CODE;
    pub(crate) const READV_FIXED: u8 = opcode::ReadvFixed::CODE;
    pub(crate) const WRITE_FIXED: u8 = opcode::WriteFixed::CODE;
    pub(crate) const WRITEV_FIXED: u8 = opcode::WritevFixed::CODE;
}

/// Where in the user data of an entry stands which of the linked ones it is.
pub(crate) const MEMBER_SHIFT: u32 = 60;

/// A submission entry, or several that the kernel takes as one. Making one does nothing; pushing it is what
/// needs care.
#[derive(Clone, Debug)]
pub(crate) struct Sqe {
    first: Member,
    /// What is linked to it.
    rest: Vec<Member>,
}

/// One entry, and what it counts as.
#[derive(Clone, Debug)]
struct Member {
    entry: Entry,
    form: Form,
}

/// How an entry is bound to the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Link {
    /// It follows in any case, unless an earlier one was bound softly and failed.
    Hard,
    /// It is cancelled, and all after it, if the one before fails or moves less than it was asked to.
    Soft,
}

impl Link {
    fn flag(self) -> Flags {
        match self {
            Link::Hard => Flags::IO_HARDLINK,
            Link::Soft => Flags::IO_LINK,
        }
    }
}

fn fd(fd: BorrowedFd<'_>) -> Fd {
    Fd(fd.as_raw_fd())
}

fn named(file: NamedFd<'_>) -> Fd {
    fd(file.fd())
}

impl Sqe {
    pub(crate) fn read(file: NamedFd<'_>, buf: *mut u8, length: u32, offset: u64) -> Sqe {
        Sqe::of(
            opcode::Read::new(named(file), buf, length)
                .offset(offset)
                .build(),
        )
    }

    /// Into a buffer of this group that the kernel picks.
    pub(crate) fn read_select(file: NamedFd<'_>, group: u16, offset: u64) -> Sqe {
        let entry = opcode::Read::new(named(file), std::ptr::null_mut(), 0)
            .offset(offset)
            .buf_group(group)
            .build();
        let mut sqe = Sqe::of(entry.flags(Flags::BUFFER_SELECT));
        sqe.first.form = sqe.first.form.select();
        sqe
    }

    /// Reads nothing, and fails where the file cannot be read without waiting.
    pub(crate) fn read_nothing(file: NamedFd<'_>) -> Sqe {
        Sqe::of(
            opcode::Read::new(named(file), std::ptr::null_mut(), 0)
                .offset(u64::MAX)
                .rw_flags(libc::RWF_NOWAIT)
                .build(),
        )
    }

    /// The same as `read_select`, again and again, for what has no positions.
    pub(crate) fn read_multishot(file: NamedFd<'_>, group: u16) -> Sqe {
        Sqe::of(
            opcode::ReadMulti::new(named(file), 0, group)
                .offset(u64::MAX)
                .build(),
        )
    }

    pub(crate) fn write(
        file: NamedFd<'_>,
        (buf, length): (*const u8, u32),
        offset: u64,
        flags: i32,
    ) -> Sqe {
        Sqe::of(
            opcode::Write::new(named(file), buf, length)
                .offset(offset)
                .rw_flags(flags)
                .build(),
        )
    }

    pub(crate) fn readv(file: NamedFd<'_>, parts: &[libc::iovec], offset: u64) -> Sqe {
        let (start, count) = (parts.as_ptr(), parts.len() as u32);
        Sqe::of(
            opcode::Readv::new(named(file), start, count)
                .offset(offset)
                .build(),
        )
    }

    pub(crate) fn writev(file: NamedFd<'_>, parts: &[libc::iovec], offset: u64) -> Sqe {
        let (start, count) = (parts.as_ptr(), parts.len() as u32);
        Sqe::of(
            opcode::Writev::new(named(file), start, count)
                .offset(offset)
                .build(),
        )
    }

    /// With memory that the ring has at that place of its table, as the others with `fixed` in their names.
    pub(crate) fn read_fixed(
        file: NamedFd<'_>,
        (buf, length): (*mut u8, u32),
        place: u16,
        offset: u64,
    ) -> Sqe {
        Sqe::of(
            opcode::ReadFixed::new(named(file), buf, length, place)
                .offset(offset)
                .build(),
        )
    }

    pub(crate) fn write_fixed(
        file: NamedFd<'_>,
        (buf, length): (*const u8, u32),
        place: u16,
        offset: u64,
        flags: i32,
    ) -> Sqe {
        Sqe::of(
            opcode::WriteFixed::new(named(file), buf, length, place)
                .offset(offset)
                .rw_flags(flags)
                .build(),
        )
    }

    pub(crate) fn readv_fixed(
        file: NamedFd<'_>,
        parts: &[libc::iovec],
        place: u16,
        offset: u64,
    ) -> Sqe {
        let (start, count) = (parts.as_ptr(), parts.len() as u32);
        Sqe::of(
            opcode::ReadvFixed::new(named(file), start, count, place)
                .offset(offset)
                .build(),
        )
    }

    pub(crate) fn writev_fixed(
        file: NamedFd<'_>,
        parts: &[libc::iovec],
        place: u16,
        offset: u64,
    ) -> Sqe {
        let (start, count) = (parts.as_ptr(), parts.len() as u32);
        Sqe::of(
            opcode::WritevFixed::new(named(file), start, count, place)
                .offset(offset)
                .build(),
        )
    }

    pub(crate) fn fsync(file: NamedFd<'_>, data_only: bool) -> Sqe {
        let flags = if data_only {
            FsyncFlags::DATASYNC
        } else {
            FsyncFlags::empty()
        };
        Sqe::of(opcode::Fsync::new(named(file)).flags(flags).build())
    }

    pub(crate) fn ftruncate(file: NamedFd<'_>, length: u64) -> Sqe {
        Sqe::of(opcode::Ftruncate::new(named(file), length).build())
    }

    pub(crate) fn fallocate(file: NamedFd<'_>, offset: u64, length: u64, mode: i32) -> Sqe {
        Sqe::of(
            opcode::Fallocate::new(named(file), length)
                .offset(offset)
                .mode(mode)
                .build(),
        )
    }

    pub(crate) fn fadvise(file: NamedFd<'_>, offset: u64, length: u32, advice: i32) -> Sqe {
        Sqe::of(
            opcode::Fadvise::new(named(file), length.into(), advice)
                .offset(offset)
                .build(),
        )
    }

    pub(crate) fn sync_file_range(file: NamedFd<'_>, offset: u64, length: u32, flags: u32) -> Sqe {
        Sqe::of(
            opcode::SyncFileRange::new(named(file), length)
                .offset(offset)
                .flags(flags)
                .build(),
        )
    }

    /// Offsets are -1 for what has none.
    pub(crate) fn splice(from: (NamedFd<'_>, i64), to: (NamedFd<'_>, i64), length: u32) -> Sqe {
        Sqe::of(opcode::Splice::new(named(from.0), from.1, named(to.0), to.1, length).build())
    }

    pub(crate) fn tee(from: NamedFd<'_>, to: NamedFd<'_>, length: u32) -> Sqe {
        Sqe::of(opcode::Tee::new(named(from), named(to), length).build())
    }

    pub(crate) fn openat(at: &At, flags: i32, mode: u32) -> Sqe {
        Sqe::of(
            opcode::OpenAt::new(fd(at.dir()), at.path().as_ptr())
                .flags(flags)
                .mode(mode)
                .build(),
        )
    }

    /// Opens into a slot of the ring's table of files. A file that is there already is closed.
    pub(crate) fn openat_direct(at: &At, flags: i32, mode: u32, slot: u32) -> Sqe {
        Sqe::of_direct(
            opcode::OpenAt::new(fd(at.dir()), at.path().as_ptr())
                .flags(flags)
                .mode(mode)
                .file_index(DestinationSlot::try_from_slot_target(slot).ok())
                .build(),
        )
    }

    pub(crate) fn read_direct(slot: u32, buf: *mut u8, length: u32, offset: u64) -> Sqe {
        Sqe::of_direct(
            opcode::Read::new(Fixed(slot), buf, length)
                .offset(offset)
                .build(),
        )
    }

    /// Fails for a pipe, and changes nothing for a file that was just opened: it advises what is so anyway.
    pub(crate) fn fadvise_direct(slot: u32) -> Sqe {
        let advice = libc::POSIX_FADV_NORMAL;
        Sqe::of_direct(opcode::Fadvise::new(Fixed(slot), 0, advice).build())
    }

    pub(crate) fn close_direct(slot: u32) -> Sqe {
        Sqe::of_direct(opcode::Close::new(Fixed(slot)).build())
    }

    /// Makes a descriptor of what is in a slot, which is closed on exec.
    pub(crate) fn install(slot: u32) -> Sqe {
        Sqe::of(opcode::FixedFdInstall::new(Fixed(slot), 0).build())
    }

    pub(crate) fn openat2(at: &At, how: &OpenHow) -> Sqe {
        let how = std::ptr::from_ref(how).cast();
        Sqe::of(opcode::OpenAt2::new(fd(at.dir()), at.path().as_ptr(), how).build())
    }

    /// From here on only the kernel closes the number.
    pub(crate) fn close(number: RawFd) -> Sqe {
        Sqe::of(opcode::Close::new(Fd(number)).build())
    }

    pub(crate) fn statx_path(at: &At, follow: bool, how: How, buf: &StatxBuf) -> Sqe {
        let (flags, mask) = statx::words(follow, how);
        let entry = opcode::Statx::new(fd(at.dir()), at.path().as_ptr(), buf.as_ptr().cast());
        Sqe::of(entry.flags(flags).mask(mask).build())
    }

    pub(crate) fn statx_fd(file: BorrowedFd<'_>, how: How, buf: &StatxBuf) -> Sqe {
        let (flags, mask) = statx::words(true, how);
        let entry = opcode::Statx::new(fd(file), c"".as_ptr(), buf.as_ptr().cast());
        Sqe::of(entry.flags(flags | libc::AT_EMPTY_PATH).mask(mask).build())
    }

    pub(crate) fn mkdirat(at: &At, mode: u32) -> Sqe {
        Sqe::of(
            opcode::MkDirAt::new(fd(at.dir()), at.path().as_ptr())
                .mode(mode)
                .build(),
        )
    }

    pub(crate) fn unlinkat(at: &At, directory: bool) -> Sqe {
        let flags = if directory { libc::AT_REMOVEDIR } else { 0 };
        Sqe::of(
            opcode::UnlinkAt::new(fd(at.dir()), at.path().as_ptr())
                .flags(flags)
                .build(),
        )
    }

    pub(crate) fn renameat(from: &At, to: &At, flags: u32) -> Sqe {
        let (from_dir, from) = (fd(from.dir()), from.path().as_ptr());
        let (to_dir, to) = (fd(to.dir()), to.path().as_ptr());
        Sqe::of(
            opcode::RenameAt::new(from_dir, from, to_dir, to)
                .flags(flags)
                .build(),
        )
    }

    pub(crate) fn linkat(original: &At, link: &At, flags: i32) -> Sqe {
        let (original_dir, original) = (fd(original.dir()), original.path().as_ptr());
        let (link_dir, link) = (fd(link.dir()), link.path().as_ptr());
        Sqe::of(
            opcode::LinkAt::new(original_dir, original, link_dir, link)
                .flags(flags)
                .build(),
        )
    }

    pub(crate) fn symlinkat(original: &CStr, link: &At) -> Sqe {
        let (dir, link) = (fd(link.dir()), link.path().as_ptr());
        Sqe::of(opcode::SymlinkAt::new(dir, original.as_ptr(), link).build())
    }

    pub(crate) fn getxattr(path: &CStr, name: &CStr, value: *mut u8, length: u32) -> Sqe {
        Sqe::of(opcode::GetXattr::new(name.as_ptr(), value.cast(), path.as_ptr(), length).build())
    }

    pub(crate) fn setxattr(path: &CStr, name: &CStr, value: *const u8, length: u32) -> Sqe {
        Sqe::of(opcode::SetXattr::new(name.as_ptr(), value.cast(), path.as_ptr(), length).build())
    }

    pub(crate) fn fgetxattr(file: NamedFd<'_>, name: &CStr, value: *mut u8, length: u32) -> Sqe {
        Sqe::of(opcode::FGetXattr::new(named(file), name.as_ptr(), value.cast(), length).build())
    }

    pub(crate) fn fsetxattr(file: NamedFd<'_>, name: &CStr, value: *const u8, length: u32) -> Sqe {
        Sqe::of(opcode::FSetXattr::new(named(file), name.as_ptr(), value.cast(), length).build())
    }

    pub(crate) fn cancel(user_data: u64) -> Sqe {
        Sqe::of(opcode::AsyncCancel::new(user_data).build())
    }

    pub(crate) fn nop() -> Sqe {
        Sqe::of(opcode::Nop::new().build())
    }

    /// Completes when the event is signalled.
    pub(crate) fn event(event: &EventFd) -> Sqe {
        use std::os::fd::AsFd;
        // The count is of no interest, and a signal may come after the ring was closed: the kernel writes
        // it where nothing else is, for ever (INV-1).
        static COUNT: AtomicU64 = AtomicU64::new(0);
        Sqe::read(
            NamedFd::of_ring(event.as_fd()),
            COUNT.as_ptr().cast(),
            8,
            u64::MAX,
        )
    }

    fn of(entry: Entry) -> Sqe {
        let form = Form::plain(entry.get_opcode() as u8);
        Sqe {
            first: Member { entry, form },
            rest: Vec::new(),
        }
    }

    /// One that goes to the ring's own table of files.
    fn of_direct(entry: Entry) -> Sqe {
        let mut sqe = Sqe::of(entry);
        sqe.first.form = sqe.first.form.direct();
        sqe
    }

    /// Has another one follow it, taken by the kernel at the same time.
    pub(crate) fn then(mut self, link: Link, next: Sqe) -> Sqe {
        let last = self.rest.last_mut().unwrap_or(&mut self.first);
        last.entry = last.entry.clone().flags(link.flag());
        self.rest.push(next.first);
        self.rest.extend(next.rest);
        self
    }

    /// Leaves the operation to a kernel worker, each entry of it, so that submitting it cannot sleep.
    pub(crate) fn for_kernel_worker(mut self) -> Sqe {
        for member in std::iter::once(&mut self.first).chain(&mut self.rest) {
            member.entry = member.entry.clone().flags(Flags::ASYNC);
        }
        self
    }

    /// How many entries it is.
    pub(crate) fn members(&self) -> usize {
        1 + self.rest.len()
    }

    fn all(&self) -> impl Iterator<Item = &Member> {
        std::iter::once(&self.first).chain(&self.rest)
    }

    /// What each entry counts as.
    pub(crate) fn forms(&self) -> impl Iterator<Item = Form> {
        self.all().map(|member| member.form)
    }

    /// The entries, each with its user data.
    pub(super) fn entries(&self, user_data: u64) -> impl Iterator<Item = Entry> {
        self.all().enumerate().map(move |(index, member)| {
            let user_data = user_data | (index as u64) << MEMBER_SHIFT;
            member.entry.clone().user_data(user_data)
        })
    }
}
