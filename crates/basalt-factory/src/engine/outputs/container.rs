//! The tree as a container image that runs anywhere: one layer, one configuration (image specification 1.1).

use std::collections::BTreeMap;

use basalt_debian::release::format_rfc3339;
use basalt_fetch::oci::{Manifest, RootFs, media};
use basalt_formats::tree::{ReadContent, Tree};
use basalt_types::Digest;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::{
    Context, OutputsError,
    archive::OciArchive,
    oci::annotations,
    tree::{self, Sink},
};
use crate::engine::output::PartialFile;

/// What a shell of Debian's has without a login (`/etc/login.defs`, `ENV_SUPATH`).
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// What runs when nothing is asked for, the best one first.
const SHELLS: [&str; 2] = ["/bin/bash", "/bin/sh"];

/// The configuration (image specification, "Image JSON Description").
#[derive(Serialize)]
struct Config {
    created: String,
    architecture: &'static str,
    os: &'static str,
    config: Execution,
    rootfs: RootFs,
    history: [History; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Execution {
    env: [&'static str; 1],
    cmd: Vec<&'static str>,
    labels: BTreeMap<String, String>,
}

#[derive(Serialize)]
struct History {
    created: String,
    created_by: String,
}

/// Writes the image as an OCI archive.
pub(super) fn write(
    context: &Context<'_>,
    (tree, content): (&Tree, &dyn ReadContent),
    file: PartialFile,
) -> Result<PartialFile, OutputsError> {
    let mut archive = OciArchive::new(file);
    let mut plain = Sha256::new();
    let layer = {
        let mut sink = tree::compressor(archive.begin())?;
        let mut hashed = Hashed { sink: &mut sink, digest: &mut plain };
        let mut stoppable = Sink { sink: &mut hashed, stop: context.stop };
        basalt_formats::tar::write(tree, content, context.epoch, &mut stoppable)?;
        sink.finish()?.finish(media::LAYER_ZSTD)?
    };
    let created = format_rfc3339(context.epoch);
    let config = Config {
        created: created.clone(),
        architecture: context.recipe.architecture.debian(),
        os: "linux",
        config: Execution {
            env: [PATH],
            cmd: SHELLS.into_iter().filter(|shell| tree.resolve(shell).is_ok()).take(1).collect(),
            labels: annotations(context),
        },
        rootfs: RootFs {
            kind: "layers".to_owned(),
            diff_ids: vec![Digest::from_bytes(plain.finalize().into())],
        },
        history: [History { created, created_by: format!("basalt {}", env!("CARGO_PKG_VERSION")) }],
    };
    let manifest = Manifest {
        schema_version: 2,
        media_type: Some(media::MANIFEST.to_owned()),
        artifact_type: None,
        config: archive.json(media::CONFIG, &config)?,
        layers: vec![layer],
        subject: None,
        annotations: annotations(context),
    };
    archive.finish(&manifest, context)
}

/// Sees every byte on its way.
struct Hashed<'a, W> {
    sink: &'a mut W,
    digest: &'a mut Sha256,
}

impl<W: std::io::Write> std::io::Write for Hashed<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.sink.write(bytes)?;
        self.digest.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.sink.flush()
    }
}
