//! The update artifact: what machines upgrade from (`docs/formats/update-artifact.md`).

use std::{collections::BTreeMap, io, sync::atomic::Ordering};

use basalt_debian::release::format_rfc3339;
use basalt_fetch::oci::{Manifest, media};
use basalt_formats::{
    ReadAt,
    chunks::{self, Part},
    verity::Superblock,
};
use basalt_image::update::{self, Blob, UpdateInfo, Verity};
use basalt_types::{ByteSize, Digest};

use super::{Context, OutputsError, archive::OciArchive};
use crate::engine::{output::PartialFile, release::Release};

/// Cuts root and UKI into chunks and writes them as an OCI archive.
pub(super) fn write(
    context: &Context<'_>,
    release: &Release,
    file: PartialFile,
) -> Result<PartialFile, OutputsError> {
    let mut archive = OciArchive::new(file);
    let info = archive.json(update::CONFIG, &info(context, release)?)?;
    let mut packs = Vec::new();
    let parts: [(Part, &dyn ReadAt); 2] = [(Part::Root, &release.root), (Part::Uki, &release.uki)];
    let index = chunks::write(&parts, &mut |pack| {
        if context.stop.load(Ordering::Relaxed) {
            return Err(io::Error::other("stopped"));
        }
        packs.push(archive.blob(update::PACK, pack)?);
        Ok(())
    })?;
    let mut layers = vec![archive.blob(update::INDEX, &index.to_packed()?)?];
    layers.extend(packs);
    let manifest = Manifest {
        schema_version: 2,
        media_type: Some(media::MANIFEST.to_owned()),
        artifact_type: Some(update::ARTIFACT.to_owned()),
        config: info,
        layers,
        subject: None,
        annotations: annotations(context),
    };
    archive.finish(&manifest, context)
}

/// What every image of ours says of itself (image specification, "Pre-Defined Annotation Keys").
pub(super) fn annotations(context: &Context<'_>) -> BTreeMap<String, String> {
    let said = [
        ("created", format_rfc3339(context.epoch)),
        ("title", context.recipe.name.to_string()),
        ("version", context.recipe.version.to_string()),
    ];
    let named = said.into_iter().map(|(key, value)| (format!("org.opencontainers.image.{key}"), value));
    named.chain([("dev.basalt.release.id".to_owned(), context.id.to_string())]).collect()
}

fn info(context: &Context<'_>, release: &Release) -> Result<UpdateInfo, OutputsError> {
    let Superblock { uuid, salt, .. } = Superblock::parse(&release.verity)?;
    let salt = salt.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    let (recipe, record) = (context.recipe, &release.record);
    Ok(UpdateInfo {
        name: recipe.name.clone(),
        version: recipe.version.clone(),
        id: context.id,
        architecture: recipe.architecture,
        epoch: context.epoch,
        kernel: record.kernel.clone(),
        root: Blob { size: record.root_size, digest: record.root_hash },
        verity: Verity { salt, uuid },
        uki: Blob { size: ByteSize::bytes(release.uki.len() as u64), digest: Digest::of(&release.uki) },
        layout: record.layout.clone(),
    })
}
