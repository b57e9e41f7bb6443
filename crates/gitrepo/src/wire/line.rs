//! The seam between git's protocol and the way to a server.

use std::io::{self, Read};
use std::time::Instant;

use super::advert::Service;
use crate::fault::GitError;
use crate::session::Traffic;

/// A way to the services of a server.
pub(crate) trait Line {
    /// Whether every request is a conversation of its own (http), or all go through one that ends
    /// when the server has moved a ref or hangs up (ssh, `git://`, a program of this machine).
    fn stateless(&self) -> bool;

    /// Begins a conversation that will be asked for by `greet` later, if it takes long to begin.
    fn prepare(&mut self, _: Service) {}

    /// Begins a conversation: what the server says first. An open one is ended.
    fn greet(&mut self, service: Service) -> Result<Box<dyn Read + '_>, GitError>;

    /// Sends a request, gives the answer. An error is [`AskFault::NotSent`] only if the server
    /// cannot have acted on it.
    fn ask(&mut self, service: Service, request: &[u8]) -> Result<Box<dyn Read + '_>, AskFault>;

    /// Ends the conversation that is open, if any.
    fn hang_up(&mut self);

    /// Reads what ended a conversation: an error while reading an answer, made into ours.
    fn explain(&mut self, action: &'static str, error: &io::Error) -> GitError;

    /// When everything must be over.
    fn set_deadline(&mut self, deadline: Option<Instant>);

    /// Bytes so far.
    fn traffic(&self) -> Traffic;
}

/// A request that got no answer.
#[derive(Debug)]
pub(crate) enum AskFault {
    /// The server cannot have acted on it.
    NotSent(GitError),
    /// It may have.
    Unknown(GitError),
}

impl AskFault {
    pub(crate) fn into_error(self) -> GitError {
        match self {
            Self::NotSent(error) | Self::Unknown(error) => error,
        }
    }
}
