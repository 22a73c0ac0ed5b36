//! A loop device that the kernel frees by itself with its last user.
#![allow(unsafe_code)] // ioctls on loop devices; no crate without a C build step has LOOP_CONFIGURE

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use nix::errno::Errno;

use crate::error::Context;

/// `struct loop_info64` of `linux/loop.h`.
#[repr(C)]
#[derive(Clone, Copy)]
struct LoopInfo {
    device: u64,
    inode: u64,
    rdevice: u64,
    offset: u64,
    size_limit: u64,
    number: u32,
    encrypt_type: u32,
    encrypt_key_size: u32,
    flags: u32,
    file_name: [u8; 64],
    crypt_name: [u8; 64],
    encrypt_key: [u8; 32],
    init: [u64; 2],
}

/// `struct loop_config` of `linux/loop.h`.
#[repr(C)]
struct LoopConfig {
    fd: u32,
    block_size: u32,
    info: LoopInfo,
    reserved: [u64; 8],
}

const _: () = assert!(size_of::<LoopInfo>() == 232 && size_of::<LoopConfig>() == 304);

const LO_FLAGS_AUTOCLEAR: u32 = 4;
/// Another process can take the free device first; with this many in a row something else is wrong.
const TAKEN_TRIES_MAX: u32 = 64;

nix::ioctl_none_bad!(loop_ctl_get_free, 0x4C82);
nix::ioctl_write_ptr_bad!(loop_configure, 0x4C0A, LoopConfig);
nix::ioctl_none!(blk_flush_buffers, 0x12, 97);

/// An open loop device. It goes when this is dropped and nothing on it is mounted.
#[derive(Debug)]
pub(crate) struct LoopDevice {
    device: File,
    path: PathBuf,
}

impl LoopDevice {
    pub(crate) fn attach(backing: &Path) -> io::Result<LoopDevice> {
        let open = |path: &Path| {
            OpenOptions::new()
                .read(true)
                .write(true)
                .open(path)
                .context(format_args!("open {}", path.display()))
        };
        let control = open(Path::new("/dev/loop-control"))?;
        let file = open(backing)?;
        let mut info = LoopInfo {
            device: 0,
            inode: 0,
            rdevice: 0,
            offset: 0,
            size_limit: 0,
            number: 0,
            encrypt_type: 0,
            encrypt_key_size: 0,
            flags: LO_FLAGS_AUTOCLEAR,
            file_name: [0; 64],
            crypt_name: [0; 64],
            encrypt_key: [0; 32],
            init: [0; 2],
        };
        info.file_name[..12].copy_from_slice(b"tidegate-rig");
        let config = LoopConfig {
            fd: file.as_raw_fd() as u32,
            block_size: 0,
            info,
            reserved: [0; 8],
        };
        for _ in 0..TAKEN_TRIES_MAX {
            // SAFETY: LOOP_CTL_GET_FREE takes no argument, and the descriptor is open.
            let number = unsafe { loop_ctl_get_free(control.as_raw_fd()) }
                .context("find a free loop device")?;
            let path = PathBuf::from(format!("/dev/loop{number}"));
            let device = open(&path)?;
            // SAFETY: `config` has the layout of the kernel's struct (asserted above) and outlives the call, as do both files.
            match unsafe { loop_configure(device.as_raw_fd(), &config) } {
                Ok(_) => return Ok(LoopDevice { device, path }),
                Err(Errno::EBUSY) => {}
                Err(error) => return Err(error).context(format_args!("set up {}", path.display())),
            }
        }
        Err(io::Error::new(
            io::ErrorKind::ResourceBusy,
            "every free loop device was taken by others; try again",
        ))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Drops what the kernel has cached of this device (BLKFLSBUF), and of no other.
    pub(crate) fn drop_cache(&self) -> io::Result<()> {
        // SAFETY: BLKFLSBUF takes no argument, and the descriptor is open.
        unsafe { blk_flush_buffers(self.device.as_raw_fd()) }
            .context("drop the cache of the device")
            .map(drop)
    }
}
