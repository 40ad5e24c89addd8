//! The page of the book. Pure.

use super::{Update, images::Artifact, states::State};
use crate::bench::facts::Machine;

/// The bar of issue 3.
const BAR: f64 = 0.15;

/// The whole page.
pub(super) fn page(machine: &Machine, released: &State, old: &Artifact, updates: &[Update]) -> String {
    let Machine { date, commit, .. } = machine;
    let whole = old.index.stored_size();
    let mut text = format!(
        "# Update sizes\n\n\
         Written by `cargo xtask bench update`: {date}, commit {commit}.\n\n\
         The image is the example `edge` with Debian's {} (by its last point release): {} MB as an \
         update artifact, root and UKI together. Each update is what Debian published for these packages since then. The client \
         has the old image and nothing else.\n\n",
        released.name,
        megabytes(whole)
    );
    for update in updates {
        text.push_str(&section(update, whole));
    }
    text.push_str(HOW);
    text
}

fn section(update: &Update, whole: u64) -> String {
    let Update { name, packages, fetches, changes } = update;
    let share = |bytes: u64| bytes as f64 / whole as f64;
    let mut text =
        format!("## {}\n\n{} packages: {}.\n\n", capital(name), packages.len(), packages.join(", "));
    if let Some(ours) = fetches.first() {
        let verdict = if share(ours.bytes) < BAR { "met" } else { "**not met**" };
        text.push_str(&format!("Under 15 % of the compressed image: {verdict}.\n\n"));
    }
    text.push_str("| fetched | MB | of the image | of it index | requests |\n|---|--:|--:|--:|--:|\n");
    for fetch in fetches {
        let requests = fetch.requests.map_or("—".to_owned(), |requests| requests.to_string());
        text.push_str(&format!(
            "| {} | {} | {} | {} | {requests} |\n",
            fetch.name,
            megabytes(fetch.bytes),
            percent(share(fetch.bytes)),
            megabytes(fetch.index)
        ));
    }
    text.push_str(
        "\n| image of the root by | MB | 64 KiB blocks that change | that are nowhere in the old one | new bytes by our \
         chunks |\n|---|--:|--:|--:|--:|\n",
    );
    for (packer, change) in changes {
        text.push_str(&format!(
            "| {} | {} | {} | {} | {} |\n",
            packer.name(),
            megabytes(change.size),
            percent(change.in_place),
            percent(change.anywhere),
            percent(change.chunked)
        ));
    }
    text + "\n"
}

const HOW: &str = "## How\n\n\
    - \"Fetched\" counts everything that passes the network: manifest, configuration, index and ranges with the gaps \
    that are fetched along; for rsync what it says it sent and received. The whole image is the artifact's packs.\n\
    - Every artifact was put together again from its chunks before it was measured.\n\
    - The others pack the tree that `fsck.erofs` extracts from our root: mkfs.erofs of trixie with our algorithm, level \
    and cluster size, mksquashfs with its own defaults for zstd.\n\
    - The advisory is the largest one by the size of its packages, the kernel's apart.\n\
    - A kernel update replaces every module: each carries the new version, a new build id and a new signature, and is \
    compressed as a whole.\n";

fn megabytes(bytes: u64) -> String {
    format!("{:.1}", bytes as f64 / 1e6)
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

fn capital(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map_or(String::new(), |first| first.to_uppercase().chain(characters).collect())
}
