//! What people and programs may do, once for both: the page and the API are two ways to say it.

use basalt_spec::Recipe;
use schemars::JsonSchema;
use serde::Serialize;

use super::{
    Site, check,
    event::Event,
    secret,
    state::{Artifact, Build, NewBuild, Submitted, Who, io_error},
    web::{Refusal, is_for_machines},
    work::{self, Preview, Resolved},
};

/// A recipe that nothing refuses.
pub(super) struct Accepted {
    pub(super) recipe: Recipe,
    /// The digest of what it means.
    pub(super) id: String,
}

/// What boots machines from a build.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(super) struct BootLink {
    /// The address of the script for iPXE: DHCP's boot file. It is told once.
    pub(super) script: String,
}

type Done<T = ()> = Result<T, Refusal>;

/// Reads a recipe, or says all that is wrong with it.
pub(super) fn accept(site: &Site, text: &str) -> Done<Accepted> {
    if text.len() > check::LARGEST_RECIPE {
        return Err(too_long());
    }
    match check::parse(text, &site.reach) {
        Ok(recipe) => {
            let id = check::id_of(&recipe).hex();
            Ok(Accepted { recipe, id })
        }
        Err(error) => {
            let findings = check::refusals(text, &error);
            Err(Refusal::Recipe(Box::new(check::Checked { id: None, findings })))
        }
    }
}

/// A recipe that is longer than recipes are.
pub(super) fn too_long() -> Refusal {
    Refusal::Bad(format!("a recipe has at most {} bytes", check::LARGEST_RECIPE))
}

/// Keeps a recipe of the project under the digest of what it means.
pub(super) fn save(site: &Site, who: &Who, text: &str) -> Done<Accepted> {
    let accepted = accept(site, text)?;
    let name = accepted.recipe.name.to_string();
    site.state.save_recipe(who.account.project, (&accepted.id, &name), text)?;
    Ok(accepted)
}

/// What a recipe would make now.
pub(super) fn preview(site: &Site, who: &Who, text: &str) -> Done<(Accepted, Preview)> {
    let accepted = accept(site, text)?;
    let lock = match site.resolver.resolve(&accepted.recipe, text)? {
        Resolved::Lock(lock) => lock,
        Resolved::Refused(failure) => return Err(Refusal::Unresolved(Box::new(failure))),
    };
    let last = site.state.last_good(who.account.project, accepted.recipe.name.to_string().as_str())?;
    let preview = Preview::new(&site.state, &lock, last.as_ref())?;
    Ok((accepted, preview))
}

/// Takes a build in, or finds the one that answers the same request. Gives it, and whether it is new.
pub(super) fn submit(site: &Site, who: &Who, text: &str) -> Done<(Build, bool)> {
    let Accepted { recipe, id: digest } = save(site, who, text)?;
    let id = secret::short_name().map_err(|error| Refusal::Broken(error.to_string()))?;
    let lock = site.resolver.known(&recipe)?;
    let lock_digest = lock.as_ref().map(|lock| lock.content_digest().hex());
    let (name, version) = (recipe.name.to_string(), recipe.version.to_string());
    let new = NewBuild {
        id: &id,
        project: who.account.project,
        account: &who.account.name,
        recipe: &digest,
        name: &name,
        version: &version,
        lock: lock_digest.as_deref(),
    };
    let folder = site.state.build_folder(&id);
    let prepare = || {
        let fail = |error: basalt_exec::files::FileError| io_error(&folder, std::io::Error::other(error));
        std::fs::create_dir(&folder).map_err(|source| io_error(&folder, source))?;
        let write = |name: &str, text: &str| {
            let access = basalt_exec::files::Access::Secret;
            basalt_exec::files::write_atomic(&folder.join(name), text.as_bytes(), access).map_err(fail)
        };
        write("recipe.yaml", text)?;
        if let Some(lock) = &lock {
            write("recipe.lock", &lock.to_json())?;
        }
        work::tell(&folder, &Event::Queued { because: None });
        Ok(())
    };
    let limits = (site.options.queue, site.options.queue_of_one);
    let (id, is_new) = match site.state.submit(new, limits, prepare)? {
        Submitted::New(id) => (id, true),
        Submitted::Joined(id) => (id, false),
        Submitted::Full { own: true } => {
            return Err(Refusal::TooMany { seconds: 30, why: "too many of your builds wait already" });
        }
        Submitted::Full { own: false } => {
            return Err(Refusal::TooMany { seconds: 60, why: "too many builds wait already" });
        }
    };
    if is_new {
        site.workers.wake();
        site.state.audit(&who.account, "asked for a build", &id)?;
    }
    Ok((build(site, who, &id)?, is_new))
}

