//! What a ring has registered: the seam between requests and rings.
//!
//! Registrations belong to one ring, and what users hold belongs to none. So a request asks the ring
//! that takes it, and a ring registers what it is asked for the first time. `None` means that the request
//! has to do with less; nothing fails for it.

use std::sync::Arc;

use super::provided::ProvidedRing;
use crate::buf::group::Group;

/// See the module.
pub(crate) trait Tables {
    /// The ring's own buffers of this group, registered if need be. Whoever names them in an entry holds the
    /// group and them until the completion.
    fn provided(&mut self, group: &Arc<Group>) -> Option<Arc<ProvidedRing>>;

    /// Lets go of what nobody uses any more. Only on the ring's own thread.
    fn sweep(&mut self);
}
