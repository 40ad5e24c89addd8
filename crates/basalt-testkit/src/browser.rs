//! A headless Chromium that is driven as a person would: it looks, types and clicks. Pages get no scripts, unless a test says so.
//!
//! The protocol is that of Chromium's developer tools: JSON objects, each ended by a zero byte, on two pipes
//! (`--remote-debugging-pipe`: descriptor 3 is read, 4 is written).

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, with what the browser shows or what is missing"
)]

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::fixtures::require_tool;

/// How long an answer of the browser may take on a loaded machine.
const ANSWER: Duration = Duration::from_secs(60);
/// How long nothing happens before a page that should change is looked at again.
const LOOK: Duration = Duration::from_millis(500);
/// Chromium's own sandbox needs what root in a container lacks; nothing is spoken to but the machine under test.
const OPTIONS: [&str; 9] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--no-proxy-server",
    "--remote-debugging-pipe",
];

/// One tab of a browser; the processes end with it.
#[derive(Debug)]
pub struct Browser {
    process: Child,
    to: ChildStdin,
    from: Receiver<Value>,
    count: u64,
    session: String,
    _profile: TempDir,
}

impl Browser {
    /// Starts Chromium with an empty profile.
    ///
    /// # Panics
    /// When it is not installed or does not start.
    #[track_caller]
    pub fn start() -> Self {
        let program = require_tool("chromium", "chromium");
        let profile = tempfile::tempdir().unwrap();
        // A program of ours can't give a child other descriptors than the first three; a shell can.
        let mut process = Command::new("sh")
            .args(["-c", "exec \"$0\" \"$@\" 3<&0 4>&1 </dev/null >/dev/null 2>&1"])
            .arg(program.path())
            .args(OPTIONS)
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (to, output) = (process.stdin.take().unwrap(), process.stdout.take().unwrap());
        let (told, from) = mpsc::channel();
        thread::spawn(move || {
            for message in BufReader::new(output).split(0).map_while(Result::ok) {
                let message = serde_json::from_slice(&message);
                if message.is_ok_and(|message: Value| told.send(message).is_err()) {
                    return;
                }
            }
        });
        let mut browser = Self { process, to, from, count: 0, session: String::new(), _profile: profile };
        let target = browser.call("Target.createTarget", json!({"url": "about:blank"}));
        let attach = json!({"targetId": target["targetId"], "flatten": true});
        browser.session = text(&browser.call("Target.attachToTarget", attach)["sessionId"]);
        browser.call("Page.enable", json!({}));
        browser.call("Emulation.setScriptExecutionDisabled", json!({"value": true}));
        browser
    }

    /// Lets pages that are opened from now on run their scripts, or not.
    ///
    /// # Panics
    /// When the browser has ended, as everything here.
    #[track_caller]
    pub fn allow_scripts(&mut self, allowed: bool) {
        self.call("Emulation.setScriptExecutionDisabled", json!({"value": !allowed}));
    }

    /// Makes the browser one of a person who likes `light` or `dark`.
    #[track_caller]
    pub fn prefer(&mut self, scheme: &str) {
        let feature = json!({"name": "prefers-color-scheme", "value": scheme});
        self.call("Emulation.setEmulatedMedia", json!({"features": [feature]}));
    }

    /// The value of an expression, or of the promise that it is, once it is kept.
    #[track_caller]
    pub fn evaluate(&mut self, expression: &str) -> Value {
        let parameters = json!({"expression": expression, "returnByValue": true, "awaitPromise": true});
        let answer = self.call("Runtime.evaluate", parameters);
        assert!(answer.get("exceptionDetails").is_none(), "{answer}");
        answer["result"]["value"].clone()
    }

    /// The value of a cookie.
    #[track_caller]
    pub fn cookie(&mut self, name: &str) -> Option<String> {
        let cookies = self.call("Network.getCookies", json!({}));
        let cookies = cookies["cookies"].as_array().cloned().unwrap_or_default();
        cookies.iter().find(|cookie| cookie["name"] == name).map(|cookie| text(&cookie["value"]))
    }

    /// The address of the page.
    #[track_caller]
    pub fn address(&mut self) -> String {
        text(&self.ask("location.href"))
    }

    /// Sets the size of what is seen, in CSS pixels.
    ///
    /// # Panics
    /// When the browser has ended, as everything here.
    #[track_caller]
    pub fn resize(&mut self, width: u32, height: u32) {
        let size = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.call("Emulation.setDeviceMetricsOverride", size);
    }

    /// Opens an address and waits until `expected` is on the page.
    #[track_caller]
    pub fn open(&mut self, address: &str, expected: &str) -> String {
        self.call("Page.navigate", json!({"url": address}));
        self.wait_for(&[expected], ANSWER)
    }

