//! Each cloud with the answers in the form that it gives them, over HTTP or on a volume, and one that is not what it should be.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader, Write as _},
    net::TcpListener,
    path::Path,
    thread,
};

use basalt_node::cloud::{Cloud, Instance};

use super::{DatasourceError, ask, clouds, leave, volume::Volume};

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ0 me@laptop";

/// Answers requests that have this header, by method and path; 404 to others, 401 without the header. Until the test ends.
fn service(header: Option<&'static str>, answers: &[(&str, &str)]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let owned = answers.iter().map(|(ask, answer)| ((*ask).to_owned(), (*answer).to_owned()));
    let answers: BTreeMap<String, String> = owned.collect();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            let asked = lines.next().unwrap().unwrap();
            let headers: Vec<String> =
                lines.map(Result::unwrap).take_while(|line| !line.is_empty()).collect();
            let asked = asked.strip_suffix(" HTTP/1.1").unwrap();
            let allowed = header.is_none_or(|header| {
                asked.starts_with("PUT") || headers.iter().any(|line| line.eq_ignore_ascii_case(header))
            });
            let (status, body) = match answers.get(asked) {
                _ if !allowed => ("401 Unauthorized", ""),
                Some(body) => ("200 OK", body.as_str()),
                None => ("404 Not Found", "<html>no such thing</html>"),
            };
            let length = body.len();
            write!(
                stream,
                "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
            )
            .unwrap();
        }
    });
    base
}

fn instance(hostname: &str, keys: usize, user_data: &str) -> Instance {
    Instance {
        hostname: Some(hostname.to_owned()),
        keys: vec![KEY.to_owned(); keys],
        user_data: (!user_data.is_empty()).then(|| user_data.to_owned()),
    }
}

const USER_DATA: &str = "#cloud-config\ntimezone: Europe/Rome\n";

#[test]
fn ec2_gives_a_token_first() {
    let answers = [
        ("PUT /latest/api/token", "secret-token"),
        ("GET /latest/meta-data/local-hostname", "ip-10-0-0-1.eu-south-1.compute.internal"),
        ("GET /latest/meta-data/public-keys/", "0=my-key"),
        ("GET /latest/meta-data/public-keys/0/openssh-key", KEY),
        ("GET /latest/user-data", USER_DATA),
    ];
    let base = service(Some("X-aws-ec2-metadata-token: secret-token"), &answers);
    let wanted = instance("ip-10-0-0-1.eu-south-1.compute.internal", 1, USER_DATA);
    assert_eq!(ask(Cloud::Ec2, &base).unwrap(), wanted);
    // A service without tokens is an older one, or somebody else.
    let old = service(None, &answers[1..]);
    assert!(matches!(ask(Cloud::Ec2, &old).unwrap_err(), DatasourceError::Status { status: 404, .. }));
}

#[test]
fn gce_has_keys_of_the_instance_and_of_the_project() {
    let keys = format!("me:{KEY}\n");
    let base = service(
        Some("Metadata-Flavor: Google"),
        &[
            ("GET /computeMetadata/v1/instance/hostname", "vm.c.project.internal"),
            ("GET /computeMetadata/v1/instance/attributes/ssh-keys", &keys),
            ("GET /computeMetadata/v1/project/attributes/ssh-keys", &keys),
        ],
    );
    assert_eq!(ask(Cloud::Gce, &base).unwrap(), instance("vm.c.project.internal", 2, ""));
    let closed = service(Some("Metadata-Flavor: Other"), &[]);
    assert!(matches!(ask(Cloud::Gce, &closed).unwrap_err(), DatasourceError::Status { status: 401, .. }));
}

#[test]
fn azure_gives_one_document() {
    let path = "GET /metadata/instance?api-version=2021-02-01";
    let text = format!(
        r#"{{"compute": {{"name": "vm", "osProfile": {{"computerName": "node-1", "adminUsername": "x"}}, "vmSize": "B1",
        "publicKeys": [{{"keyData": "{KEY}", "path": "/home/x/.ssh/authorized_keys"}}], "userData": "I2Nsb3VkLWNvbmZpZwp0aW1lem9uZTogRXVyb3BlL1JvbWUK"}}, "network": {{}}}}"#
    );
    let base = service(Some("Metadata: true"), &[(path, &text)]);
    assert_eq!(ask(Cloud::Azure, &base).unwrap(), instance("node-1", 1, USER_DATA));
    let broken = service(None, &[(path, &text.replace("I2Nsb3", "?"))]);
    assert_eq!(ask(Cloud::Azure, &broken).unwrap_err().to_string(), "userData is not UTF-8 text");
}

