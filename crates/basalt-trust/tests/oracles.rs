//! What we sign, before the programs that others check it with: sbverify, osslsigncode, openssl, and efitools, whose writes
//! of variables ours equal byte for byte.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "oracle tests put files on the host's disk and run its tools"
)]

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use basalt_formats::{
    pe::Pe,
    uki::{self, Phase, Sections},
};
use basalt_trust::{
    Certificate, LocalKey, PrivateKey, Sign as _, Validity, authenticode, certificate_to_pem, common_name,
    policy, release, self_signed,
    variable::{Variable, authenticated, signature_lists},
};
use basalt_types::{Digest, Guid};
use tempfile::TempDir;

/// 2026-01-01 and 2046-01-01.
const VALID: Validity = Validity { from: 1_767_225_600, to: 2_398_377_600 };
const OWNER: Guid = Guid::from_u128(0x1234_5678_9abc_4def_8123_4567_89ab_cdef);

/// Two keys: the one that signs, another one. Drawing them takes a while.
fn keys() -> &'static [(LocalKey, String); 2] {
    static KEYS: OnceLock<[(LocalKey, String); 2]> = OnceLock::new();
    KEYS.get_or_init(|| {
        ["Basalt test db", "somebody else"].map(|name| {
            let key = PrivateKey::generate(2048).unwrap();
            let pem = key.to_pem(None).unwrap();
            let certificate = self_signed(&key, name, VALID).unwrap();
            (LocalKey::new(key, certificate).unwrap(), pem)
        })
    })
}

fn signer() -> &'static LocalKey {
    &keys()[0].0
}

fn trixie() -> PathBuf {
    let tree = std::env::var_os("BASALT_TRIXIE_TREE").map(PathBuf::from);
    tree.expect("BASALT_TRIXIE_TREE is not set: run it through cargo xtask test")
}

/// The boot loader of the trixie tree: a program that nobody signed.
fn loader() -> Vec<u8> {
    fs::read(trixie().join("usr/lib/systemd/boot/efi/systemd-bootx64.efi"))
        .expect("systemd-boot-efi of the trixie tree")
}

/// A folder with both certificates and the key as files.
fn files() -> TempDir {
    let here = tempfile::tempdir().unwrap();
    for (name, (key, pem)) in ["db", "other"].iter().zip(keys()) {
        fs::write(here.path().join(format!("{name}.crt")), certificate_to_pem(key.certificate()).unwrap())
            .unwrap();
        fs::write(here.path().join(format!("{name}.key")), pem).unwrap();
    }
    here
}

/// Runs a tool in a folder: whether it succeeded, and what it said.
fn run(here: &Path, program: &str, arguments: &[&str]) -> (bool, String) {
    let output = Command::new(program).args(arguments).current_dir(here).output();
    let output = output.unwrap_or_else(|error| panic!("{program} can't be run ({error}): cargo xtask setup"));
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}

fn accepts(here: &Path, program: &str, arguments: &[&str]) {
    let (accepted, said) = run(here, program, arguments);
    assert!(accepted, "{program} {arguments:?}: {said}");
}

#[test]
fn sbverify_and_osslsigncode_accept_a_signed_program() {
    let here = files();
    fs::write(here.path().join("loader.efi"), authenticode::sign(&loader(), signer()).unwrap()).unwrap();
    accepts(here.path(), "sbverify", &["--cert", "db.crt", "loader.efi"]);
    let (accepted, said) = run(here.path(), "sbverify", &["--cert", "other.crt", "loader.efi"]);
    assert!(!accepted, "{said}");
    let verify = ["verify", "-CAfile", "db.crt", "-in", "loader.efi"];
    let (_, said) = run(here.path(), "osslsigncode", &verify);
    let digest = Pe::parse(&loader()).unwrap().authenticode_digest().unwrap();
    assert!(said.contains(&format!("Calculated message digest : {}", digest.hex().to_uppercase())), "{said}");
    assert!(said.contains("Signature verification: ok"), "{said}");
}

