//! The life of one operation between its two sides: the caller, who waits or does not wait any more, and
//! the driver, who has it until it is over.
//!
//! Here is only who owns what and when: no kernel, no clock, no way. Everything goes through one lock, so
//! each transition happens once; what runs foreign code (a waker, a drop) is handed out and done without
//! it.

use std::task::{Context, Poll, Waker};

pub(crate) use super::turns::{Dropped, Given, GivenUp, Settled};
use crate::base::sync::{AtomicBool, Mutex, Ordering, lock};

/// Where the operation is.
enum Place<O, R> {
    /// In a queue of ours: it can be taken back.
    Queue(O),
    /// With the kernel, which may touch its memory (INV-1).
    Kernel(O),
    /// With a thread, that owns it meanwhile.
    Thread,
    /// Over, and not handed over; without the operation where its memory must never be freed.
    Over(Option<O>, R),
    /// Handed over.
    Gone,
}

/// Who waits for it.
enum Caller<W> {
    Waits(Option<Waker>),
    /// Told, or to be told at the next poll, that it was given up for this reason.
    Leaves(W),
    /// The future is dropped, or there was none.
    Left,
}

struct State<O, R, W> {
    place: Place<O, R>,
    caller: Caller<W>,
    /// Why it was given up, if it was.
    why: Option<W>,
}

/// See the module.
pub(crate) struct Life<O, R, W> {
    /// Whether it goes on without its caller: nothing asks for it back.
    kept: bool,
    /// Whether somebody gave up on it, so that whoever has it should let go. Written under the lock.
    given_up: AtomicBool,
    state: Mutex<State<O, R, W>>,
}

impl<O, R, W: Copy> Life<O, R, W> {
    /// `heard` says whether there is a caller.
    pub(crate) fn new(op: O, kept: bool, heard: bool) -> Life<O, R, W> {
        let caller = if heard {
            Caller::Waits(None)
        } else {
            Caller::Left
        };
        Life {
            kept,
            given_up: AtomicBool::new(false),
            state: Mutex::new(State {
                place: Place::Queue(op),
                caller,
                why: None,
            }),
        }
    }

    /// One that has ended before it began.
    pub(crate) fn over(op: O, result: R) -> Life<O, R, W> {
        let life = Life::new(op, false, true);
        {
            let state = &mut *lock(&life.state);
            if let Place::Queue(op) = std::mem::replace(&mut state.place, Place::Gone) {
                state.place = Place::Over(Some(op), result);
            }
        }
        life
    }

    /// Whether it should be let go of. Sequentially consistent: whoever publishes where it is reads this
    /// afterwards, and whoever gives up reads afterwards where it is, so one of them asks for it (INV-11).
    pub(crate) fn is_given_up(&self) -> bool {
        self.given_up.load(Ordering::SeqCst)
    }

    /// Why it was given up, if a limit did it.
    pub(crate) fn why(&self) -> Option<W> {
        lock(&self.state).why
    }

    /// Does this unless it was given up, so that whoever gives up on it comes after; whether it did.
    pub(crate) fn unless_given_up(&self, f: impl FnOnce()) -> bool {
        let state = lock(&self.state);
        let is_wanted = state.why.is_none();
        if is_wanted {
            f();
        }
        is_wanted
    }

    pub(crate) fn is_over(&self) -> bool {
        matches!(lock(&self.state).place, Place::Over(..) | Place::Gone)
    }

    /// Whether it is with the kernel or a thread.
    pub(crate) fn has_begun(&self) -> bool {
        matches!(lock(&self.state).place, Place::Kernel(_) | Place::Thread)
    }

    /// Whether nobody waits for it any more.
    pub(crate) fn is_left(&self) -> bool {
        !matches!(lock(&self.state).caller, Caller::Waits(_))
    }

    /// Looks at the operation, unless a thread has it or it is over.
    pub(crate) fn look<T>(&self, f: impl FnOnce(&O) -> T) -> Option<T> {
        match &lock(&self.state).place {
            Place::Queue(op) | Place::Kernel(op) => Some(f(op)),
            _ => None,
        }
    }

