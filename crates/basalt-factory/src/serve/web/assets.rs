//! What pages are made of beside their HTML: one style, one script, one picture, each with its digest in its address.

use axum::http::header;
use basalt_types::Digest;

use super::call::{Call, Outcome, Refusal, Reply};
use crate::serve::Site;

/// A file of the program.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asset {
    name: &'static str,
    kind: &'static str,
    text: &'static str,
}

pub(super) const STYLE: Asset =
    Asset { name: "style.css", kind: "text/css; charset=utf-8", text: include_str!("../assets/style.css") };
pub(super) const SCRIPT: Asset = Asset {
    name: "page.js",
    kind: "text/javascript; charset=utf-8",
    text: include_str!("../assets/page.js"),
};
pub(super) const ICON: Asset =
    Asset { name: "icon.svg", kind: "image/svg+xml", text: include_str!("../assets/icon.svg") };
/// The picture as a part of a page, where it takes the text's colour.
pub(super) const MARK: &str = include_str!("../assets/mark.svg");

impl Asset {
    /// Its address, which changes with its content: browsers may keep it for ever.
    pub(super) fn address(self) -> String {
        format!("/assets/{}?{}", self.name, &self.digest()[..12])
    }

    fn digest(self) -> String {
        Digest::of(self.text.as_bytes()).hex()
    }
}

/// Gives one of them.
pub(super) fn get(_site: &Site, call: &Call) -> Outcome {
    let found = [STYLE, SCRIPT, ICON].into_iter().find(|asset| asset.name == call.place("name"));
    let asset = found.ok_or(Refusal::NotFound)?;
    Ok(Reply::of(asset.kind, asset.text).with(header::CACHE_CONTROL, "public, max-age=31536000, immutable"))
}
