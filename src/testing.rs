//! A fake backend for tests: operations that take long, that never come back, or that fail.
//!
//! What code does when a disk hangs, when a network drive is gone or when the third write of a file finds the
//! disk full is hard to try with real files. Here it takes a rule: which operations, on which paths, and what
//! happens to them. It needs no privileges and no special filesystem, and is the same on every platform. It is
//! the feature `testing`, for the `[dev-dependencies]`; without it there is none of it in the crate.
//!
//! See [`Faults`] for an example, and the [guide](crate::guide::testing) for how to test what.
//!
//! # Rules
//!
//! A rule begins with [`Faults::on`] or [`Faults::on_any_kind`], is narrowed down by the methods of [`Fault`],
//! and comes into force with what happens: [`Fault::never`], [`Fault::delay`], [`Fault::fail`], [`Fault::short`] or
//! [`Fault::pass`]. It is in force until its [`FaultGuard`] is dropped, so that a test that fails leaves
//! nothing stuck. Of several rules that are about an operation, the one that was made last decides.
//!
//! What is withheld is stuck as a call in the kernel is. To drop its future or to let its deadline pass ends the
//! waiting and not the operation, unless the rule [honours a cancel](Fault::honours_cancel), as the kernel does for
//! what it has not begun. Once it is released it goes its real way.
//!
//! While a rule is in force, no operation of the handle is answered at its first poll: all of them go to a ring
//! or to a blocking thread, where rules are looked at. What the crate does on its own account, as to look up which
//! mount a path is on, falls under no rule, but for one thing: the question whether a mount answers is a
//! [`Statx`](crate::opcode::Kind::Statx) of its root.

pub use crate::driver::{Fault, FaultGuard, Faults};