    /// Hands it to the kernel if `make` makes an entry of it; `None` also where it was given up.
    pub(crate) fn to_kernel<T>(&self, make: impl FnOnce(&mut O) -> Option<T>) -> Option<T> {
        let state = &mut *lock(&self.state);
        if !self.kept && self.is_given_up() {
            return None;
        }
        let Place::Queue(op) = &mut state.place else {
            return None;
        };
        let made = make(op);
        if made.is_some() {
            state.to(|place| match place {
                Place::Queue(op) => Place::Kernel(op),
                other => other,
            });
        }
        made
    }

    /// The kernel never took it, or gave it back: it is in a queue again. `false` if it was given up
    /// meanwhile.
    pub(crate) fn to_queue(&self) -> bool {
        let state = &mut *lock(&self.state);
        if !self.kept && self.is_given_up() {
            return false;
        }
        state.to(|place| match place {
            Place::Kernel(op) => Place::Queue(op),
            other => other,
        });
        true
    }

    /// The fake backend lets go of it: it is in a queue again and may begin, though nobody may wait for it any
    /// more, as what a kernel does late.
    #[cfg(feature = "testing")]
    pub(crate) fn to_queue_late(&self) {
        let state = &mut *lock(&self.state);
        self.given_up.store(false, Ordering::SeqCst);
        state.to(|place| match place {
            Place::Kernel(op) => Place::Queue(op),
            other => other,
        });
    }

    /// Looks at the operation before it goes anywhere.
    #[cfg(feature = "testing")]
    pub(crate) fn look_mut<T>(&self, f: impl FnOnce(&mut O) -> T) -> Option<T> {
        match &mut lock(&self.state).place {
            Place::Queue(op) => Some(f(op)),
            _ => None,
        }
    }

    /// Tells the operation what the kernel says before its end. If `f` says so, its caller is to be woken, to
    /// look at what came.
    pub(crate) fn tell(&self, f: impl FnOnce(&mut O) -> bool) -> Option<Waker> {
        let state = &mut *lock(&self.state);
        let Place::Kernel(op) = &mut state.place else {
            return None;
        };
        match (f(op), &mut state.caller) {
            (true, Caller::Waits(waker)) => waker.take(),
            _ => None,
        }
    }

    /// Hands it to a thread; `None` where it was given up or is over.
    pub(crate) fn to_thread(&self) -> Option<O> {
        let state = &mut *lock(&self.state);
        if !self.kept && self.is_given_up() {
            return None;
        }
        match std::mem::replace(&mut state.place, Place::Thread) {
            Place::Queue(op) => Some(op),
            other => {
                state.place = other;
                None
            }
        }
    }

    /// Ends it. `op` is what a thread hands back; otherwise it is where the driver had it. `keep` says that
    /// the operation's memory must never be freed: it is forgotten. `counted` runs before its caller can see
    /// that it is over; what nobody claims is counted by whoever disposes of it.
    pub(crate) fn settle(
        &self,
        op: Option<O>,
        result: R,
        keep: bool,
        counted: impl FnOnce(),
    ) -> Settled<O, R> {
        let state = &mut *lock(&self.state);
        let op = match std::mem::replace(&mut state.place, Place::Gone) {
            Place::Queue(op) | Place::Kernel(op) => Some(op),
            // Only the thread that has it can end it.
            Place::Thread if op.is_some() => op,
            held => {
                state.place = held;
                return Settled::Nothing;
            }
        };
        let op = if keep {
            std::mem::forget(op);
            None
        } else {
            op
        };
        state.hand_over(op, result, counted)
    }

    /// Ends it if it is in a queue; what the kernel or a thread has meanwhile stays theirs. `counted` as for
    /// [`settle`](Life::settle).
    pub(crate) fn refuse(&self, result: R, counted: impl FnOnce()) -> Settled<O, R> {
        let state = &mut *lock(&self.state);
        let op = match std::mem::replace(&mut state.place, Place::Gone) {
            Place::Queue(op) => op,
            held => {
                state.place = held;
                return Settled::Nothing;
            }
        };
        state.hand_over(Some(op), result, counted)
    }

