//! What can happen to members.

use std::time::Duration;

use super::world::{Life, World};

impl World {
    /// Its power is gone: nobody is told, and links stay as if nothing were.
    pub(super) fn crash(&mut self, at: usize) {
        self.nodes[at].life = Life::Silent;
    }

    /// Its process is killed: the system closes its links.
    pub(super) fn kill(&mut self, at: usize) {
        self.nodes[at].life = Life::Ended;
        self.unlink(|a, b| a == at || b == at);
    }

    /// It is told to end.
    pub(super) fn leave(&mut self, at: usize) {
        let now = self.now;
        self.nodes[at].core.leave(now);
        for action in self.nodes[at].core.actions() {
            self.act(at, action);
        }
        self.run(Duration::from_millis(500));
        assert!(
            self.nodes[at].core.is_noted(),
            "those who are connected took note"
        );
        self.kill(at);
    }

    /// Members of different sides do not reach each other from now on. Nobody tells them: a connection over TCP stays
    /// until it has sent in vain for a quarter of an hour, and once the sides meet again it is silent for about as
    /// long as they were apart.
    pub(super) fn partition(&mut self, side: impl Fn(usize) -> u8) {
        for at in 0..self.nodes.len() {
            self.nodes[at].side = side(at);
        }
        let cut = |&&(a, b): &&(usize, usize)| self.nodes[a].side != self.nodes[b].side;
        let cut: Vec<_> = self.linked.iter().filter(cut).copied().collect();
        self.silent.extend(cut);
    }

    pub(super) fn heal(&mut self) {
        for node in &mut self.nodes {
            node.side = 0;
        }
    }
}
