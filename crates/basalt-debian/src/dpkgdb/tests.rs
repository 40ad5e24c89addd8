use super::{Unpacked, files};
use crate::{archive::ControlFile, unpack::Unpackable};

fn file(name: &str, text: &str) -> ControlFile {
    ControlFile { name: name.to_owned(), mode: 0o755, mtime: 9, bytes: text.as_bytes().to_vec() }
}

#[test]
fn the_database_says_what_was_unpacked() {
    let library = Unpackable::parse(
        "l.deb",
        vec![
            file(
                "control",
                "Package: libx\nVersion: 1\nArchitecture: amd64\nMulti-Arch: same\nDescription: x\n long",
            ),
            file("conffiles", "/etc/z\n/etc/a\n"),
            file(
                "triggers",
                "# by hand\ninterest-noawait /usr/share/x\ninterest x-cache\nactivate ldconfig\n",
            ),
        ],
    )
    .unwrap();
    let paths = [b"".to_vec(), b"etc".to_vec(), b"etc/z".to_vec()];
    let made = files("amd64", &[Unpacked { package: &library, paths: &paths }]);
    let shown: Vec<String> = made
        .iter()
        .map(|file| {
            format!(
                "{} {:o} {:?} {:?}",
                file.path,
                file.mode,
                file.mtime,
                String::from_utf8_lossy(&file.bytes)
            )
        })
        .collect();
    insta::assert_snapshot!(shown.join("\n"), @r##"
    status 644 None "Package: libx\nVersion: 1\nArchitecture: amd64\nMulti-Arch: same\nDescription: x\n long\nStatus: install ok unpacked\nConffiles:\n /etc/z newconffile\n /etc/a newconffile\n\n"
    info/format 644 None "1\n"
    arch 644 None "amd64\n"
    info/libx:amd64.list 644 None "/.\n/etc\n/etc/z\n"
    info/libx:amd64.conffiles 755 Some(9) "/etc/z\n/etc/a\n"
    info/libx:amd64.triggers 755 Some(9) "# by hand\ninterest-noawait /usr/share/x\ninterest x-cache\nactivate ldconfig\n"
    triggers/x-cache 644 None "libx:amd64\n"
    triggers/File 644 None "/usr/share/x libx:amd64/noawait\n"
    triggers/Unincorp 644 None ""
    "##);
}
