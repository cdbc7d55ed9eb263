//! What members of a swarm tell each other of themselves: `/store/{network}/member/1.0.0`, and the
//! announcements of gossip (docs/protocol.md).
//!
//! A [`Record`] is signed by the member that it speaks of, so it may come by any way; what one member
//! says of another ([`Accusation`]) is worth what its teller is worth. Signatures are made and checked
//! by whoever has the keys: this module knows the bytes that are signed ([`signed_bytes`]), no
//! cryptography.

mod message;
pub(super) mod proto;
mod step;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;

pub use message::{Accusation, MemberRequest, MemberResponse, Rumour, Told};
pub use step::Step;

use super::proto::{Bound, Tag, decode};
use super::{MAX_ADDRESS_SIZE, WireError, at_most};

/// The largest record in bytes, its signature not counted: 16 addresses of usual length and 16 tags
/// are 1.5 KiB. 16,384 members then take 64 MiB at the very most.
pub const MAX_RECORD_SIZE: usize = 4 << 10;
/// Addresses in a record: a host has a few interfaces, two transports on each.
pub const MAX_RECORD_ADDRESSES: usize = 16;
/// Tags in a record.
pub const MAX_TAGS: usize = 16;
/// Bytes of a tag's name.
pub const MAX_TAG_NAME: usize = 32;
/// Bytes of a tag's value: a peer id in text has 52.
pub const MAX_TAG_VALUE: usize = 64;
/// Bytes of a program's name and version.
pub const MAX_PROGRAM: usize = 64;
/// Bytes of a signature (Ed25519, RFC 8032).
pub const SIGNATURE_SIZE: usize = 64;
/// The largest request in bytes: 64 questions of a comparison, or one record.
pub const MAX_MEMBER_REQUEST_SIZE: usize = 8 << 10;
/// The largest answer in bytes: 32 records of the largest size.
pub const MAX_MEMBER_RESPONSE_SIZE: usize = 256 << 10;
/// Records that one Fetch asks for.
pub const MAX_FETCH: usize = 32;
/// Records in one announcement.
pub const MAX_RUMOUR_RECORDS: usize = 2;
/// Accusations in one announcement.
pub const MAX_ACCUSATIONS: usize = 32;

/// A member's name: its Ed25519 public key, which its peer id carries too.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemberId(pub [u8; 32]);

/// What a member says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Who.
    pub id: MemberId,
    /// Rises with each change, over restarts too. Compared with other numbers of the same member only.
    pub version: u64,
    /// Where it listens, as binary multiaddrs, [`MAX_RECORD_ADDRESSES`] at most.
    pub addresses: Vec<Bytes>,
    /// What it does for others.
    pub role: MemberRole,
    /// Whether it stays.
    pub state: MemberState,
    /// Program and version.
    pub program: String,
    /// Bytes that it can hold in all.
    pub capacity: Step,
    /// Bytes that may still be placed on it.
    pub free: Step,
    /// How busy it is: bytes served in a second, in powers of two from 1 MiB on; 0 is less.
    pub load: u8,
    /// Failure domains and whatever else tells it from others.
    pub tags: Tags,
    /// What it holds.
    pub holdings: Holdings,
}

/// What a member does for others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemberRole {
    /// Stores and serves.
    Storage,
    /// Comes and goes; is no member, only told of.
    Client,
    /// Something of a later version.
    Other(u32),
}

/// Whether a member stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemberState {
    /// It is here.
    Up,
    /// It is about to go: nothing new is placed on it, what it holds is taken over. So is taken whatever a
    /// later version says here.
    Leaving,
    /// It has gone, in order.
    Left,
}

/// Which extents a member holds, in short: equal digests mean equal holdings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Holdings {
    /// How many.
    pub count: u64,
    /// The sum of their fingerprints, as set reconciliation has it.
    pub digest: [u8; 16],
}

/// A record with its signature; neither has been checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// The record's bytes.
    pub body: Bytes,
    /// Its member's signature over [`signed_bytes`].
    pub signature: [u8; SIGNATURE_SIZE],
}

/// Names and values. A name is 1 to [`MAX_TAG_NAME`] of `a-z0-9-_.`, a value 1 to [`MAX_TAG_VALUE`] bytes
/// without control characters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tags(BTreeMap<String, String>);

/// What is no tag.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadTag {
    /// The name.
    #[error("tag name `{0}` is not 1 to {MAX_TAG_NAME} of a-z, 0-9, `-`, `_` and `.`")]
    Name(String),
    /// The value.
    #[error("tag value `{0}` is not 1 to {MAX_TAG_VALUE} bytes without control characters")]
    Value(String),
    /// Too many.
    #[error("{0} tags, at most {MAX_TAGS} allowed")]
    Count(usize),
}

/// What a member signs: the record in its network, so that it means nothing in another.
#[must_use]
pub fn signed_bytes(network: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes = b"store member record 1\n".to_vec();
    bytes.extend_from_slice(network.as_bytes());
    bytes.push(b'\n');
    bytes.extend_from_slice(body);
    bytes
}

impl Record {
    /// The bytes that are signed and sent.
    ///
    /// # Errors
    /// If it breaks a bound.
    pub fn encode(&self) -> Result<Bytes, WireError> {
        check_addresses(&self.addresses)?;
        at_most("bytes of program", self.program.len(), MAX_PROGRAM)?;
        let message = proto::Record {
            id: Bytes::copy_from_slice(&self.id.0),
            version: self.version,
            addresses: self.addresses.clone(),
            role: self.role.code(),
            program: self.program.clone(),
            capacity: self.capacity.0.into(),
            free: self.free.0.into(),
            load: self.load.into(),
            tags: self.tags.to_proto(),
            count: self.holdings.count,
            digest: Bytes::copy_from_slice(&self.holdings.digest),
            state: self.state.code(),
        };
        let bytes = prost::Message::encode_to_vec(&message);
        at_most("bytes of record", bytes.len(), MAX_RECORD_SIZE)?;
        Ok(bytes.into())
    }

