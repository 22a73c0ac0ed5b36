//! The copy compared with its source, by the same walk and between the same open directories.

use std::collections::HashMap;
use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex};

use super::actor::TreeActor;
use super::{TreeCopied, TreeEvent, TreeKind};
use crate::base::lock::lock;
use crate::op::walk::{Id, Node, Place, Told, WalkCall};
use crate::sys::compare_at::{Alike, Compared, Pair, compare, compare_dirs};
use crate::sys::stat::{Stat, kind};

/// Which file of the copy each file of the source with several names is.
#[derive(Default)]
pub(super) struct Twins(Mutex<HashMap<Id, Id>>);

impl Twins {
    /// Whether all names of one file of the source are names of one file in the copy.
    fn is_one(&self, found: &Stat, made: &Stat) -> bool {
        let twin = (made.dev, made.ino);
        *lock(&self.0).entry((found.dev, found.ino)).or_insert(twin) == twin
    }
}

impl TreeActor {
    fn alike(&self) -> Alike {
        Alike {
            preserve: self.request.file.preserve,
            may_lack_xattrs: self.request.may_lack_xattrs,
        }
    }

    /// Compares what is no directory.
    pub(super) fn verify_entry(
        &self,
        place: &Place<'_>,
        to: (BorrowedFd<'_>, &CStr),
        found: &Stat,
        told: &mut Told<TreeEvent>,
    ) {
        let name = place.name().name;
        let path = place.dir.node.path_of(name);
        let kind = match found.type_bits() {
            kind::FILE => TreeKind::File,
            kind::SYMLINK => TreeKind::Symlink,
            kind::FIFO => TreeKind::Fifo,
            // What is not copied is told by the copy.
            _ => return,
        };
        place.pulse.at(WalkCall::Copy);
        let pair = Pair {
            from: (place.fd, name),
            to,
        };
        let compared = self.patiently(place.pulse, || {
            let flow = self.flow(place.pulse);
            compare(pair, found.type_bits(), self.alike(), &flow)
        });
        let compared = compared.map(|compared| match compared {
            Compared::Same(made, _) if found.nlink > 1 && !self.twins.is_one(found, &made) => {
                Compared::Differs("two names of one file are two files in the copy".into())
            }
            compared => compared,
        });
        match compared {
            Ok(Compared::Same(_, bytes)) => told.items.push(TreeEvent::Verified(TreeCopied {
                bytes,
                data_bytes: bytes,
                ..TreeCopied::of(path, kind)
            })),
            Err(_) if self.is_stopped() => {}
            Ok(Compared::Differs(text)) => {
                self.fail(told, path, ("verify", differs(text)));
            }
            Err(error) => self.fail(told, path, ("verify", error)),
        }
    }

    /// Compares a directory, after what is in it.
    pub(super) fn verify_dir(
        &self,
        node: &Arc<Node>,
        source: io::Result<Arc<OwnedFd>>,
        told: &mut Told<TreeEvent>,
    ) {
        // What could not be opened was told.
        let (Ok(source), Some(twin)) = (source, node.twin.get()) else {
            return;
        };
        let to = self.files.of(&twin.node);
        let compared = to.and_then(|to| compare_dirs(source.as_fd(), to.as_fd(), self.alike()));
        match compared {
            Ok(Compared::Same(..)) => {
                let same = TreeCopied::of(node.path(), TreeKind::Directory);
                told.items.push(TreeEvent::Verified(same));
            }
            Ok(Compared::Differs(text)) => {
                self.fail(told, node.path(), ("verify", differs(text)));
            }
            Err(error) => self.fail(told, node.path(), ("verify", error)),
        }
    }
}

fn differs(text: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}
