//! What befalls members.

use super::minutes;
use super::world::{Thing, World};

/// What befalls a member.
#[derive(Clone, Copy, Debug)]
pub(in super::super) enum Fault {
    /// It stops.
    Down(u32),
    /// It begins again, with what it had; or comes for the first time.
    Up(u32),
    /// It stops, and its disk is destroyed.
    Destroyed(u32),
    /// It is on this side of a partition from now on.
    Side(u32, u8),
    /// It drains, and goes when its copies are elsewhere.
    Leaves(u32),
}

impl World {
    pub(super) fn suffer(&mut self, fault: Fault) {
        let now = self.now;
        match fault {
            Fault::Down(member) => self.stop(member),
            Fault::Up(member) => {
                let node = &self.nodes[member as usize];
                if !node.is_up && !node.is_gone {
                    self.start(member);
                }
            }
            Fault::Destroyed(member) => {
                self.stop(member);
                let node = &mut self.nodes[member as usize];
                node.is_gone = true;
                node.used = 0;
                for segment in std::mem::take(&mut node.disk) {
                    self.destroyed.entry(segment).or_default().push(now);
                }
            }
            Fault::Side(member, side) => {
                let node = &mut self.nodes[member as usize];
                node.side = side;
                node.changed = now;
                self.see_change();
            }
            Fault::Leaves(member) => self.leave(member),
        }
    }

    fn stop(&mut self, member: u32) {
        let node = &mut self.nodes[member as usize];
        if node.is_up {
            node.is_up = false;
            node.changed = self.now;
            self.see_change();
        }
    }

    fn leave(&mut self, member: u32) {
        let node = &mut self.nodes[member as usize];
        if !node.is_up {
            return;
        }
        if node.candidate.stays {
            node.candidate.stays = false;
            node.candidate.takes = false;
            self.see_change();
        } else if node.planner.deficits()[..3].iter().all(|it| it.0 == 0) {
            // What it has goes with it. It is nobody's any more, and was trimmed by nobody.
            node.is_gone = true;
            node.used = 0;
            let disk = std::mem::take(&mut node.disk);
            for segment in disk {
                let mut others = self.nodes.iter();
                let has = others.any(|it| it.disk.contains(&segment));
                assert!(has, "seed {}: it took the last copy", self.setup.seed);
            }
            self.stop(member);
            return;
        }
        self.at(self.now + minutes(1), Thing::Fault(Fault::Leaves(member)));
    }
}
