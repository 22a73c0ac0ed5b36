//! Uses the library, so that it is checked with these versions.
pub use tidegate as library;
