//! Peers on the local network, by multicast DNS. Everything built on libp2p answers there, whatever it is: who
//! turns out to be none of ours is let go after identify, and not dialed again.

use libp2p::mdns::Event;
use libp2p::swarm::Swarm;

use crate::behaviour::Behaviour;
use crate::peers::Peers;

/// Dials whom multicast has found. An expired announcement changes nothing: the connection tells whether the peer
/// is there.
pub(crate) fn on_event(swarm: &mut Swarm<Behaviour>, peers: &mut Peers, event: Event) {
    if let Event::Discovered(seen) = event {
        tracing::debug!(count = seen.len(), "addresses found on the local network");
        peers.on_lan(swarm, seen);
    }
}
