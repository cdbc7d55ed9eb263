//! `store`: the command that people type. Parses, runs one verb, and ends with its exit code; what the
//! verbs do is done by `store-node`, here or in the process that holds the repo.

mod args;
mod backend;
mod command;
mod context;
mod exit;
mod interrupt;
mod logging;
mod output;
mod progress;

use std::process::ExitCode;

use args::Args;
use clap::Parser;
use context::Context;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => return exit::usage(&error),
    };
    exit::code(run(args))
}

fn run(args: Args) -> Result<(), exit::Error> {
    let mut context = Context::new(&args)?;
    logging::start(&context.config().log, args.command.is_long_running());
    args.command.run(&mut context)
}
