//! Signatures of releases, before openssl: it accepts ours, and we accept those that it makes with every kind of key that
//! cosign makes or takes.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "oracle tests put files on the host's disk and run its tools"
)]

use std::{fs, path::Path, process::Command};

use basalt_trust::{
    LocalKey, PrivateKey, Sign as _, Validity, certificate_to_pem,
    release::{ReleaseKey, SignatureError, payload, public_key_pem, sign, verify},
    self_signed,
};
use basalt_types::Digest;

fn key() -> LocalKey {
    let key = PrivateKey::generate(2048).unwrap();
    let validity = Validity { from: 1_767_225_600, to: 2_398_377_600 };
    let certificate = self_signed(&key, "Basalt test release key", validity).unwrap();
    LocalKey::new(key, certificate).unwrap()
}

#[track_caller]
fn openssl(folder: &Path, arguments: &[&str]) {
    let done = Command::new("openssl").current_dir(folder).args(arguments).output();
    let done = done.expect("openssl, of the Debian package `openssl`");
    assert!(done.status.success(), "openssl {arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
}

#[test]
fn a_payload_is_what_cosign_writes() {
    let manifest: Digest = format!("sha256:{}", "ab".repeat(32)).parse().unwrap();
    let expected = format!(
        r#"{{"critical":{{"identity":{{"docker-reference":"os/edge"}},"image":{{"docker-manifest-digest":"{manifest}"}},"type":"cosign container image signature"}},"optional":null}}"#
    );
    assert_eq!(String::from_utf8(payload("os/edge", manifest).unwrap()).unwrap(), expected);
}

#[test]
fn openssl_accepts_what_we_sign() {
    let (folder, key) = (tempfile::tempdir().unwrap(), key());
    let signed = payload("edge", Digest::of(b"manifest")).unwrap();
    let signature = sign(&key, &signed).unwrap();
    let pem = public_key_pem(key.certificate()).unwrap();
    for (name, bytes) in [("payload", &signed), ("signature", &signature), ("release.pub", &pem.into_bytes())]
    {
        fs::write(folder.path().join(name), bytes).unwrap();
    }
    openssl(
        folder.path(),
        &["dgst", "-sha256", "-verify", "release.pub", "-signature", "signature", "payload"],
    );
}

#[test]
fn keys_of_every_kind_are_taken_and_only_they() {
    let folder = tempfile::tempdir().unwrap();
    let (manifest, other) = (Digest::of(b"manifest"), Digest::of(b"other"));
    let signed = payload("edge", manifest).unwrap();
    fs::write(folder.path().join("payload"), &signed).unwrap();
    let mut keys = Vec::new();
    let kinds: [(&str, &[&str], &[&str]); 3] = [
        ("rsa", &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:3072"], &["-digest", "sha256"]),
        ("ec", &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"], &["-digest", "sha256"]),
        ("ed", &["-algorithm", "ED25519"], &[]),
    ];
    for (name, kind, digest) in kinds {
        let (key, public) = (format!("{name}.key"), format!("{name}.pub"));
        openssl(folder.path(), &[&["genpkey", "-out", &key][..], kind].concat());
        openssl(folder.path(), &["pkey", "-in", &key, "-pubout", "-out", &public]);
        let sign = ["pkeyutl", "-sign", "-rawin", "-inkey", &key, "-in", "payload", "-out", name];
        openssl(folder.path(), &[&sign[..], digest].concat());
        keys.push(ReleaseKey::from_pem(&fs::read_to_string(folder.path().join(public)).unwrap()).unwrap());
    }
    for (number, (name, ..)) in kinds.iter().enumerate() {
        let signature = fs::read(folder.path().join(name)).unwrap();
        assert_eq!(verify(&keys, &manifest, &signed, &signature).unwrap().id(), keys[number].id(), "{name}");
        let others: Vec<ReleaseKey> =
            keys.iter().filter(|key| key.id() != keys[number].id()).cloned().collect();
        let error = verify(&others, &manifest, &signed, &signature).unwrap_err();
        assert!(matches!(error, SignatureError::NoKey(2)), "{name}: {error}");
        let error = verify(&keys, &other, &signed, &signature).unwrap_err();
        assert!(matches!(error, SignatureError::Other(found) if found == manifest), "{name}: {error}");
        let mut changed = signed.clone();
        changed[40] ^= 1;
        assert!(verify(&keys, &manifest, &changed, &signature).is_err(), "{name}");
        let mut changed = signature;
        changed[20] ^= 1;
        assert!(verify(&keys, &manifest, &signed, &changed).is_err(), "{name}");
    }
}

#[test]
fn another_statement_of_the_same_key_is_none() {
    let key = key();
    let keys = [ReleaseKey::from_pem(&certificate_to_pem(key.certificate()).unwrap()).unwrap()];
    let manifest = Digest::of(b"manifest");
    let text = String::from_utf8(payload("edge", manifest).unwrap()).unwrap();
    let refusal = |statement: &str| {
        let signature = sign(&key, statement.as_bytes()).unwrap();
        verify(&keys, &manifest, statement.as_bytes(), &signature).unwrap_err().to_string()
    };
    assert_eq!(
        refusal(&text.replace("container image", "birthday")),
        "what was signed is a `cosign birthday signature`"
    );
    assert_eq!(refusal("{}"), "what was signed is no statement about a release");
    // The certificate and the bare key are the same key.
    let bare = ReleaseKey::from_pem(&public_key_pem(key.certificate()).unwrap()).unwrap();
    assert_eq!(bare.id(), keys[0].id());
}

#[test]
fn what_is_no_key_is_refused_with_words() {
    let folder = tempfile::tempdir().unwrap();
    let refusal = |pem: &str| ReleaseKey::from_pem(pem).unwrap_err().to_string();
    assert_eq!(refusal("key"), "it is neither a public key nor a certificate in PEM");
    openssl(
        folder.path(),
        &["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384", "-out", "k"],
    );
    openssl(folder.path(), &["pkey", "-in", "k", "-pubout", "-out", "p"]);
    assert_eq!(
        refusal(&fs::read_to_string(folder.path().join("p")).unwrap()),
        "it is a key of the kind 1.2.840.10045.2.1; RSA, ECDSA on P-256 and Ed25519 can be used"
    );
    // A secret key is not what belongs into an image.
    assert_eq!(
        refusal(&fs::read_to_string(folder.path().join("k")).unwrap()),
        "it is neither a public key nor a certificate in PEM"
    );
}
