//! Kinds of descriptors, each made anew as often as one is wanted, always in the same state.

use std::io::{Seek, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::Path;

use nix::libc;

use super::Work;

pub(crate) struct Kind {
    pub(crate) name: &'static str,
    pub(crate) make: Box<dyn Fn() -> OwnedFd>,
    /// Such as are read at a position as they come.
    pub(crate) has_no_positions: bool,
    /// From how many bytes on a read waits, as nothing happens, with std too; less is refused.
    reads_wait_from: usize,
    /// What is there is taken by one read, and the next one waits.
    reads_once: bool,
}

impl Kind {
    /// Whether std's waits as well.
    pub(crate) fn waits_for(&self, work: Work) -> bool {
        match work {
            Work::Read(length) | Work::ReadAt(length, _) => length >= self.reads_wait_from,
            Work::ReadTwice if self.reads_once => true,
            Work::ReadTwice | Work::SeekAndRead | Work::CloneAndRead | Work::ReadVectoredAt => {
                self.reads_wait_from < usize::MAX
            }
            _ => false,
        }
    }

    fn streams(mut self) -> Kind {
        self.has_no_positions = true;
        self
    }

    fn once(mut self) -> Kind {
        self.reads_once = true;
        self
    }

    fn waits_from(mut self, bytes: usize) -> Kind {
        self.reads_wait_from = bytes;
        self
    }
}

fn kind(name: &'static str, make: impl Fn() -> OwnedFd + 'static) -> Kind {
    Kind {
        name,
        make: Box::new(make),
        has_no_positions: false,
        reads_wait_from: usize::MAX,
        reads_once: false,
    }
}

/// What a system call gave that makes a descriptor.
fn made(number: impl TryInto<i32>) -> OwnedFd {
    let number = number.try_into().ok().unwrap();
    assert!(number >= 0, "{}", std::io::Error::last_os_error());
    // SAFETY: it was just made, and nobody else has it.
    unsafe { OwnedFd::from_raw_fd(number) }
}

/// Leaves it open for as long as the program runs.
fn kept<T: AsRawFd + Into<OwnedFd>>(fd: T) -> i32 {
    let number = fd.as_raw_fd();
    std::mem::forget(fd.into());
    number
}

fn set_nonblocking(fd: &OwnedFd) {
    // SAFETY: the descriptor is open.
    let result = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK) };
    assert_eq!(result, 0);
}

fn event(initial: u32, flags: i32) -> OwnedFd {
    // SAFETY: it takes numbers.
    made(unsafe { libc::eventfd(initial, libc::EFD_CLOEXEC | flags) })
}

fn epoll(watched: Option<i32>) -> OwnedFd {
    // SAFETY: it takes a number.
    let set = made(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) });
    if let Some(watched) = watched {
        let mut event = libc::epoll_event {
            events: libc::EPOLLIN as u32,
            u64: 0,
        };
        // SAFETY: both are open, and the event is one.
        let added = unsafe {
            libc::epoll_ctl(
                set.as_raw_fd(),
                libc::EPOLL_CTL_ADD,
                watched,
                &raw mut event,
            )
        };
        assert_eq!(added, 0);
    }
    set
}

fn timer(flags: i32, nanos: i64) -> OwnedFd {
    // SAFETY: it takes numbers.
    let timer =
        made(unsafe { libc::timerfd_create(libc::CLOCK_MONOTONIC, libc::TFD_CLOEXEC | flags) });
    let at = |tv_nsec| libc::timespec { tv_sec: 0, tv_nsec };
    let time = libc::itimerspec {
        it_value: at(nanos),
        it_interval: at(0),
    };
    let none = std::ptr::null_mut();
    // SAFETY: the descriptor is open, and the structure is one.
    let result = unsafe { libc::timerfd_settime(timer.as_raw_fd(), 0, &raw const time, none) };
    assert_eq!(result, 0);
    timer
}

fn signals(flags: i32) -> OwnedFd {
    // SAFETY: the set is one of signals, made empty first; none that anybody sends here.
    made(unsafe {
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, libc::SIGURG);
        libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | flags)
    })
}

fn notices(flags: i32) -> OwnedFd {
    // SAFETY: it takes a number.
    made(unsafe { libc::inotify_init1(libc::IN_CLOEXEC | flags) })
}

