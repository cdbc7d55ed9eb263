//! [`AddedCopies`]: the copies on other members that are wanted of what is added.

use store::Cid;
use store::unixfs::import::Added;

use crate::api::conversation::Speaker;
use crate::api::message::{AddOptions, Failure};
use crate::replication::Wish;
use crate::service::Service;
use crate::service::replication::{Wishes, expires, of_added};

/// Of one add.
pub(super) struct AddedCopies<'a> {
    service: &'a Service,
    options: &'a AddOptions,
    is_private: bool,
    wishes: Wishes<'a>,
    roots: Vec<Cid>,
    failed: Option<Failure>,
}

impl Service {
    /// Refuses at once what could not be done at the end.
    pub(super) fn check_copies(&self, options: &AddOptions) -> Result<(), Failure> {
        let settings = &self.config.replication;
        // Whether anything is wrong with it does not depend on the name.
        of_added(settings, true, "".as_ref(), &options.copies)?;
        if options.measure.is_some() {
            return Ok(());
        }
        self.join_to_wait(&options.copies)
    }
}

impl<'a> AddedCopies<'a> {
    pub(super) fn of(service: &'a Service, options: &'a AddOptions) -> Result<Self, Failure> {
        Ok(Self {
            service,
            options,
            is_private: service.swarm_key()?.is_some(),
            wishes: Wishes::of(service),
            roots: Vec::new(),
            failed: None,
        })
    }

    /// Wants copies of a root that was added and is durable, if any are to be. Where that fails the add goes on,
    /// and fails at its end: what is here is told of in any case.
    pub(super) fn want(&mut self, added: &Added) -> Result<(), Failure> {
        let settings = &self.service.config.replication;
        let asked = &self.options.copies;
        let policy = of_added(settings, self.is_private, added.name.as_path(), asked)?;
        let Some(policy) = policy else { return Ok(()) };
        // What was wanted before is changed only by who says so.
        if !asked.is_anything() && self.wishes.is_wanted(&added.cid)? {
            return Ok(());
        }
        let expires = expires(self.options.pin.expiry);
        match self.wishes.want(added.cid, Wish { policy, expires }) {
            Ok(()) => self.roots.push(added.cid),
            Err(failure) => self.failed = Some(failure),
        }
        Ok(())
    }

    /// Waits for them as far as was asked.
    pub(super) fn end(self, speaker: &Speaker) -> Result<(), Failure> {
        if let Some(failure) = self.failed {
            return Err(failure);
        }
        let copies = &self.options.copies;
        self.service.wait_for_copies(&self.roots, copies, speaker)
    }
}
