//! `upgrade --follow`: the release that this machine's documents want, as far and when they say.

use std::{
    fs, io,
    path::Path,
    process::ExitCode,
    time::{SystemTime, UNIX_EPOCH},
};

use basalt_exec::files::{Access, write_atomic};
use basalt_node::upgrade::{Allowed, Follow, Policy, Standing, follow as decide, plan_upgrade};
use basalt_spec::node::{ImageWish, UpgradeMode};
use basalt_types::{ImageRef, Wanted};

use super::{Pace, network, restart, take, trust};
use crate::{
    error::{AgentError, AgentResult, Kind, OrFail as _},
    observe::{self, OpenFor, release::ReleaseError},
    reconcile::Wish,
    report,
};

/// How it stands, for `status`: in memory, for it is of this boot.
const STANDING: &str = "/run/basalt/image.json";

/// Observe documents, machine and release, decide, execute, report.
pub(super) fn follow() -> AgentResult<ExitCode> {
    let Wish { spec, .. } = Wish::observe()?;
    let Some(image) = spec.image else {
        forget()?;
        report::print(b"no document says which release this machine should run (image)\n")?;
        return Ok(ExitCode::SUCCESS);
    };
    if let Some(track) = &image.track {
        let why = format!("`track: {track}` is not followed yet: give `ref` a tag or a digest");
        return refused(&why);
    }
    let ImageWish { reference, track: _, insecure } = image;
    let node = observe::upgrade::node(OpenFor::Writing)?;
    let (client, access) = network(insecure.unwrap_or(false))?;
    let architecture = node.facts.image.architecture;
    let release = observe::release::release(&client, &access, &reference, architecture, &trust(None)?);
    let mut release = match release {
        Ok(release) => release,
        Err(error @ ReleaseError::Oci(_)) => return stand(&Standing::Unreachable { why: error.to_string() }),
        Err(error) => return refused(&error.to_string()),
    };
    // A tag may have been moved back by anybody who can write to the registry; a digest in the document was meant.
    let pinned =
        matches!(&reference, ImageRef::Registry(image) if matches!(image.wanted(), Wanted::Digest(..)));
    let plan = plan_upgrade(&node.facts, &release.info, Allowed { downgrade: pinned, retry: false });
    let upgrade = &spec.upgrade;
    let policy = Policy { mode: upgrade.mode.unwrap_or(UpgradeMode::Auto), window: upgrade.window.as_ref() };
    let set_aside = node.facts.is_set_aside(&release.info.root.digest);
    let decided = decide(policy, plan.as_ref().map_err(Vec::as_slice), set_aside, now()?);
    let (Ok(plan), true) = (plan, decided.standing().is_good()) else { return stand(decided.standing()) };
    report::print(plan.to_string().as_bytes())?;
    let steps = decided.steps(&plan);
    take(&node, &mut release, (&plan, steps), &reference, Pace::new(upgrade.rate_limit))?;
    remember(decided.standing())?;
    report::print(format!("{}\n", decided.standing()).as_bytes())?;
    if matches!(decided, Follow::Restart(_)) {
        restart()?;
    }
    Ok(ExitCode::SUCCESS)
}

fn refused(why: &str) -> AgentResult<ExitCode> {
    stand(&Standing::Refused { why: why.to_owned() })
}

/// Nothing is done, and nothing has failed: a registry that can't be reached must not make a release on trial a bad one.
fn stand(standing: &Standing) -> AgentResult<ExitCode> {
    remember(standing)?;
    report::print(format!("{standing}\n").as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

fn now() -> AgentResult<i64> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).or_fail(Kind::Host)?;
    i64::try_from(since.as_secs()).or_fail(Kind::Host)
}

fn remember(standing: &Standing) -> AgentResult<()> {
    let bytes = serde_json::to_vec_pretty(standing).or_fail(Kind::Host)?;
    write_atomic(Path::new(STANDING), &bytes, Access::Public).or_fail(Kind::Host)
}

fn forget() -> AgentResult<()> {
    match fs::remove_file(STANDING) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(AgentError::new(Kind::Host, error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// How it stands with the release that the documents want; nothing when nobody has looked in this boot.
pub(crate) fn read_standing() -> AgentResult<Option<Standing>> {
    match fs::read(STANDING) {
        Ok(bytes) => serde_json::from_slice(&bytes).map(Some).or_fail(Kind::Format),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(AgentError::new(Kind::Host, error)),
    }
}
