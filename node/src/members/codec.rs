//! [`MemberCodec`]: the messages of `store::wire::member` on a libp2p stream, and between them and the
//! core's.

use std::io;
use std::sync::Arc;

use futures::{AsyncRead, AsyncWrite};
use libp2p::StreamProtocol;
use libp2p::request_response::Codec;
use store::wire::member::{
    MAX_MEMBER_REQUEST_SIZE, MAX_MEMBER_RESPONSE_SIZE, MemberRequest, MemberResponse, Rumour,
    Signed, Told,
};

use super::ask::{Answer, Ask, Claim, Known};
use super::record::{BadRecord, Verified};
use crate::framing::{read_message, write_message};

/// Reads and writes the members' messages.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct MemberCodec;

impl Codec for MemberCodec {
    type Protocol = StreamProtocol;
    type Request = MemberRequest;
    type Response = MemberResponse;

    async fn read_request<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<MemberRequest>
    where
        T: AsyncRead + Unpin + Send,
    {
        read_message(io, MAX_MEMBER_REQUEST_SIZE, MemberRequest::decode).await
    }

    async fn read_response<T>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
    ) -> io::Result<MemberResponse>
    where
        T: AsyncRead + Unpin + Send,
    {
        read_message(io, MAX_MEMBER_RESPONSE_SIZE, MemberResponse::decode).await
    }

    async fn write_request<T>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        request: MemberRequest,
    ) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        write_message(io, request.encode()).await
    }

    async fn write_response<T>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        response: MemberResponse,
    ) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        write_message(io, response.encode()).await
    }
}

fn check(network: &str, signed: Signed) -> Result<Arc<Verified>, BadRecord> {
    Verified::check(network, signed).map(Arc::new)
}

pub(super) fn ask_out(ask: Ask) -> MemberRequest {
    match ask {
        Ask::Probe {
            version,
            known,
            suspected,
        } => MemberRequest::Probe {
            version,
            known,
            suspected,
        },
        Ask::Reach(member) => MemberRequest::Reach(member),
        Ask::Compare(questions) => MemberRequest::Compare(questions),
        Ask::Fetch(members) => MemberRequest::Fetch(members),
        Ask::Tell(record) => MemberRequest::Tell(record.signed().clone()),
    }
}

pub(super) fn ask_in(network: &str, request: MemberRequest) -> Result<Ask, BadRecord> {
    Ok(match request {
        MemberRequest::Probe {
            version,
            known,
            suspected,
        } => Ask::Probe {
            version,
            known,
            suspected,
        },
        MemberRequest::Reach(member) => Ask::Reach(member),
        MemberRequest::Compare(questions) => Ask::Compare(questions),
        MemberRequest::Fetch(members) => Ask::Fetch(members),
        MemberRequest::Tell(signed) => Ask::Tell(check(network, signed)?),
    })
}

pub(super) fn answer_out(answer: Answer) -> MemberResponse {
    let told = |known: Known| Told {
        record: known.record.signed().clone(),
        gone: known.gone,
    };
    match answer {
        Answer::Alive(record) => {
            MemberResponse::Alive(record.map(|record| record.signed().clone()))
        }
        Answer::Reached(reached) => MemberResponse::Reached(reached),
        Answer::Compared(verdicts) => MemberResponse::Compared(verdicts),
        Answer::Records(known) => MemberResponse::Records(known.into_iter().map(told).collect()),
    }
}

/// `None`: the other side has no answer for us.
pub(super) fn answer_in(
    network: &str,
    response: MemberResponse,
) -> Result<Option<Answer>, BadRecord> {
    Ok(Some(match response {
        MemberResponse::Alive(None) => Answer::Alive(None),
        MemberResponse::Alive(Some(signed)) => Answer::Alive(Some(check(network, signed)?)),
        MemberResponse::Reached(reached) => Answer::Reached(reached),
        MemberResponse::Compared(verdicts) => Answer::Compared(verdicts),
        MemberResponse::Records(told) => {
            let known = told.into_iter().map(|told| {
                let record = check(network, told.record)?;
                let gone = told.gone;
                Ok(Known { record, gone })
            });
            Answer::Records(known.collect::<Result<_, BadRecord>>()?)
        }
        MemberResponse::Refused => return Ok(None),
    }))
}

pub(super) fn claim_out(claim: &Claim) -> Rumour {
    let records = claim.records.iter().map(|record| record.signed().clone());
    Rumour {
        records: records.collect(),
        accusations: claim.accusations.clone(),
    }
}

pub(super) fn claim_in(network: &str, rumour: Rumour) -> Result<Claim, BadRecord> {
    let records = rumour.records.into_iter();
    let records = records.map(|signed| check(network, signed));
    Ok(Claim {
        records: records.collect::<Result<_, _>>()?,
        accusations: rumour.accusations,
    })
}