const META_DATA: &str = r#"{"uuid": "d8e0", "hostname": "node-1.novalocal", "name": "node-1", "launch_index": 0,
    "public_keys": {"mine": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ0 me@laptop"}}"#;

#[test]
fn open_stack_answers_over_http_and_on_a_volume() {
    let wanted = instance("node-1.novalocal", 1, USER_DATA);
    let base = service(
        None,
        &[
            ("GET /openstack/latest/meta_data.json", META_DATA),
            ("GET /openstack/latest/user_data", USER_DATA),
        ],
    );
    assert_eq!(ask(Cloud::OpenStack, &base).unwrap(), wanted);
    let place = tempfile::tempdir().unwrap();
    write(place.path(), "openstack/latest/meta_data.json", META_DATA);
    write(place.path(), "openstack/latest/user_data", USER_DATA);
    assert_eq!(clouds::open_stack(&Volume::folder(place.path())).unwrap(), wanted);
    write(place.path(), "openstack/latest/meta_data.json", "<html>");
    let error = clouds::open_stack(&Volume::folder(place.path())).unwrap_err();
    assert_eq!(error.to_string(), "/openstack/latest/meta_data.json can't be understood");
}

#[test]
fn hetzner_lists_keys_in_json() {
    let keys = format!("[\"{KEY}\"]");
    let answers = [
        ("GET /hetzner/v1/metadata/hostname", "node-1"),
        ("GET /hetzner/v1/metadata/public-keys", keys.as_str()),
        ("GET /hetzner/v1/userdata", USER_DATA),
    ];
    assert_eq!(ask(Cloud::Hetzner, &service(None, &answers)).unwrap(), instance("node-1", 1, USER_DATA));
    let error = ask(Cloud::Hetzner, &service(None, &answers[1..])).unwrap_err();
    assert_eq!(error.to_string(), "/hetzner/v1/metadata/hostname is answered with status 404");
}

#[test]
fn digital_ocean_gives_one_document() {
    let text = format!(
        r#"{{"droplet_id": 1, "hostname": "node-1", "public_keys": ["{KEY}"], "user_data": "", "region": "fra1"}}"#
    );
    let base = service(None, &[("GET /metadata/v1.json", &text)]);
    let wanted = Instance { user_data: Some(String::new()), ..instance("node-1", 1, "") };
    assert_eq!(ask(Cloud::DigitalOcean, &base).unwrap(), wanted);
    let broken = service(None, &[("GET /metadata/v1.json", "[]")]);
    assert!(matches!(ask(Cloud::DigitalOcean, &broken).unwrap_err(), DatasourceError::Json { .. }));
}

#[test]
fn no_cloud_is_two_files() {
    let place = tempfile::tempdir().unwrap();
    let volume = Volume::folder(place.path());
    assert!(clouds::no_cloud(&volume).is_err(), "no meta-data, no NoCloud");
    write(
        place.path(),
        "meta-data",
        &format!("instance-id: iid-1\nlocal-hostname: node-1\npublic-keys:\n  - {KEY}\n"),
    );
    write(place.path(), "user-data", USER_DATA);
    assert_eq!(clouds::no_cloud(&volume).unwrap(), instance("node-1", 1, USER_DATA));
    write(place.path(), "meta-data", "");
    assert_eq!(clouds::no_cloud(&volume).unwrap().hostname, None);
    write(place.path(), "meta-data", "local-hostname: [a]\n");
    assert_eq!(clouds::no_cloud(&volume).unwrap_err().to_string(), "/meta-data can't be understood");
}

#[test]
fn documents_are_left_where_the_machine_reads_them() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("run/node.d");
    leave(Cloud::Hetzner, &instance("node-1", 1, USER_DATA), &folder).unwrap();
    let mut names: Vec<_> =
        std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["50-hetzner.yaml", "60-hetzner-user-data.yaml"]);
    let refused = leave(Cloud::Hetzner, &instance("node-1", 0, "#!/bin/sh\n"), &place.path().join("other"));
    assert_eq!(refused.unwrap_err().to_string(), "the user data can't be followed");
    assert!(!place.path().join("other").exists(), "half of a configuration is none");
}

fn write(folder: &Path, name: &str, text: &str) {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}
