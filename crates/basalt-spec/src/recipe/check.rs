//! What no single value can know: contradictions between keys.

use std::collections::BTreeMap;

use super::{OutputSource, Recipe};
use crate::{
    diagnostic::{Problem, ProblemKind},
    words::UnitName,
    yaml::{Node, Step},
};

/// Every contradiction of a recipe, with its place in the document it was read from.
pub(super) fn conflicts(recipe: &Recipe, root: &Node) -> Vec<Problem> {
    let mut found = Conflicts { root, problems: Vec::new() };
    found.twice(
        "packages",
        None,
        recipe.packages.iter().map(|package| match package.name() {
            Some(name) => name.to_string(),
            None => package.to_string(),
        }),
    );
    found.twice("files", Some("path"), recipe.files.iter().map(|file| file.path.to_string()));
    found.twice("releaseKeys", None, recipe.release_keys.iter().map(ToString::to_string));
    found.twice("users", Some("name"), recipe.users.iter().map(|user| user.name.to_string()));
    let numbered = recipe.users.iter().enumerate().filter_map(|(index, user)| Some((index, user.uid?)));
    found.twice_at("users", Some("uid"), numbered.map(|(index, uid)| (index, uid.to_string())));
    found.deselected(recipe);
    found.units(recipe);
    found.bootable(recipe);
    found.layered(recipe);
    found.based_on_image(recipe);
    found.problems.sort_by_key(Problem::offset);
    found.problems
}

struct Conflicts<'a> {
    root: &'a Node,
    problems: Vec<Problem>,
}

impl Conflicts<'_> {
    fn add(&mut self, path: &[Step], message: String, help: &str) {
        let at = self.root.find(path).at;
        self.problems.push(Problem::new(ProblemKind::Conflict, at, message).help(help));
    }

    fn twice(&mut self, list: &str, key: Option<&str>, values: impl Iterator<Item = String>) {
        self.twice_at(list, key, values.enumerate());
    }

    fn twice_at(&mut self, list: &str, key: Option<&str>, values: impl Iterator<Item = (usize, String)>) {
        let path = |index: usize| {
            let item = [Step::Key(list.to_owned()), Step::Index(index)];
            item.into_iter().chain(key.map(|key| Step::Key(key.to_owned()))).collect::<Vec<_>>()
        };
        let mut seen = BTreeMap::new();
        for (index, value) in values {
            match seen.get(&value) {
                Some(first) => {
                    let first = self.root.find(&path(*first)).at;
                    let at = self.root.find(&path(index)).at;
                    let message = format!("`{value}` is in `{list}` twice");
                    let problem = Problem::new(ProblemKind::Conflict, at, message);
                    self.problems.push(problem.and("first written here", first));
                }
                None => drop(seen.insert(value, index)),
            }
        }
    }

    fn deselected(&mut self, recipe: &Recipe) {
        for (index, name) in recipe.deselect.iter().enumerate() {
            if recipe.packages.iter().any(|package| package.name() == Some(name)) {
                let path = [Step::Key("deselect".to_owned()), Step::Index(index)];
                self.add(
                    &path,
                    format!("`{name}` is in `packages` too"),
                    "leave it out of one of the two lists",
                );
            }
        }
    }

    fn units(&mut self, recipe: &Recipe) {
        let lists: [(&str, &[UnitName]); 3] = [
            ("enable", &recipe.units.enable),
            ("disable", &recipe.units.disable),
            ("mask", &recipe.units.mask),
        ];
        let mut seen = BTreeMap::new();
        for (list, units) in lists {
            for (index, unit) in units.iter().enumerate() {
                if let Some(first) = seen.insert(unit, list) {
                    let path = ["units", list].map(|key| Step::Key(key.to_owned()));
                    let path: Vec<Step> = path.into_iter().chain([Step::Index(index)]).collect();
                    let message = format!("`{unit}` is in `units.{first}` and in `units.{list}`");
                    self.add(&path, message, "a unit is enabled, disabled or masked, once");
                }
            }
        }
    }

    fn bootable(&mut self, recipe: &Recipe) {
        let boots = recipe.outputs.iter().find(|output| output.source() == OutputSource::Release);
        if let (None, None, Some(output)) = (recipe.kernel_package(), &recipe.from, boots) {
            let path = ["kernel", "package"].map(|key| Step::Key(key.to_owned()));
            let message = format!("the output `{}` boots, which takes a kernel", output.word());
            self.add(
                &path,
                message,
                "name a kernel package, leave `kernel` out, or ask for `tar`, `cpio` or `container`",
            );
        }
        if recipe.outputs.is_empty() {
            let path = [Step::Key("outputs".to_owned())];
            self.add(&path, "nothing would be made".to_owned(), "leave `outputs` out for a bootable disk");
        }
    }

    fn layered(&mut self, recipe: &Recipe) {
        if recipe.from.is_none() {
            let extends = recipe.outputs.iter().find(|output| output.source() == OutputSource::Difference);
            if let Some(output) = extends {
                let path = [Step::Key("outputs".to_owned())];
                let message =
                    format!("`{}` extends another image, and the recipe starts from none", output.word());
                self.add(&path, message, "name the extended image's recipe: `from: ../edge/recipe.yaml`");
            }
            return;
        }
        for key in ["architecture", "base", "kernel"] {
            if self.root.keys().any(|written| written == key) {
                let path = [Step::Key(key.to_owned())];
                let message = format!("`{key}` is decided by the recipe that this one starts from");
                self.add(&path, message, "leave it out here, or change it there");
            }
        }
    }

    /// An OCI image brings its packages: nothing here knows how to add a Debian archive's to them.
    fn based_on_image(&mut self, recipe: &Recipe) {
        if recipe.base.oci.is_none() {
            return;
        }
        for path in [&["base", "debian"][..], &["packages"], &["deselect"], &["kernel"]] {
            let mut node = Some(self.root);
            for key in path {
                node = node.filter(|node| node.keys().any(|written| written == *key));
                node = node.map(|node| node.find(&[Step::Key((*key).to_owned())]));
            }
            if node.is_some() {
                let message =
                    format!("`{}` has no meaning here: the recipe starts from an OCI image", path.join("."));
                let path: Vec<Step> = path.iter().map(|key| Step::Key((*key).to_owned())).collect();
                self.add(&path, message, "packages and the kernel are the image's: add them there");
            }
        }
    }
}
