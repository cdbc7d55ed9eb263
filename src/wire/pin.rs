//! What owners want kept: pin records, which every storage member keeps (docs/protocol.md).
//!
//! A [`PinRecord`] is signed by its owner, so it may come by any way ([`super::member::Signed`]); of one
//! owner's records of one root the highest sequence counts. A withdrawn one stays as a tombstone for as long as
//! others may still bring older ones. Signatures are made and checked by whoever has the keys, over
//! [`pin_signed_bytes`].

use bytes::Bytes;

use crate::cid::{self, Cid};

use super::member::{MemberId, check_tag};
use super::proto::{Bound, Tag, decode};
use super::{WireError, at_most};

/// The largest record in bytes, its signature not counted: 32 tags of the largest size are 3.3 KiB.
pub const MAX_PIN_SIZE: usize = 4 << 10;
/// Tags wanted and refused, together.
pub const MAX_PIN_TAGS: usize = 32;

/// What one owner wants of one root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PinRecord {
    /// Who.
    pub owner: MemberId,
    /// Of what.
    pub root: Cid,
    /// One more than the highest that the owner has seen of this root, its own or another's.
    pub sequence: u64,
    /// What; `None` where it is withdrawn.
    pub wanted: Option<PinWish>,
    /// Withdrawn not by its owner, but by whoever has the swarm's key: the signature is a proof of that.
    pub by_swarm: bool,
}

/// How many copies of a root, where, and until when. Bounds are the decoder's affair, sense the policy's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PinWish {
    /// Fewer copies are urgent.
    pub min: u8,
    /// So many are made.
    pub target: u8,
    /// More are taken away.
    pub max: u8,
    /// A copy on every member that may have one.
    pub everywhere: bool,
    /// Name and value, in order, each once: for each name that occurs, one of its values.
    pub wanted: Vec<(String, String)>,
    /// None of these; in order, each once.
    pub refused: Vec<(String, String)>,
    /// Higher ones are repaired first.
    pub priority: u8,
    /// Unix seconds, by each member's own clock; 0 for never.
    pub expires: u64,
}

/// What is signed: the record in its network, so that it means nothing in another.
#[must_use]
pub fn pin_signed_bytes(network: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes = b"store pin record 1\n".to_vec();
    bytes.extend_from_slice(network.as_bytes());
    bytes.push(b'\n');
    bytes.extend_from_slice(body);
    bytes
}

impl PinRecord {
    /// The bytes that are signed and sent.
    ///
    /// # Errors
    /// If it breaks a bound, or is a wish of the swarm's, which only withdraws.
    pub fn encode(&self) -> Result<Bytes, WireError> {
        self.check()?;
        let message = proto::PinRecord {
            owner: Bytes::copy_from_slice(&self.owner.0),
            root: self.root.to_bytes().into(),
            sequence: self.sequence,
            wish: self.wanted.as_ref().map(PinWish::to_bytes),
            by_swarm: self.by_swarm,
        };
        let bytes = prost::Message::encode_to_vec(&message);
        at_most("bytes of pin record", bytes.len(), MAX_PIN_SIZE)?;
        Ok(bytes.into())
    }

    /// Reads one, whoever signed it.
    ///
    /// # Errors
    /// If it is malformed or breaks a bound.
    pub fn decode(body: &Bytes) -> Result<Self, WireError> {
        at_most("bytes of pin record", body.len(), MAX_PIN_SIZE)?;
        let message: proto::PinRecord = decode(body, &[])?;
        let record = Self {
            owner: MemberId::of_bytes(&message.owner)?,
            root: cid::from_bytes(&message.root)?,
            sequence: message.sequence,
            wanted: message.wish.as_ref().map(PinWish::of_bytes).transpose()?,
            by_swarm: message.by_swarm,
        };
        record.check()?;
        Ok(record)
    }

