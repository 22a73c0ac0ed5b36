//! The groups of provided buffers that one ring has registered.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use io_uring::Submitter;

use super::ring::ProvidedRing;
use crate::base::clock::coarse_ms;
use crate::limits;
use crate::mem::group::Group;
use crate::mem::{Bgids, lease};

/// See the module. Empty, it costs nothing.
pub(crate) struct ProvidedTable {
    ids: Arc<Bgids>,
    rings: HashMap<u64, Place>,
}

struct Place {
    group: Weak<Group>,
    ring: Registered,
}

enum Registered {
    Here(Arc<ProvidedRing>),
    /// The kernel refused it, at this moment in coarse milliseconds. It may have no memory to lock just now.
    Refused(u64),
}

impl Registered {
    /// Whether it is to be asked for again.
    fn is_stale(&self) -> bool {
        let again_ms = limits::REGISTER_AGAIN_AFTER.as_millis() as u64;
        matches!(self, Registered::Refused(at_ms) if coarse_ms() >= at_ms + again_ms)
    }

    fn ring(&self) -> Option<Arc<ProvidedRing>> {
        match self {
            Registered::Here(ring) => Some(ring.clone()),
            Registered::Refused(_) => None,
        }
    }
}

impl ProvidedTable {
    pub(crate) fn new(ids: Arc<Bgids>) -> ProvidedTable {
        ProvidedTable {
            ids,
            rings: HashMap::new(),
        }
    }

    /// The ring's own buffers of this group, registered if need be. `None` where no id is left, or the kernel
    /// does not take them.
    pub(crate) fn ring(
        &mut self,
        submitter: &Submitter<'_>,
        group: &Arc<Group>,
    ) -> Option<Arc<ProvidedRing>> {
        let known = self.rings.get(&group.number);
        if let Some(place) = known.filter(|place| !place.ring.is_stale()) {
            return place.ring.ring();
        }
        let id = lease(&self.ids).ok()?;
        let registered = ProvidedRing::register(submitter, group, id);
        let place = Place {
            group: Arc::downgrade(group),
            ring: registered.map_or_else(|_| Registered::Refused(coarse_ms()), Registered::Here),
        };
        let ring = place.ring.ring();
        self.rings.insert(group.number, place);
        ring
    }

    /// Lets go of groups that nobody uses any more: neither a handle nor an operation in flight. What is lent
    /// keeps its memory, and the id with it.
    pub(crate) fn sweep(&mut self, submitter: &Submitter<'_>) {
        self.rings.retain(|_, place| {
            if place.group.strong_count() > 0 {
                return true;
            }
            // What the kernel does not let go of stays, memory and id, for as long as this ring.
            match &place.ring {
                Registered::Here(ring) => submitter.unregister_buf_ring(ring.id()).is_err(),
                Registered::Refused(_) => false,
            }
        });
    }
}
