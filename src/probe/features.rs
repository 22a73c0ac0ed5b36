//! What rings can do here besides plain operations.

use super::{Reason, report};
#[cfg(target_os = "linux")]
use crate::base::errno;
#[cfg(target_os = "linux")]
use crate::opcode::Kind;

/// Something that makes operations of a ring cheaper, where it can be had; nothing fails for the want of it.
///
/// See [`features`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Feature {
    /// Memory that one ring has registered is taken over by others, and counts only once against the limit on
    /// locked memory.
    ClonedBuffers,
    /// Files that are open in a ring's own table and have no descriptor.
    DirectDescriptors,
    /// Making a descriptor of such a file.
    FixedFdInstall,
    /// Vectored reads and writes with registered memory.
    FixedVectors,
    /// Buffers of which the kernel picks one, and goes on in it until it is full.
    IncrementalBuffers,
    /// Many reads of a pipe or a terminal by one submission.
    MultishotReads,
    /// Buffers of which the kernel picks one when there is something to read.
    ProvidedBuffers,
    /// Memory whose pages the kernel need not look up for each operation.
    RegisteredBuffers,
}

impl Feature {
    /// All of them.
    ///
    /// See [`features`].
    pub const ALL: &'static [Feature] = &[
        Feature::ClonedBuffers,
        Feature::DirectDescriptors,
        Feature::FixedFdInstall,
        Feature::FixedVectors,
        Feature::IncrementalBuffers,
        Feature::MultishotReads,
        Feature::ProvidedBuffers,
        Feature::RegisteredBuffers,
    ];

    /// Its name, in lower case with underscores.
    ///
    /// See [`features`].
    pub fn name(self) -> &'static str {
        match self {
            Feature::ClonedBuffers => "cloned_buffers",
            Feature::DirectDescriptors => "direct_descriptors",
            Feature::FixedFdInstall => "fixed_fd_install",
            Feature::FixedVectors => "fixed_vectors",
            Feature::IncrementalBuffers => "incremental_buffers",
            Feature::MultishotReads => "multishot_reads",
            Feature::ProvidedBuffers => "provided_buffers",
            Feature::RegisteredBuffers => "registered_buffers",
        }
    }

    /// The first kernel release that has it.
    ///
    /// See [`features`].
    pub fn first_kernel(self) -> (u16, u16) {
        match self {
            Feature::ClonedBuffers => (6, 13),
            Feature::FixedFdInstall => (6, 8),
            Feature::FixedVectors => (6, 15),
            Feature::IncrementalBuffers => (6, 12),
            Feature::MultishotReads => (6, 7),
            Feature::DirectDescriptors | Feature::ProvidedBuffers | Feature::RegisteredBuffers => {
                (5, 19)
            }
        }
    }
}

/// Whether a feature can be had.
///
/// See [`features`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FeatureReport {
    /// Which one.
    pub feature: Feature,
    /// Why it cannot be had, or `None` if it can.
    pub reason: Option<Reason>,
}

impl FeatureReport {
    /// What to do for it, where it cannot be had.
    ///
    /// See [`features`].
    pub fn remedy(&self) -> Option<String> {
        let reason = self.reason.as_ref()?;
        let lacks = *reason == Reason::KernelTooOld && report().ring_reason().is_none();
        Some(if lacks {
            let (major, minor) = self.feature.first_kernel();
            format!("use Linux {major}.{minor} or later")
        } else {
            reason.remedy().to_owned()
        })
    }
}

/// What rings can do here besides plain operations, in alphabetical order. Each time it is tried anew, as limits may
/// change: that takes about a millisecond.
///
/// ```
/// for found in tidegate::probe::features() {
///     match (&found.reason, found.remedy()) {
///         (Some(reason), Some(remedy)) => println!("no {}: {reason}; {remedy}", found.feature.name()),
///         _ => println!("{} can be had", found.feature.name()),
///     }
/// }
/// ```
pub fn features() -> Vec<FeatureReport> {
    let made = |&feature| FeatureReport {
        feature,
        reason: match report().ring_reason() {
            Some(reason) => Some(reason.clone()),
            None => attempt(feature).err(),
        },
    };
    Feature::ALL.iter().map(made).collect()
}

/// Whether it can be had: the kernel is asked for its opcodes, and has to register what it is to register.
#[cfg(target_os = "linux")]
fn attempt(feature: Feature) -> Result<(), Reason> {
    use crate::sys::linux::sqe::code;
    use crate::sys::linux::trials;
    let if_there = |is_there: bool| is_there.then_some(()).ok_or(Reason::KernelTooOld);
    let tried = match feature {
        Feature::FixedFdInstall => return if_there(report().has_opcode(Kind::ReadSmallFile)),
        Feature::FixedVectors => return if_there(report().has_code(code::READV_FIXED)),
        Feature::MultishotReads => return if_there(report().has_opcode(Kind::ReadProvidedStream)),
        Feature::ClonedBuffers => trials::cloned_buffers(),
        Feature::DirectDescriptors => trials::direct_descriptors(),
        Feature::IncrementalBuffers => trials::incremental_buffers(),
        Feature::ProvidedBuffers => trials::provided_buffers(),
        Feature::RegisteredBuffers => trials::registered_buffers(),
    };
    tried.map_err(|error| refusal(&error))
}

#[cfg(not(target_os = "linux"))]
fn attempt(_feature: Feature) -> Result<(), Reason> {
    Err(Reason::Platform)
}

/// The cause of a refusal, of a ring that there is.
#[cfg(target_os = "linux")]
fn refusal(error: &std::io::Error) -> Reason {
    match error.raw_os_error() {
        // What a kernel does not know is an argument that means nothing to it.
        Some(errno::EINVAL) => Reason::KernelTooOld,
        _ => crate::error::reason_of(error),
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::io;

    use super::*;

    /// Each has a name of its own, and is tried where there is a ring.
    #[test]
    fn every_feature_is_reported() {
        let found = features();
        let names: Vec<_> = found.iter().map(|found| found.feature.name()).collect();
        assert!(names.is_sorted() && names.len() == Feature::ALL.len());
        for FeatureReport { feature, reason } in &found {
            let missing = report().ring_reason().is_some();
            assert!(!missing || reason.is_some(), "{feature:?} without a ring");
        }
    }

    /// R49: causes are told apart, and say what to do.
    #[test]
    fn refusals_have_causes_and_remedies() {
        let cases = [
            (errno::EINVAL, Reason::KernelTooOld, "6.13 or later"),
            (errno::ENOMEM, Reason::Memlock, "RLIMIT_MEMLOCK"),
            (errno::EMFILE, Reason::FdLimit, "RLIMIT_NOFILE"),
        ];
        for (number, expected, remedy) in cases {
            let reason = refusal(&io::Error::from_raw_os_error(number));
            assert_eq!(reason, expected);
            let found = FeatureReport {
                feature: Feature::ClonedBuffers,
                reason: Some(reason),
            };
            let told = found.remedy().unwrap();
            let no_ring = report().ring_reason().is_some();
            assert!(told.contains(remedy) || no_ring, "{told}");
        }
    }
}
