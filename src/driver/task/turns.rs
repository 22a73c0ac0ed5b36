//! What each step in the life of an operation comes to.

use std::task::Waker;

/// What a caller is given.
pub(crate) enum Given<O, R, W> {
    /// The end; without the operation where its memory must never be freed.
    Over(Option<O>, R),
    /// The driver still has it.
    Early(W),
}

/// What giving up on an operation comes to.
pub(crate) enum GivenUp {
    /// It is over, or was given up before.
    Nothing,
    /// It was taken back from a queue and is over: nothing happened.
    TakenBack(Option<Waker>),
    /// The kernel or a thread has it, and is to be asked for it.
    Asked,
    /// It goes on, and the caller is told so now.
    Left(Option<Waker>),
}

/// What the drop of a future leaves.
pub(crate) enum Dropped<O, R> {
    /// Nothing: the output was taken.
    Nothing,
    /// It never began, and is over.
    TakenBack(O),
    /// The kernel or a thread has it, and is to be asked for it; the waker is of no use any more.
    Asked(Option<Waker>),
    /// It goes on without a caller.
    Kept(Option<Waker>),
    /// It is over, and nobody takes what came of it.
    Unclaimed(Option<O>, R),
}

/// What the end of an operation leads to.
pub(crate) enum Settled<O, R> {
    /// It was over before.
    Nothing,
    /// The caller is to be woken.
    Wake(Option<Waker>),
    /// Nobody takes what came of it.
    Unclaimed(Option<O>, R),
}
