//! A small archive, its keys, and a server for it that can misbehave.

#![allow(dead_code, reason = "each test binary uses a part")]

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::Path,
    sync::{Arc, Mutex, atomic::AtomicBool},
    time::Duration,
};

use basalt_fetch::{
    debian::{Context, Event, Source},
    http::{Client, Patience, Proxies},
    openpgp::Keyring,
    store::Store,
};
use basalt_types::Digest;
use pgp::{
    composed::{
        ArmorOptions, CleartextSignedMessage, KeyType, SecretKeyParamsBuilder, SignedPublicKey,
        SignedSecretKey,
    },
    packet::{SignatureConfig, SignatureType, Subpacket, SubpacketData},
    ser::Serialize as _,
    types::{KeyDetails as _, Password, Timestamp},
};

/// When the test archive is: Mon, 23 Nov 2026 05:00:00 UTC.
pub(crate) const NOW: i64 = 1_795_410_000;

/// A key that signs a test archive, made a year before [`NOW`].
pub(crate) fn key() -> SignedSecretKey {
    let mut parameters = SecretKeyParamsBuilder::default();
    parameters
        .key_type(KeyType::Ed25519Legacy)
        .can_certify(true)
        .can_sign(true)
        .created_at(time(NOW - 365 * 86_400))
        .primary_user_id("Test archive <archive@basalt.invalid>".into());
    parameters.build().unwrap().generate(rand::thread_rng()).unwrap()
}

pub(crate) fn time(seconds: i64) -> Timestamp {
    Timestamp::from_secs(u32::try_from(seconds).unwrap())
}

/// The public half as a keyring.
pub(crate) fn keyring(key: &SignedSecretKey) -> Keyring {
    let public = SignedPublicKey::from(key.clone());
    Keyring::parse(&public.to_bytes().unwrap(), "the test keyring").unwrap()
}

pub(crate) fn config(key: &SignedSecretKey, kind: SignatureType, at: i64) -> SignatureConfig {
    let mut config = SignatureConfig::from_key(rand::thread_rng(), &key.primary_key, kind).unwrap();
    config.hashed_subpackets = vec![
        Subpacket::regular(SubpacketData::SignatureCreationTime(time(at))).unwrap(),
        Subpacket::regular(SubpacketData::IssuerFingerprint(key.primary_key.fingerprint())).unwrap(),
    ];
    config
}

/// A cleartext signed message.
pub(crate) fn clearsign(text: &str, key: &SignedSecretKey, at: i64) -> String {
    let config = config(key, SignatureType::Text, at);
    let message =
        CleartextSignedMessage::new(text.trim_end(), config, &key.primary_key, &Password::empty()).unwrap();
    message.to_armored_string(ArmorOptions::default()).unwrap()
}

pub(crate) const PACKAGES: &str = "Package: hello\nVersion: 2.10-5\nArchitecture: amd64\nDepends: libc6\nFilename: \
    pool/hello.deb\nSize: 5\nSHA256: 2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824\n\n\
    Package: libc6\nVersion: 2.41\nArchitecture: amd64\nFilename: pool/libc6.deb\nSize: 5\nSHA256: \
    486ea46224d1bb4fb680f34f7c9ad96a8f24ec88be73ea8e5a6c65260e9cb8a7\n\n";

/// A Release file for the suite `test` that lists [`PACKAGES`], plain and packed.
pub(crate) fn release(packed: &[u8]) -> String {
    let line = |path: &str, bytes: &[u8]| format!(" {} {} {path}\n", Digest::of(bytes).hex(), bytes.len());
    format!(
        "Origin: Test\nSuite: test\nCodename: probe\nDate: Sun, 22 Nov 2026 05:00:00 UTC\nValid-Until: Sun, 29 Nov 2026 \
         05:00:00 UTC\nAcquire-By-Hash: yes\nArchitectures: amd64\nComponents: main\nSHA256:\n{}{}",
        line("main/binary-amd64/Packages", PACKAGES.as_bytes()),
        line("main/binary-amd64/Packages.xz", packed)
    )
}

pub(crate) fn xz(bytes: &[u8]) -> Vec<u8> {
    let mut packed = Vec::new();
    liblzma::read::XzEncoder::new(bytes, 1).read_to_end(&mut packed).unwrap();
    packed
}

/// What the server does with a request for a path, once.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fault {
    /// Promises everything, sends so many bytes and hangs up.
    CutAfter(usize),
    /// Answers 503.
    Busy,
    /// Ignores `Range`.
    Whole,
}

