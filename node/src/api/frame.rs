//! Frames on the socket: `[kind: u8][length: u32, little endian][payload]`, kind 1 for JSON and 2 for
//! bytes of files. An open file may travel with a frame (`SCM_RIGHTS`, attached to its first byte).
//!
//! Lengths are checked before memory is taken for them. [`FrameReader`] and [`FrameWriter`] each own
//! a handle of the socket, so that two threads can use the two directions at once.

use std::io::{self, IoSlice, IoSliceMut, Read};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use bytes::Bytes;
use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The largest JSON payload. Messages are a few hundred bytes; a name or a list of addresses in one
/// of them may be longer, and an error message longer still.
pub const MAX_JSON: usize = 1 << 20;
/// The largest data payload: one block (`store::block::MAX_BLOCK_SIZE`).
pub const MAX_DATA: usize = 2 << 20;
/// Kind and length.
const HEADER: usize = 5;
const KIND_JSON: u8 = 1;
const KIND_DATA: u8 = 2;
/// The kernel counts the descriptors that a user has in flight, over all sockets, and refuses more
/// than `RLIMIT_NOFILE`. The receivers take them out soon: asking again after this is enough.
const IN_FLIGHT_PAUSE: Duration = Duration::from_millis(2);
/// How often it is asked again: ten seconds in all.
const IN_FLIGHT_TRIES: u32 = 5_000;

/// What one frame carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// A message.
    Json(Bytes),
    /// Bytes of a file.
    Data(Bytes),
}

/// Why a frame could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// The socket failed, or the other side is gone.
    #[error("the connection failed: {0}")]
    Io(#[from] io::Error),
    /// A kind that does not exist.
    #[error("a frame of unknown kind {kind}")]
    Kind {
        /// Its first byte.
        kind: u8,
    },
    /// Longer than its kind allows.
    #[error("a frame of {length} bytes; at most {limit} are allowed")]
    TooLong {
        /// The length that it claims, in bytes.
        length: usize,
        /// [`MAX_JSON`] or [`MAX_DATA`].
        limit: usize,
    },
    /// More than one descriptor came with a frame.
    #[error("{count} descriptors came with one frame; at most one is allowed")]
    Descriptors {
        /// How many, as far as the kernel handed them out.
        count: usize,
    },
    /// A payload that is not the message that belongs there.
    #[error("not a message that is known here: {0}")]
    Json(#[from] serde_json::Error),
    /// A data frame where a message belongs, or the other way round.
    #[error("a frame of {found} where {expected} belongs")]
    Unexpected {
        /// What came.
        found: &'static str,
        /// What should have come.
        expected: &'static str,
    },
}

impl FrameError {
    /// Whether the other side is gone, as opposed to wrong.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        use io::ErrorKind::{BrokenPipe, ConnectionReset, NotConnected, UnexpectedEof};
        matches!(self, Self::Io(error)
            if matches!(error.kind(), BrokenPipe | ConnectionReset | NotConnected | UnexpectedEof))
    }
}

impl Frame {
    /// The message in a JSON frame.
    pub fn message<T: DeserializeOwned>(&self) -> Result<T, FrameError> {
        match self {
            Self::Json(json) => Ok(serde_json::from_slice(json)?),
            Self::Data(_) => Err(FrameError::Unexpected {
                found: "data",
                expected: "a message",
            }),
        }
    }
}

/// The receiving direction of a socket.
#[derive(Debug)]
pub struct FrameReader {
    socket: UnixStream,
}

/// The sending direction of a socket.
#[derive(Debug)]
pub struct FrameWriter {
    socket: UnixStream,
}

/// Both directions of `socket`.
pub fn split(socket: UnixStream) -> io::Result<(FrameReader, FrameWriter)> {
    Ok((
        FrameReader {
            socket: socket.try_clone()?,
        },
        FrameWriter { socket },
    ))
}

impl FrameReader {
    /// The next frame and the descriptor that came with it; `None` when the other side has ended
    /// the connection between two frames.
    pub fn receive(&mut self) -> Result<Option<(Frame, Option<OwnedFd>)>, FrameError> {
        let mut header = [0; HEADER];
        let (read, descriptor) = self.receive_header(&mut header)?;
        if read == 0 {
            return Ok(None);
        }
        self.socket.read_exact(&mut header[read..])?;
        let [kind, length @ ..] = header;
        let length = u32::from_le_bytes(length) as usize;
        let limit = match kind {
            KIND_JSON => MAX_JSON,
            KIND_DATA => MAX_DATA,
            kind => return Err(FrameError::Kind { kind }),
        };
        if length > limit {
            return Err(FrameError::TooLong { length, limit });
        }
        let mut payload = vec![0; length];
        self.socket.read_exact(&mut payload)?;
        let payload = Bytes::from(payload);
        let frame = if kind == KIND_JSON {
            Frame::Json(payload)
        } else {
            Frame::Data(payload)
        };
        Ok(Some((frame, descriptor)))
    }

