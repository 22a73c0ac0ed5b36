//! Tidegate.
#![deny(unsafe_code)]
