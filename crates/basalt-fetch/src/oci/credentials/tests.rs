use std::{collections::BTreeMap, fs, os::unix::fs::PermissionsExt as _, path::Path};

use basalt_types::{ImageRef, RegistryRef};

use super::{Credential, Credentials, Variables};

fn registry(text: &str) -> RegistryRef {
    match text.parse() {
        Ok(ImageRef::Registry(found)) => found,
        other => panic!("{other:?}"),
    }
}

fn observe(variables: &[(&str, &Path)]) -> Credentials {
    let known: BTreeMap<&str, String> =
        variables.iter().map(|(name, path)| (*name, path.display().to_string())).collect();
    Credentials::observe(Variables::observe(&|name| known.get(name).cloned())).unwrap()
}

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn password(name: &str, password: &str) -> Option<Credential> {
    Some(Credential::Password { name: name.to_owned(), password: password.to_owned() })
}

#[test]
fn the_longest_prefix_of_a_repository_counts() {
    let home = tempfile::tempdir().unwrap();
    // a:1, b:2:3, c:4
    let text = r#"{"auths": {
        "r.example:5000": {"auth": "YTox"},
        "r.example:5000/team": {"auth": "YjoyOjM="},
        "https://index.docker.io/v1/": {"auth": "Yzo0"},
        "token.example": {"identitytoken": "t"}
    }}"#;
    write(&home.path().join(".docker/config.json"), text);
    let known = observe(&[("HOME", home.path())]);
    let find = |reference: &str| known.find(&registry(reference)).unwrap();
    assert_eq!(find("r.example:5000/x"), password("a", "1"));
    assert_eq!(find("r.example:5000/team/x"), password("b", "2:3"));
    assert_eq!(find("r.example:5000/teams/x"), password("a", "1"));
    assert_eq!(find("debian"), password("c", "4"));
    assert_eq!(find("token.example/x"), Some(Credential::Refresh("t".to_owned())));
    assert_eq!(find("r.example/x"), None);
    assert_eq!(password("a", "1").unwrap().basic().as_deref(), Some("Basic YTox"));
    assert!(!format!("{known:?}{:?}", find("r.example:5000/x")).contains("YTox"), "secrets are not shown");
}

#[test]
fn the_first_file_that_knows_wins_and_a_named_one_is_alone() {
    let home = tempfile::tempdir().unwrap();
    let run = home.path().join("run");
    write(&run.join("containers/auth.json"), r#"{"auths": {"r.example": {"auth": "YTox"}}}"#);
    write(&home.path().join(".docker/config.json"), r#"{"auths": {"r.example": {"auth": "Yzo0"}}}"#);
    let both = observe(&[("HOME", home.path()), ("XDG_RUNTIME_DIR", &run)]);
    assert_eq!(both.find(&registry("r.example/x")).unwrap(), password("a", "1"));
    let named = home.path().join("own.json");
    write(&named, "{}");
    let alone = observe(&[("HOME", home.path()), ("REGISTRY_AUTH_FILE", &named)]);
    assert_eq!(alone.find(&registry("r.example/x")).unwrap(), None);
}

#[test]
fn a_helper_is_asked() {
    let home = tempfile::tempdir().unwrap();
    let helper = home.path().join("docker-credential-fake");
    write(
        &helper,
        "#!/bin/sh\nread host\n[ \"$host\" = r.example ] || { echo credentials not found in store; exit 1; }\n\
         echo '{\"ServerURL\":\"r.example\",\"Username\":\"a\",\"Secret\":\"1\"}'\n",
    );
    fs::set_permissions(&helper, fs::Permissions::from_mode(0o755)).unwrap();
    write(
        &home.path().join(".docker/config.json"),
        r#"{"credsStore": "fake", "credHelpers": {"x.example": "none"}}"#,
    );
    let known = observe(&[("HOME", home.path()), ("PATH", home.path())]);
    assert_eq!(known.find(&registry("r.example/x")).unwrap(), password("a", "1"));
    assert_eq!(known.find(&registry("other.example/x")).unwrap(), None);
    let missing = known.find(&registry("x.example/x")).unwrap_err();
    assert_eq!(
        missing.to_string(),
        "the credential helper `docker-credential-none` gave nothing for `x.example`"
    );
}

#[test]
fn a_file_that_is_none_is_named() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join(".docker/config.json");
    let refusal = |text: &str| {
        write(&path, text);
        let home = home.path().display().to_string();
        let variables = Variables::observe(&|name| (name == "HOME").then(|| home.clone()));
        Credentials::observe(variables)
            .and_then(|known| known.find(&registry("r.example/x")))
            .unwrap_err()
            .to_string()
    };
    assert!(refusal("{").contains("config.json` can't be used: not JSON of that kind at line 1"));
    let bad = refusal(r#"{"auths": {"r.example": {"auth": "no base64!"}}}"#);
    assert!(bad.contains("the entry for `r.example` is not NAME:PASSWORD in base64"), "{bad}");
}
