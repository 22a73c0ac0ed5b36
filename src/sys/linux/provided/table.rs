//! The groups of provided buffers that one ring has registered.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use io_uring::Submitter;

use super::ring::ProvidedRing;
use crate::buf::group::Group;
use crate::buf::{Bgids, lease};

/// See the module. Empty, it costs nothing.
pub(crate) struct ProvidedTable {
    ids: Arc<Bgids>,
    rings: HashMap<u64, Place>,
}

struct Place {
    group: Weak<Group>,
    /// `None` where the kernel refused it: not asked for again.
    ring: Option<Arc<ProvidedRing>>,
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
        if let Some(place) = self.rings.get(&group.number) {
            return place.ring.clone();
        }
        let id = lease(&self.ids).ok()?;
        let ring = ProvidedRing::register(submitter, group, id).ok();
        let place = Place {
            group: Arc::downgrade(group),
            ring: ring.clone(),
        };
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
            let Some(ring) = place.ring.take() else {
                return false;
            };
            if submitter.unregister_buf_ring(ring.id()).is_ok() {
                return false;
            }
            // The kernel still has it: memory and id stay for as long as this ring.
            place.ring = Some(ring);
            true
        });
    }
}
