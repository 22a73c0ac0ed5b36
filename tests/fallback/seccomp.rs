//! A system call filter for this process, as a container has one.
#![allow(dead_code, reason = "each test file uses its part")]

/// Numbers of the three system calls of io_uring, the same on every architecture that Rust has.
pub(crate) const SETUP: u32 = 425;
pub(crate) const ENTER: u32 = 426;
pub(crate) const REGISTER: u32 = 427;

/// A program for the kernel's filter machine.
pub(crate) struct Filter(Vec<libc::sock_filter>);

fn statement(code: u32, k: u32) -> libc::sock_filter {
    libc::sock_filter {
        code: code as u16,
        jt: 0,
        jf: 0,
        k,
    }
}

impl Filter {
    /// Refuses these system calls with this error, and allows all others.
    pub(crate) fn refuse(calls: &[u32], errno: i32) -> Filter {
        Filter::answer(calls, libc::SECCOMP_RET_ERRNO | errno as u32)
    }

    /// Ends the process at the first of these system calls, so that none goes unnoticed.
    pub(crate) fn end_at(calls: &[u32]) -> Filter {
        Filter::answer(calls, libc::SECCOMP_RET_KILL_PROCESS)
    }

    fn answer(calls: &[u32], answer: u32) -> Filter {
        // The number of the system call is the first word of what the filter sees.
        let mut program = vec![statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0)];
        for &call in calls {
            program.push(libc::sock_filter {
                code: (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16,
                jt: 0,
                jf: 1,
                k: call,
            });
            program.push(statement(libc::BPF_RET | libc::BPF_K, answer));
        }
        program.push(statement(
            libc::BPF_RET | libc::BPF_K,
            libc::SECCOMP_RET_ALLOW,
        ));
        Filter(program)
    }

    /// Refuses one operation of `io_uring_register`, by its number, and allows all else.
    pub(crate) fn refuse_register(operation: u32, errno: i32) -> Filter {
        /// Where the second argument begins in what the filter sees; its lower half on this machine's side.
        const OPERATION: u32 = 24 + if cfg!(target_endian = "big") { 4 } else { 0 };
        let load = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
        let unless = |k, jf| libc::sock_filter {
            code: (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16,
            jt: 0,
            jf,
            k,
        };
        Filter(vec![
            statement(load, 0),
            unless(REGISTER, 3),
            statement(load, OPERATION),
            unless(operation, 1),
            statement(
                libc::BPF_RET | libc::BPF_K,
                libc::SECCOMP_RET_ERRNO | errno as u32,
            ),
            statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW),
        ])
    }

    /// Puts it in force for a process that is about to start.
    pub(crate) fn apply(self, command: &mut std::process::Command) {
        use std::os::unix::process::CommandExt;
        let install = move || {
            self.install();
            Ok(())
        };
        // SAFETY: it makes two system calls, and allocates and locks nothing unless one of them fails.
        unsafe { command.pre_exec(install) };
    }

    /// Puts it in force for every thread of this process, for good.
    pub(crate) fn install(&self) {
        let program = libc::sock_fprog {
            len: self.0.len() as u16,
            // Only read.
            filter: self.0.as_ptr().cast_mut(),
        };
        // SAFETY: gives up the right to gain privileges, and touches no memory.
        let result = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
        assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
        // SAFETY: the program lives until the call returns; the kernel copies it.
        let result = unsafe {
            libc::syscall(
                libc::SYS_seccomp,
                libc::SECCOMP_SET_MODE_FILTER,
                libc::SECCOMP_FILTER_FLAG_TSYNC,
                &raw const program,
            )
        };
        assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
    }
}
