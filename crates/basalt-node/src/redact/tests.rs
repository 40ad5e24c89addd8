use proptest::prelude::*;

use super::*;

#[track_caller]
fn check(text: &str, expected: &str) {
    let redactor = Redactor::new(["known secret".to_owned(), "a".to_owned()]);
    let once = redactor.text(text);
    assert_eq!(once, expected);
    assert_eq!(redactor.text(&once), once, "twice");
}

#[test]
fn secrets_are_taken_out_and_the_rest_stays() {
    for (text, expected) in [
        ("passwordHash: $6$salt$abcdefghijkl\n", "passwordHash: <redacted>\n"),
        ("admin:$y$j9T$abcdefgh$ijklmnop:19000:0:::", "admin:<redacted>:19000:0:::"),
        ("hash $2b$12$abcdefghijklmnop was read", "hash <redacted> was read"),
        ("token=abc next", "token=<redacted> next"),
        ("K3S_TOKEN='a b' x", "K3S_TOKEN='<redacted>' x"),
        (r#"{"apiKey": "a\"b", "n": 1}"#, r#"{"apiKey": "<redacted>", "n": 1}"#),
        ("{name: x, passphrase: hunter two}\n", "{name: x, passphrase: <redacted>}\n"),
        ("Authorization: Bearer abc.def\r\n", "Authorization: <redacted>\r\n"),
        ("PrivateKey = aGVsbG8=\n", "PrivateKey = <redacted>\n"),
        ("run --password hunter2 --verbose", "run --password <redacted> --verbose"),
        (
            "GET https://me:pw@x.example/a?token=b&c=&d HTTP/1.1",
            "GET https://<redacted>@x.example/a?token=<redacted>&c=&d HTTP/1.1",
        ),
        ("ftp://me@x/y", "ftp://<redacted>@x/y"),
        ("the known secret is a word", "the <redacted> is a word"),
        ("a ghp_0123456789abcdef0123 b", "a <redacted> b"),
        ("K10abcdef0123456789abcdef::server:0123 x", "<redacted> x"),
        ("x eyJhbGciOiJI.eyJzdWIiOiIx.c2lnbmF0dXJl", "x <redacted>"),
        (
            "a\n-----BEGIN OPENSSH PRIVATE KEY-----\nb3Bl\n-----END OPENSSH PRIVATE KEY-----\nb",
            "a\n<redacted>\nb",
        ),
        (r#""-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----\n", 1"#, r#""<redacted>\n", 1"#),
        ("-----BEGIN RSA PRIVATE KEY-----\ncut", "<redacted>"),
    ] {
        check(text, expected);
    }
}

#[test]
fn what_is_no_secret_is_not_touched() {
    for text in [
        "Started systemd-ask-password-console.path - Dispatch Password Requests to Console.\n",
        "sshd[1]: Accepted password for admin from 192.0.2.1 port 22 ssh2\n",
        "-----BEGIN CERTIFICATE-----\nMIIE\n-----END CERTIFICATE-----\n",
        "roothash=0123456789abcdef console=ttyS0 basalt.node.hostname=edge\n",
        "http://127.0.0.1:8080/healthz answered 200\n",
        "cost $5 and $6, or $1$\n",
        "token: <redacted>\n",
        "tokens: 17\n",
        "kernel: Command line: a=b\n",
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ0 me@laptop\n",
        "passphrase:\n  - next line\n",
        "passwd::name\n",
        "K10 eyJ ghp_ short\n",
        "ümläut \u{1F600} = ß\n",
    ] {
        check(text, text);
    }
}

proptest! {
    /// A secret that somebody plants in one of these forms is not in what comes out.
    #[test]
    fn a_planted_secret_is_gone(secret in "[A-Za-z0-9+/]{12,40}", form in 0usize..9, before in "[ -~]{0,20}", after in "[ -~]{0,20}") {
        let planted = match form {
            0 => format!("\npassword={secret} "),
            1 => format!("\ntoken: {secret}\n"),
            2 => format!("\n\"client_secret\": \"{secret}\""),
            3 => format!("\nhttps://user:{}@x.example/", secret.replace('/', "_")),
            4 => format!("\n$6$saltsalt${secret}\n"),
            5 => format!("\n-----BEGIN EC PRIVATE KEY-----\n{secret}\n-----END EC PRIVATE KEY-----\n"),
            6 => format!("\nprog --token {secret}\n"),
            7 => format!("\nhttps://x.example/a?sig={secret}\n"),
            _ => format!("\nX-Auth-Token: {secret}\n"),
        };
        let secret = if form == 3 { secret.replace('/', "_") } else { secret };
        let out = Redactor::default().text(&format!("{before}{planted}{after}"));
        prop_assert!(!out.contains(&secret), "{}", out);
    }

    #[test]
    fn any_text_is_taken(text: String) {
        let redactor = Redactor::default();
        let once = redactor.text(&text);
        prop_assert_eq!(redactor.text(&once), once);
    }
}