    /// Waits until one of these texts is on the page, and gives all of its text.
    #[track_caller]
    pub fn wait_for(&mut self, wanted: &[&str], within: Duration) -> String {
        self.until(&format!("one of {wanted:?}"), within, |browser| {
            Some(browser.text()).filter(|page| wanted.iter().any(|wanted| page.contains(wanted)))
        })
    }

    /// What a person sees on the page; nothing in the middle of a change of pages.
    #[track_caller]
    pub fn text(&mut self) -> String {
        text(&self.ask("document.body ? document.body.innerText : ''"))
    }

    /// How many CSS pixels of the page are to the right of what is seen.
    #[track_caller]
    pub fn overflow(&mut self) -> i64 {
        let page = "document.documentElement";
        let width = format!("{page}.scrollWidth - {page}.clientWidth");
        self.until("a width", ANSWER, |browser| browser.ask(&width).as_i64())
    }

    /// Puts `words` into a field in place of what is there.
    #[track_caller]
    pub fn fill(&mut self, selector: &str, words: &str) {
        let node = self.node(selector);
        self.call("DOM.focus", json!({"nodeId": node}));
        self.ask(&format!("document.querySelector({}).select()", json!(selector)));
        self.call("Input.insertText", json!({"text": words}));
    }

    /// Clicks into the middle of something.
    #[track_caller]
    pub fn click(&mut self, selector: &str) {
        let node = self.node(selector);
        self.call("DOM.scrollIntoViewIfNeeded", json!({"nodeId": node}));
        let model = self.call("DOM.getBoxModel", json!({"nodeId": node}));
        let at = |index: usize| model["model"]["content"][index].as_f64().unwrap();
        let (x, y) = (f64::midpoint(at(0), at(4)), f64::midpoint(at(1), at(5)));
        for kind in ["mousePressed", "mouseReleased"] {
            let press = json!({"type": kind, "x": x, "y": y, "button": "left", "clickCount": 1});
            self.call("Input.dispatchMouseEvent", press);
        }
    }

    /// Writes a picture of the whole page (PNG).
    #[track_caller]
    pub fn picture(&mut self, path: &Path) {
        self.call("Emulation.setScrollbarsHidden", json!({"hidden": true}));
        let picture = json!({"format": "png", "captureBeyondViewport": true});
        let picture = self.call("Page.captureScreenshot", picture);
        fs::write(path, STANDARD.decode(text(&picture["data"])).unwrap()).unwrap();
    }

    /// Looks again and again, until there is what is looked for; a page that changes has nothing for a moment.
    #[track_caller]
    fn until<T>(&mut self, what: &str, within: Duration, mut look: impl FnMut(&mut Self) -> Option<T>) -> T {
        let deadline = Instant::now() + within;
        loop {
            if let Some(found) = look(self) {
                return found;
            }
            assert!(Instant::now() < deadline, "not {what} after {within:?} on:\n{}", self.text());
            // Something happens when a page is loaded.
            match self.from.recv_timeout(LOOK) {
                Ok(_) | Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => panic!("the browser has ended"),
            }
        }
    }

    #[track_caller]
    fn node(&mut self, selector: &str) -> Value {
        self.until(&format!("`{selector}`"), ANSWER, |browser| {
            let document = browser.answer("DOM.getDocument", &json!({}));
            let root = &document["result"]["root"]["nodeId"];
            let found = browser.answer("DOM.querySelector", &json!({"nodeId": root, "selector": selector}));
            let node = &found["result"]["nodeId"];
            node.as_u64().filter(|node| *node > 0).map(|_| node.clone())
        })
    }

    /// The value of an expression; null when the page changes meanwhile. It is the developer tools' and not the page's.
    #[track_caller]
    fn ask(&mut self, expression: &str) -> Value {
        let answer =
            self.answer("Runtime.evaluate", &json!({"expression": expression, "returnByValue": true}));
        answer["result"]["result"]["value"].clone()
    }

    #[track_caller]
    fn call(&mut self, method: &str, parameters: Value) -> Value {
        let answer = self.answer(method, &parameters);
        assert!(answer.get("error").is_none(), "{method} {parameters}: {answer}");
        answer["result"].clone()
    }

    #[track_caller]
    fn answer(&mut self, method: &str, parameters: &Value) -> Value {
        self.count += 1;
        let mut message = json!({"id": self.count, "method": method, "params": parameters});
        if !self.session.is_empty() {
            message["sessionId"] = json!(self.session);
        }
        self.to.write_all(format!("{message}\0").as_bytes()).unwrap();
        let deadline = Instant::now() + ANSWER;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.from.recv_timeout(left) {
                Ok(answer) if answer["id"] == json!(self.count) => return answer,
                Ok(_event) => {}
                Err(error) => panic!("{method}: {error}"),
            }
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // A test that failed is not to hide it by another failure.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