    /// Gives up on it for a reason. `taken_back` is the result if it never began; `counted` runs then, before
    /// anybody can see that it is over. `leaving` runs before the caller can see that it goes on.
    pub(crate) fn give_up(
        &self,
        why: W,
        taken_back: R,
        counted: impl FnOnce(),
        leaving: impl FnOnce(),
    ) -> GivenUp {
        let state = &mut *lock(&self.state);
        let Caller::Waits(waker) = &mut state.caller else {
            return GivenUp::Nothing;
        };
        if state.why.is_some() {
            return GivenUp::Nothing;
        }
        let is_over = matches!(state.place, Place::Over(..) | Place::Gone);
        if is_over {
            return GivenUp::Nothing;
        }
        if self.kept {
            let waker = waker.take();
            leaving();
            state.why = Some(why);
            state.caller = Caller::Leaves(why);
            return GivenUp::Left(waker);
        }
        state.why = Some(why);
        self.given_up.store(true, Ordering::SeqCst);
        match std::mem::replace(&mut state.place, Place::Gone) {
            Place::Queue(op) => {
                counted();
                state.place = Place::Over(Some(op), taken_back);
                match &mut state.caller {
                    Caller::Waits(waker) => GivenUp::TakenBack(waker.take()),
                    _ => GivenUp::TakenBack(None),
                }
            }
            held => {
                state.place = held;
                GivenUp::Asked
            }
        }
    }

    /// The grace is over: tells the caller that the driver still has it. `leaving` runs before the caller can
    /// see that.
    pub(crate) fn leave(&self, leaving: impl FnOnce()) -> GivenUp {
        let state = &mut *lock(&self.state);
        let is_held = matches!(state.place, Place::Kernel(_) | Place::Thread);
        let (Caller::Waits(waker), Some(why), true) = (&mut state.caller, state.why, is_held)
        else {
            return GivenUp::Nothing;
        };
        let waker = waker.take();
        leaving();
        state.caller = Caller::Leaves(why);
        GivenUp::Left(waker)
    }

    /// Gives the caller what there is.
    pub(crate) fn poll(&self, cx: &mut Context<'_>) -> Poll<Given<O, R, W>> {
        let state = &mut *lock(&self.state);
        match &mut state.caller {
            Caller::Waits(waker) => {
                if !matches!(state.place, Place::Over(..)) {
                    match waker {
                        Some(waker) => waker.clone_from(cx.waker()),
                        None => *waker = Some(cx.waker().clone()),
                    }
                    return Poll::Pending;
                }
                state.caller = Caller::Left;
                match std::mem::replace(&mut state.place, Place::Gone) {
                    Place::Over(op, result) => Poll::Ready(Given::Over(op, result)),
                    _ => unreachable!("it was over under the same lock"),
                }
            }
            Caller::Leaves(why) => {
                let why = *why;
                state.caller = Caller::Left;
                Poll::Ready(Given::Early(why))
            }
            Caller::Left => panic!("an operation's future was polled after it was ready"),
        }
    }

    /// The future is dropped.
    pub(crate) fn drop_caller(&self) -> Dropped<O, R> {
        let state = &mut *lock(&self.state);
        let waker = match std::mem::replace(&mut state.caller, Caller::Left) {
            Caller::Waits(waker) => waker,
            Caller::Leaves(_) | Caller::Left => return Dropped::Nothing,
        };
        match std::mem::replace(&mut state.place, Place::Gone) {
            Place::Over(op, result) => return Dropped::Unclaimed(op, result),
            Place::Gone => return Dropped::Nothing,
            Place::Queue(op) if !self.kept => {
                self.given_up.store(true, Ordering::SeqCst);
                return Dropped::TakenBack(op);
            }
            held => state.place = held,
        }
        if self.kept {
            return Dropped::Kept(waker);
        }
        self.given_up.store(true, Ordering::SeqCst);
        Dropped::Asked(waker)
    }
}

impl<O, R, W> State<O, R, W> {
    /// What is over, to the caller who waits, or to whoever disposes of it.
    fn hand_over(&mut self, op: Option<O>, result: R, counted: impl FnOnce()) -> Settled<O, R> {
        match &mut self.caller {
            Caller::Waits(waker) => {
                let waker = waker.take();
                counted();
                self.place = Place::Over(op, result);
                Settled::Wake(waker)
            }
            Caller::Leaves(_) | Caller::Left => Settled::Unclaimed(op, result),
        }
    }

    fn to(&mut self, f: impl FnOnce(Place<O, R>) -> Place<O, R>) {
        self.place = f(std::mem::replace(&mut self.place, Place::Gone));
    }
}