fn process() -> OwnedFd {
    // SAFETY: it takes numbers.
    made(unsafe { libc::syscall(libc::SYS_pidfd_open, std::process::id(), 0) })
}

fn memory(content: &[u8], seals: i32) -> OwnedFd {
    let flags = libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING;
    // SAFETY: the name ends with a zero.
    let memory = made(unsafe { libc::memfd_create(c"memory".as_ptr(), flags) });
    let mut file = std::fs::File::from(memory);
    file.write_all(content).unwrap();
    file.rewind().unwrap();
    if seals != 0 {
        // SAFETY: the descriptor is open.
        let result = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_ADD_SEALS, seals) };
        assert_eq!(result, 0);
    }
    file.into()
}

fn ring() -> OwnedFd {
    let mut params = [0u32; 30];
    // SAFETY: there is room for its parameters, which are zero.
    made(unsafe { libc::syscall(libc::SYS_io_uring_setup, 4, params.as_mut_ptr()) })
}

fn faults() -> OwnedFd {
    // SAFETY: it takes flags.
    made(unsafe { libc::syscall(libc::SYS_userfaultfd, libc::O_CLOEXEC) })
}

fn queue(flags: i32) -> OwnedFd {
    let name = std::ffi::CString::new(format!("/tidegate-{}", std::process::id())).unwrap();
    let flags = libc::O_RDWR | libc::O_CREAT | libc::O_CLOEXEC | flags;
    // SAFETY: the name ends with a zero; the attributes are the system's own.
    unsafe {
        let queue = libc::mq_open(
            name.as_ptr(),
            flags,
            0o600,
            std::ptr::null_mut::<libc::mq_attr>(),
        );
        libc::mq_unlink(name.as_ptr());
        made(queue)
    }
}

/// Whether it can be made here; says why not.
fn there(name: &str, call: libc::c_long, [first, second]: [libc::c_long; 2]) -> bool {
    // SAFETY: it takes numbers, or room for parameters that are zero.
    let number = unsafe { libc::syscall(call, first, second) };
    if number >= 0 {
        drop(made(number));
        return true;
    }
    println!(
        "skip: descriptors: {name}: {}",
        std::io::Error::last_os_error()
    );
    false
}

/// What waits for events, timers, processes and the like.
pub(crate) fn events() -> Vec<Kind> {
    let mut all = vec![
        kind("an empty epoll set", || epoll(None)),
        kind("an epoll set with something quiet", || {
            epoll(Some(kept(event(0, 0))))
        }),
        kind("an epoll set with something ready", || {
            epoll(Some(kept(event(1, 0))))
        }),
        kind("an event", || event(7, 0)).once(),
        kind("an event of several", || event(7, libc::EFD_SEMAPHORE)),
        kind("no event", || event(0, libc::EFD_NONBLOCK)),
        kind("an event that is waited for", || event(0, 0)).waits_from(8),
        kind("no event, said later", || {
            let event = event(0, 0);
            set_nonblocking(&event);
            event
        }),
        kind("a timer that is over", || {
            let timer = timer(0, 1);
            std::thread::sleep(std::time::Duration::from_millis(1));
            timer
        })
        .once(),
        kind("a timer that is not set", || timer(libc::TFD_NONBLOCK, 0)),
        kind("a timer that is waited for", || timer(0, 0)).waits_from(8),
        kind("no signal", || signals(libc::SFD_NONBLOCK)),
        kind("a signal that is waited for", || signals(0)).waits_from(128),
        kind("no notice", || notices(libc::IN_NONBLOCK)),
        kind("a notice that is waited for", || notices(0)).waits_from(0),
    ];
    if there(
        "userfaultfd",
        libc::SYS_userfaultfd,
        [libc::O_CLOEXEC.into(), 0],
    ) {
        all.push(kind("faults", faults));
    }
    let mut params = [0u32; 30];
    if there(
        "io_uring",
        libc::SYS_io_uring_setup,
        [4, params.as_mut_ptr() as libc::c_long],
    ) {
        all.push(kind("a ring", ring));
    }
    let mut all: Vec<_> = all.into_iter().map(Kind::streams).collect();
    all.extend([
        kind("a process", process),
        kind("memory", || memory(b"in memory", 0)),
        kind("sealed memory", || {
            memory(b"in memory", libc::F_SEAL_WRITE | libc::F_SEAL_SHRINK)
        }),
        kind("a message queue", || queue(0)),
        kind("a message queue that does not wait", || {
            queue(libc::O_NONBLOCK)
        }),
    ]);
    all
}

