//! `basalt serve`: the factory as a web page.

use std::{
    env,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use basalt_types::ByteSize;

use crate::{
    engine::store_care,
    error::{CommandError, CommandResult, Kind},
    serve::{self, Options},
};

/// Serve the factory: a web page and an API that build recipes
///
/// The first start prints a link that makes the first account. Builds share the cache of `basalt build`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Where to listen
    #[arg(long, default_value = "127.0.0.1:8420")]
    listen: SocketAddr,
    /// The folder for accounts, recipes and builds [default: ~/.local/state/basalt]
    #[arg(long)]
    state: Option<PathBuf>,
    /// The address that browsers use, behind a proxy: https://factory.example.org
    #[arg(long, value_name = "URL", value_parser = parse_address)]
    public_url: Option<String>,
    /// How many builds run at a time
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=64))]
    workers: u8,
    /// How many builds may wait
    #[arg(long, default_value_t = 200)]
    queue: u32,
    /// How many builds of one account may wait
    #[arg(long, default_value_t = 50)]
    queue_of_one: u32,
    /// How many minutes a build may take
    #[arg(long, value_name = "MINUTES", default_value_t = 60)]
    build_time: u32,
    /// How much memory a build may take
    #[arg(long, value_name = "SIZE", default_value = "4G", value_parser = store_care::parse_size)]
    build_memory: ByteSize,
    /// How much of the disk builds leave free
    #[arg(long, value_name = "SIZE", default_value = "2G", value_parser = store_care::parse_size)]
    free_disk: ByteSize,
    /// For how many days builds are kept that nobody pinned
    #[arg(long, value_name = "DAYS", default_value_t = 30)]
    keep: u32,
    /// A mirror or registry that recipes may name, as HOST or HOST:PORT; none unless given
    #[arg(long, value_name = "HOST")]
    allow_host: Vec<String>,
}

/// Do one build of a factory, in a process of its own
#[derive(Debug, clap::Args)]
pub struct JobArguments {
    /// The build's folder
    folder: PathBuf,
}

/// Runs the command.
///
/// # Errors
/// When there is no place for the state, or nobody can listen there.
pub fn run(arguments: &Arguments) -> CommandResult {
    let Arguments { listen, state, public_url, workers, queue, queue_of_one, .. } = arguments;
    let Arguments { build_time, build_memory, free_disk, keep, allow_host, .. } = arguments;
    serve::run(Options {
        listen: *listen,
        state: place(state.as_deref())?,
        public: public_url.clone(),
        workers: usize::from(*workers),
        queue: *queue,
        queue_of_one: *queue_of_one,
        build_time: Duration::from_secs(u64::from(*build_time) * 60),
        build_memory: *build_memory,
        free_disk: *free_disk,
        keep_days: *keep,
        allowed_hosts: allow_host.clone(),
    })
}

/// Runs one build's process.
///
/// # Errors
/// What the build fails with.
pub fn run_job(arguments: &JobArguments) -> CommandResult {
    serve::run_job(&arguments.folder)
}

/// The state's folder: what was said, else where the system keeps state of this person (XDG base directories).
fn place(given: Option<&Path>) -> CommandResult<PathBuf> {
    if let Some(given) = given {
        return Ok(given.to_owned());
    }
    let under = |name: &str, below: &str| {
        env::var_os(name).filter(|value| !value.is_empty()).map(|value| PathBuf::from(value).join(below))
    };
    under("XDG_STATE_HOME", "basalt").or_else(|| under("HOME", ".local/state/basalt")).ok_or_else(|| {
        CommandError::new(Kind::Host, "no place for the state: XDG_STATE_HOME and HOME are both unset")
            .hint("name a folder: --state FOLDER")
    })
}

fn parse_address(text: &str) -> Result<String, String> {
    let rest = ["https://", "http://"].iter().find_map(|scheme| text.strip_prefix(scheme));
    match rest.map(|rest| rest.trim_end_matches('/')) {
        Some(host) if !host.is_empty() && !host.contains(['/', '?', '#', ' ']) => Ok(text.to_owned()),
        Some(_) | None => {
            Err("expected an address without a path, such as https://factory.example.org".to_owned())
        }
    }
}
