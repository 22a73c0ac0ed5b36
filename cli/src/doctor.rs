//! doctor
use crate::exit::Exit;
/// D
#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {}
pub(crate) fn main(_: &Arguments) -> Exit { Exit::Done }
