//! `store completions` and `store man`: for packagers.

use clap::CommandFactory;

use crate::args::{Args, Completions, Man};
use crate::context::Context;
use crate::exit::Error;

pub(crate) fn completions(args: &Completions, context: &mut Context) -> Result<(), Error> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Args::command(), "store", &mut script);
    context.output.bytes(&script)?;
    context.output.flush()
}

pub(crate) fn pages(args: &Man) -> Result<(), Error> {
    let dir = &args.dir;
    clap_mangen::generate_to(Args::command(), dir)
        .map_err(Error::io(format!("write man pages to `{}`", dir.display())))
}
