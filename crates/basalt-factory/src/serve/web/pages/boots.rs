//! A part of a build's page: booting machines from it over the network.

use maud::{Markup, html};

use super::frame::{form, time};
use crate::serve::{
    Site,
    service::{self, BootLink},
    state::{Artifact, Build, Who},
    web::call::Refusal,
};

/// The link, which is shown only when it was just made, and the machines that came by it; nothing for a build without `netboot`.
pub(super) fn panel(
    site: &Site,
    who: &Who,
    (build, artifacts): (&Build, &[Artifact]),
    link: Option<&BootLink>,
) -> Result<Markup, Refusal> {
    if service::boot_script(artifacts).is_none() {
        return Ok(html! {});
    }
    let (has_link, machines) = (site.state.has_boot(&build.id)?, site.state.machines(&build.id)?);
    let act = |what: &str, class: &str, label: &str| {
        let button = html! { button id=(what) class=(class) { (label) } };
        form(who, &format!("/builds/{}/{what}", build.id), &button)
    };
    Ok(html! {
        section .panel {
            h2 { "Boot over the network" }
            @if let Some(link) = link {
                p role="status" { "Name this to DHCP as the boot file, or to iPXE: " code { "chain" } ". It is shown only now." }
                pre #boot-address tabindex="0" { (link.script) }
            } @else if has_link {
                p { "A link is open. A new one takes its place." }
            } @else {
                p { "By a link, machines with iPXE run this release from memory. Whoever knows it can have the kernel and the root." }
            }
            div .row { (act("boot-link", "quiet", "Make a link")) @if has_link { (act("end-boot-link", "danger", "End the link")) } }
            @if !machines.is_empty() {
                div .scroll role="region" tabindex="0" aria-label="Machines" {
                    table {
                        thead { tr { th { "Machine" } th { "Took last" } th { "When" } } }
                        tbody {
                            @for machine in &machines {
                                tr { td { code { (machine.address) } } td { (machine.file) } td { (time(machine.at)) } }
                            }
                        }
                    }
                }
            }
        }
    })
}
