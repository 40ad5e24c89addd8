//! Signatures: detached ones, keys that don't count, and the real Debian archive.

#![allow(clippy::unwrap_used, clippy::panic, reason = "test helpers fail loudly")]

mod support;

use std::{path::Path, sync::Arc};

use basalt_fetch::{
    debian::{Context, Source, resolve},
    http::{Client, Patience},
    mirror,
    openpgp::{Keyring, SignatureError, verify_cleartext, verify_detached},
    store::Store,
};
use basalt_types::Architecture;
use pgp::{
    composed::{ArmorOptions, DetachedSignature, SignedPublicKey},
    packet::SignatureType,
    types::Password,
};
use support::{NOW, clearsign, config, key, keyring, told};

#[test]
fn escapes_and_spaces_at_line_ends_are_undone() {
    let key = key();
    let signed = clearsign("Suite: test\n- dash\n-----BEGIN x\nend \t\n", &key, NOW);
    let verified = verify_cleartext(signed.as_bytes(), &keyring(&key), NOW).unwrap();
    assert_eq!(verified.text, "Suite: test\n- dash\n-----BEGIN x\nend\n");
    let dos = signed.replace('\n', "\r\n");
    assert_eq!(verify_cleartext(dos.as_bytes(), &keyring(&key), NOW).unwrap(), verified);
}

#[test]
fn a_detached_signature_is_verified_armored_or_not() {
    let key = key();
    let signature =
        config(&key, SignatureType::Binary, NOW).sign(&key.primary_key, &Password::empty(), &b"text"[..]);
    let signature = DetachedSignature::new(signature.unwrap());
    let armored = signature.to_armored_bytes(ArmorOptions::default()).unwrap();
    let binary = pgp::ser::Serialize::to_bytes(&signature).unwrap();
    for bytes in [&armored, &binary] {
        assert_eq!(verify_detached(b"text", bytes, &keyring(&key), NOW).unwrap().text, "text");
        let error = verify_detached(b"tExt", bytes, &keyring(&key), NOW).unwrap_err();
        assert!(matches!(error, SignatureError::Bad { .. }));
    }
    let error = verify_detached(b"text", b"", &keyring(&key), NOW).unwrap_err();
    assert_eq!(told(&error), "the signature is damaged: there is no signature in it");
}

#[test]
fn a_key_must_have_been_valid_when_it_signed() {
    let key = key();
    let early = clearsign("x\n", &key, NOW - 366 * 86_400);
    let error = verify_cleartext(early.as_bytes(), &keyring(&key), NOW).unwrap_err();
    let print = &keyring(&key).fingerprints()[0];
    assert_eq!(
        told(&error),
        format!("the signature by {print} doesn't count: the key was not valid at the time it signed")
    );
}

#[test]
fn a_revoked_key_is_never_good() {
    let key = key();
    let mut public = SignedPublicKey::from(key.clone());
    let revocation = config(&key, SignatureType::KeyRevocation, NOW)
        .sign_key(&key.primary_key, &Password::empty(), &public.primary_key)
        .unwrap();
    public.details.revocation_signatures.push(revocation);
    let revoked =
        Keyring::parse(&pgp::ser::Serialize::to_bytes(&public).unwrap(), "the revoked keyring").unwrap();
    let signed = clearsign("x\n", &key, NOW - 86_400);
    assert!(verify_cleartext(signed.as_bytes(), &keyring(&key), NOW).is_ok());
    let error = verify_cleartext(signed.as_bytes(), &revoked, NOW).unwrap_err();
    assert!(told(&error).ends_with(" doesn't count: the key was revoked"));
}

#[test]
fn a_keyring_may_be_armored_and_must_have_keys() {
    let key = key();
    let armored = SignedPublicKey::from(key.clone()).to_armored_bytes(ArmorOptions::default()).unwrap();
    assert_eq!(Keyring::parse(&armored, "a").unwrap().fingerprints(), keyring(&key).fingerprints());
    assert_eq!(told(&Keyring::parse(b"", "`k.gpg`").unwrap_err()), "`k.gpg` has no key in it");
    let garbage = told(&Keyring::parse(b"garbage", "`k.gpg`").unwrap_err());
    assert!(garbage.starts_with("`k.gpg` "), "{garbage}");
}

/// Today's archive, by the embedded keys: RSA signing subkeys and Ed25519 keys. Needs the network.
#[test]
fn debians_own_suites_verify() {
    let facts = mirror::observe(Path::new("/"), &|name| std::env::var(name).ok()).unwrap();
    let root = tempfile::tempdir().unwrap();
    let store = Store::open(root.path()).unwrap();
    let client = Client::new(facts.proxies.clone(), Patience::default(), Arc::default()).unwrap();
    let context = Context { client: &client, store: &store, report: &|_| () };
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    for suite in ["bookworm", "trixie", "trixie-updates", "trixie-security", "forky", "sid"] {
        let source = Source {
            url: mirror::choose(&facts, None, suite).unwrap().url,
            suite: suite.to_owned(),
            components: Vec::new(),
            priority: 0,
            check_valid_until: false,
            keyring: Keyring::debian().unwrap(),
        };
        let found = resolve(context, &[source], Architecture::Amd64, i64::try_from(now).unwrap());
        let suites = found.unwrap_or_else(|error| panic!("{suite}: {}", told(&error))).suites;
        assert!(!suites[0].signers.is_empty() && suites[0].release.codename == suite);
    }
}
