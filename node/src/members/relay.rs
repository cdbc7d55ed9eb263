//! Probes for others, who do not reach somebody (SWIM's ping-req).

use std::time::Instant;

use store::wire::member::MemberId;

use super::ask::{Action, Answer, Ticket};
use super::core::{Core, Purpose};

/// Such probes at most; beyond, the answer is no. Each asker has two of them under way for each member
/// that it lost.
const MAX_RELAYS: usize = 64;

/// Dials for others at once: a handshake costs more than all else.
const MAX_DIALS: usize = 4;

/// The probes for others.
#[derive(Debug, Default)]
pub(crate) struct Relays(Vec<Relay>);

#[derive(Debug)]
struct Relay {
    ticket: Ticket,
    subject: MemberId,
    dialing: bool,
    deadline: Instant,
}

impl Core {
    /// Looks for somebody on behalf of another.
    pub(super) fn relay(&mut self, ticket: Ticket, subject: MemberId, now: Instant) {
        let linked = self.marks.is_linked(&subject);
        let dials = self.relays.0.iter().filter(|relay| relay.dialing).count();
        let can = linked || (dials < MAX_DIALS && self.roster.get(&subject).is_some());
        if subject == self.id() || !can || self.relays.0.len() >= MAX_RELAYS {
            let answer = Answer::Reached(subject == self.id());
            return self.act(Action::Answer { ticket, answer });
        }
        // Before the asker stops waiting.
        let deadline = now + self.settings.indirect.mul_f64(0.7);
        self.relays.0.push(Relay {
            ticket,
            subject,
            dialing: !linked,
            deadline,
        });
        if linked {
            self.relay_ask(ticket, subject, now);
        } else {
            self.act(Action::Dial(subject));
        }
    }

    fn relay_ask(&mut self, ticket: Ticket, subject: MemberId, now: Instant) {
        let ask = self.probe_of(&subject);
        self.ask(subject, Purpose::Relay(ticket), ask, now);
    }

    pub(super) fn relay_connected(&mut self, id: MemberId, now: Instant) {
        let waiting = self.relays.0.iter_mut();
        let waiting = waiting.filter(|relay| relay.subject == id && relay.dialing);
        let tickets: Vec<_> = waiting
            .map(|relay| {
                relay.dialing = false;
                relay.ticket
            })
            .collect();
        for ticket in tickets {
            self.relay_ask(ticket, id, now);
        }
    }

    pub(super) fn relay_unconnected(&mut self, id: MemberId) {
        self.relays_end(|relay| relay.dialing && relay.subject == id, false);
    }

    pub(super) fn relay_done(&mut self, ticket: Ticket, reached: bool) {
        self.relays_end(|relay| relay.ticket == ticket, reached);
    }

    pub(super) fn relay_tick(&mut self, now: Instant) {
        self.relays_end(|relay| relay.deadline <= now, false);
    }

    fn relays_end(&mut self, which: impl Fn(&Relay) -> bool, reached: bool) {
        let over: Vec<_> = self.relays.0.extract_if(.., |relay| which(relay)).collect();
        for Relay { ticket, .. } in over {
            let answer = Answer::Reached(reached);
            self.act(Action::Answer { ticket, answer });
        }
    }
}
