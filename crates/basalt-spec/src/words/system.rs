use basalt_types::ImageName;

use crate::words::{shaped, text_word};

text_word!(
    /// A host name (hostname(7), RFC 1123): labels of letters, digits and `-`, separated by dots, at most 64 in all
    /// because that is what Linux keeps.
    Hostname,
    "a host name",
    "labels of letters, digits and `-`, separated by `.`, at most 64 characters",
    "^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*$",
    |text| {
        text.len() <= 64
            && text.split('.').all(|label| {
                let inner = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
                shaped(label, 63, |b| b.is_ascii_alphanumeric(), inner) && !label.ends_with('-')
            })
    }
);

text_word!(
    /// The name of a systemd unit with its suffix (systemd.unit(5)), such as `ssh.service` or `getty@tty1.service`.
    UnitName,
    "a unit name",
    "a systemd unit with its suffix, such as `ssh.service` or `getty@tty1.service`",
    "^[A-Za-z0-9:_.\\\\@-]+\\.(service|socket|target|timer|path|mount|automount|swap|slice|scope|device)$",
    |text| {
        let stem = text.rsplit_once('.').filter(|(_, kind)| UnitName::KINDS.contains(kind));
        let allowed =
            |b: u8| b.is_ascii_alphanumeric() || matches!(b, b':' | b'_' | b'.' | b'\\' | b'@' | b'-');
        stem.is_some_and(|(stem, _)| shaped(stem, 200, allowed, allowed) && !stem.starts_with('@'))
    }
);

text_word!(
    /// A locale (setlocale(3)), such as `C.UTF-8` or `it_IT.UTF-8`.
    LocaleName,
    "a locale",
    "`C.UTF-8`, or a language, country and character set such as `it_IT.UTF-8`",
    "^(C|POSIX|C\\.(UTF-8|utf8)|[a-z]{2,3}(_[A-Z]{2})?(\\.[A-Za-z0-9-]+)?(@[a-z]+)?)$",
    |text| {
        let (text, modifier) = text.split_once('@').unwrap_or((text, "x"));
        let (place, charset) = text.split_once('.').unwrap_or((text, "x"));
        let (language, country) = place.split_once('_').unwrap_or((place, "XX"));
        let lower = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_lowercase());
        let charset_ok = shaped(charset, 32, |b| b.is_ascii_alphanumeric(), |b| {
            b.is_ascii_alphanumeric() || b == b'-'
        });
        let country_ok = country.len() == 2 && country.bytes().all(|b| b.is_ascii_uppercase());
        let language_ok = (matches!(language.len(), 2..=3) && lower(language)) || matches!(place, "C" | "POSIX");
        charset_ok && language_ok && country_ok && lower(modifier)
    }
);

text_word!(
    /// A time zone by its name in the IANA database, such as `UTC` or `Europe/Rome`.
    Timezone,
    "a time zone",
    "a name of the IANA database, such as `UTC` or `Europe/Rome`",
    "^[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*$",
    |text| {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'+' | b'-');
        text.len() <= 64 && text.split('/').all(|part| shaped(part, 32, allowed, allowed))
    }
);

text_word!(
    /// A keyboard map of the console, such as `us` or `it`: vconsole.conf(5), `KEYMAP=`.
    Keymap,
    "a keymap",
    "a console keymap's name, such as `us` or `de-latin1`",
    "^[a-z0-9][A-Za-z0-9_-]*$",
    |text| {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
        shaped(text, 32, |b| b.is_ascii_lowercase() || b.is_ascii_digit(), allowed)
    }
);

text_word!(
    /// One argument of the kernel's command line: `name` or `name=value`, printable ASCII, no quotes and no spaces.
    ///
    /// Those that Basalt writes itself are refused ([`KernelArg::RESERVED`]): a second one would win over the first
    /// and boot something that was not verified.
    KernelArg,
    "a kernel argument for a recipe",
    "`name` or `name=value` without spaces or quotes, and not root, roothash, rootflags, rootfstype, rootwait, ro, rw, \
     init, rdinit, gpt, usrhash or systemd.verity: Basalt decides these",
    "^[^\\s\"'=]+(=[^\\s\"']*)?$",
    |text| {
        let name = text.split('=').next().unwrap_or_default();
        let plain = |b: u8| b.is_ascii_graphic() && b != b'"' && b != b'\'';
        shaped(text, 1024, |b| b.is_ascii_alphabetic() || b == b'_', plain)
            && !KernelArg::RESERVED.contains(&name)
    }
);

impl Hostname {
    /// The image's name as a host name: what a label may not hold or end with is left out.
    pub fn of_image(name: &ImageName) -> Self {
        let labels = name.as_str().split('.').map(|label| label.trim_matches('-'));
        Self(labels.filter(|label| !label.is_empty()).collect::<Vec<_>>().join("."))
    }
}

impl LocaleName {
    /// The locale that every glibc has: no language, UTF-8.
    pub fn c_utf8() -> Self {
        Self("C.UTF-8".to_owned())
    }
}

impl Timezone {
    /// Coordinated universal time.
    pub fn utc() -> Self {
        Self("Etc/UTC".to_owned())
    }
}

impl KernelArg {
    /// Names that a recipe may not set, because the build or basalt-init decides them.
    pub const RESERVED: [&'static str; 12] = [
        "roothash",
        "root",
        "rootflags",
        "rootfstype",
        "rootwait",
        "ro",
        "rw",
        "init",
        "rdinit",
        "gpt",
        "systemd.verity",
        "usrhash",
    ];
}

impl UnitName {
    /// What can follow the last dot (systemd.unit(5)).
    pub const KINDS: [&'static str; 11] = [
        "service",
        "socket",
        "target",
        "timer",
        "path",
        "mount",
        "automount",
        "swap",
        "slice",
        "scope",
        "device",
    ];

    /// For `name@instance.kind`: the template `name@.kind` and the instance. The instance of a template itself is
    /// empty.
    pub fn template(&self) -> Option<(String, &str)> {
        let (stem, kind) = self.0.rsplit_once('.')?;
        let (name, instance) = stem.split_once('@')?;
        Some((format!("{name}@.{kind}"), instance))
    }
}
