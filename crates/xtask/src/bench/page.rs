//! The page of the book. Pure.

use super::{
    Measured, bars,
    boot::Boot,
    contenders::{self, Bench, Job},
    erofs::Packing,
    facts::Machine,
    measure::{Sample, median},
};

/// What the page says beside the numbers.
#[derive(Debug)]
pub(super) struct About<'a> {
    pub(super) machine: &'a Machine,
    pub(super) bench: &'a Bench,
    pub(super) jobs: &'a [Job],
    pub(super) runs: usize,
    pub(super) peer_runs: usize,
}

/// Bars, rows and boots: what a terminal shows.
pub(super) fn tables(measured: &Measured) -> String {
    let mut text = "| bar | measured | |\n|---|---|---|\n".to_owned();
    for bars::Bar { promise, measured, met } in bars::judge(measured) {
        text.push_str(&format!("| {promise} | {measured} | {} |\n", if met { "met" } else { "**not met**" }));
    }
    text.push_str("\n| job | median s | fastest s | slowest s | peak MiB |\n|---|--:|--:|--:|--:|\n");
    for (row, samples) in &measured.builds {
        let seconds: Vec<f64> = samples.iter().map(|sample| sample.wall.as_secs_f64()).collect();
        let memory = median(samples).map_or(0, |Sample { memory, .. }| memory >> 20);
        text.push_str(&format!("| {} | {} | {memory} |\n", row.name(), spread(&seconds)));
    }
    if let Some(boots) = &measured.boots {
        text.push_str("\n| initramfs | bytes | median s | fastest s | slowest s |\n|---|--:|--:|--:|--:|\n");
        for (name, Boot { size, seconds }) in
            [("basalt-init", &boots.ours), ("initramfs-tools", &boots.debian)]
        {
            text.push_str(&format!("| {name} | {size} | {} |\n", spread(seconds)));
        }
    }
    if !measured.packing.is_empty() {
        text.push_str(
            "\n| EROFS of one tree, 64 KiB clusters | bytes | s | s again, 1 % of files changed | mkfs.erofs: bytes | s |\n\
             |---|--:|--:|--:|--:|--:|\n",
        );
        for Packing { method, ours, theirs, again, copy: _ } in &measured.packing {
            let [mine, peer, again] =
                [&ours.seconds, &theirs.seconds, again].map(|all| bars::middle(all).unwrap_or_default());
            text.push_str(&format!(
                "| {method} | {} | {mine:.2} | {again:.2} | {} | {peer:.2} |\n",
                ours.size, theirs.size
            ));
        }
    }
    text
}

fn spread(seconds: &[f64]) -> String {
    let least = seconds.iter().copied().fold(f64::INFINITY, f64::min);
    let most = seconds.iter().copied().fold(0.0, f64::max);
    format!("{:.2} | {least:.2} | {most:.2}", bars::middle(seconds).unwrap_or_default())
}

/// The whole page.
pub(super) fn page(about: &About<'_>, measured: &Measured) -> String {
    let About { machine, bench, jobs, runs, peer_runs } = about;
    let Machine { date, commit, processors, memory, kernel, load, kvm, peers } = machine;
    let packages = bench.packages.len();
    let tables = tables(measured);
    let beside = measured.beside.join(" ");
    let commands: String = jobs
        .iter()
        .map(|job| format!("# {}\n{}\n", job.row.name(), contenders::shown(bench, &job.command)))
        .collect();
    format!(
        "# Benchmarks\n\n\
         Written by `cargo xtask bench --runs {runs}`: {date}, commit {commit}.\n\n\
         {tables}\n\
         ## How\n\n\
         - The machine: {processors}, {memory} MiB of memory, Linux {kernel}, load {load} before the first run. Guests: \
         {kvm}.\n\
         - Peers, from Debian trixie: {peers}.\n\
         - {packages} packages of the example's lock, the same versions for everybody (checked after the runs), from one \
         mirror on this machine that has them all. {beside}\n\
         - Caches (our downloads, mkosi's packages and base image, the mirror) are filled by runs that are not measured. \
         Then {runs} measured runs of each of our jobs and {peer_runs} of each peer's, in turns; medians count.\n\
         - Peak memory is the largest sum of the proportional set sizes of all processes of the job and of what they put \
         into tmpfs, looked at ten times a second.\n\
         - mkosi makes an ext4 root and its own initrd; ours is EROFS with dm-verity and our initramfs. mmdebstrap makes \
         no disk, no kernel image and no initramfs.\n\
         - The boots: one kernel, the same packages, the same QEMU without firmware, every kernel message on the serial \
         console; the time is the kernel's stamp on systemd's first words. initramfs-tools mounts an ext4 root without \
         verity.\n\
         - EROFS: the tree of the initramfs-tools disk; ours runs `benches/erofs_pack.rs` and counts packing and \
         metadata, mkfs.erofs is counted as a whole. The changed tree has one more byte in every hundredth file, and the \
         first image is the donor.\n\n\
         ```sh\n{commands}```\n"
    )
}
