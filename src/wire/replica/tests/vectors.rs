//! docs/protocol.md shows these bytes.

use bytes::Bytes;

use super::some_challenge;
use crate::audit::Answer;
use crate::segment::SegmentId;
use crate::wire::member::{MemberId, SIGNATURE_SIZE, Signed};
use crate::wire::reconcile::{Prefix, Question, Verdict};
use crate::wire::replica::{
    Checked, Leave, Offer, Receipt, ReplicaRequest, ReplicaResponse, Told, holder_print,
    receipt_bytes,
};

const SEGMENT: SegmentId = SegmentId([0xa1; 32]);
const MEMBER: MemberId = MemberId([0xd1; 32]);

fn shown(bytes: &[u8]) {
    let document = include_str!("../../../../docs/protocol.md").replace([' ', '`'], "");
    let text = data_encoding::HEXLOWER.encode(bytes);
    assert!(
        document.contains(&text),
        "docs/protocol.md does not show {text}"
    );
}

fn receipt() -> Receipt {
    Receipt {
        segment: SEGMENT,
        bytes: 1 << 20,
        holder: MEMBER,
        signature: [0xee; SIGNATURE_SIZE],
    }
}

fn pin() -> Signed {
    Signed {
        body: Bytes::from_static(b"r"),
        signature: [0xee; SIGNATURE_SIZE],
    }
}

#[test]
fn the_questions_are_those_of_the_document() {
    let challenge = some_challenge();
    let (segment, member) = (SEGMENT, MEMBER);
    let offer = Offer {
        segment,
        hold: challenge.hold.clone(),
        bytes: 1 << 20,
        idle: true,
        pins: Vec::new(),
        holders: vec![member],
    };
    let told = Told {
        segment,
        is_pinned: true,
        holders: vec![member],
    };
    let lease = ReplicaRequest::Lease {
        segments: vec![segment],
        lasts: 60_000,
    };
    let trim = ReplicaRequest::Trim {
        ask: 5,
        challenge: challenge.clone(),
    };
    let wrong = ReplicaRequest::Wrong {
        segment,
        leaves: vec![4],
    };
    let question = Question {
        prefix: Prefix::of(&[0xd1; 32], 3),
        sum: 1,
    };
    // The stamp of a segment that one member holds, and has pinned.
    shown(&holder_print(&member, true).to_be_bytes());
    for request in [
        ReplicaRequest::Offer(offer),
        ReplicaRequest::Fetched(receipt()),
        ReplicaRequest::Failed(segment),
        ReplicaRequest::Check(vec![told]),
        lease,
        ReplicaRequest::Retract(vec![segment]),
        trim,
        ReplicaRequest::Challenge(challenge),
        wrong,
        ReplicaRequest::Compare(vec![question]),
        ReplicaRequest::Fetch(vec![[0xf1; 32]]),
        ReplicaRequest::Pins(vec![pin()]),
        ReplicaRequest::Shared(vec![question]),
    ] {
        shown(&request.encode().unwrap());
    }
}

#[test]
fn the_answers_are_those_of_the_document() {
    let checked = Checked {
        has: true,
        is_pinned: true,
        holders: vec![MEMBER],
    };
    let leaves = vec![Some([0xe1; 32]), None];
    let trim = ReplicaResponse::Trim {
        leave: Leave::Keeps,
        shown: Some(Answer { leaves }),
    };
    for response in [
        ReplicaResponse::Receipt(receipt()),
        ReplicaResponse::Accepted,
        ReplicaResponse::NoRoom,
        ReplicaResponse::Refused,
        ReplicaResponse::Checked(vec![checked]),
        trim,
        ReplicaResponse::Answer(None),
        ReplicaResponse::Verdicts(vec![Verdict::Same]),
        ReplicaResponse::Pins(vec![pin()]),
        ReplicaResponse::Noted,
        ReplicaResponse::Busy,
    ] {
        shown(&response.encode().unwrap());
    }
    shown(&receipt_bytes("main", &SEGMENT, 1 << 20));
}
