//! What befalls members.

use super::super::planner::Event;
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
    /// Its owner pins nothing any more; others want it still.
    Unpins(u32),
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
                node.pinned.clear();
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
            Fault::Unpins(member) => {
                let node = &mut self.nodes[member as usize];
                for segment in std::mem::take(&mut node.pinned) {
                    self.have(member, segment, Vec::new());
                }
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
        } else {
            self.tell(member, Event::Drain { anew: false });
            let drain = self.nodes[member as usize].planner.drain(self.now);
            if drain.is_some_and(|it| it.is_over && it.stuck.0 == 0) {
                self.assert_drained(member);
                self.drained += 1;
                // What it has goes with it: nobody needs that, and nobody has trimmed it.
                let node = &mut self.nodes[member as usize];
                node.is_gone = true;
                node.used = 0;
                node.disk.clear();
                self.stop(member);
                return;
            }
        }
        self.at(self.now + minutes(1), Thing::Fault(Fault::Leaves(member)));
    }
}
