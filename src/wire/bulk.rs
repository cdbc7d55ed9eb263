//! The bulk stream: requests and answers of the same shapes, pipelined over one long-lived stream, each
//! with the number of its request.

use bytes::Bytes;

use super::request::decode_message;
use super::{Encoded, MAX_REQUEST_SIZE, Request, Response, WireError, frame, proto};

const CANCEL: u32 = 5;

/// What an asker writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// A request; a Get, since what is small does not need a stream.
    Get {
        /// Its number: not 0, and none that is under way on this stream.
        id: u64,
        /// The request.
        request: Request,
    },
    /// The rest of a request is not wanted any more: what has not been sent of it is answered Cut.
    Cancel {
        /// Which request. One that is over, or never was, is no error: answers cross cancels.
        id: u64,
        /// The first of its leaves that is not wanted, counted from 0.
        from: u32,
    },
}

impl Ask {
    /// Its bytes, its length before it. Refuses what no answerer would take.
    pub fn encode(&self) -> Result<Bytes, WireError> {
        let message = match self {
            Self::Get { id, request } => {
                check(*id, request)?;
                request.message(*id)?
            }
            Self::Cancel { id, from } => {
                if *id == 0 {
                    return Err(WireError::Field("id"));
                }
                proto::Request {
                    kind: CANCEL,
                    id: *id,
                    from: *from,
                    ..Default::default()
                }
            }
        };
        frame(&message, MAX_REQUEST_SIZE)
    }

    /// What the body, without the length before it, is exactly.
    pub fn decode(body: &Bytes) -> Result<Self, WireError> {
        let message = decode_message(body)?;
        let id = message.id;
        if message.kind == CANCEL {
            if id == 0 {
                return Err(WireError::Field("id"));
            }
            let from = message.from;
            return Ok(Self::Cancel { id, from });
        }
        let request = Request::of(message)?;
        check(id, &request)?;
        Ok(Self::Get { id, request })
    }
}

fn check(id: u64, request: &Request) -> Result<(), WireError> {
    if id == 0 {
        return Err(WireError::Field("id"));
    }
    if !matches!(request, Request::Get { .. }) {
        return Err(WireError::Field("kind"));
    }
    Ok(())
}

/// What an answerer writes: an answer, or the next part of one. A request is over when as many leaves
/// as it asked for have come, or by `Busy`, `NotFound` or `Refused`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Which request.
    pub id: u64,
    /// The part: [`Response::Leaves`] with at least one leaf, or what ends the request.
    pub response: Response,
}

impl Part {
    /// Its bytes: header with its length before it, then the blocks.
    pub fn encode(self) -> Result<Encoded, WireError> {
        self.response.encode_for(self.id)
    }
}
