//! What machines boot from over the network: the script of a build's output `netboot`, and the files that it names beside it.
//!
//! ```text
//! /boot/SECRET/NAME.ipxe     iPXE reads it
//!              NAME.vmlinuz  the kernel
//!              NAME.initrd   the initramfs, with the root behind it
//! ```
//!
//! Firmware can't sign in, so the link lets in whoever knows it: to these files of one build and to nothing else, until somebody
//! ends it. It is short, for BOOTP has 128 bytes for the name of a file (RFC 2131 section 2).

use basalt_spec::Output;

use super::{
    call::{Call, Outcome, Refusal},
    download,
    router::{Reader, Route, Verb},
};
use crate::serve::{Site, state::Artifact};

/// The routes.
pub(super) fn routes() -> Vec<Route> {
    let path = "/boot/{secret}/{name}";
    vec![Route { method: Verb::Get, path, reader: Reader::Program, handler: file }]
}

/// Whether machines boot from this file.
pub(in crate::serve) fn is_for_machines(artifact: &Artifact) -> bool {
    let ending = artifact.name.rsplit_once('.').map(|(_, ending)| ending);
    Output::Netboot.endings().iter().any(|known| ending == Some(known))
}

fn file(site: &Site, call: &Call) -> Outcome {
    let build = site.state.boot(call.place("secret"))?.ok_or(Refusal::NotFound)?;
    let artifacts = site.state.artifacts(&build)?;
    let wanted = |file: &&Artifact| file.name == call.place("name") && is_for_machines(file);
    let artifact = artifacts.iter().find(wanted).ok_or(Refusal::NotFound)?;
    site.state.machine_asked(&build, &call.peer.to_canonical().to_string(), &artifact.name)?;
    download::artifact(site, call, &build, artifact)
}
