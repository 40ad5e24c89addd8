//! A factory that runs for a test, and those who use it.

#![allow(dead_code, reason = "each test program uses its part")]

use std::{
    io::{BufRead as _, BufReader, Read as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tempfile::TempDir;

/// A recipe that is built in seconds: a tree that does not boot.
pub(crate) const SMALL: &str =
    "apiVersion: basalt.dev/v1alpha1\nkind: Recipe\nname: small\nkernel: {package: none}\noutputs: [tar]\n";
pub(crate) const PASSWORD: &str = "correct horse battery";

/// A running `basalt serve`.
pub(crate) struct Factory {
    pub(crate) folder: TempDir,
    pub(crate) address: String,
    /// What it printed at its start.
    pub(crate) printed: String,
    process: Child,
    options: Vec<String>,
}

/// What came back.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) bytes: Vec<u8>,
}

impl Factory {
    pub(crate) fn start(options: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = options.iter().map(|option| (*option).to_owned()).collect::<Vec<_>>();
        let (process, printed) = launch(folder.path(), &options);
        let address = address_in(&printed);
        Self { folder, address, printed, process, options }
    }

    /// Ends it as a power cut would, and starts it again.
    pub(crate) fn crash_and_restart(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        (self.process, self.printed) = launch(self.folder.path(), &self.options);
        self.address = address_in(&self.printed);
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    /// What it said after its start.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    /// The path of the one-time link.
    pub(crate) fn link(&self) -> String {
        let at = self.printed.find("/setup/").expect("a new factory prints a link");
        self.printed[at..].split_whitespace().next().unwrap().to_owned()
    }

    /// Makes the first account.
    pub(crate) fn first_person(&self) -> Person<'_> {
        Person::enter(self, &self.link(), "ada")
    }

    pub(crate) fn get(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.send("GET", path, (headers, None))
    }

    pub(crate) fn send(
        &self,
        method: &str,
        path: &str,
        (headers, body): (&[(&str, &str)], Option<&[u8]>),
    ) -> Answer {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .allow_non_standard_methods(true)
            .timeout_global(Some(Duration::from_secs(120)))
            .build();
        let agent = ureq::Agent::new_with_config(config);
        let mut request =
            ureq::http::Request::builder().method(method).uri(format!("{}{path}", self.address));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = match body {
            Some(body) => agent.run(request.body(body).unwrap()),
            None => agent.run(request.body(()).unwrap()),
        };
        let mut response = response.unwrap_or_else(|error| panic!("{method} {path}: {error}"));
        let headers = response.headers().iter();
        let headers =
            headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect();
        let status = response.status().as_u16();
        let mut bytes = Vec::new();
        response.body_mut().as_reader().read_to_end(&mut bytes).unwrap();
        Answer { status, headers, bytes }
    }
}

fn launch(folder: &Path, options: &[String]) -> (Child, String) {
    let log = std::fs::OpenOptions::new().create(true).append(true).open(folder.join("log")).unwrap();
    let mut process = Command::new(env!("CARGO_BIN_EXE_basalt"))
        .args(["serve", "--listen", "127.0.0.1:0", "--state"])
        .arg(folder.join("state"))
        .args(options)
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()
        .unwrap();
    let mut output = BufReader::new(process.stdout.take().unwrap());
    // One line; two more, the last with the link, while nobody has an account.
    let lines = if folder.join(HAS_ACCOUNT).exists() { 1 } else { 3 };
    let mut printed = String::new();
    for _ in 0..lines {
        assert!(output.read_line(&mut printed).unwrap() > 0, "it ended after: {printed}");
    }
    (process, printed)
}

/// A file that tells that somebody has made an account.
const HAS_ACCOUNT: &str = "has-account";

fn address_in(printed: &str) -> String {
    let at = printed.find("http://").unwrap();
    printed[at..].split_whitespace().next().unwrap().trim_end_matches('/').to_owned()
}

impl Drop for Factory {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes)
            .unwrap_or_else(|error| panic!("{} {error}: {}", self.status, self.text()))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
            .unwrap_or_default()
    }

    /// The cookie of this name that is set.
    pub(crate) fn cookie(&self, name: &str) -> Option<String> {
        let set = self.headers.iter().filter(|(known, _)| known == "set-cookie");
        let mut pairs = set.filter_map(|(_, value)| value.split(';').next()?.split_once('='));
        pairs.find(|(known, _)| *known == name).map(|(_, value)| value.to_owned())
    }

    /// What the page's forms hold.
    pub(crate) fn form(&self) -> String {
        let text = self.text();
        let at = text.find("name=\"form\" value=\"").unwrap_or_else(|| panic!("no form on:\n{text}"));
        text[at + 19..].split('"').next().unwrap().to_owned()
    }
}

/// Somebody with a browser.
pub(crate) struct Person<'a> {
    pub(crate) factory: &'a Factory,
    pub(crate) cookie: String,
}