#[test]
fn the_digest_is_that_of_sbsign() {
    let here = files();
    fs::write(here.path().join("loader.efi"), loader()).unwrap();
    accepts(here.path(), "sbsign", &["--key", "db.key", "--cert", "db.crt", "loader.efi"]);
    let theirs = fs::read(here.path().join("loader.efi.signed")).unwrap();
    let signers = authenticode::verify(&theirs).unwrap();
    assert_eq!(signers.iter().map(common_name).collect::<Vec<_>>(), ["Basalt test db"]);
}

#[test]
fn a_changed_program_is_found_out() {
    let signed = authenticode::sign(&loader(), signer()).unwrap();
    let name = |program: &[u8]| {
        authenticode::verify(program).map(|signers| signers.iter().map(common_name).collect::<Vec<_>>())
    };
    assert_eq!(name(&signed).unwrap(), vec!["Basalt test db".to_owned()]);
    let mut changed = signed.clone();
    let text = Pe::parse(&signed).unwrap().section(".text").unwrap().raw.start;
    changed[text + 100] ^= 1;
    let error = name(&changed).unwrap_err().to_string();
    assert!(
        error.starts_with("it was changed after Basalt test db signed it: its digest is sha256:"),
        "{error}"
    );
    // What the signature itself says is covered, too.
    let message = signed.len() - 40;
    changed.clone_from(&signed);
    changed[message] ^= 1;
    assert!(name(&changed).is_err());
    assert_eq!(name(&loader()).unwrap(), Vec::<String>::new());
}

#[test]
fn signatures_are_deterministic_and_there_may_be_several() {
    let once = authenticode::sign(&loader(), signer()).unwrap();
    assert_eq!(once, authenticode::sign(&loader(), signer()).unwrap());
    let twice = authenticode::sign(&once, &keys()[1].0).unwrap();
    let signers = authenticode::verify(&twice).unwrap();
    assert_eq!(signers.iter().map(common_name).collect::<Vec<_>>(), ["Basalt test db", "somebody else"]);
    let here = files();
    fs::write(here.path().join("loader.efi"), twice).unwrap();
    for certificate in ["db.crt", "other.crt"] {
        accepts(here.path(), "sbverify", &["--cert", certificate, "loader.efi"]);
    }
}

/// systemd-boot stands in for the kernel: to an assembler, both are EFI programs.
#[test]
fn systemd_measure_signs_the_same_policies() {
    let stub = fs::read(trixie().join("usr/lib/systemd/boot/efi/linuxx64.efi.stub")).unwrap();
    let public = release::public_key_pem(signer().certificate()).unwrap();
    let kernel = loader();
    let parts = Sections {
        osrel: b"ID=basalt\n",
        cmdline: "roothash=0123",
        uname: "6.12",
        initrd: b"initramfs",
        linux: &kernel,
        pcrpkey: Some(public.as_bytes()),
        ..Sections::default()
    };
    let image = uki::assemble(&stub, &parts).unwrap();
    let ours = policy::sign(signer(), &uki::measure(&image).unwrap().predict()).unwrap();

    let here = tempfile::tempdir_in(trixie().join("tmp")).unwrap();
    let seen = Path::new("/tmp").join(here.path().file_name().unwrap());
    let at = |name: &str| seen.join(name).display().to_string();
    let pe = Pe::parse(&image).unwrap();
    let mut command = Command::new("chroot");
    command.arg(trixie()).args(["/usr/lib/systemd/systemd-measure", "sign", "--bank=sha256"]);
    for name in ["osrel", "cmdline", "uname", "initrd", "linux", "pcrpkey", "sbat"] {
        fs::write(here.path().join(name), pe.content(pe.section(&format!(".{name}")).unwrap())).unwrap();
        command.arg(format!("--{name}={}", at(name)));
    }
    for (name, content) in [("pcr.key", &keys()[0].1), ("pcr.pub", &public)] {
        fs::write(here.path().join(name), content).unwrap();
    }
    command.args(Phase::ALL.map(|phase| format!("--phase={}", phase.path())));
    command.arg(format!("--private-key={}", at("pcr.key"))).arg(format!("--public-key={}", at("pcr.pub")));
    let theirs = command.output().unwrap();
    assert!(theirs.status.success(), "{}", String::from_utf8_lossy(&theirs.stderr));
    let value = |bytes: &[u8]| serde_json::from_slice::<serde_json::Value>(bytes).unwrap();
    assert_eq!(value(ours.as_bytes()), value(&theirs.stdout));
}