    /// Reads one, whoever signed it.
    ///
    /// # Errors
    /// If it is malformed or breaks a bound.
    pub fn decode(body: &Bytes) -> Result<Self, WireError> {
        at_most("bytes of record", body.len(), MAX_RECORD_SIZE)?;
        let bound = |tag, what, count| Bound {
            tag,
            what,
            count,
            bytes: MAX_RECORD_SIZE,
        };
        let bounds = [
            bound(3, "addresses of a member", MAX_RECORD_ADDRESSES),
            bound(9, "tags", MAX_TAGS),
        ];
        let message: proto::Record = decode(body, &bounds)?;
        check_addresses(&message.addresses)?;
        at_most("bytes of program", message.program.len(), MAX_PROGRAM)?;
        let digest = message.digest[..].try_into();
        let load = u8::try_from(message.load);
        Ok(Self {
            id: MemberId::of_bytes(&message.id)?,
            version: message.version,
            addresses: message.addresses,
            role: MemberRole::of(message.role),
            state: MemberState::of(message.state),
            program: message.program,
            capacity: Step::of_code(message.capacity)?,
            free: Step::of_code(message.free)?,
            load: load.map_err(|_| WireError::Field("load"))?,
            tags: Tags::of_proto(message.tags)?,
            holdings: Holdings {
                count: message.count,
                digest: digest.map_err(|_| WireError::Field("digest"))?,
            },
        })
    }
}

/// Whether a member can have this tag.
pub(super) fn check_tag(name: &str, value: &str) -> Result<(), BadTag> {
    let plain = |c: u8| matches!(c, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.');
    if name.is_empty() || name.len() > MAX_TAG_NAME || !name.bytes().all(plain) {
        return Err(BadTag::Name(name.chars().take(MAX_TAG_NAME).collect()));
    }
    let bounded = !value.is_empty() && value.len() <= MAX_TAG_VALUE;
    if !bounded || value.chars().any(char::is_control) {
        return Err(BadTag::Value(value.chars().take(MAX_TAG_VALUE).collect()));
    }
    Ok(())
}

fn check_addresses(addresses: &[Bytes]) -> Result<(), WireError> {
    at_most(
        "addresses of a member",
        addresses.len(),
        MAX_RECORD_ADDRESSES,
    )?;
    let mut sizes = addresses.iter().map(Bytes::len);
    sizes.try_for_each(|size| at_most("bytes of an address", size, MAX_ADDRESS_SIZE))
}

impl MemberId {
    pub(in crate::wire) fn of_bytes(bytes: &[u8]) -> Result<Self, WireError> {
        let id = bytes.try_into().map_err(|_| WireError::Field("member"))?;
        Ok(Self(id))
    }
}

impl fmt::Debug for MemberId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&data_encoding::HEXLOWER.encode(&self.0[..6]))
    }
}

impl MemberRole {
    const fn code(self) -> u32 {
        match self {
            Self::Storage => 0,
            Self::Client => 1,
            Self::Other(code) => code,
        }
    }

    const fn of(code: u32) -> Self {
        match code {
            0 => Self::Storage,
            1 => Self::Client,
            code => Self::Other(code),
        }
    }
}

impl MemberState {
    const fn code(self) -> u32 {
        match self {
            Self::Up => 0,
            Self::Leaving => 1,
            Self::Left => 2,
        }
    }

    const fn of(code: u32) -> Self {
        match code {
            0 => Self::Up,
            2 => Self::Left,
            _ => Self::Leaving,
        }
    }
}

impl Tags {
    /// Takes them if each is one.
    ///
    /// # Errors
    /// Which is none, or that there are too many.
    pub fn new(tags: impl IntoIterator<Item = (String, String)>) -> Result<Self, BadTag> {
        let tags: BTreeMap<String, String> = tags.into_iter().collect();
        if tags.len() > MAX_TAGS {
            return Err(BadTag::Count(tags.len()));
        }
        for (name, value) in &tags {
            check_tag(name, value)?;
        }
        Ok(Self(tags))
    }

    /// The value of one.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (&**name, &**value))
    }

    fn to_proto(&self) -> Vec<Tag> {
        self.iter().map(Tag::of).collect()
    }

    fn of_proto(tags: Vec<Tag>) -> Result<Self, WireError> {
        // In order, so that a record has one form.
        if !tags.is_sorted_by(|a, b| a.name < b.name) {
            return Err(WireError::Field("tags"));
        }
        let tags = tags.into_iter().map(Tag::pair);
        Self::new(tags).map_err(|_| WireError::Field("tags"))
    }
}

impl Signed {
    /// Bytes on the wire, about: the message around it has four more.
    #[must_use]
    pub fn size(&self) -> usize {
        self.body.len() + SIGNATURE_SIZE + 6
    }

    pub(super) fn to_proto(&self) -> proto::Signed {
        proto::Signed {
            body: self.body.clone(),
            signature: Bytes::copy_from_slice(&self.signature),
        }
    }

    pub(super) fn of_proto(signed: proto::Signed) -> Result<Self, WireError> {
        at_most("bytes of record", signed.body.len(), MAX_RECORD_SIZE)?;
        let signature = signed.signature[..].try_into();
        Ok(Self {
            body: signed.body,
            signature: signature.map_err(|_| WireError::Field("signature"))?,
        })
    }
}
