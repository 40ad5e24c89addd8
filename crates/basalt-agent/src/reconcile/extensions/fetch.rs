//! From a file, an address or an OCI artifact into the store: `DIGEST.raw` is on the medium before `DIGEST.json` says so.

use std::{
    env,
    fs::{self, File},
    io::{self, Read as _},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicBool},
};

use basalt_exec::files::{Access as FileAccess, write_atomic};
use basalt_fetch::{
    debian::Context,
    http::{Ask, AskBody, Client, Expected, Method, Patience, Proxies},
    oci::{self, Access, Artifact, Credentials, Platform, Variables},
    store::Store,
};
use basalt_formats::ReadAt;
use basalt_image::extension::inspect;
use basalt_spec::node::ExtensionSource;
use basalt_types::{ByteSize, Digest, ImageRef};

use super::{ARCHITECTURE, DOWNLOADS, ExtensionError, Found, Known, failed, image, known};

/// Fetches what must have `digest` from `source`, and looks what it is. What was fetched before it was interrupted is kept.
pub(crate) fn fetch(store: &Path, digest: &Digest, source: &ExtensionSource) -> Result<(), ExtensionError> {
    let downloads = Store::open(store.join(DOWNLOADS))?;
    let (path, content) = match source {
        ExtensionSource::Path(path) => (copied(&downloads, Path::new(path.as_str()), digest)?, *digest),
        ExtensionSource::Url(url) => (downloaded(&downloads, url.as_str(), digest)?, *digest),
        ExtensionSource::Image(reference) => pulled(&downloads, reference, digest)?,
    };
    keep(store, digest, &path, content)
}

/// Gives a file that is whole its place, and then writes down what it is.
fn keep(store: &Path, digest: &Digest, path: &Path, content: Digest) -> Result<(), ExtensionError> {
    let file = File::open(path).map_err(failed("open", path))?;
    file.sync_all().map_err(failed("flush", path))?;
    let size = file.metadata().map_err(failed("examine", path))?.len();
    let found = match inspect(&OnDisk { file, size }) {
        Ok(inspected) => Found::Image(inspected),
        Err(error) => Found::Unusable(error.to_string()),
    };
    let place = image(store, digest);
    fs::rename(path, &place).map_err(failed("rename", path))?;
    File::open(store).and_then(|folder| folder.sync_all()).map_err(failed("flush", store))?;
    let known_path = known(store, digest);
    let text = serde_json::to_vec_pretty(&Known { content, size, found })?;
    Ok(write_atomic(&known_path, &text, FileAccess::Public)?)
}

fn copied(downloads: &Store, path: &Path, digest: &Digest) -> Result<PathBuf, ExtensionError> {
    let mut file = File::open(path).map_err(failed("open", path))?;
    let size = file.metadata().map_err(failed("examine", path))?.len();
    room(downloads, size)?;
    let mut partial = downloads.partial(digest)?;
    partial.restart()?;
    let mut buffer = vec![0; 1 << 18];
    loop {
        let count = file.read(&mut buffer).map_err(failed("read", path))?;
        if count == 0 {
            break;
        }
        partial.append(&buffer[..count])?;
    }
    Ok(partial.finish(*digest, size)?)
}

fn downloaded(downloads: &Store, url: &str, digest: &Digest) -> Result<PathBuf, ExtensionError> {
    let client = client()?;
    let ask = Ask { method: Method::Head, url, headers: &[], body: AskBody::Bytes(&[]), limit: 1 << 16 };
    let answer = client.exchange(&ask)?;
    let place = without_secrets(url);
    if !(200..300).contains(&answer.status) {
        return Err(ExtensionError::Status { place, status: answer.status });
    }
    let length = answer.header("Content-Length").and_then(|text| text.parse::<u64>().ok());
    let size = length.ok_or(ExtensionError::NoLength { place })?;
    room(downloads, size)?;
    let expected = Expected { url: url.to_owned(), digest: *digest, size };
    Ok(client.download(&expected, downloads, &|_bytes| {})?)
}

/// The one layer of an artifact, and its digest.
fn pulled(
    downloads: &Store,
    reference: &ImageRef,
    digest: &Digest,
) -> Result<(PathBuf, Digest), ExtensionError> {
    let client = client()?;
    let variable = |name: &str| env::var(name).ok();
    let access =
        Access { credentials: Credentials::observe(Variables::observe(&variable))?, ..Access::default() };
    let artifact = Artifact::open(&client, &access, reference, &Platform::linux(ARCHITECTURE))?;
    let place = reference.to_string();
    // A registry that was asked by digest was checked by it, also where that names an index.
    let asked =
        matches!(reference, ImageRef::Registry(image) if image.wanted().reference() == digest.to_string());
    if !asked && artifact.digest() != *digest {
        return Err(ExtensionError::OtherDigest { place, found: artifact.digest(), expected: *digest });
    }
    let [layer] = &artifact.manifest().layers[..] else {
        return Err(ExtensionError::Layers { place, found: artifact.manifest().layers.len() });
    };
    room(downloads, layer.size)?;
    let context = Context { client: &client, store: downloads, report: &|_event| {} };
    let paths = oci::fetch_blobs(context, &access, reference, std::slice::from_ref(layer))?;
    let path = paths.into_iter().next().ok_or(ExtensionError::Layers { place, found: 0 })?;
    Ok((path, layer.digest))
}

/// Whether there is room for so many more bytes, and for everything else that is written to the data volume meanwhile.
fn room(downloads: &Store, size: u64) -> Result<(), ExtensionError> {
    const REST: u64 = 64 << 20;
    let path = downloads.root();
    let stat = rustix::fs::statvfs(path).map_err(|errno| failed("examine", path)(errno.into()))?;
    let free = stat.f_bavail.saturating_mul(stat.f_frsize);
    if size.saturating_add(REST) <= free {
        return Ok(());
    }
    Err(ExtensionError::NoRoom { size: ByteSize::bytes(size), free: ByteSize::bytes(free) })
}

fn client() -> Result<Client, ExtensionError> {
    let proxies = Proxies::from_variables(&|name| env::var(name).ok());
    Ok(Client::new(proxies, Patience::default(), Arc::new(AtomicBool::new(false)))?)
}

/// An address as messages show it.
fn without_secrets(url: &str) -> String {
    let bare = url.split(['?', '#']).next().unwrap_or_default();
    match bare.split_once('@') {
        Some((head, rest)) => format!("{}://{rest}", head.split("://").next().unwrap_or_default()),
        None => bare.to_owned(),
    }
}

/// A file that is looked into.
struct OnDisk {
    file: File,
    size: u64,
}

impl ReadAt for OnDisk {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(buffer, offset)
    }
}
