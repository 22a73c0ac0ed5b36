//! Stands between the kernel and the FUSE library, which leaves interrupts unanswered.
//!
//! The library reads and writes one end of a pair of sockets that keep messages apart, as `/dev/fuse` does.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};

use crate::error::Context;
use crate::gate::Gate;

/// The largest read or write in one request: it has to fit into the buffer of a socket.
pub(crate) const RELAYED_BYTES_MAX: u32 = 64 << 10;
/// More than any request or answer has, and what the kernel wants a read of the device to offer.
const MESSAGE_BYTES_MAX: usize = 1 << 20;

// The kernel's numbers, and where they are in a message: length, kind, number of the request.
const DESTROY: u32 = 38;
const INTERRUPT: u32 = 36;
const HEADER_BYTES: usize = 40;

/// Puts the relay in front of a device; the library gets what this returns.
pub(crate) fn start(device: OwnedFd, gate: &Arc<Gate>) -> io::Result<OwnedFd> {
    let (ours, theirs) = socketpair(
        AddressFamily::Unix,
        SockType::SeqPacket,
        None,
        SockFlag::SOCK_CLOEXEC,
    )
    .context("make a pair of sockets")?;
    let requests = (
        File::from(device.try_clone()?),
        File::from(ours.try_clone()?),
    );
    let answers = (File::from(ours), File::from(device));
    let gate = Arc::clone(gate);
    let thread = |name: &str| std::thread::Builder::new().name(name.into());
    thread("requests").spawn(move || relay_requests(requests.0, requests.1, &gate))?;
    thread("answers").spawn(move || relay_answers(answers.0, answers.1))?;
    Ok(theirs)
}

/// Until the filesystem is unmounted.
fn relay_requests(mut device: File, mut library: File, gate: &Gate) {
    let mut message = vec![0; MESSAGE_BYTES_MAX];
    loop {
        match device.read(&mut message) {
            Ok(count) if is(INTERRUPT, &message[..count]) => {
                interrupt(&mut device, &message[..count], gate);
            }
            Ok(count) => {
                if library.write_all(&message[..count]).is_err() {
                    return;
                }
            }
            Err(error) if is_passing(&error) => {}
            Err(_) => {
                let _ = library.write_all(&destroy());
                return;
            }
        }
    }
}

fn relay_answers(mut library: File, mut device: File) {
    let mut message = vec![0; MESSAGE_BYTES_MAX];
    while let Ok(count @ 1..) = library.read(&mut message) {
        // The kernel refuses the answer to a request that it has given up, which is no fault of anybody.
        let _ = device.write(&message[..count]);
    }
}

/// What a read of the device says when a request is gone before it was read, and the like.
fn is_passing(error: &io::Error) -> bool {
    let passing = [Errno::ENOENT, Errno::EINTR, Errno::EAGAIN].map(|errno| Some(errno as i32));
    passing.contains(&error.raw_os_error())
}

fn is(kind: u32, message: &[u8]) -> bool {
    message.get(4..8) == Some(&kind.to_ne_bytes())
}

/// Ends the request that is meant; asks to be asked again if it has not come to the gate yet.
fn interrupt(device: &mut File, message: &[u8], gate: &Gate) {
    let number = |at: usize| {
        let bytes = message
            .get(at..at + 8)
            .and_then(|bytes| bytes.try_into().ok());
        bytes.map(u64::from_ne_bytes)
    };
    let (Some(this), Some(meant)) = (number(8), number(HEADER_BYTES)) else {
        return;
    };
    if gate.interrupt(meant) {
        return;
    }
    let mut again = Vec::with_capacity(16);
    again.extend(16u32.to_ne_bytes());
    again.extend((-libc::EAGAIN).to_ne_bytes());
    again.extend(this.to_ne_bytes());
    let _ = device.write(&again);
}

/// What tells the library to end.
fn destroy() -> Vec<u8> {
    let mut message = vec![0; HEADER_BYTES];
    message[..4].copy_from_slice(&(HEADER_BYTES as u32).to_ne_bytes());
    message[4..8].copy_from_slice(&DESTROY.to_ne_bytes());
    message
}
