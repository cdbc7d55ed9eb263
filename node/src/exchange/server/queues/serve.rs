//! Whose request is read next, and who is sent away to look elsewhere.
//!
//! Where more is asked for than the uplink takes, it carries each leaf once and those who have it pass it on: who asks for
//! a leaf that was given lately is put off while others ask for what was not, and told to come back if that takes long.

use std::time::Duration;

use super::asker::{Asker, QUANTUM, Request, SHORT_QUANTUM};
use super::turns::Next;
use super::{Action, Queues, Ticket, UnderWay};
use crate::exchange::scheduler::Time;

/// Who was put off for so long, while others had turns, is told to come back after that.
const PUT_OFF: Duration = Duration::from_millis(500);
const AGAIN: Duration = Duration::from_secs(1);
/// So many may wait for an answer in one message in any case.
const LEAST_LINE: usize = 16;

impl<P: Copy + Ord> Queues<P> {
    /// Puts an asker into the round, if there is something to be read for it and room for it.
    pub(super) fn enlist(&mut self, asker: P) {
        let Some(one) = self.askers.get(&asker) else {
            return;
        };
        let waits = one
            .waiting()
            .any(|ticket| !self.reading.contains_key(&ticket));
        if waits && one.pipe.has_room(self.bounds.pipe) {
            let goes_on = one.deficit() > 0;
            self.turns.enlist(asker, one.is_new(), goes_on);
        }
    }

    /// The request of an asker that is read next, and whether its next leaf was given lately: the first of
    /// the most urgent of which that is not so.
    fn front(&self, now: Time, one: &Asker) -> Option<(Ticket, bool)> {
        let mut stale = None;
        for ticket in one.waiting() {
            let Some(request) = self.requests.get(&ticket) else {
                continue;
            };
            if self.reading.contains_key(&ticket) {
                continue;
            }
            if !self.is_stale(now, one, request) {
                return Some((ticket, false));
            }
            stale = stale.or(Some(ticket));
        }
        stale.map(|ticket| (ticket, true))
    }

    /// Whether others may have what a request asks for next. Who was sent away for it and asks again has not
    /// found it there.
    fn is_stale(&self, now: Time, one: &Asker, request: &Request<P>) -> bool {
        if request.is_whole() || request.is_urgent() {
            return false;
        }
        let next = request.names(request.next()).next();
        next.is_some_and(|leaf| self.given.lately(now, &leaf) && !one.was_sent_away_for(leaf))
    }

    /// What brings blocks and what brings none have a turn each.
    pub(super) fn begin_reads(&mut self, now: Time, actions: &mut Vec<Action<P>>) {
        while self.reading.len() < self.bounds.reads {
            self.light_is_next = !self.light_is_next;
            let is_first = self.light_is_next;
            let begun = (is_first && self.begin_light(actions))
                || self.begin_turn(now, actions)
                || (!is_first && self.begin_light(actions));
            if !begun {
                return;
            }
        }
    }

    /// Begins the oldest of those whose answers bring no blocks.
    fn begin_light(&mut self, actions: &mut Vec<Action<P>>) -> bool {
        while let Some(ticket) = self.light.pop_front() {
            let Some(request) = self.requests.get(&ticket) else {
                continue;
            };
            if self.reading.contains_key(&ticket) {
                continue;
            }
            let (asker, least) = (request.asker, request.least());
            let under_way = UnderWay {
                asker: Some(asker),
                charge: 0,
                least,
            };
            self.reading.insert(ticket, under_way);
            actions.push(Action::Read {
                asker,
                ticket,
                from: request.next(),
                count: request.unread(),
                max_bytes: 0,
            });
            return true;
        }
        false
    }