/// An HTTP server on a port of its own.
#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) url: String,
    pub(crate) files: Arc<Mutex<BTreeMap<String, Vec<u8>>>>,
    pub(crate) faults: Arc<Mutex<BTreeMap<String, Vec<Fault>>>>,
    /// `path` or `path bytes=…`, in the order in which they came.
    pub(crate) requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = Self { url, files: Arc::default(), faults: Arc::default(), requests: Arc::default() };
        let answering = server.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let server = answering.clone();
                std::thread::spawn(move || server.answer(stream));
            }
        });
        server
    }

    /// A server with a whole archive, signed by `key`.
    pub(crate) fn archive(key: &SignedSecretKey) -> Self {
        let server = Self::start();
        let packed = xz(PACKAGES.as_bytes());
        let signed = clearsign(&release(&packed), key, NOW - 3600);
        let hash = Digest::of(&packed).hex();
        server.put("dists/test/InRelease", signed.as_bytes());
        server.put(&format!("dists/test/main/binary-amd64/by-hash/SHA256/{hash}"), &packed);
        server.put("pool/hello.deb", b"hello");
        server.put("pool/libc6.deb", b"world");
        server
    }

    pub(crate) fn put(&self, path: &str, bytes: &[u8]) {
        self.files.lock().unwrap().insert(format!("/{path}"), bytes.to_vec());
    }

    pub(crate) fn remove(&self, path: &str) {
        self.files.lock().unwrap().remove(&format!("/{path}")).unwrap();
    }

    pub(crate) fn fail(&self, path: &str, faults: &[Fault]) {
        self.faults.lock().unwrap().insert(format!("/{path}"), faults.iter().rev().copied().collect());
    }

    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }

    fn answer(&self, stream: TcpStream) {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let (mut line, mut range) = (String::new(), None);
        reader.read_line(&mut line).unwrap();
        let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
        loop {
            let mut header = String::new();
            reader.read_line(&mut header).unwrap();
            if header.trim().is_empty() {
                break;
            }
            let lower = header.to_ascii_lowercase();
            if let Some(value) = lower.strip_prefix("range: bytes=") {
                range = value.trim().trim_end_matches('-').parse::<usize>().ok();
            }
        }
        let shown = range.map_or(path.clone(), |from| format!("{path} bytes={from}-"));
        self.requests.lock().unwrap().push(shown);
        let fault = self.faults.lock().unwrap().get_mut(&path).and_then(Vec::pop);
        let file = self.files.lock().unwrap().get(&path).cloned();
        respond(stream, file, range, fault);
    }
}

fn respond(mut stream: TcpStream, file: Option<Vec<u8>>, range: Option<usize>, fault: Option<Fault>) {
    let (status, body) = match (file, fault, range) {
        (_, Some(Fault::Busy), _) => ("503 Busy", Vec::new()),
        (None, _, _) => ("404 Not Found", Vec::new()),
        (Some(file), Some(Fault::Whole), _) | (Some(file), _, None) => ("200 OK", file),
        (Some(file), _, Some(from)) if from < file.len() => ("206 Partial Content", file[from..].to_vec()),
        (Some(_), _, Some(_)) => ("416 Range Not Satisfiable", Vec::new()),
    };
    let sent = match fault {
        Some(Fault::CutAfter(bytes)) => bytes.min(body.len()),
        Some(Fault::Busy | Fault::Whole) | None => body.len(),
    };
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    // The client may have hung up: that is its right.
    drop(stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body[..sent])));
}

pub(crate) fn client_through(proxies: Proxies) -> Client {
    Client::new(proxies, PATIENCE, Arc::default()).unwrap()
}

const PATIENCE: Patience = Patience {
    connect: Duration::from_secs(5),
    silence: Duration::from_secs(5),
    retries: 2,
    pause: Duration::from_millis(1),
};

pub(crate) fn client(cancel: Arc<AtomicBool>) -> Client {
    Client::new(Proxies::default(), PATIENCE, cancel).unwrap()
}

pub(crate) fn source(url: &str, keyring: Keyring) -> Source {
    Source {
        url: url.to_owned(),
        suite: "test".to_owned(),
        components: vec!["main".to_owned()],
        priority: 0,
        check_valid_until: true,
        keyring,
    }
}

/// Runs something with a store and a client, and returns the events as text beside its result.
pub(crate) fn with<T>(root: &Path, run: impl FnOnce(Context<'_>) -> T) -> (T, Vec<String>) {
    let events = Mutex::new(Vec::new());
    let store = Store::open(root).unwrap();
    let client = client(Arc::default());
    let report = |event: Event<'_>| {
        if !matches!(event, Event::Advanced { .. }) {
            events.lock().unwrap().push(format!("{event:?}"));
        }
    };
    let result = run(Context { client: &client, store: &store, report: &report });
    (result, events.into_inner().unwrap())
}

/// An error and its causes, as a person reads them.
pub(crate) fn told(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text += &format!(": {cause}");
        next = cause.source();
    }
    text
}
