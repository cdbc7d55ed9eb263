//! [`Client`]: the command's side of a conversation. Blocks.
//!
//! While things are added the client sends [`Step`]s and the server sends how far it is, so each
//! could wait for the other to read. It does not come to that: until it has read [`Step::Finish`] the
//! server leaves out what the socket has no room for ([`Event::Progress`], [`Event::Waiting`]), and
//! before it sends [`Event::Failed`] it stops reading, which ends the client's sending with
//! [`ClientError::Ended`]. So a client may send everything from one thread and read afterwards; one
//! that shows progress meanwhile reads in a second thread, after [`Client::split`].

use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use store::unixfs::Piece;

use super::frame::{self, Frame, FrameError, FrameReader, FrameWriter};
use super::message::{Event, LandStep, ManyStep, Request, Step};
use super::socket;

/// A conversation that can be begun.
#[derive(Debug)]
pub struct Client {
    sender: Sender,
    events: Events,
}

/// The sending half.
#[derive(Debug)]
pub struct Sender {
    frames: FrameWriter,
}

/// The receiving half.
#[derive(Debug)]
pub struct Events {
    frames: FrameReader,
    ended: bool,
}

/// Ends a conversation from anywhere: the server cancels its work, [`Events::next`] returns.
#[derive(Debug)]
pub struct Closer {
    socket: UnixStream,
}

impl Closer {
    /// Ends it.
    pub fn close(&self) {
        // It fails only where the other side has closed already.
        let _ = self.socket.shutdown(std::net::Shutdown::Both);
    }

    /// Another one for the same conversation.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self {
            socket: self.socket.try_clone()?,
        })
    }
}

/// Why a conversation could not go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// Nobody listens for commands on this repo.
    #[error("nobody holds the repo `{}`", .repo.display())]
    Nobody {
        /// The repo.
        repo: PathBuf,
    },
    /// The socket is there, but not for us.
    #[error("cannot reach the holder of the repo `{}`: {error}", .repo.display())]
    Connect {
        /// The repo.
        repo: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The other side takes no more steps: [`Events::next`] tells why.
    #[error("the conversation was ended by the other side")]
    Ended,
    /// The other side went away in the middle of the conversation.
    #[error("the process that holds the repo went away before the command was done")]
    Lost,
    /// What came makes no sense.
    #[error("cannot understand the process that holds the repo: {0}")]
    Frame(FrameError),
}

impl Client {
    /// Connects to whoever holds the lock of the repo at `repo`.
    pub fn connect(repo: &Path) -> Result<Self, ClientError> {
        let stream = socket::connect(repo).map_err(|error| {
            let repo = repo.to_path_buf();
            match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                    ClientError::Nobody { repo }
                }
                _ => ClientError::Connect { repo, error },
            }
        })?;
        Self::over(stream)
    }

    /// A conversation over `stream`, at whose other end there is a server.
    pub fn over(stream: UnixStream) -> Result<Self, ClientError> {
        let (reader, writer) =
            frame::split(stream).map_err(|error| ClientError::Frame(error.into()))?;
        let events = Events {
            frames: reader,
            ended: false,
        };
        Ok(Self {
            sender: Sender { frames: writer },
            events,
        })
    }

    /// Begins the conversation. That the other side has refused it already is told by
    /// [`Client::next`].
    pub fn send(&mut self, request: &Request) -> Result<(), ClientError> {
        match self.sender.message(request, None) {
            Err(ClientError::Ended) => Ok(()),
            other => other,
        }
    }

    /// Sends a step, see [`Sender::send_step`].
    pub fn send_step(
        &mut self,
        step: &Step,
        file: Option<BorrowedFd<'_>>,
    ) -> Result<(), ClientError> {
        self.sender.send_step(step, file)
    }

    /// Waits for the next event, see [`Events::next`].
    #[allow(
        clippy::should_implement_trait,
        reason = "an iterator of results would go on after its first error"
    )]
    pub fn next(&mut self) -> Result<Option<Event>, ClientError> {
        self.events.next()
    }

    /// A handle that ends the conversation, whoever waits in it.
    pub fn closer(&self) -> io::Result<Closer> {
        Ok(Closer {
            socket: self.sender.frames.socket()?,
        })
    }

    /// The two directions, for two threads.
    #[must_use]
    pub fn split(self) -> (Sender, Events) {
        (self.sender, self.events)
    }
}

impl Sender {
    /// Sends a step of an add; with [`Step::File`] goes the open file. The caller may close its
    /// descriptor afterwards.
    ///
    /// After [`ClientError::Ended`] no further step is taken; the events tell why.
    pub fn send_step(
        &mut self,
        step: &Step,
        file: Option<BorrowedFd<'_>>,
    ) -> Result<(), ClientError> {
        self.message(step, file)
    }

    /// Sends what became of the file that was asked for; with [`LandStep::Part`] goes the open file.
    pub fn land(
        &mut self,
        step: &LandStep,
        file: Option<BorrowedFd<'_>>,
    ) -> Result<(), ClientError> {
        self.message(step, file)
    }

    /// Sends which contents are asked for too.
    pub fn many(&mut self, step: &ManyStep) -> Result<(), ClientError> {
        self.message(step, None)
    }

    /// Ends the conversation from another thread: the server cancels its work, [`Events::next`]
    /// returns.
    pub fn close(&self) {
        self.frames.close();
    }

    fn message(
        &mut self,
        message: &impl serde::Serialize,
        file: Option<BorrowedFd<'_>>,
    ) -> Result<(), ClientError> {
        self.frames.message(message, file).map_err(|error| {
            if error.is_gone() {
                ClientError::Ended
            } else {
                ClientError::Frame(error)
            }
        })
    }
}

impl Events {
    /// Waits for the next event; `None` after [`Event::Done`] or [`Event::Failed`]. A data frame is
    /// an [`Event::Piece`] with [`Piece::Data`].
    #[allow(clippy::should_implement_trait, reason = "as above")]
    pub fn next(&mut self) -> Result<Option<Event>, ClientError> {
        if self.ended {
            return Ok(None);
        }
        let lost = |error: FrameError| {
            if error.is_gone() {
                ClientError::Lost
            } else {
                ClientError::Frame(error)
            }
        };
        let (frame, _) = self
            .frames
            .receive()
            .map_err(lost)?
            .ok_or(ClientError::Lost)?;
        let event = match frame {
            Frame::Data(data) => Event::Piece(Piece::Data(data)),
            json @ Frame::Json(_) => json.message().map_err(ClientError::Frame)?,
        };
        self.ended = matches!(event, Event::Done | Event::Failed(_));
        Ok(Some(event))
    }
}
