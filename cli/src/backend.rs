//! [`Conversation`]: a command and whoever does its work: the process that holds the repo, or, where
//! nobody does, this one.

use std::fs::File;
use std::os::fd::AsFd;
use std::time::Duration;

use store::unixfs::Piece;
use store_node::api::client::{Client, ClientError, Closer, Events, Sender};
use store_node::api::message::{
    CopiesMade, Event, Found, Item, LandFile, LandStep, Many, Phase, Request,
};
use store_node::node::{self, Host, Reached};

use crate::args::Network;
use crate::context::Context;
use crate::exit::Error;
use crate::interrupt;
use crate::progress::{Display, Told};

/// How often a command is begun anew that met a node which was about to end.
const TRIES: u32 = 3;
/// Other commands on this repo may have come to us for their work while we did ours: they get this long
/// to end before we do. Ctrl-C ends the wait.
const GUESTS_WITHIN: Duration = Duration::from_secs(24 * 3600);

/// A command's conversation, its progress on the terminal, and the end of both.
pub(crate) struct Conversation {
    sender: Option<Sender>,
    events: Events,
    closer: Closer,
    /// An event that was read already.
    first: Option<Event>,
    display: Display,
    /// Whether how far it is, is an answer.
    tells: bool,
    /// What was last heard of copies that are waited for.
    copies: Option<CopiesMade>,
    host: Option<Host>,
}

/// What a command is answered with.
pub(crate) enum Answer {
    /// The content has been found.
    Found(Found),
    /// A piece of it.
    Piece(Piece),
    /// Files that are to be sent.
    Wanted(Vec<u32>),
    /// A file to write into is wanted.
    Land(LandFile),
    /// It is complete.
    Landed,
    /// Of one of many contents.
    Many(Many),
    /// One result.
    Item(Item),
    /// How far it is, or what it waits for, for programs: see [`Conversation::tell`].
    Told(Told),
}

impl Conversation {
    /// Begins with `request`. From here on Ctrl-C ends the command in order.
    pub(crate) fn open(
        context: &Context,
        flags: Option<&Network>,
        request: &Request,
        doing: &'static str,
    ) -> Result<Self, Error> {
        // Before anything is begun that would have to be ended in order.
        interrupt::on_signal(|_| ())?;
        let config = context.brief_config(flags);
        let mut tries = TRIES;
        loop {
            let (mut client, host) = match node::reach(&context.repo, &config)? {
                Reached::Guest(client) => (client, None),
                Reached::Host(host) => (host.client()?, Some(host)),
            };
            let closer = client.closer().map_err(Error::io("use the socket"))?;
            let ours = closer.try_clone().map_err(Error::io("use the socket"))?;
            interrupt::on_signal(move |_| ours.close())?;
            if interrupt::came().is_some() {
                closer.close();
            }
            client.send(request)?;
            let guest = host.is_none();
            let first = match first_event(&mut client, request) {
                Err(ClientError::Lost) if guest && tries > 1 && interrupt::came().is_none() => {
                    tries -= 1;
                    continue;
                }
                Err(_) if interrupt::came().is_some() => return Err(Error::Interrupted),
                other => other?,
            };
            let (sender, events) = client.split();
            let display = Display::new(doing);
            return Ok(Self {
                sender: Some(sender),
                events,
                closer,
                first,
                display,
                tells: false,
                copies: None,
                host,
            });
        }
    }

    /// The sending half, for the steps of an add.
    pub(crate) fn take_sender(&mut self) -> Sender {
        self.sender.take().expect("taken once")
    }

    /// Tells what became of the file that was asked for.
    pub(crate) fn land(&mut self, step: &LandStep, file: Option<&File>) -> Result<(), Error> {
        let sender = self.sender.as_mut().expect("only an add takes it");
        match sender.land(step, file.map(AsFd::as_fd)) {
            // The events tell why.
            Ok(()) | Err(ClientError::Ended) => Ok(()),
            Err(error) => Err(interrupted_or(error)),
        }
    }

    /// From now on how far it is comes as an answer, for programs.
    pub(crate) const fn tell(&mut self) {
        self.tells = true;
    }

    /// The progress.
    pub(crate) const fn display(&mut self) -> &mut Display {
        &mut self.display
    }

    /// Waits for the next answer, and shows how far it is meanwhile; `None` when all is done.
    pub(crate) fn next(&mut self) -> Result<Option<Answer>, Error> {
        loop {
            let event = match self.first.take() {
                Some(event) => Some(event),
                None => self.receive()?,
            };
            let Some(event) = event else { return Ok(None) };
            match event {
                Event::Progress(_) | Event::Waiting { .. } => {
                    self.hear_of_copies(&event);
                    self.display.show(&event);
                    if let Some(told) = Told::of(&event).filter(|_| self.tells) {
                        return Ok(Some(Answer::Told(told)));
                    }
                }
                Event::Found(found) => return Ok(Some(Answer::Found(found))),
                Event::Wanted { files } => return Ok(Some(Answer::Wanted(files))),
                Event::Piece(piece) => return Ok(Some(Answer::Piece(piece))),
                Event::Land(wanted) => return Ok(Some(Answer::Land(wanted))),
                Event::Many(many) => return Ok(Some(Answer::Many(many))),
                Event::Landed => return Ok(Some(Answer::Landed)),
                Event::Item(item) => {
                    self.display.clear();
                    return Ok(Some(Answer::Item(item)));
                }
                Event::Done => {
                    self.display.clear();
                    return Ok(None);
                }
                Event::Failed(failure) => {
                    self.display.clear();
                    return Err(interrupted_or(failure));
                }
            }
        }
    }

    /// What was last heard of the copies that are waited for; `None` where nothing was waited for yet.
    pub(crate) const fn copies(&self) -> Option<CopiesMade> {
        self.copies
    }

    fn hear_of_copies(&mut self, event: &Event) {
        match event {
            Event::Progress(progress) => self.copies = progress.copies.or(self.copies),
            Event::Waiting {
                phase: Phase::Copying,
                ..
            } => self.copies = self.copies.or_else(|| Some(CopiesMade::default())),
            _ => {}
        }
    }

    /// Ends the conversation: whoever does the work stops.
    pub(crate) fn hang_up(&self) {
        self.closer.close();
    }

    fn receive(&mut self) -> Result<Option<Event>, Error> {
        self.events.next().map_err(interrupted_or)
    }
}

/// What breaks after Ctrl-C broke because of it.
fn interrupted_or(error: impl Into<Error>) -> Error {
    if interrupt::came().is_some() {
        Error::Interrupted
    } else {
        error.into()
    }
}

/// The first event, so that a command can be begun anew when there is none. An add has to say first
/// what it adds.
fn first_event(client: &mut Client, request: &Request) -> Result<Option<Event>, ClientError> {
    if request.has_steps() {
        return Ok(None);
    }
    client.next()
}

impl Drop for Conversation {
    fn drop(&mut self) {
        self.display.clear();
        self.hang_up();
        let Some(host) = self.host.take() else { return };
        let grace = if interrupt::came().is_some() {
            Duration::ZERO
        } else {
            GUESTS_WITHIN
        };
        interrupt::end_at_once();
        if let Err(error) = host.shutdown(grace) {
            // All that was promised is on disk already; what failed before has been said.
            tracing::info!(%error, "the repo was not closed in order");
        }
    }
}