    /// Begins the read of whose turn it is.
    fn begin_turn(&mut self, now: Time, actions: &mut Vec<Action<P>>) -> bool {
        while let Some(next) = self.turns.next() {
            let Next { asker, goes_on, .. } = next;
            let Some(one) = self.askers.get(&asker) else {
                continue;
            };
            // It may have changed since it was enlisted.
            if !one.pipe.has_room(self.bounds.pipe) {
                continue;
            }
            let Some((ticket, is_stale)) = self.front(now, one) else {
                continue;
            };
            let others_first = self.turns.others_go_first(&next);
            let Some(one) = self.askers.get_mut(&asker) else {
                continue;
            };
            if is_stale && others_first {
                one.put_off.get_or_insert((now, self.turns_had));
                self.turns.put_off(asker, goes_on);
                continue;
            }
            // What it was given since it was enlisted may have cost more than was expected: then its turn
            // is over, and not to be followed by another of its own.
            let quantum = if self.gate.is_shut() {
                SHORT_QUANTUM
            } else {
                QUANTUM
            };
            if (goes_on && one.deficit() <= 0) || !one.turn(quantum) {
                // Or its debt is more than a turn is worth. The next one's turn.
                self.turns.enlist(asker, false, false);
                continue;
            }
            let Some(request) = self.requests.get_mut(&ticket) else {
                continue;
            };
            let piece = one.piece(request, self.bounds.pipe);
            let others = self.held.saturating_sub(one.pipe.held() + self.stalled);
            let (limit, expected) = (self.bounds.memory, piece.expected);
            let is_full = self.held > 0 && self.held + expected > limit;
            if is_full || !self.gate.lets_in(others, expected, limit) {
                // It keeps its turn until others have taken what they were given.
                self.turns.wait(next);
                self.is_short |= is_full;
                return false;
            }
            self.turns_had += u64::from(!is_stale);
            one.charge(now, expected);
            self.held += expected;
            let under_way = UnderWay {
                asker: Some(asker),
                charge: expected,
                least: request.least(),
            };
            self.reading.insert(ticket, under_way);
            actions.push(Action::Read {
                asker,
                ticket,
                from: request.next(),
                count: piece.count,
                max_bytes: piece.max_bytes,
            });
            self.enlist(asker);
            return true;
        }
        false
    }

    /// Those that were put off for a while ask for what others have by now: they are told to come back, and
    /// will look for it there meanwhile.
    pub(super) fn send_away(&mut self, now: Time, actions: &mut Vec<Action<P>>) {
        for asker in self.turns.recall() {
            if self.askers.get(&asker).is_some_and(|one| {
                let put_off = one.put_off.as_ref();
                put_off.is_some_and(|(since, turns)| {
                    *since + PUT_OFF <= now && self.turns_had > *turns
                })
            }) {
                self.send_one_away(now, asker, actions);
            }
            self.enlist(asker);
        }
    }

    fn send_one_away(&mut self, now: Time, asker: P, actions: &mut Vec<Action<P>>) {
        let Some(one) = self.askers.get(&asker) else {
            return;
        };
        let goes = |ticket: &Ticket| {
            let request = self.requests.get(ticket);
            let is_stale = request.is_some_and(|request| self.is_stale(now, one, request));
            is_stale && !self.reading.contains_key(ticket)
        };
        let mut tickets = one.tickets();
        tickets.retain(goes);
        for ticket in tickets {
            if let (Some(one), Some(request)) =
                (self.askers.get_mut(&asker), self.requests.get(&ticket))
            {
                one.sent_away(request);
            }
            self.turn_away(now, (asker, ticket), AGAIN, actions);
        }
    }

    /// Of many that wait for answers in one message, inner nodes mostly, those stay that have theirs soon;
    /// the others may find it elsewhere meanwhile.
    pub(super) fn shorten_the_line(&mut self, now: Time, actions: &mut Vec<Action<P>>) {
        let Some(rate) = self.meter.rate() else {
            return;
        };
        let reading = &self.reading;
        let waits = |(ticket, request): &(&Ticket, &Request<P>)| {
            request.is_whole() && !reading.contains_key(ticket)
        };
        let waiting = self.requests.iter().filter(waits);
        let mut waiting: Vec<_> = waiting.map(|(ticket, one)| (*ticket, one.asker)).collect();
        let soon = usize::try_from(rate / self.answer.max(1)).unwrap_or(usize::MAX);
        let soon = soon.max(LEAST_LINE);
        if waiting.len() <= soon {
            return;
        }
        // The oldest first.
        waiting.sort_unstable();
        for (ticket, asker) in waiting.split_off(soon) {
            self.turn_away(now, (asker, ticket), AGAIN, actions);
        }
    }
}
