use std::path::PathBuf;

use super::{Context, obtain};
use crate::{
    http::{Expected, HttpError},
    obtain::each,
};

/// A .deb that is wanted: its URL, digest and size.
pub type Wish = Expected;

/// How many downloads run at once. Mirrors of Debian are fast per connection; more would only crowd others out.
const THREADS: usize = 8;

/// Fetches every file that the store does not have, the largest first, and returns their paths in the order of
/// `wishes`. The first error ends the run after the downloads that are under way; what came so far stays in the store.
pub fn fetch_packages(context: Context<'_>, wishes: &[Wish]) -> Result<Vec<PathBuf>, HttpError> {
    each(wishes, THREADS, |wish| wish.size, |wish| obtain(context, wish))
}
