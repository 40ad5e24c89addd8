use std::{fmt::Display, str::FromStr};

use super::*;
use crate::words::WordError;

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
fn addresses() {
    check::<MacAddress>(
        &["52:54:00:12:34:56", "AA:54:00:12:34:56"],
        &["", "52:54:00:12:34", "52-54-00-12-34-56", "52:54:00:12:34:5g", "5254:00:12:34:56:78"],
    );
    check::<IpAddress>(
        &["192.0.2.1", "2001:db8::1"],
        &["", "192.0.2", "192.0.2.256", "host", "192.0.2.1/24"],
    );
    check::<CidrAddress>(
        &["192.0.2.10/24", "2001:db8::10/64", "0.0.0.0/0"],
        &["", "192.0.2.10", "192.0.2.10/33", "2001:db8::/129", "192.0.2.10/+4", "192.0.2.10/", "x/8"],
    );
    check::<RouteTarget>(&["default", "10.0.0.0/8"], &["", "any", "10.0.0.0"]);
}

#[test]
fn network_names() {
    check::<InterfaceName>(
        &["eth0", "en.5", "br-lan", "_x"],
        &["", "sixteen-letters-", "a b", "a/b", "a:b", "eth%d", "en*", ".", "-a", "42", "all", "default"],
    );
    check::<InterfacePattern>(&["en*", "eth[0-9]", "lan0"], &["", "a b", "!en*", "a/b"]);
    check::<DomainName>(&["example.org", "~example.org", "~.", "lan"], &["", "~", "a b", "-a.org", "a..b"]);
    check::<DnsServer>(
        &["9.9.9.9", "2001:db8::1", "9.9.9.9#dns.example.org"],
        &["", "dns.example.org", "9.9.9.9#", "9.9.9.9:53x"],
    );
    check::<NtpServer>(&["0.pool.example.org", "192.0.2.1"], &["", "a b", "http://x"]);
    check::<HttpUrl>(
        &["http://proxy.example:3128", "https://example.org/keys?x=1"],
        &[
            "",
            "proxy.example:3128",
            "ftp://x",
            "http://",
            "http:///x",
            "https://a b",
            "https://x\"y",
            "http://x/$(id)",
        ],
    );
    check::<HostPort>(
        &["127.0.0.1:6443", "[::1]:22", "db.example.org:5432"],
        &["", "host", "host:0", "host:65536", "::1:22", "[127.0.0.1]:1"],
    );
}

#[test]
fn times() {
    check::<Span>(
        &["90s", "10m", "1h", "7d", "0s"],
        &["", "10", "m", "1w", "1.5h", "-1s", "99999999999s", "1m30s"],
    );
    assert_eq!("120s".parse::<Span>().map(|span| span.to_string()).as_deref(), Ok("2m"));
    assert_eq!("2h".parse::<Span>().map(|span| span.duration().as_secs()), Ok(7200));
    check::<Window>(
        &[
            "Sun 02:00-04:00 Europe/Rome",
            "Mon-Fri 22:00-05:00",
            "daily 03:00-04:00",
            "Mon,Wed,Fri 00:00-23:59 UTC",
        ],
        &[
            "",
            "Sun",
            "Sun 02:00",
            "sun 02:00-04:00",
            "Sun 2:00-4:00",
            "Sun 24:00-25:00",
            "Sun 02:00-02:00",
            "Sun  02:00-04:00",
            "Sun 02:00-04:00 ../x",
            "Sun 02:60-04:00",
        ],
    );
    check::<Track>(&["x", "1.x", "1.2.x"], &["", "1", "1.2", "1x", ".x", "1..x", "x.1", "latest", "1.X"]);
}

#[test]
fn system() {
    check::<ItemName>(&["web", "10-first", "a.b"], &["", "Web", "-a", "a b", "a_b"]);
    check::<SysctlName>(
        &["net.ipv4.ip_forward", "net/ipv4/conf/eth0.5/forwarding", "net.ipv4.conf.*.rp_filter"],
        &["", "vm", "net..x", "a b.c", "a=b.c", "../x"],
    );
    check::<SysctlValue>(
        &["1", "4096 87380 6291456", "|/usr/lib/systemd/systemd-coredump %P"],
        &["", "1\n2", " 1"],
    );
    check::<ModuleName>(&["br_netfilter", "8021q", "snd-dummy"], &["", "a b", "../x", "x.ko", "_x"]);
    check::<DevicePath>(
        &["/dev/sda", "/dev/disk/by-id/nvme-x"],
        &["", "/dev", "/dev/", "sda", "/etc/x", "/dev/../x", "/dev/a b"],
    );
    check::<MountSource>(
        &["/dev/sda1", "LABEL=data", "nas.example:/srv", "tmpfs"],
        &["", "a b", "LABEL=", "x#y"],
    );
    check::<FileSystemType>(&["ext4", "fuse.sshfs"], &["", "EXT4", "a b"]);
    check::<MountOption>(&["noatime", "x-systemd.automount", "size=50%"], &["", "a,b", "a b"]);
    check::<EnvironmentName>(&["K3S_TOKEN", "_x"], &["", "1x", "a-b", "a=b"]);
    check::<Pattern>(&["Samsung*", "a b"], &["", " a", "a\tb"]);
    check::<Base64>(&["", "aGk=", "aG\nk="], &["aGk", "a!k="]);
    assert_eq!("aG k=\n".parse::<Base64>().map(|word| word.bytes()), Ok(b"hi".to_vec()));
}

#[test]
fn sources_of_keys() {
    check::<KeySource>(
        &["ssh-ed25519 AAAAC3 me@host", "github:someone", "gitlab:some.one", "https://example.org/keys"],
        &["", "github:", "github:a/b", "gitea:x", "http://example.org/keys", "AAAAC3"],
    );
    assert!(matches!("github:x".parse(), Ok(KeySource::GitHub(_))));
    assert!(matches!("gitlab:x".parse(), Ok(KeySource::GitLab(_))));
}

#[test]
fn a_secret_is_never_shown() {
    let secret: Secret = serde_json::from_str("\"hunter2\"").unwrap();
    assert_eq!(secret.reveal(), "hunter2");
    assert_eq!(
        format!("{secret:?} {}", serde_json::to_string(&secret).unwrap()),
        "<redacted> \"<redacted>\""
    );
    for bad in ["\"\"", "\"a\\nhunter2\"", "\"<redacted>\""] {
        let error = serde_json::from_str::<Secret>(bad).unwrap_err().to_string();
        assert!(!error.contains("hunter2"), "{error}");
    }
}

#[test]
fn patterns_match_as_people_expect() {
    for (pattern, text, expected) in [
        ("Samsung*", "SAMSUNG SSD 870", true),
        ("*870", "Samsung SSD 870 ", true),
        ("*SSD*", "Samsung SSD 870", true),
        ("S*8*0", "Samsung SSD 870", true),
        ("Samsung", "Samsung SSD", false),
        ("1.2.*", "1.2.3", true),
        ("*", "", true),
        ("a*a", "a", false),
        ("ab*b", "ab", false),
    ] {
        let matches = pattern.parse::<Pattern>().unwrap().matches(text);
        assert_eq!(matches, expected, "{pattern} {text}");
    }
}
