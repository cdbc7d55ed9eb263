//! Receipts: that a member has a segment, in its own name. They may be shown to others, so they are signed.

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use libp2p::identity::Keypair;
use store::segment::SegmentId;
use store::wire::replica::{Receipt, receipt_bytes};

use crate::members::member_of;

/// The receipt of the member with this key for so many bytes of a segment. `None` if the key is none of Ed25519, with
/// which nobody is a member.
#[must_use]
pub fn sign(key: &Keypair, network: &str, segment: SegmentId, bytes: u64) -> Option<Receipt> {
    let holder = member_of(&key.public().to_peer_id())?;
    let signature = key.sign(&receipt_bytes(network, &segment, bytes)).ok()?;
    Some(Receipt {
        segment,
        bytes,
        holder,
        signature: signature.try_into().ok()?,
    })
}

/// Whether the holder that a receipt names has signed it, in this network.
#[must_use]
pub fn check(network: &str, receipt: &Receipt) -> bool {
    let signed = receipt_bytes(network, &receipt.segment, receipt.bytes);
    let key = UnparsedPublicKey::new(&ED25519, &receipt.holder.0);
    key.verify(&signed, &receipt.signature).is_ok()
}

#[cfg(test)]
mod tests {
    use store::wire::member::MemberId;

    use super::*;

    fn receipt() -> Receipt {
        let key = Keypair::generate_ed25519();
        sign(&key, "main", SegmentId([1; 32]), 7).unwrap()
    }

    #[test]
    fn a_receipt_is_believed_in_its_network_and_unchanged_only() {
        let receipt = receipt();
        assert!(check("main", &receipt));
        assert!(!check("other", &receipt));
        let changed: [fn(&mut Receipt); 4] = [
            |receipt| receipt.segment.0[0] ^= 1,
            |receipt| receipt.bytes += 1,
            |receipt| receipt.holder.0[31] ^= 1,
            |receipt| receipt.signature[0] ^= 1,
        ];
        for change in changed {
            let mut receipt = receipt.clone();
            change(&mut receipt);
            assert!(!check("main", &receipt), "{receipt:?}");
        }
    }

    #[test]
    fn nobody_signs_for_another() {
        let (mine, theirs) = (receipt(), receipt());
        let holder = theirs.holder;
        assert!(!check("main", &Receipt { holder, ..mine }));
        let holder = MemberId([0xff; 32]);
        assert!(!check("main", &Receipt { holder, ..theirs }), "no key");
    }
}
