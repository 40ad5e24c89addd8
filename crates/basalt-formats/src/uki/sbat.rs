//! `.sbat`: the generations by which firmware revokes programs (shim's SBAT.md). A CSV whose first line describes the
//! format; a merged image must carry the lines of all its parts, or a revoked kernel would boot inside it.

use super::UkiError;
use crate::pe::Pe;

/// The lines of stub, kernel and `extra` together, or nothing when the stub's own need no change.
pub(super) fn merge(stub: &Pe<'_>, kernel: &Pe<'_>, extra: Option<&str>) -> Result<Option<String>, UkiError> {
    let own = lines_of(stub, "stub")?;
    let kernels = lines_of(kernel, "kernel")?;
    let extra: Vec<String> = extra.unwrap_or_default().lines().map(str::to_owned).collect();
    if kernels.is_empty() && extra.is_empty() {
        return Ok(None);
    }
    let is_header = |line: &String| line.starts_with("sbat,");
    let header = own.iter().chain(&kernels).chain(&extra).find(|line| is_header(line));
    let mut merged = vec![header.ok_or(UkiError::Sbat("image"))?.clone()];
    for line in own.iter().chain(&kernels).chain(&extra).filter(|line| !is_header(line)) {
        if !merged.contains(line) {
            merged.push(line.clone());
        }
    }
    Ok(Some(merged.join("\n") + "\n"))
}

fn lines_of(pe: &Pe<'_>, whose: &'static str) -> Result<Vec<String>, UkiError> {
    let Some(section) = pe.section(".sbat") else { return Ok(Vec::new()) };
    let text = str::from_utf8(pe.content(section)).map_err(|_position| UkiError::Sbat(whose))?;
    let lines: Vec<String> = text.trim_end_matches('\0').lines().map(str::to_owned).collect();
    match lines.first() {
        Some(first) if first.starts_with("sbat,") => Ok(lines),
        Some(_) | None => Err(UkiError::Sbat(whose)),
    }
}
