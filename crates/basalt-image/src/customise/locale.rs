use basalt_spec::{
    nearest,
    words::{Hostname, Keymap, LocaleName, Timezone},
};

use super::{EditError, Editor, Refusal};

const ZONES: &str = "/usr/share/zoneinfo";

/// `/etc/locale.conf` (locale.conf(5)), to which Debian's `/etc/default/locale` is a link since trixie.
pub(super) fn locale(editor: &mut Editor<'_>, locale: &LocaleName) -> Result<(), Refusal> {
    let text = locale.as_str();
    let (place, charset) = text.split_once('.').unwrap_or((text, ""));
    // glibc keeps the character set without `-` and in small letters: `it_IT.utf8`.
    let folder = format!("/usr/lib/locale/{place}.{}", charset.to_lowercase().replace('-', ""));
    let built_in = matches!(text, "C" | "POSIX" | "C.UTF-8" | "C.utf8");
    let generated = || -> Result<bool, EditError> {
        let list = editor.text("/etc/locale.gen")?.unwrap_or_default();
        let listed = list.lines().any(|line| line.split_whitespace().next() == Some(text));
        Ok(listed && editor.exists("/usr/lib/locale/locale-archive"))
    };
    if !built_in && !editor.exists(&folder) && !generated()? {
        return Err(Refusal::NoLocale(text.to_owned()));
    }
    editor.write("/etc/locale.conf", format!("LANG={text}\n"), 0o644)?;
    // Older suites keep a file of their own there.
    if editor.link_target("/etc/default/locale").is_none() {
        editor.link("/etc/default/locale", "../locale.conf")?;
    }
    Ok(())
}

/// `/etc/localtime` (localtime(5)) and Debian's `/etc/timezone`.
pub(super) fn timezone(editor: &mut Editor<'_>, zone: &Timezone) -> Result<(), Refusal> {
    let path = format!("{ZONES}/{zone}");
    let utc = matches!(zone.as_str(), "UTC" | "Etc/UTC");
    // glibc knows UTC without any rules.
    if !editor.exists(&path) && !utc {
        let known = zones(editor);
        if known.is_empty() {
            return Err(Refusal::NoZones);
        }
        let nearest = nearest(zone.as_str(), known.iter().map(String::as_str)).map(str::to_owned);
        return Err(Refusal::NoZone { zone: zone.to_string(), nearest });
    }
    editor.link("/etc/localtime", &format!("..{path}"))?;
    editor.write("/etc/timezone", format!("{zone}\n"), 0o644)?;
    Ok(())
}

/// The names `AREA/PLACE` that the image has.
fn zones(editor: &Editor<'_>) -> Vec<String> {
    let areas =
        editor.names(ZONES).into_iter().filter(|area| area.starts_with(|c: char| c.is_ascii_uppercase()));
    areas
        .flat_map(|area| {
            let places = editor.names(&format!("{ZONES}/{area}"));
            places.into_iter().map(move |place| format!("{area}/{place}"))
        })
        .collect()
}

/// `/etc/hostname` (hostname(5)), and the name in `/etc/hosts` so that it resolves without a network: Debian's
/// `127.0.1.1` (Debian reference, section 5.1.1).
pub(super) fn hostname(editor: &mut Editor<'_>, hostname: &Hostname) -> Result<(), EditError> {
    editor.write("/etc/hostname", format!("{hostname}\n"), 0o644)?;
    let basic = "127.0.0.1\tlocalhost\n::1\t\tlocalhost ip6-localhost ip6-loopback\nff02::1\t\tip6-allnodes\nff02::2\t\tip6-allrouters\n";
    let hosts = editor.text("/etc/hosts")?.unwrap_or_else(|| basic.to_owned());
    let short = hostname.as_str().split('.').next().unwrap_or_default();
    let names = if short == hostname.as_str() { short.to_owned() } else { format!("{hostname} {short}") };
    let mut lines: Vec<String> =
        hosts.lines().filter(|line| !line.starts_with("127.0.1.1")).map(str::to_owned).collect();
    let after = lines.iter().position(|line| line.starts_with("127.0.0.1")).map_or(0, |line| line + 1);
    lines.insert(after, format!("127.0.1.1\t{names}"));
    editor.write("/etc/hosts", lines.join("\n") + "\n", 0o644)
}

/// Debian's `/etc/default/keyboard` (keyboard(5)), to which `/etc/vconsole.conf` is a link, with both programs' names.
pub(super) fn keymap(editor: &mut Editor<'_>, keymap: &Keymap) -> Result<(), EditError> {
    let (layout, variant) = keymap.as_str().split_once('-').unwrap_or((keymap.as_str(), ""));
    let text = format!(
        "XKBMODEL=\"pc105\"\nXKBLAYOUT=\"{layout}\"\nXKBVARIANT=\"{variant}\"\nXKBOPTIONS=\"\"\nBACKSPACE=\"guess\"\nKEYMAP=\"{keymap}\"\n"
    );
    editor.write("/etc/default/keyboard", text, 0o644)?;
    if !editor.exists("/etc/vconsole.conf") {
        editor.link("/etc/vconsole.conf", "default/keyboard")?;
    }
    Ok(())
}
