//! [`Sink`]: where bytes that are nothing for people go: to a new file, or down a pipe.

use std::io::{IsTerminal, stdout};
use std::path::Path;

use store::extract::NewFile;

use crate::exit::Error;
use crate::output::Output;

/// The file of `-o`, which appears when it is complete, or standard output.
pub(super) struct Sink(Option<NewFile>);

impl Sink {
    /// Refuses to write `what` to a terminal, before anything is begun.
    pub(super) fn check(output: Option<&Path>, what: &str) -> Result<(), Error> {
        if output.is_none() && stdout().is_terminal() {
            return Err(Error::Usage {
                message: format!("{what} is not for the terminal"),
                hint: Some("`-o FILE` writes it to a file, `| COMMAND` passes it on".into()),
            });
        }
        Ok(())
    }

    /// To be called before anything is fetched: a target that cannot be written is said at once. With
    /// `force`, a file that is there is replaced.
    pub(super) fn open(output: Option<&Path>, force: bool) -> Result<Self, Error> {
        let create = |path| NewFile::create(path, force);
        Ok(Self(output.map(create).transpose()?))
    }

    pub(super) fn write(&mut self, bytes: &[u8], output: &mut Output) -> Result<(), Error> {
        match &mut self.0 {
            Some(file) => Ok(file.write(bytes)?),
            None => output.bytes(bytes),
        }
    }

    /// All has come.
    pub(super) fn finish(self, output: &mut Output) -> Result<(), Error> {
        if let Some(file) = self.0 {
            file.finish()?;
        }
        output.flush()
    }
}
