//! How an operation loads what it runs on, and what it occupies there.

/// Where on the polling thread's ring an operation may go, if anywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnWorker {
    /// Left to a kernel worker (IOSQE_ASYNC): the submission cannot sleep.
    Async,
    /// Not there: it needs what only lanes have, or the kernel runs it badly from its own workers.
    Never,
    /// As it is: its submission was not seen to sleep on a local filesystem (fsync).
    Plain,
}

/// How an operation loads what it runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Load {
    /// Waits for the page cache.
    Buffered,
    /// Goes to the device itself.
    Direct,
    /// Works on many names, on a blocking thread that is started for it where none is free: so many were asked for as
    /// get something done.
    ManyNames,
    /// Names, attributes, directories.
    Metadata,
    /// The same of a file that is known to wait for storage alone, and for no peer of a pipe.
    OfStorage,
}

/// Metadata and data have lanes of their own, so that neither waits for the other's kernel workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    Data,
    Metadata,
}

impl Class {
    pub(crate) fn of(load: Load) -> Class {
        match load {
            Load::Buffered | Load::Direct => Class::Data,
            Load::ManyNames | Load::Metadata | Load::OfStorage => Class::Metadata,
        }
    }

    #[cfg(target_os = "linux")]
    pub(crate) fn name(self) -> &'static str {
        match self {
            Class::Data => "data",
            Class::Metadata => "meta",
        }
    }
}

/// What a stuck operation occupies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Share {
    /// A kernel worker of a lane.
    #[cfg_attr(
        not(target_os = "linux"),
        allow(dead_code, reason = "only rings have lanes")
    )]
    Lane(Class),
    /// Something that nobody else needs.
    Other,
    /// A blocking thread.
    Thread,
}
