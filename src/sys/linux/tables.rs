//! What a ring has registered: the seam between requests and rings.
//!
//! Registrations belong to one ring, and what users hold belongs to none. So a request asks the ring
//! that takes it, and a ring registers what it is asked for the first time. `None` means that the request
//! has to do with less; nothing fails for it.

/// See the module.
pub(crate) trait Tables {
    /// Lets go of what nobody uses any more. Only on the ring's own thread.
    fn sweep(&mut self);
}
