//! The live medium: one file that boots from a CD and from a USB stick. `docs/formats/live.md` describes it.
//!
//! Root and hash tree are partitions and files of the CD at the same time: a stick's are found by the kernel, a CD's by
//! basalt-init, and whoever mounts the CD sees what is on it.

use basalt_formats::{
    ReadAt,
    gpt::{Attributes, types},
    iso9660::{FilePath, Image, IsoError, NameError, Partition, VolumeId},
    virtual_disk::LayoutError,
};
use basalt_image::layout::{LIVE_ESP, LIVE_ROOT, LIVE_VERITY, verity_ids};
use thiserror::Error;

use super::{Context, OutputsError, Stoppable, containers, esp, memory::MemoryImage};
use crate::engine::{
    output::PartialFile,
    release::{Release, derived},
};

/// Why there can be no live medium.
#[derive(Debug, Error)]
pub enum LiveError {
    /// A name of the CD is not valid.
    #[error("the CD can't have this name")]
    Name(#[from] NameError),
    /// The image can't be laid out.
    #[error("the CD can't be laid out")]
    Image(#[from] IsoError),
    /// Its parts do not fit together.
    #[error("the CD can't be put together")]
    Layout(#[from] LayoutError),
}

/// Writes the medium.
pub(super) fn write(
    context: &Context<'_>,
    release: &Release,
    file: PartialFile,
) -> Result<PartialFile, OutputsError> {
    let size = esp::live_size(release);
    let (volume, _used) = esp::volume(context, release, esp::Media::Live, size)?;
    let esp = MemoryImage::new(size.get());
    volume.write_to(&esp, 0)?;
    let image = image(context, release, &esp)?;
    let layout = image.layout().map_err(LiveError::from)?;
    let disk = layout.disk().map_err(LiveError::from)?;
    containers::raw(&Stoppable { disk: &disk, stop: context.stop }, file)
}

fn image<'a>(
    context: &Context<'_>,
    release: &'a Release,
    esp: &'a dyn ReadAt,
) -> Result<Image<'a>, LiveError> {
    let architecture = context.recipe.architecture;
    let [root, verity] = verity_ids(&release.record.root_hash);
    Ok(Image {
        volume_id: volume_id(context.recipe.name.as_str())?,
        time: context.epoch,
        // Other ids than those of the same release's disk: both may be in one machine.
        disk_guid: derived(context.id, "live disk"),
        esp: Partition {
            label: LIVE_ESP,
            type_guid: types::ESP,
            guid: derived(context.id, "live esp"),
            attributes: Attributes::NONE,
            content: esp,
            file: Some(file_of_cd("esp.img")?),
        },
        partitions: vec![
            Partition {
                label: LIVE_ROOT,
                type_guid: types::root(architecture),
                guid: root,
                attributes: Attributes::READ_ONLY,
                content: &release.root,
                file: Some(file_of_cd("root.erofs")?),
            },
            Partition {
                label: LIVE_VERITY,
                type_guid: types::root_verity(architecture),
                guid: verity,
                attributes: Attributes::READ_ONLY,
                content: &release.verity,
                file: Some(file_of_cd("root.verity")?),
            },
        ],
        files: Vec::new(),
    })
}

fn file_of_cd(name: &str) -> Result<FilePath, NameError> {
    format!("basalt/{name}").parse()
}

/// The image's name in the characters that a volume's may have, cut to its length.
fn volume_id(name: &str) -> Result<VolumeId, NameError> {
    let upper = |letter: char| if letter.is_ascii_alphanumeric() { letter.to_ascii_uppercase() } else { '_' };
    name.chars().map(upper).take(32).collect::<String>().parse()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn every_image_name_makes_a_volume_name() {
        for (name, wanted) in [("edge", "EDGE"), ("k8s-node.v2", "K8S_NODE_V2")] {
            assert_eq!(volume_id(name).unwrap().as_str(), wanted);
        }
        assert_eq!(volume_id(&"long-".repeat(12)).unwrap().as_str().len(), 32);
    }
}
