//! [`Settings`]: how long everything takes.

use std::time::Duration;

/// Members up to which everybody is connected to everybody.
pub(crate) const FULL: usize = 64;

/// Members that one is connected to in larger swarms, by its own choice and by chance; on average as
/// many have chosen it, so that a probe of it comes each second.
pub(crate) const CHOSEN: usize = 24;

/// Members that come next by their ids, and are chosen besides: so each is surely chosen by two.
pub(crate) const SUCCESSORS: usize = 2;

/// Records that are kept at most, those of the gone included: 64 MiB at the very most, 6 MiB in
/// practice. In an open swarm anyone can be many.
pub(crate) const MAX_MEMBERS: usize = 16_384;

/// Accusers beyond whom no further one shortens a suspicion, or is needed (Lifeguard's K).
pub(crate) const ENOUGH_ACCUSERS: usize = 4;

/// Waits of the membership, each divided by the time scale already. Only one's own clock is read.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Between two probes, and between two looks at the lists of neighbours.
    pub(crate) probe: Duration,
    /// A probe unanswered for so long is made through others; times up to 3 by the round trip and
    /// one's own health.
    pub(crate) answer: Duration,
    /// Through others: they may have to dial.
    pub(crate) indirect: Duration,
    /// A suspicion with enough accusers becomes certainty after this long: several times what a
    /// refutation takes through gossip.
    pub(crate) suspicion_min: Duration,
    /// With one accuser it would after this long, if one were enough.
    pub(crate) suspicion_max: Duration,
    /// Whoever hears of a suspicion looks for himself within this, at a moment by chance.
    pub(crate) verify: Duration,
    /// Between two pulls.
    pub(crate) pull: Duration,
    /// Between the first pulls of a newcomer, which wants to hear several.
    pub(crate) first_pull: Duration,
    /// Between two announcements of one record in a small swarm.
    pub(crate) repeat: Duration,
    /// And for each member, so that one of all comes in this time however many they are.
    pub(crate) repeat_each: Duration,
    /// Between two announcements of a change, however many there are.
    pub(crate) change: Duration,
    /// Between dials of those who are gone: after a partition somebody has to begin.
    pub(crate) revive: Duration,
    /// After the first dial of a neighbour that failed; doubled up to sixteen times as much.
    pub(crate) redial: Duration,
    /// After which one who is gone is forgotten.
    pub(crate) forget: Duration,
    /// What the planner's brake calls lately.
    pub(crate) lately: Duration,
    /// After which one who is gone is no longer one of the usual members.
    pub(crate) usual: Duration,
}

impl Settings {
    /// With what counts as lately, and as usual, divided by `scale` as the waits of replication are, which go by
    /// it. What networks take is not: probes and suspicions stay as they are.
    #[must_use]
    pub(crate) fn remembering(mut self, scale: f64) -> Self {
        let scale = if scale.is_finite() {
            scale.max(1.0)
        } else {
            1.0
        };
        self.lately = self.lately.div_f64(scale);
        self.usual = self.usual.div_f64(scale);
        self
    }

    /// With every wait divided by `scale`, for tests: 1 otherwise. Not below a hundredth, nor above a
    /// thousand.
    #[must_use]
    pub fn scaled(scale: f64) -> Self {
        let scale = if scale.is_finite() {
            scale.clamp(0.01, 1000.0)
        } else {
            1.0
        };
        let wait = |seconds: f64| Duration::from_secs_f64(seconds / scale);
        Self {
            probe: wait(1.0),
            answer: wait(1.0),
            indirect: wait(2.5),
            suspicion_min: wait(6.0),
            suspicion_max: wait(14.0),
            verify: wait(2.0),
            pull: wait(30.0),
            first_pull: wait(2.0),
            repeat: wait(300.0),
            repeat_each: wait(4.0),
            change: wait(5.0),
            revive: wait(30.0),
            redial: wait(10.0),
            forget: wait(7.0 * 24.0 * 3600.0),
            lately: wait(600.0),
            usual: wait(24.0 * 3600.0),
        }
    }

    /// How often [`Core::on_tick`](super::Core::on_tick) has to be called.
    pub(crate) fn tick(&self) -> Duration {
        self.probe / 4
    }

    /// Between two announcements of the same record among `members`.
    pub(crate) fn repeat(&self, members: usize) -> Duration {
        let each = self.repeat_each * u32::try_from(members).unwrap_or(u32::MAX);
        self.repeat.max(each)
    }

    /// Between two announcements for a change that nobody waits for (free space, load).
    pub(crate) fn soft(&self, members: usize) -> Duration {
        self.repeat(members) / 10
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self::scaled(1.0)
    }
}
