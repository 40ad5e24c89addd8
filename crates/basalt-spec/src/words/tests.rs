use std::{fmt::Display, str::FromStr};

use super::*;

/// Each good word prints as it was written; each bad one is refused.
fn check<T>(good: &[&str], bad: &[&str])
where
    T: FromStr<Err = WordError> + Display + std::fmt::Debug,
{
    for text in good {
        assert_eq!(text.parse::<T>().map(|word| word.to_string()).as_deref(), Ok(*text));
    }
    for text in bad {
        let error = text.parse::<T>().unwrap_err();
        assert!(error.to_string().contains("expected"), "{error}");
    }
}

#[test]
fn paths() {
    check::<AbsolutePath>(
        &["/etc/motd", "/a b", "/ü"],
        &["", "/", "etc", "/a/", "//a", "/a/../b", "/./a", "/a\nb", "/a\0"],
    );
    check::<RelativePath>(&["a", "./a/b.txt"], &["", ".", "..", "/a", "../a", "a/../../b", "a//b", "a/"]);
}

#[test]
fn accounts() {
    check::<UserName>(&["admin", "_apt", "a-b_1"], &["", "Admin", "1a", "a b", "a:b", "root\n", "-a"]);
    check::<UnixMode>(&["0644", "4755", "0000"], &["", "8", "0888", "rw-r--r--", "00644", "-644"]);
    assert_eq!("755".parse::<UnixMode>().map(|mode| mode.bits()), Ok(0o755));
    check::<Owner>(
        &["root:adm", "0:0", "_apt:nogroup", "systemd-network:1000"],
        &["", ":", "a:", ":b", "a:b:c", "a b:c"],
    );
    assert_eq!("admin".parse::<Owner>().map(|owner| owner.to_string()).as_deref(), Ok("admin:admin"));
    check::<PasswordHash>(
        &["$y$j9T$salt$hashhash", "$6$salt$hashhash"],
        &["", "secret", "$6$", "*", "!", "$6$salt$ha:sh", "$6$salt\n$x"],
    );
    check::<SshKey>(
        &[
            "ssh-ed25519 AAAAC3 me@host",
            "restrict,command=\"x\" ssh-rsa AAAAB3",
            "sk-ssh-ed25519@openssh.com AAAAG",
        ],
        &[
            "",
            "ssh-ed25519",
            "AAAAC3",
            "ssh-ed25519 AAAAC3\nssh-rsa AAAA",
            "-----BEGIN OPENSSH PRIVATE KEY-----",
        ],
    );
}

#[test]
fn system() {
    check::<Hostname>(
        &["edge", "edge-1.example.org", "7"],
        &["", "-a", "a-", "a..b", "a_b", ".a", &"a".repeat(65)],
    );
    check::<UnitName>(
        &["ssh.service", "getty@tty1.service", "dev-disk-by\\x2did.swap", "a@.timer"],
        &["", "ssh", ".service", "a b.service", "../x.service", "ssh.servic", "@x.service"],
    );
    check::<LocaleName>(
        &["C", "POSIX", "C.UTF-8", "it_IT.UTF-8", "de_DE@euro", "sr_RS.UTF-8@latin"],
        &["", "italian", "it-IT", "IT_it", "it_IT.", "../it"],
    );
    check::<Timezone>(
        &["UTC", "Etc/GMT+1", "Europe/Rome", "America/Argentina/Ushuaia"],
        &["", "/etc", "../x", "Europe/", "Europe/ Rome"],
    );
    check::<Keymap>(&["us", "de-latin1"], &["", "US", "a/b"]);
    check::<KernelArg>(
        &["quiet", "console=ttyS0,115200n8", "systemd.log_level=debug", "basalt.reboot_delay=3"],
        &["", "a b", "roothash=0", "root=/dev/sda", "rw", "init=/bin/sh", "x=\"y\"", "--", "gpt"],
    );
    assert_eq!(UnitName::template(&"a@b.service".parse().unwrap()), Some(("a@.service".to_owned(), "b")));
}

#[test]
fn packages() {
    check::<PackageName>(&["apt", "libstdc++6", "g++", "0ad"], &["", "a", "Apt", "-a", "a_b", "a b"]);
    check::<PackageVersion>(&["1.0", "2:1.2-3~deb13u1", "6.12.48+1"], &["", ":1", "x:1", "1 2", "1/2"]);
    check::<PackageSpec>(
        &["vim", "nginx=1.26.3-3", "./a_1_amd64.deb", "pool/a.deb"],
        &["", "vim=", "=1", "vim = 1", "vim>=1", "./a.rpm", "/abs/a.deb", "../a.deb"],
    );
    check::<SnapshotTime>(
        &["20260801T000000Z"],
        &[
            "",
            "2026-08-01",
            "20260801",
            "20261301T000000Z",
            "20260801T250000Z",
            "20260801T000000z",
            "+0260801T000000Z",
        ],
    );
    check::<RepositoryUrl>(
        &["http://mirror.example/debian", "https://[::1]:80/debian/", "file:///srv/debian"],
        &["", "ftp://x/", "http://", "http:///x", "mirror.example", "http://a b/", "http://a/?q"],
    );
    check::<Suite>(&["trixie", "sid", "trixie-backports"], &["", "Trixie", "a/b", "../a"]);
    check::<Fingerprint>(&[&"A".repeat(40)], &["", &"a".repeat(40), &"A".repeat(41)]);
}

#[test]
fn our_own_constants_are_words() {
    let words = [
        (Suite::trixie().to_string().parse::<Suite>().is_ok(), "suite"),
        (Component::main().to_string().parse::<Component>().is_ok(), "component"),
        (LocaleName::c_utf8().to_string().parse::<LocaleName>().is_ok(), "locale"),
        (Timezone::utc().to_string().parse::<Timezone>().is_ok(), "time zone"),
    ];
    assert!(words.iter().all(|(good, _)| *good), "{words:?}");
    for name in ["edge", "a.", "a-", "a-.-b", "a..b"] {
        let hostname = Hostname::of_image(&name.parse().unwrap());
        assert!(hostname.as_str().parse::<Hostname>().is_ok(), "{hostname}");
    }
}
