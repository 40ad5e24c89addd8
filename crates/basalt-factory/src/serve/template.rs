//! Recipes to start from. Each is one that this engine builds: `tests/serve_api.rs` resolves them all.

use schemars::JsonSchema;
use serde::Serialize;

/// A recipe to start from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(super) struct Template {
    /// Its name in addresses.
    pub(super) name: &'static str,
    /// Its name for people.
    pub(super) title: &'static str,
    /// What one gets, in a sentence.
    pub(super) about: &'static str,
    /// The recipe.
    pub(super) recipe: &'static str,
}

/// All of them.
pub(super) const TEMPLATES: [Template; 3] = [
    Template {
        name: "plain",
        title: "Plain machine",
        about: "A small Debian that boots verified, gets its address by DHCP and is reached over SSH.",
        recipe: include_str!("recipes/plain.yaml"),
    },
    Template {
        name: "edge",
        title: "Single-node edge",
        about: "For a shelf far away: keys only, a firewall, exact time, a serial console and updates into the other slot.",
        recipe: include_str!("recipes/edge.yaml"),
    },
    Template {
        name: "kiosk",
        title: "Secure kiosk",
        about: "One browser on the whole screen. No shell, no listener, nothing to type a password into.",
        recipe: include_str!("recipes/kiosk.yaml"),
    },
];

/// The template of this name.
pub(super) fn find(name: &str) -> Option<Template> {
    TEMPLATES.into_iter().find(|template| template.name == name)
}