/// A build of the project.
pub(super) fn build(site: &Site, who: &Who, id: &str) -> Done<Build> {
    site.state.build(who.account.project, id)?.ok_or(Refusal::NotFound)
}

/// Builds a build's recipe again, with the packages of now.
pub(super) fn rebuild(site: &Site, who: &Who, id: &str) -> Done<(Build, bool)> {
    let build = build(site, who, id)?;
    let text = recipe_text(site, &build)?;
    let accepted = accept(site, &text)?;
    site.resolver.forget(&accepted.recipe)?;
    submit(site, who, &text)
}

/// The recipe that a build was made from.
pub(super) fn recipe_text(site: &Site, build: &Build) -> Done<String> {
    let path = site.state.build_folder(&build.id).join("recipe.yaml");
    std::fs::read_to_string(&path).map_err(|source| io_error(&path, source).into())
}

/// Asks for a build to stop.
pub(super) fn cancel(site: &Site, who: &Who, id: &str) -> Done<Build> {
    let found = build(site, who, id)?;
    let by = &who.account.name;
    let Some(state) = site.state.stop(who.account.project, id, by)? else {
        return Err(Refusal::Conflict(format!("the build has {} already", found.state.word())));
    };
    if state.has_ended() {
        work::tell(&site.state.build_folder(id), &Event::Cancelled { by: by.clone() });
    }
    site.state.audit(&who.account, "cancelled a build", id)?;
    build(site, who, id)
}

/// Keeps a build from retention, or lets it go.
pub(super) fn pin(site: &Site, who: &Who, (id, pinned): (&str, bool)) -> Done<Build> {
    if !site.state.pin(who.account.project, id, pinned)? {
        return Err(Refusal::NotFound);
    }
    site.state.audit(&who.account, if pinned { "pinned a build" } else { "unpinned a build" }, id)?;
    build(site, who, id)
}

/// The script for iPXE among a build's files.
pub(super) fn boot_script(artifacts: &[Artifact]) -> Option<&Artifact> {
    artifacts.iter().find(|file| is_for_machines(file) && file.name.ends_with(".ipxe"))
}

/// Makes the link from which machines boot a build; the one before ends. `origin` is the factory's address.
pub(super) fn open_boot(site: &Site, who: &Who, (id, origin): (&str, &str)) -> Done<BootLink> {
    let found = build(site, who, id)?;
    let artifacts = site.state.artifacts(&found.id)?;
    let none =
        || Refusal::Conflict("the build has made no `netboot`: name it in the recipe's outputs".to_owned());
    let script = boot_script(&artifacts).ok_or_else(none)?;
    let secret = site.state.open_boot(&found.id)?;
    site.state.audit(&who.account, "made a boot link", id)?;
    Ok(BootLink { script: format!("{origin}/boot/{}/{}", secret.reveal(), script.name) })
}

/// Ends the link of a build.
pub(super) fn end_boot(site: &Site, who: &Who, id: &str) -> Done {
    let found = build(site, who, id)?;
    if site.state.end_boot(&found.id)? {
        site.state.audit(&who.account, "ended a boot link", id)?;
    }
    Ok(())
}

/// Removes a build and all that it made.
pub(super) fn remove(site: &Site, who: &Who, id: &str) -> Done {
    let found = build(site, who, id)?;
    if found.pinned {
        return Err(Refusal::Conflict("the build is pinned: take the pin out first".to_owned()));
    }
    if !site.state.forget(who.account.project, id)? {
        return Err(Refusal::Conflict("the build has not ended: cancel it first".to_owned()));
    }
    work::remove_folder(&site.state.build_folder(id))?;
    site.state.audit(&who.account, "removed a build", id)?;
    Ok(())
}
