//! A store, a client, and a made image of two platforms.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    sync::{Arc, LazyLock, Mutex, atomic::AtomicBool},
    time::Duration,
};

use basalt_exec::command::{Exit, Finished};
use basalt_fetch::{
    debian::Context,
    http::{Client, Patience, Proxies},
    oci::{Descriptor, ImageConfig, Index, LayoutWriter, Manifest, Platform, RootFs, media},
    store::Store,
};
use basalt_types::{Architecture, Digest, ImageRef, RegistryRef};

pub(crate) static LINUX: LazyLock<Platform> = LazyLock::new(|| Platform::linux(Architecture::Amd64));
pub(crate) static ARM: LazyLock<Platform> = LazyLock::new(|| Platform::linux(Architecture::Arm64));

pub(crate) struct World {
    folder: tempfile::TempDir,
    pub(crate) store: Store,
    client: Client,
}

impl World {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path().join("store")).unwrap();
        let patience = Patience {
            connect: Duration::from_secs(5),
            silence: Duration::from_secs(10),
            retries: 1,
            pause: Duration::from_millis(10),
        };
        let client = Client::new(Proxies::default(), patience, Arc::new(AtomicBool::new(false))).unwrap();
        Self { folder, store, client }
    }

    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.folder.path().join(below)
    }

    pub(crate) fn context(&self) -> Context<'_> {
        Context { client: &self.client, store: &self.store, report: &|_event| {} }
    }
}

/// What a tool printed that succeeded.
#[track_caller]
pub(crate) fn ok(finished: &Finished) -> Vec<u8> {
    assert_eq!(finished.exit, Exit::Code(0), "{}", finished.stderr_tail);
    finished.stdout.clone()
}

pub(crate) fn registry_ref(text: &str) -> RegistryRef {
    match text.parse().unwrap() {
        ImageRef::Registry(found) => found,
        ImageRef::Layout(local) | ImageRef::Archive(local) => panic!("{local}"),
    }
}

/// A layout with the index `edge` of two platforms, each with a layer by gzip and one by zstd.
pub(crate) fn made_layout(folder: PathBuf) -> (PathBuf, Descriptor) {
    let mut writer = LayoutWriter::create(&folder).unwrap();
    let manifests = [&*LINUX, &*ARM].map(|platform| {
        // Noise does not compress: the layer is long enough to break off in it.
        let noise = |seed: u32| -> Vec<u8> {
            (0..20_000_u32).map(|i| (i.wrapping_mul(2_654_435_761).wrapping_add(seed) >> 13) as u8).collect()
        };
        let plain =
            [noise(1), noise(u32::from(platform.architecture == "arm64"))].map(|content| tar_of(&content));
        let layers = vec![
            writer.insert(media::LAYER_GZIP, &gzip(&plain[0])).unwrap(),
            writer.insert(media::LAYER_ZSTD, &zstd::encode_all(&*plain[1], 3).unwrap()).unwrap(),
        ];
        let diff_ids = plain.iter().map(|bytes| Digest::of(bytes)).collect();
        let config = ImageConfig {
            architecture: platform.architecture.clone(),
            os: platform.os.clone(),
            created: None,
            rootfs: RootFs { kind: "layers".to_owned(), diff_ids },
        };
        let config = writer.insert(media::CONFIG, &serde_json::to_vec(&config).unwrap()).unwrap();
        let manifest = Manifest {
            schema_version: 2,
            media_type: Some(media::MANIFEST.to_owned()),
            artifact_type: None,
            config,
            layers,
            subject: None,
            annotations: Default::default(),
        };
        let descriptor = writer.insert(media::MANIFEST, &serde_json::to_vec(&manifest).unwrap()).unwrap();
        Descriptor { platform: Some(platform.clone()), ..descriptor }
    });
    let index =
        Index { schema_version: 2, media_type: Some(media::INDEX.to_owned()), manifests: manifests.into() };
    let root = writer.insert(media::INDEX, &serde_json::to_vec(&index).unwrap()).unwrap();
    writer.name(&root, Some("edge")).unwrap();
    (folder, root)
}

fn tar_of(content: &[u8]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    header.set_size(content.len() as u64);
    header.set_mode(0o644);
    tar.append_data(&mut header, Path::new("file"), content).unwrap();
    tar.into_inner().unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A registry that lets in only who shows the token of its service, and then answers everything with `body`, said to
/// have the digest `digest`. Returns its host and the request lines it got.
pub(crate) fn token_registry(digest: Digest, body: Vec<u8>) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let host = listener.local_addr().unwrap().to_string();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let (noted, own) = (Arc::clone(&asked), host.clone());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (line, authorization) = read_head(stream.as_ref().unwrap());
            let answer = if line.starts_with("GET /token") {
                r#"200 OK{"token": "open"}"#.to_owned()
            } else if authorization == "Bearer open" {
                format!("200 OK\r\nDocker-Content-Digest: {digest}{}", String::from_utf8_lossy(&body))
            } else {
                format!("401 No\r\nWWW-Authenticate: Bearer realm=\"http://{own}/token\",service=\"r\"")
            };
            noted.lock().unwrap().push(line);
            let (head, body) =
                answer.split_once('{').map_or((answer.clone(), String::new()), |(head, body)| {
                    (head.to_owned(), format!("{{{body}"))
                });
            let length = body.len();
            write!(
                stream.unwrap(),
                "HTTP/1.1 {head}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
            )
            .unwrap();
        }
    });
    (host, asked)
}

/// The request line and the value of `Authorization`.
fn read_head(stream: &TcpStream) -> (String, String) {
    let mut lines = BufReader::new(stream).lines().map(Result::unwrap);
    let line = lines.next().unwrap_or_default();
    let mut authorization = String::new();
    for header in lines.take_while(|line| !line.is_empty()) {
        let found = header.split_once(": ").filter(|(name, _)| name.eq_ignore_ascii_case("authorization"));
        authorization = found.map_or(authorization, |(_, value)| value.to_owned());
    }
    (line, authorization)
}