fn pipe() -> (OwnedFd, OwnedFd) {
    nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).unwrap()
}

fn full_pipe_reader() -> OwnedFd {
    let (reader, writer) = pipe();
    std::fs::File::from(writer).write_all(b"in a pipe").unwrap();
    reader
}

/// The near end; what is sent to it, and whether the far one is closed.
fn socket(sent: &[u8], ends: bool) -> OwnedFd {
    let (near, far) = std::os::unix::net::UnixStream::pair().unwrap();
    (&far).write_all(sent).unwrap();
    if ends {
        far.shutdown(std::net::Shutdown::Write).unwrap();
    }
    kept(far);
    near.into()
}

fn with_option(socket: OwnedFd, name: i32, value: &[u8]) -> OwnedFd {
    // SAFETY: the descriptor is open, and the value as long as is said.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            name,
            value.as_ptr().cast(),
            value.len() as libc::socklen_t,
        )
    };
    assert_eq!(result, 0);
    socket
}

fn millis_50() -> Vec<u8> {
    [0i64.to_ne_bytes(), 50_000i64.to_ne_bytes()].concat()
}

/// A terminal that hands out what there is: after so many bytes, or this long.
fn terminal(typed: &[u8], at_least: u8, tenths: u8) -> OwnedFd {
    let pair = nix::pty::openpty(None, None).unwrap();
    let mut settings = nix::sys::termios::tcgetattr(&pair.slave).unwrap();
    nix::sys::termios::cfmakeraw(&mut settings);
    settings.control_chars[libc::VMIN] = at_least;
    settings.control_chars[libc::VTIME] = tenths;
    nix::sys::termios::tcsetattr(&pair.slave, nix::sys::termios::SetArg::TCSANOW, &settings)
        .unwrap();
    let mut master = std::fs::File::from(pair.master);
    master.write_all(typed).unwrap();
    kept(master);
    // What was typed arrives through a worker of the kernel's.
    let mut waiting = 0;
    while waiting < typed.len() as libc::c_int {
        // SAFETY: the descriptor is open, and there is room for a number.
        unsafe { libc::ioctl(pair.slave.as_raw_fd(), libc::FIONREAD, &raw mut waiting) };
    }
    pair.slave
}

pub(crate) fn streams() -> Vec<Kind> {
    let all = vec![
        kind("a pipe's reader", full_pipe_reader),
        kind("a pipe's writer", || {
            let (reader, writer) = pipe();
            kept(reader);
            writer
        }),
        kind("a pipe without a reader", || pipe().1),
        kind("an empty pipe that does not wait", || {
            let (reader, writer) = pipe();
            set_nonblocking(&reader);
            kept(writer);
            reader
        }),
        kind("a socket", || socket(b"through a socket", true)),
        kind("a socket at its end", || socket(b"", true)),
        kind("a socket that gives up", || {
            with_option(socket(b"", false), libc::SO_RCVTIMEO, &millis_50())
        }),
        kind("a socket that gives up on more", || {
            let enough = 40i32.to_ne_bytes();
            let socket = with_option(socket(b"less", false), libc::SO_RCVLOWAT, &enough);
            with_option(socket, libc::SO_RCVTIMEO, &millis_50())
        }),
        kind("a full socket that gives up", || {
            let socket = with_option(socket(b"", true), libc::SO_SNDTIMEO, &millis_50());
            let mut file = std::fs::File::from(socket.try_clone().unwrap());
            set_nonblocking(&socket);
            while file.write(&[0; 4096]).is_ok() {}
            while file.write(&[0]).is_ok() {}
            // SAFETY: the descriptor is open.
            unsafe { libc::fcntl(socket.as_raw_fd(), libc::F_SETFL, 0) };
            socket
        }),
        kind("a socket that listens", || {
            std::net::TcpListener::bind("127.0.0.1:0").unwrap().into()
        }),
        kind("a socket that nothing is at", || {
            // SAFETY: it takes numbers.
            made(unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) })
        })
        .waits_from(0),
        kind("a terminal", || terminal(b"typed", 1, 0)).once(),
        kind("a terminal that never waits", || terminal(b"", 0, 0)),
        kind("a terminal that waits a while", || terminal(b"", 0, 1)),
        kind("a terminal that wants more, or a while", || {
            terminal(b"some", 30, 1)
        })
        .once(),
    ];
    all.into_iter().map(Kind::streams).collect()
}