    /// How long [`FrameReader::receive`] waits for bytes; `None` for ever.
    pub fn set_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.socket.set_read_timeout(timeout)
    }

    /// Reads some bytes of a header, and the descriptor at its first one. A descriptor that is
    /// attached anywhere else is closed by the kernel, since nothing else is read with `recvmsg`.
    fn receive_header(&self, header: &mut [u8]) -> Result<(usize, Option<OwnedFd>), FrameError> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let received = retry_interrupted(|| {
            let mut parts = [IoSliceMut::new(header)];
            recvmsg(
                &self.socket,
                &mut parts,
                &mut control,
                RecvFlags::CMSG_CLOEXEC,
            )
        })?;
        let mut descriptors: Vec<OwnedFd> = control
            .drain()
            .filter_map(|message| match message {
                RecvAncillaryMessage::ScmRights(rights) => Some(rights),
                _ => None,
            })
            .flatten()
            .collect();
        // Room for one is at times room for more, by alignment: hence both checks.
        if descriptors.len() > 1 || received.flags.contains(ReturnFlags::CTRUNC) {
            return Err(FrameError::Descriptors {
                count: descriptors.len().max(2),
            });
        }
        Ok((received.bytes, descriptors.pop()))
    }
}

impl FrameWriter {
    /// Sends a message, with an open file if there is one. Waits while the socket is full.
    pub fn message(
        &mut self,
        message: &impl Serialize,
        descriptor: Option<BorrowedFd<'_>>,
    ) -> Result<(), FrameError> {
        let json = to_json(message)?;
        self.frame(KIND_JSON, &json, descriptor, SendFlags::empty())
    }

    /// Sends a message unless the socket is full right now; says whether it was sent.
    pub fn try_message(&mut self, message: &impl Serialize) -> Result<bool, FrameError> {
        let json = to_json(message)?;
        match self.frame(KIND_JSON, &json, None, SendFlags::DONTWAIT) {
            Err(FrameError::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            other => other.map(|()| true),
        }
    }

    /// Sends bytes of a file, in as many frames as they need.
    pub fn data(&mut self, data: &[u8]) -> Result<(), FrameError> {
        data.chunks(MAX_DATA)
            .try_for_each(|part| self.frame(KIND_DATA, part, None, SendFlags::empty()))
    }

    /// Another handle of the socket.
    pub(super) fn socket(&self) -> io::Result<UnixStream> {
        self.socket.try_clone()
    }

    /// Ends both directions, whoever else holds them: readers and writers on both sides wake up.
    pub fn close(&self) {
        // It fails only where the other side has closed already.
        let _ = self.socket.shutdown(std::net::Shutdown::Both);
    }

    fn frame(
        &mut self,
        kind: u8,
        payload: &[u8],
        descriptor: Option<BorrowedFd<'_>>,
        flags: SendFlags,
    ) -> Result<(), FrameError> {
        let length = u32::try_from(payload.len()).expect("payloads are at most MAX_DATA long");
        let mut header = [kind; HEADER];
        header[1..].copy_from_slice(&length.to_le_bytes());

        // Only the first bytes may be refused for a full socket: a frame that has begun is ended.
        let mut sent = self.send(&[&header, payload], descriptor, flags)?;
        while sent < HEADER + payload.len() {
            let rest = payload
                .get(sent.saturating_sub(HEADER)..)
                .unwrap_or_default();
            let head = header.get(sent..).unwrap_or_default();
            sent += self.send(&[head, rest], None, SendFlags::empty())?;
        }
        Ok(())
    }

    fn send(
        &self,
        parts: &[&[u8]; 2],
        descriptor: Option<BorrowedFd<'_>>,
        flags: SendFlags,
    ) -> io::Result<usize> {
        let parts = parts.map(IoSlice::new);
        let descriptors: Vec<_> = descriptor.into_iter().collect();
        let mut tries = 0;
        loop {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
            let mut control = SendAncillaryBuffer::new(&mut space);
            if !descriptors.is_empty() {
                let fits = control.push(SendAncillaryMessage::ScmRights(&descriptors));
                debug_assert!(fits, "the space is for one descriptor");
            }
            // A command that restores SIGPIPE for its stdout must not die of this socket.
            match sendmsg(
                &self.socket,
                &parts,
                &mut control,
                flags | SendFlags::NOSIGNAL,
            ) {
                Err(Errno::INTR) => {}
                Err(Errno::TOOMANYREFS) if tries < IN_FLIGHT_TRIES => {
                    tries += 1;
                    std::thread::sleep(IN_FLIGHT_PAUSE);
                }
                other => return Ok(other?),
            }
        }
    }
}

fn to_json(message: &impl Serialize) -> Result<Vec<u8>, FrameError> {
    let json = serde_json::to_vec(message)?;
    if json.len() > MAX_JSON {
        return Err(FrameError::TooLong {
            length: json.len(),
            limit: MAX_JSON,
        });
    }
    Ok(json)
}

fn retry_interrupted<T>(mut call: impl FnMut() -> Result<T, Errno>) -> io::Result<T> {
    loop {
        match call() {
            Err(Errno::INTR) => {}
            other => return Ok(other?),
        }
    }
}

#[cfg(test)]
mod tests;