impl<'a> Person<'a> {
    /// Opens a one-time link and makes an account.
    pub(crate) fn enter(factory: &'a Factory, link: &str, name: &str) -> Self {
        let page = factory.get(link, &[]);
        assert_eq!(page.status, 200, "{}", page.text());
        let stranger = page.cookie("basalt_form").unwrap();
        let fields = [
            ("form", page.form()),
            ("name", name.to_owned()),
            ("password", PASSWORD.to_owned()),
            ("again", PASSWORD.to_owned()),
        ];
        let body = encoded(&fields);
        let cookie = format!("basalt_form={stranger}");
        let headers = [("cookie", cookie.as_str()), ("content-type", "application/x-www-form-urlencoded")];
        let made = factory.send("POST", link, (&headers, Some(body.as_bytes())));
        assert_eq!(made.status, 303, "{}", made.text());
        std::fs::write(factory.folder.path().join(HAS_ACCOUNT), "").unwrap();
        let session = made.cookie("basalt_session").unwrap();
        Self { factory, cookie: format!("basalt_session={session}") }
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.factory.get(path, &[("cookie", &self.cookie)])
    }

    /// Sends a form as our pages do.
    pub(crate) fn post(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let mut all: Vec<(&str, String)> = vec![("form", self.get("/account").form())];
        all.extend(fields.iter().map(|(name, value)| (*name, (*value).to_owned())));
        self.post_raw(path, &encoded(&all))
    }

    pub(crate) fn post_raw(&self, path: &str, body: &str) -> Answer {
        let headers =
            [("cookie", self.cookie.as_str()), ("content-type", "application/x-www-form-urlencoded")];
        self.factory.send("POST", path, (&headers, Some(body.as_bytes())))
    }

    /// Makes a token that may do this.
    pub(crate) fn token(&self, scopes: &[&str]) -> Program<'a> {
        let names: Vec<String> = scopes.iter().map(|scope| format!("scope.{scope}")).collect();
        let mut fields = vec![("name", "test"), ("days", "1")];
        fields.extend(names.iter().map(|name| (name.as_str(), "on")));
        let page = self.post("/account/tokens", &fields).text();
        let at = page.find("basalt_").unwrap_or_else(|| panic!("no token on {page}"));
        let token = page[at..].split('<').next().unwrap().to_owned();
        Program { factory: self.factory, token }
    }

    /// Invites somebody into a project of their own.
    pub(crate) fn invite(&self, name: &str) -> Person<'a> {
        let page = self.post("/people/invite", &[("project", "own")]).text();
        let at = page.find("/setup/").unwrap();
        Person::enter(self.factory, page[at..].split('<').next().unwrap(), name)
    }
}

/// A program with a token.
pub(crate) struct Program<'a> {
    pub(crate) factory: &'a Factory,
    pub(crate) token: String,
}

impl Program<'_> {
    pub(crate) fn send(&self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        let authorization = format!("Bearer {}", self.token);
        let headers = [("authorization", authorization.as_str()), ("content-type", "application/json")];
        let body = body.map(Value::to_string);
        let path = format!("/api/v1{path}");
        self.factory.send(method, &path, (&headers, body.as_deref().map(str::as_bytes)))
    }

    pub(crate) fn get(&self, path: &str) -> Value {
        let answer = self.send("GET", path, None);
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        answer.json()
    }

    pub(crate) fn get_with(&self, path: &str, header: (&str, &str)) -> Answer {
        let authorization = format!("Bearer {}", self.token);
        self.factory.get(&format!("/api/v1{path}"), &[("authorization", &authorization), header])
    }

    /// Asks for a build.
    pub(crate) fn build(&self, recipe: &str) -> Answer {
        self.send("POST", "/builds", Some(&json!({"recipe": recipe})))
    }

    /// Waits until a build is what is wanted.
    pub(crate) fn wait(&self, id: &str, wanted: &str) {
        let deadline = Instant::now() + Duration::from_secs(300);
        loop {
            let build = self.get(&format!("/builds/{id}"));
            if build["state"] == wanted {
                return;
            }
            let log = || self.send("GET", &format!("/builds/{id}/log"), None).text();
            let is_over = matches!(build["state"].as_str(), Some("succeeded" | "failed" | "cancelled"));
            assert!(!is_over, "{build}\n{}", log());
            assert!(Instant::now() < deadline, "{build}\n{}", log());
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Waits until a build's log has these words.
    pub(crate) fn wait_for_log(&self, id: &str, words: &str) {
        let deadline = Instant::now() + Duration::from_secs(120);
        while !self.send("GET", &format!("/builds/{id}/log"), None).text().contains(words) {
            assert!(Instant::now() < deadline, "`{words}` never came");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// Fields as a form sends them.
pub(crate) fn encoded(fields: &[(&str, String)]) -> String {
    let mut text = form_urlencoded::Serializer::new(String::new());
    for (name, value) in fields {
        text.append_pair(name, value);
    }
    text.finish()
}
