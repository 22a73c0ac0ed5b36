//! A process whose system calls the test answers, each or some of them: the kernel asks before it does them.
#![allow(dead_code, reason = "each test file uses its part")]

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::thread::JoinHandle;

use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, recvmsg, sendmsg};

/// What a call is about, by its arguments.
#[derive(Clone, Copy, Debug)]
pub(crate) enum About {
    /// A descriptor.
    Open(usize),
    /// A name in an open directory, or the descriptor itself where there is none.
    Name(usize, usize),
    /// A path.
    At(usize),
}

/// A call that can be answered: its name, number and subject.
pub(crate) type Known = (&'static str, i64, About);

use About::{At, Name, Open};

/// Not every architecture's list has these, as there are newer ones to the same end.
const CHMOD: i64 = if cfg!(target_arch = "x86_64") { 90 } else { -1 };
const RENAMEAT: i64 = if cfg!(target_arch = "x86_64") {
    264
} else {
    38
};

/// The calls that a copy makes about files.
pub(crate) const CALLS: &[Known] = &[
    ("openat", libc::SYS_openat, Name(0, 1)),
    ("newfstatat", libc::SYS_newfstatat, Name(0, 1)),
    ("statx", libc::SYS_statx, Name(0, 1)),
    ("fstat", libc::SYS_fstat, Open(0)),
    ("fstatfs", libc::SYS_fstatfs, Open(0)),
    ("getdents64", libc::SYS_getdents64, Open(0)),
    ("lseek", libc::SYS_lseek, Open(0)),
    ("mkdirat", libc::SYS_mkdirat, Name(0, 1)),
    ("unlinkat", libc::SYS_unlinkat, Name(0, 1)),
    ("symlinkat", libc::SYS_symlinkat, Name(1, 2)),
    ("readlinkat", libc::SYS_readlinkat, Name(0, 1)),
    ("mknodat", libc::SYS_mknodat, Name(0, 1)),
    ("linkat", libc::SYS_linkat, Name(2, 3)),
    ("renameat", RENAMEAT, Name(2, 3)),
    ("renameat2", libc::SYS_renameat2, Name(2, 3)),
    ("read", libc::SYS_read, Open(0)),
    ("pread64", libc::SYS_pread64, Open(0)),
    ("write", libc::SYS_write, Open(0)),
    ("pwrite64", libc::SYS_pwrite64, Open(0)),
    ("copy_file_range", libc::SYS_copy_file_range, Open(2)),
    ("ioctl", libc::SYS_ioctl, Open(0)),
    ("ftruncate", libc::SYS_ftruncate, Open(0)),
    ("fallocate", libc::SYS_fallocate, Open(0)),
    ("fadvise64", libc::SYS_fadvise64, Open(0)),
    ("fsync", libc::SYS_fsync, Open(0)),
    ("fdatasync", libc::SYS_fdatasync, Open(0)),
    ("flock", libc::SYS_flock, Open(0)),
    ("close", libc::SYS_close, Open(0)),
    ("fchown", libc::SYS_fchown, Open(0)),
    ("fchownat", libc::SYS_fchownat, Name(0, 1)),
    ("fchmod", libc::SYS_fchmod, Open(0)),
    ("chmod", CHMOD, At(0)),
    ("fchmodat", libc::SYS_fchmodat, Name(0, 1)),
    ("utimensat", libc::SYS_utimensat, Name(0, 1)),
    ("flistxattr", libc::SYS_flistxattr, Open(0)),
    ("fgetxattr", libc::SYS_fgetxattr, Open(0)),
    ("fsetxattr", libc::SYS_fsetxattr, Open(0)),
    ("fremovexattr", libc::SYS_fremovexattr, Open(0)),
];

/// A call that waits for its answer.
pub(crate) struct Call {
    pub(crate) known: Known,
    pub(crate) thread: u32,
    args: [u64; 6],
}

/// What becomes of a call.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Answer {
    /// The kernel does it.
    Done,
    /// It is not done, and fails so.
    Fails(i32),
    /// It is not done, and yields this.
    Yields(i64),
}

impl Call {
    /// The path of what it is about, as far as there is one.
    pub(crate) fn path(&self) -> Option<PathBuf> {
        let link = |at: usize| {
            let fd = self.args[at] as i32;
            match fd {
                libc::AT_FDCWD => std::fs::read_link(format!("/proc/{}/cwd", self.thread)),
                _ => std::fs::read_link(format!("/proc/{}/fd/{fd}", self.thread)),
            }
        };
        match self.known.2 {
            Open(at) => link(at).ok(),
            At(at) => self.text(at),
            Name(dir, name) => {
                let name = self.text(name)?;
                match name.is_absolute() {
                    true => Some(name),
                    false => Some(link(dir).ok()?.join(name)),
                }
            }
        }
    }

    /// The text that an argument points to.
    fn text(&self, at: usize) -> Option<PathBuf> {
        let mut bytes = vec![0; 4096];
        let at = self.args[at];
        if at == 0 {
            return Some(PathBuf::new());
        }
        let memory = File::open(format!("/proc/{}/mem", self.thread)).ok()?;
        let read = memory.read_at(&mut bytes, at).ok()?;
        let end = bytes[..read].iter().position(|&byte| byte == 0)?;
        Some(Path::new(OsStr::from_bytes(&bytes[..end])).to_path_buf())
    }
}

/// Why no call can be answered here, if that is so: one who asks about calls is all that a process may have.
pub(crate) fn missing() -> Option<String> {
    let mut command = Command::new("true");
    match spawn(&mut command, CALLS, |_| Answer::Done) {
        Ok((mut child, answering)) => {
            let ended = child.wait();
            let _ = answering.join();
            ended.err().map(|error| error.to_string())
        }
        Err(error) => Some(format!("no filter may ask about system calls: {error}")),
    }
}

