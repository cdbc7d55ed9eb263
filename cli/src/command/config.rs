//! `store config`.

use serde::Serialize;
use store_config::{CONFIG_FILE, DEFAULT_FILE};

use crate::args::Config;
use crate::context::Context;
use crate::exit::Error;

/// The config file, for programs.
#[derive(Serialize)]
struct Path {
    path: String,
    exists: bool,
}

pub(crate) fn run(args: &Config, context: &mut Context) -> Result<(), Error> {
    match args {
        Config::Show { default: true } => context.output.line(&DEFAULT_FILE.trim_end()),
        Config::Show { default: false } => {
            let text = context.settings.to_toml();
            let config = context.config().clone();
            context
                .output
                .result(&config, |_| text.trim_end().to_owned())
        }
        Config::Path => {
            let file = context.settings.file.clone();
            let path = file.unwrap_or_else(|| context.repo.join(CONFIG_FILE));
            let path = Path {
                exists: path.exists(),
                path: path.display().to_string(),
            };
            context.output.result(&path, |path| path.path.clone())
        }
    }
}
