//! A recipe that somebody sent to a machine that is not theirs: what it may not name.

use basalt_types::ImageRef;

use super::{Base, DebianBase, FileContent, FileEntry, Recipe, Script};
use crate::{
    diagnostic::{Problem, ProblemKind},
    words::{PackageSpec, RepositoryUrl},
    yaml::{Node, Step},
};

/// Every key that names a file of the machine that builds, or a host that `reaches` does not know.
///
/// The recipe is taken apart whole: a key that is added must say here whether it names one.
pub(super) fn problems(recipe: &Recipe, root: &Node, reaches: &dyn Fn(&str) -> bool) -> Vec<Problem> {
    let Recipe {
        api_version: _,
        kind: _,
        name: _,
        version: _,
        architecture: _,
        from,
        base,
        packages,
        recommends: _,
        deselect: _,
        kernel: _,
        kernel_arguments: _,
        files,
        release_keys,
        units: _,
        users: _,
        locale: _,
        timezone: _,
        hostname: _,
        keymap: _,
        script,
        disk: _,
        outputs: _,
    } = recipe;
    let mut found = Found { root, problems: Vec::new() };
    if from.is_some() {
        found.file(&[key("from")], "write here what the other recipe says");
    }
    found.base(base, reaches);
    for (index, package) in packages.iter().enumerate() {
        if let PackageSpec::File(_) = package {
            found.file(&[key("packages"), Step::Index(index)], "name a package of the archive");
        }
    }
    for (index, FileEntry { content, .. }) in files.iter().enumerate() {
        if let FileContent::Source(_) = content {
            let path = [key("files"), Step::Index(index), key("source")];
            found.file(&path, "write the text itself: `content: |`");
        }
    }
    if !release_keys.is_empty() {
        found.file(&[key("releaseKeys")], "put each key into `files`, below /usr/lib/basalt/release-keys");
    }
    if let Some(Script::Source(_)) = script {
        found.file(&[key("script"), key("source")], "write the text itself: `script: |`");
    }
    found.problems.sort_by_key(Problem::offset);
    found.problems
}

struct Found<'a> {
    root: &'a Node,
    problems: Vec<Problem>,
}

impl Found<'_> {
    fn base(&mut self, base: &Base, reaches: &dyn Fn(&str) -> bool) {
        let Base { debian, oci } = base;
        let DebianBase { keyring, mirror, security_mirror, .. } = debian;
        let path = |name: &str| ["base", "debian", name].map(key);
        if keyring.is_some() {
            self.file(&path("keyring"), "leave it out: Debian's own keys are known");
        }
        for (name, url) in [("mirror", mirror), ("securityMirror", security_mirror)] {
            match url.as_ref().map(host_of) {
                None => {}
                Some(None) => self.file(&path(name), "give an http:// or https:// address"),
                Some(Some(host)) if reaches(host) => {}
                Some(Some(host)) => self.host(&path(name), host),
            }
        }
        let Some(oci) = oci else { return };
        let path = ["base", "oci"].map(key);
        let mut hosts: Vec<&str> = oci.mirrors.iter().filter_map(|mirror| mirror.split('/').next()).collect();
        match &oci.reference {
            ImageRef::Registry(reference) => hosts.push(reference.host()),
            ImageRef::Layout(_) | ImageRef::Archive(_) => self.file(&path, "name an image of a registry"),
        }
        for host in hosts.into_iter().filter(|host| !reaches(host)) {
            self.host(&path, host);
        }
    }

    fn file(&mut self, path: &[Step], help: &str) {
        let message = "this names a file beside the recipe, and the recipe came without its folder";
        self.add(path, message.to_owned(), help);
    }

    fn host(&mut self, path: &[Step], host: &str) {
        let help = "leave it out, or ask whoever runs this factory to start it with `--allow-host`";
        self.add(path, format!("builds here do not reach `{host}`"), help);
    }

    fn add(&mut self, path: &[Step], message: String, help: &str) {
        let at = self.root.find(path).at;
        self.problems.push(Problem::new(ProblemKind::Conflict, at, message).help(help));
    }
}

fn key(name: &str) -> Step {
    Step::Key(name.to_owned())
}

/// `HOST[:PORT]` of an address; none for a file.
fn host_of(url: &RepositoryUrl) -> Option<&str> {
    let (scheme, rest) = url.as_str().split_once("://")?;
    let authority = rest.split('/').next().unwrap_or_default();
    // What is before an at sign is not the host.
    let host = authority.rsplit('@').next().unwrap_or_default();
    (scheme != "file").then_some(host)
}

#[cfg(test)]
mod tests {
    use crate::Written;

    fn problems(rest: &str) -> Vec<String> {
        let text = format!("apiVersion: basalt.dev/v1alpha1\nkind: Recipe\nname: edge\n{rest}\n");
        match Written::parse_from_afar("recipe.yaml", &text, &|host| host == "images.example.org") {
            Ok(_) => Vec::new(),
            Err(error) => {
                let line = |problem| format!("{} {problem}", error.position(problem).0);
                error.problems().iter().map(line).collect()
            }
        }
    }

    #[test]
    fn what_needs_nothing_of_the_machine_is_taken() {
        assert_eq!(
            problems("packages: [less]\nfiles: [{path: /etc/motd, content: hi}]"),
            Vec::<String>::new()
        );
        assert_eq!(problems("base: {oci: images.example.org/edge}"), Vec::<String>::new());
    }

    #[test]
    fn every_key_that_names_a_file_is_refused_at_its_place() {
        let refused = [
            "from: ../edge/recipe.yaml",
            "from: /etc/recipe.yaml",
            "base: {debian: {keyring: key.gpg}}",
            "base: {debian: {mirror: 'file:///etc'}}",
            "base: {debian: {securityMirror: 'file:///etc'}}",
            "base: {oci: 'oci:folder'}",
            "base: {oci: 'oci-archive:file.tar'}",
            "packages: [./agent.deb]",
            "files: [{path: /etc/passwd, source: passwd}]",
            "releaseKeys: [release.pub]",
            "script: {source: setup.sh}",
        ];
        for text in refused {
            let found = problems(text);
            assert_eq!(found.len(), 1, "{text}: {found:?}");
            assert!(found[0].starts_with("4 ") && found[0].contains("names a file"), "{text}: {found:?}");
        }
    }

    #[test]
    fn hosts_that_are_not_allowed_are_refused() {
        let refused = [
            "base: {debian: {mirror: 'http://169.254.169.254/debian'}}",
            "base: {debian: {mirror: 'http://images.example.org@10.0.0.1/debian'}}",
            "base: {oci: other.example.org/edge}",
            "base: {oci: {ref: images.example.org/edge, mirrors: ['127.0.0.1:5000']}}",
        ];
        for text in refused {
            let found = problems(text);
            assert!(found.iter().any(|line| line.contains("do not reach")), "{text}: {found:?}");
        }
    }
}