    fn check(&self) -> Result<(), WireError> {
        cid::check(&self.root)?;
        match &self.wanted {
            Some(_) if self.by_swarm => Err(WireError::Field("by_swarm")),
            Some(wish) => wish.check(),
            None => Ok(()),
        }
    }
}

impl PinWish {
    fn to_bytes(&self) -> Bytes {
        let message = proto::Wish {
            min: self.min.into(),
            target: self.target.into(),
            max: self.max.into(),
            everywhere: self.everywhere,
            wanted: tags_out(&self.wanted),
            refused: tags_out(&self.refused),
            priority: self.priority.into(),
            expires: self.expires,
        };
        prost::Message::encode_to_vec(&message).into()
    }

    fn of_bytes(bytes: &Bytes) -> Result<Self, WireError> {
        let tags = |tag, what| Bound {
            tag,
            what,
            count: MAX_PIN_TAGS,
            bytes: MAX_PIN_SIZE,
        };
        let bounds = [tags(5, "tags wanted"), tags(6, "tags refused")];
        let message: proto::Wish = decode(bytes, &bounds)?;
        let small = |number: u32, field| u8::try_from(number).map_err(|_| WireError::Field(field));
        Ok(Self {
            min: small(message.min, "min")?,
            target: small(message.target, "target")?,
            max: small(message.max, "max")?,
            everywhere: message.everywhere,
            wanted: tags_in(message.wanted),
            refused: tags_in(message.refused),
            priority: small(message.priority, "priority")?,
            expires: message.expires,
        })
    }

    fn check(&self) -> Result<(), WireError> {
        let count = self.wanted.len() + self.refused.len();
        at_most("tags of a pin", count, MAX_PIN_TAGS)?;
        check_tags("wanted", &self.wanted)?;
        check_tags("refused", &self.refused)
    }
}

/// In strict order, so that a record has one form; and such as a member can have.
fn check_tags(field: &'static str, tags: &[(String, String)]) -> Result<(), WireError> {
    let ordered = tags.is_sorted_by(|a, b| a < b);
    let sound = tags
        .iter()
        .all(|(name, value)| check_tag(name, value).is_ok());
    if ordered && sound {
        Ok(())
    } else {
        Err(WireError::Field(field))
    }
}

fn tags_out(tags: &[(String, String)]) -> Vec<Tag> {
    let tags = tags.iter().map(|(name, value)| (&**name, &**value));
    tags.map(Tag::of).collect()
}

fn tags_in(tags: Vec<Tag>) -> Vec<(String, String)> {
    tags.into_iter().map(Tag::pair).collect()
}

/// The messages as protobuf.
mod proto {
    use bytes::Bytes;

    use super::Tag;

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct PinRecord {
        #[prost(bytes = "bytes", tag = "1")]
        pub(super) owner: Bytes,
        #[prost(bytes = "bytes", tag = "2")]
        pub(super) root: Bytes,
        #[prost(uint64, tag = "3")]
        pub(super) sequence: u64,
        /// A [`Wish`], as bytes, so that its tags are counted before they are built.
        #[prost(bytes = "bytes", optional, tag = "4")]
        pub(super) wish: Option<Bytes>,
        #[prost(bool, tag = "5")]
        pub(super) by_swarm: bool,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Wish {
        #[prost(uint32, tag = "1")]
        pub(super) min: u32,
        #[prost(uint32, tag = "2")]
        pub(super) target: u32,
        #[prost(uint32, tag = "3")]
        pub(super) max: u32,
        #[prost(bool, tag = "4")]
        pub(super) everywhere: bool,
        #[prost(message, repeated, tag = "5")]
        pub(super) wanted: Vec<Tag>,
        #[prost(message, repeated, tag = "6")]
        pub(super) refused: Vec<Tag>,
        #[prost(uint32, tag = "7")]
        pub(super) priority: u32,
        #[prost(uint64, tag = "8")]
        pub(super) expires: u64,
    }
}

#[cfg(test)]
mod tests;