/// Starts a process whose calls of these are answered, until it and all that it starts are over.
pub(crate) fn spawn(
    command: &mut Command,
    calls: &[Known],
    mut answer: impl FnMut(&Call) -> Answer + Send + 'static,
) -> io::Result<(Child, JoinHandle<()>)> {
    let known: Vec<Known> = calls.to_vec();
    let program = filter(&known);
    let (ours, theirs) = UnixStream::pair()?;
    let give = move || {
        // Nobody answers yet, so it is for the exec to close it.
        let listener = listen(&program)?.into_raw_fd();
        let (bytes, fds) = ([IoSlice::new(b"x")], [listener]);
        let rights = [ControlMessage::ScmRights(&fds)];
        sendmsg::<()>(theirs.as_raw_fd(), &bytes, &rights, MsgFlags::empty(), None)?;
        Ok(())
    };
    // SAFETY: between fork and exec it makes two system calls, and what it allocates is C's, which may be used there.
    unsafe { command.pre_exec(give) };
    let child = command.spawn()?;
    let listener = take(&ours)?;
    let answering = std::thread::spawn(move || {
        while let Some((id, call)) = next(&listener, &known) {
            let answer = call.map_or(Answer::Done, |call| answer(&call));
            tell(&listener, id, answer);
        }
    });
    Ok((child, answering))
}

/// Asks about each of the calls, and lets all others pass.
fn filter(calls: &[Known]) -> Vec<libc::sock_filter> {
    let statement = |code: u32, k: u32, jf: u8| libc::sock_filter {
        code: code as u16,
        jt: 0,
        jf,
        k,
    };
    let answer = |answer| statement(libc::BPF_RET | libc::BPF_K, answer, 0);
    let mut program = vec![statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0)];
    for (_, number, _) in calls {
        let is_it = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
        program.push(statement(is_it, *number as u32, 1));
        program.push(answer(libc::SECCOMP_RET_USER_NOTIF));
    }
    program.push(answer(libc::SECCOMP_RET_ALLOW));
    program
}

fn listen(program: &[libc::sock_filter]) -> io::Result<OwnedFd> {
    let program = libc::sock_fprog {
        len: program.len() as u16,
        filter: program.as_ptr().cast_mut(),
    };
    // SAFETY: the program outlives the call, which copies it, and the descriptor is new and nobody else's.
    unsafe {
        if libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 {
            return Err(io::Error::last_os_error());
        }
        let fd = libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            libc::SECCOMP_FILTER_FLAG_NEW_LISTENER,
            &raw const program,
        );
        match fd {
            ..0 => Err(io::Error::last_os_error()),
            fd => Ok(OwnedFd::from_raw_fd(fd as RawFd)),
        }
    }
}

fn take(from: &UnixStream) -> io::Result<OwnedFd> {
    let mut byte = [0];
    let mut bytes = [IoSliceMut::new(&mut byte)];
    let mut space = nix::cmsg_space!([RawFd; 1]);
    let fd = from.as_fd().as_raw_fd();
    let got = recvmsg::<()>(fd, &mut bytes, Some(&mut space), MsgFlags::MSG_CMSG_CLOEXEC)?;
    for message in got.cmsgs()? {
        if let ControlMessageOwned::ScmRights(fds) = message {
            // SAFETY: it was just received, and nobody else has it.
            return Ok(unsafe { OwnedFd::from_raw_fd(fds[0]) });
        }
    }
    Err(io::ErrorKind::UnexpectedEof.into())
}

/// The next call; nothing when nobody is left to make one. One that was given up has no call.
fn next(listener: &OwnedFd, known: &[Known]) -> Option<(u64, Option<Call>)> {
    loop {
        let mut poll = libc::pollfd {
            fd: listener.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        // SAFETY: the structure outlives the call.
        let ready = unsafe { libc::poll(&raw mut poll, 1, -1) };
        if ready == 1 && poll.revents & libc::POLLIN == 0 {
            return None;
        }
        // SAFETY: all of its fields are numbers, and the kernel wants them to be zero.
        let mut asked: libc::seccomp_notif = unsafe { std::mem::zeroed() };
        // SAFETY: the structure is the one that the request writes.
        let got = unsafe {
            libc::ioctl(
                listener.as_raw_fd(),
                libc::SECCOMP_IOCTL_NOTIF_RECV,
                &raw mut asked,
            )
        };
        if got != 0 {
            // It was killed meanwhile.
            continue;
        }
        let number = i64::from(asked.data.nr);
        let known = known.iter().find(|known| known.1 == number).copied();
        let call = known.map(|known| Call {
            known,
            thread: asked.pid,
            args: asked.data.args,
        });
        return Some((asked.id, call));
    }
}

fn tell(listener: &OwnedFd, id: u64, answer: Answer) {
    let (val, error, flags) = match answer {
        Answer::Done => (0, 0, libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE as u32),
        Answer::Fails(errno) => (0, -errno, 0),
        Answer::Yields(value) => (value, 0, 0),
    };
    let mut told = libc::seccomp_notif_resp {
        id,
        val,
        error,
        flags,
    };
    // SAFETY: the structure is the one that the request reads. Who asked may be gone by now, which is no error here.
    unsafe {
        libc::ioctl(
            listener.as_raw_fd(),
            libc::SECCOMP_IOCTL_NOTIF_SEND,
            &raw mut told,
        )
    };
}