fn open(path: impl AsRef<Path>, flags: i32) -> OwnedFd {
    use nix::fcntl::OFlag;
    let flags = OFlag::from_bits_retain(flags) | OFlag::O_CLOEXEC;
    nix::fcntl::open(path.as_ref(), flags, nix::sys::stat::Mode::empty()).unwrap()
}

/// Files on a disk and in memory, and how they were opened.
pub(crate) fn odd_files(dir: &Path) -> Vec<Kind> {
    let here = dir.to_owned();
    let fresh = move |flags: i32| {
        let path = here.join("file");
        std::fs::write(&path, b"on a disk").unwrap();
        open(path, flags)
    };
    let with = |name, flags| {
        let fresh = fresh.clone();
        kind(name, move || fresh(flags))
    };
    let (folder, link, fifo) = (dir.to_owned(), dir.join("link"), dir.join("fifo"));
    std::os::unix::fs::symlink("nowhere", &link).unwrap();
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let again = folder.clone();
    let in_memory = |name, flags| {
        kind(name, move || {
            let path = Path::new("/dev/shm").join(format!("tidegate-{}", std::process::id()));
            std::fs::write(&path, b"in memory").unwrap();
            let fd = open(&path, flags);
            std::fs::remove_file(path).unwrap();
            fd
        })
    };
    vec![
        with("a file to read", libc::O_RDONLY),
        with("a file to write", libc::O_WRONLY),
        with("a file", libc::O_RDWR),
        with("a file that appends", libc::O_RDWR | libc::O_APPEND),
        with("a file that does not wait", libc::O_RDWR | libc::O_NONBLOCK),
        with("a file that is synchronous", libc::O_RDWR | libc::O_SYNC),
        with("a file without access", libc::O_PATH),
        in_memory("a file in memory", libc::O_RDWR),
        in_memory("one that does not wait", libc::O_RDWR | libc::O_NONBLOCK),
        kind("a folder", move || open(&folder, libc::O_RDONLY)),
        kind("a folder without access", move || {
            open(&again, libc::O_PATH | libc::O_DIRECTORY)
        }),
        kind("a link", move || {
            open(&link, libc::O_PATH | libc::O_NOFOLLOW)
        })
        .streams(),
        kind("a FIFO without access", move || open(&fifo, libc::O_PATH)).streams(),
    ]
}

/// Devices that are memory, procfs, sysfs and their like, also without waiting.
pub(crate) fn made_up() -> Vec<Kind> {
    let at = |name: &'static str, flags: i32| kind(name, move || open(name, flags));
    let quiet =
        |name: &'static str| kind(name, move || open(name, libc::O_RDONLY | libc::O_NONBLOCK));
    vec![
        at("/dev/null", libc::O_RDWR),
        at("/dev/zero", libc::O_RDWR),
        at("/dev/full", libc::O_RDWR),
        kind("/proc/self/comm", || {
            std::fs::write("/proc/self/comm", "tidegate").unwrap();
            open("/proc/self/comm", libc::O_RDWR)
        }),
        at("/proc/version", libc::O_RDONLY),
        at("/proc/sys/kernel/ostype", libc::O_RDONLY),
        at("/proc/self/ns/mnt", libc::O_RDONLY),
        at(
            "/sys/kernel/mm/transparent_hugepage/enabled",
            libc::O_RDONLY,
        ),
        quiet("/proc/cmdline"),
        quiet("/proc/sys/kernel/hostname"),
        quiet("/proc/filesystems"),
        quiet("/sys/kernel/mm/transparent_hugepage/defrag"),
        quiet("/dev/zero"),
    ]
}
