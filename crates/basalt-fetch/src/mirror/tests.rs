use std::path::Path;

use super::*;

const SOURCES: &str = "Types: deb\n# a comment\nURIs: http://one.example/debian/\nSuites: bookworm bookworm-updates\n\
    Components: main\nSigned-By: /usr/share/keyrings/debian-archive-keyring.gpg\n\nTypes: deb deb-src\nURIs: \
    http://two.example/debian-security\nSuites: bookworm-security\nComponents: main\n\nTypes: deb\nURIs: \
    http://off.example/debian\nSuites: trixie\nComponents: main\nEnabled: no\n";

fn facts() -> Facts {
    let list = "deb [arch=amd64 signed-by=/etc/other.gpg] http://third.example/x stable main # no\n\
        deb-src http://src.example/debian trixie main\n";
    let mut sources = parse_list(list, Path::new("a.list")).unwrap();
    sources.extend(parse_sources(SOURCES, Path::new("debian.sources")).unwrap());
    Facts { sources, ..Facts::default() }
}

fn chosen(facts: &Facts, recipe: Option<&str>, suite: &str) -> String {
    choose(facts, recipe, suite).unwrap().url
}

#[test]
fn the_recipe_comes_before_the_environment_before_apt() {
    let mut facts = facts();
    assert_eq!(chosen(&facts, None, "trixie"), "http://one.example/debian");
    assert_eq!(chosen(&facts, None, "trixie-security"), "http://two.example/debian-security");
    facts.mirror = Some("http://env.example/debian/".into());
    assert_eq!(chosen(&facts, None, "trixie"), "http://env.example/debian");
    assert_eq!(chosen(&facts, None, "trixie-security"), "http://env.example/debian-security");
    let mirror = choose(&facts, Some("file:///srv/debian"), "sid").unwrap();
    assert_eq!(mirror, Mirror { url: "file:///srv/debian".into(), from: Provenance::Recipe });
}

#[test]
fn a_host_without_debian_sources_is_told_what_to_set() {
    let mut facts = facts();
    facts.sources.truncate(1);
    assert_eq!(
        choose(&facts, None, "trixie").unwrap_err().to_string(),
        "no mirror of Debian is known for `trixie`: set `base.debian.mirror` in the recipe, or \
         BASALT_DEBIAN_MIRROR in the environment, to the URL of a Debian archive (the folder that has `dists` in it)"
    );
}

#[test]
fn snapshots_have_their_own_layout() {
    let mut facts = facts();
    let stamp = "20260912T080000Z";
    assert_eq!(
        snapshot(&facts, None, "trixie", stamp).unwrap_err().to_string(),
        "no snapshot service is known for `snapshot: 20260912T080000Z`: set `base.debian.mirror` in the recipe, or \
         BASALT_DEBIAN_SNAPSHOT in the environment, to its root (the folder that has `archive` in it)"
    );
    facts.snapshot = Some("http://snap.example".into());
    let url = |suite| snapshot(&facts, None, suite, stamp).unwrap().url;
    assert_eq!(url("trixie"), "http://snap.example/archive/debian/20260912T080000Z");
    assert_eq!(url("trixie-security"), "http://snap.example/archive/debian-security/20260912T080000Z");
    assert_eq!(
        snapshot(&facts, None, "trixie", "yesterday").unwrap_err().to_string(),
        "`yesterday` is not a snapshot: expected a UTC time such as 20260912T080000Z"
    );
}

#[test]
fn apt_configuration_is_read_in_both_forms() {
    let text = "// one\nAcquire::http::Proxy \"http://p.example:3142\"; # two\n/* three\n */ Acquire {\n https { Proxy \
        \"http://s.example\"; };\n http::Proxy::one.example \"DIRECT\"; };\nAPT::Architectures { \"amd64\"; };\n";
    let options = parse_conf(text).unwrap();
    assert_eq!(
        apt_proxies(&options),
        Proxies {
            http: Some("http://p.example:3142".into()),
            https: Some("http://s.example".into()),
            none: vec!["one.example".into()]
        }
    );
    assert_eq!(parse_conf("a {\n b \"c\";").unwrap_err(), ConfError::Braces(2));
    assert_eq!(
        parse_conf("\na \"b;").unwrap_err().to_string(),
        "a string or comment that begins on line 2 does not end"
    );
}

#[test]
fn the_environment_comes_before_apt_for_proxies() {
    let variable = |name: &str| match name {
        "http_proxy" => Some("http://env.example:8080".to_owned()),
        "no_proxy" => Some("localhost, .internal".to_owned()),
        _ => None,
    };
    let apt = Proxies { http: Some("http://apt".into()), https: Some("http://apt".into()), none: Vec::new() };
    let proxies = Proxies::from_variables(&variable).or(apt);
    assert_eq!(proxies.http.as_deref(), Some("http://env.example:8080"));
    assert_eq!(proxies.https.as_deref(), Some("http://apt"));
    assert!(
        proxies.excludes("localhost:8000")
            && proxies.excludes("a.internal")
            && !proxies.excludes("internals")
    );
}

#[test]
fn a_host_is_observed_from_its_files() {
    let root = tempfile::tempdir().unwrap();
    let apt = root.path().join("etc/apt");
    fs::create_dir_all(apt.join("sources.list.d")).unwrap();
    fs::create_dir_all(apt.join("apt.conf.d")).unwrap();
    fs::write(apt.join("sources.list.d/debian.sources"), SOURCES).unwrap();
    fs::write(apt.join("sources.list.d/ignored.save"), "nonsense").unwrap();
    fs::write(apt.join("apt.conf.d/01proxy"), "Acquire::http::Proxy \"http://p.example\";").unwrap();
    let facts = observe(root.path(), &|_| None).unwrap();
    assert_eq!(facts.sources.len(), 2);
    assert_eq!(facts.proxies.http.as_deref(), Some("http://p.example"));
    fs::write(apt.join("sources.list"), "rpm x\n").unwrap();
    let error = observe(root.path(), &|_| None).unwrap_err();
    let path = apt.join("sources.list");
    assert_eq!(error.to_string(), format!("`{}` is not a list of apt sources", path.display()));
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert_eq!(cause, "line 1 is not `deb [options] uri suite component...`: `rpm x`");
}
