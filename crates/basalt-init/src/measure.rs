//! Tells the TPM how far the boot has come: a word when the search for the root begins, another when its init starts. Secrets that are
//! bound to the time in between are out of reach of everything that runs later (systemd-pcrphase.service(8), which does the rest).
//!
//! Only where the stub measured the image: without that, the register means nothing. Nothing is refused here. A word that
//! could not be measured leaves the register with another value, and what was bound to the right one stays closed.

use std::{io, path::Path};

use basalt_exec::tpm::Tpm;
use basalt_formats::{
    tpm::{self, PcrIndex, TpmError},
    uki::Phase,
};

use crate::report;

/// The stub leaves the number of the register here (systemd-stub(7), "EFI Variables").
const MEASURED: &str = "/sys/firmware/efi/efivars/StubPcrKernelImage-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f";

#[derive(Debug, thiserror::Error)]
enum MeasureError {
    #[error("the TPM can't be used")]
    Device(#[from] io::Error),
    #[error("the TPM did not measure it")]
    Tpm(#[from] TpmError),
}

/// Whether the stub measured the image. Asked while EFI variables are mounted.
pub(crate) fn is_measured() -> bool {
    Path::new(MEASURED).exists()
}

/// Measures the word of a phase.
pub(crate) fn phase(phase: Phase) {
    if let Err(error) = extend(phase) {
        report::warn(&format!("`{}` is not measured: {}", phase.word(), report::chain(&error)));
    }
}

fn extend(phase: Phase) -> Result<(), MeasureError> {
    let Some(mut tpm) = Tpm::open()? else { return Ok(()) };
    let command = tpm::event(PcrIndex::KERNEL_IMAGE, phase.word().as_bytes())?;
    Ok(tpm::check(&tpm.send(&command)?)?)
}
