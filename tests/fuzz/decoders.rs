//! What the fuzzers feed, and the corpus test too: every decoder of bytes that strangers send. None
//! may panic, whatever the bytes; what one accepts must survive being written again.

use bytes::Bytes;
use store::Cid;
use store::car;
use store::dag::pb::Node;
use store::proof::Proof;
use store::unixfs::data::Data;
use store::unixfs::hamt::{Place, Shard};
use store::wire::member::{MemberRequest, MemberResponse, Record, Rumour};
use store::wire::pin::PinRecord;
use store::wire::replica::{ReplicaRequest, ReplicaResponse};
use store::wire::{Ask, LENGTH_SIZE, Request, Response};

/// A dag-pb node: what is accepted has one encoding only, apart from fields that may be absent.
pub fn dag_pb(bytes: &[u8]) {
    if let Ok(node) = Node::decode(&Bytes::copy_from_slice(bytes)) {
        let again = node.encode();
        assert_eq!(
            Node::decode(&again).expect("our own encoding decodes"),
            node
        );
    }
}

/// A UnixFS message, alone and inside a node, which may be a shard of a directory.
pub fn unixfs(bytes: &[u8]) {
    let bytes = Bytes::copy_from_slice(bytes);
    if let Ok(data) = Data::decode(&bytes) {
        assert_eq!(
            Data::decode(&data.encode()).expect("our own encoding decodes"),
            data
        );
    }
    if let Ok(node) = Node::decode(&bytes)
        && let Some(Ok(data)) = node.data.as_ref().map(Data::decode)
    {
        let _ = Shard::decode(&Cid::default(), &node, &data, Place::ROOT);
    }
}

/// A request of the chunk protocol, as a server reads it, alone and on a bulk stream.
pub fn request(bytes: &[u8]) {
    if let Ok(ask) = Ask::decode(&Bytes::copy_from_slice(bytes)) {
        let again = ask.encode().expect("what was accepted may be sent");
        assert_eq!(Ask::decode(&again.slice(LENGTH_SIZE..)), Ok(ask));
    }
    if let Ok(request) = Request::decode(&Bytes::copy_from_slice(bytes)) {
        let again = request.encode().expect("what was accepted may be sent");
        assert_eq!(Request::decode(&again.slice(LENGTH_SIZE..)), Ok(request));
    }
}

/// An answer of the chunk protocol, as an asker reads it: header and payload.
pub fn response(bytes: &[u8]) {
    if let Ok(response) = Response::decode(&Bytes::copy_from_slice(bytes)) {
        let again = response
            .clone()
            .encode()
            .expect("what was accepted may be sent");
        let whole: Vec<u8> = std::iter::once(again.head)
            .chain(again.payload)
            .flatten()
            .collect();
        assert_eq!(Response::decode(&whole.into()), Ok(response));
    }
}

/// What members send each other: a record, a question, an answer and an announcement.
pub fn member(bytes: &[u8]) {
    let bytes = Bytes::copy_from_slice(bytes);
    if let Ok(record) = Record::decode(&bytes) {
        let again = record.encode().expect("what was accepted may be sent");
        assert_eq!(Record::decode(&again), Ok(record));
    }
    if let Ok(request) = MemberRequest::decode(&bytes) {
        let again = request.encode().expect("what was accepted may be sent");
        let again = again.slice(LENGTH_SIZE..);
        assert_eq!(MemberRequest::decode(&again), Ok(request));
    }
    if let Ok(response) = MemberResponse::decode(&bytes) {
        let again = response.encode().expect("what was accepted may be sent");
        let again = again.slice(LENGTH_SIZE..);
        assert_eq!(MemberResponse::decode(&again), Ok(response));
    }
    if let Ok(rumour) = Rumour::decode(&bytes) {
        let again = rumour.encode().expect("what was accepted may be sent");
        assert_eq!(Rumour::decode(&again.into()), Ok(rumour));
    }
}

/// What an owner wants kept.
pub fn pin(bytes: &[u8]) {
    if let Ok(record) = PinRecord::decode(&Bytes::copy_from_slice(bytes)) {
        let again = record.encode().expect("what was accepted may be sent");
        assert_eq!(PinRecord::decode(&again), Ok(record));
    }
}

/// What members ask each other of copies, and what they answer.
pub fn replica(bytes: &[u8]) {
    let bytes = Bytes::copy_from_slice(bytes);
    if let Ok(request) = ReplicaRequest::decode(&bytes) {
        let again = request.encode().expect("what was accepted may be sent");
        let again = again.slice(LENGTH_SIZE..);
        assert_eq!(ReplicaRequest::decode(&again), Ok(request));
    }
    if let Ok(response) = ReplicaResponse::decode(&bytes) {
        let again = response.encode().expect("what was accepted may be sent");
        let again = again.slice(LENGTH_SIZE..);
        assert_eq!(ReplicaResponse::decode(&again), Ok(response));
    }
}

/// A CAR file: sections lie behind each other inside of it, what has the right hash is a block, and
/// written again it is the same file.
pub fn car(bytes: &[u8]) {
    let Ok(mut reader) = car::Reader::open(bytes) else {
        return;
    };
    let mut again = car::header(reader.roots()).to_vec();
    let mut sections = Vec::new();
    loop {
        let at = reader.at();
        match reader.next() {
            Ok(Some(section)) => {
                let end = section.data_offset + section.data.len() as u64;
                assert_eq!((section.offset, reader.at()), (at, end));
                assert!(end <= bytes.len() as u64);
                sections.push(section);
            }
            Ok(None) if reader.version() == 1 => break,
            _ => return,
        }
    }
    let given = sections.clone();
    for (section, checked) in given.into_iter().zip(car::check(sections)) {
        match checked {
            car::Checked::Block(block) => {
                assert_eq!((block.cid(), block.data()), (&section.cid, &section.data));
                again.extend(car::section_head(&block));
                again.extend(block.data());
            }
            _ => return,
        }
    }
    assert_eq!(again, bytes, "a file has one form");
}

/// A proof of a leaf: what is accepted has one form, and says where the leaf stands or why not.
pub fn proof(bytes: &[u8]) {
    if let Ok(proof) = Proof::verify(bytes, None) {
        let again: Vec<u8> = proof.pieces().flatten().collect();
        assert_eq!(again, bytes, "a proof has one form");
        if let Ok(place) = proof.place()
            && let Some(span) = place.span
        {
            assert!(span.first + span.count <= span.size);
        }
    }
}
