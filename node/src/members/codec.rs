//! Between the messages of `store::wire::member` and the core's.

use std::sync::Arc;

use store::wire::member::{MemberRequest, MemberResponse, Rumour, Signed, Told};

use super::ask::{Answer, Ask, Claim, Known};
use super::record::{BadRecord, Verified};

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