#[test]
fn what_is_no_program_is_not_signed() {
    let refusal = |bytes: &[u8]| authenticode::sign(bytes, signer()).unwrap_err().to_string();
    assert_eq!(refusal(b"#!/bin/sh"), "it is no EFI program");
    assert_eq!(refusal(&loader()[..4000]), "it is no EFI program");
}

#[test]
fn efitools_writes_the_same_variables() {
    let here = files();
    accepts(here.path(), "cert-to-efi-sig-list", &["-g", &OWNER.to_string(), "db.crt", "db.esl"]);
    let certificate: &Certificate = signer().certificate();
    let lists = signature_lists(OWNER, &[certificate], &[]).unwrap();
    assert_eq!(lists, fs::read(here.path().join("db.esl")).unwrap());
    let sign = ["-t", "2026-01-01 00:00:00", "-g", &OWNER.to_string(), "-k", "db.key", "-c", "db.crt"];
    for (variable, file) in [(Variable::Pk, "PK.auth"), (Variable::Db, "db.auth")] {
        accepts(here.path(), "sign-efi-sig-list", &[&sign[..], &[variable.name(), "db.esl", file]].concat());
        let ours = authenticated(variable, &lists, signer(), VALID.from).unwrap();
        let theirs = fs::read(here.path().join(file)).unwrap();
        assert_eq!(ours, theirs, "{}", variable.name());
    }
}

#[test]
fn digests_of_programs_are_one_list() {
    let lists = signature_lists(OWNER, &[], &[Digest::of(b"a"), Digest::of(b"b")]).unwrap();
    assert_eq!(lists.len(), 28 + 2 * 48);
    let here = files();
    fs::write(here.path().join("dbx.esl"), &lists).unwrap();
    accepts(here.path(), "sig-list-to-certs", &["dbx.esl", "out"]);
}

#[test]
fn keys_are_kept_with_and_without_a_passphrase() {
    let key = PrivateKey::from_pem(&keys()[0].1, None).unwrap();
    let locked = key.to_pem(Some("correct horse")).unwrap();
    let refusal = |passphrase| PrivateKey::from_pem(&locked, passphrase).unwrap_err().to_string();
    assert_eq!(refusal(None), "it is encrypted, and there is no passphrase");
    assert_eq!(refusal(Some("wrong")), "the passphrase does not open it");
    let opened = PrivateKey::from_pem(&locked, Some("correct horse")).unwrap();
    assert_eq!(opened.to_pem(None).unwrap(), keys()[0].1);
    assert_eq!(format!("{key:?}"), "PrivateKey(…)");
    let here = files();
    fs::write(here.path().join("locked.key"), locked).unwrap();
    accepts(
        here.path(),
        "openssl",
        &["pkey", "-in", "locked.key", "-passin", "pass:correct horse", "-noout"],
    );
    accepts(here.path(), "openssl", &["verify", "-check_ss_sig", "-CAfile", "db.crt", "db.crt"]);
    let other = keys()[1].0.certificate().clone();
    let refusal = LocalKey::new(key, other).unwrap_err().to_string();
    assert_eq!(refusal, "the certificate of somebody else is not that of the key beside it");
    let refusal = PrivateKey::from_pem("no key", None).unwrap_err().to_string();
    assert_eq!(refusal, "it is no RSA key in PKCS #8 and PEM");
}
