use std::{env, path::PathBuf};

use basalt_spec::node::After;

use super::{
    super::{fake::Fake, installer::Installer as _},
    door::Entry,
    site::Stage,
    *,
};

const SEED: [u8; 32] = [5; 32];

fn request(head: &str, cookie: Option<&str>, form: &str) -> Request {
    let cookie = cookie.map_or(String::new(), |cookie| format!("Cookie: a=b; basalt-install={cookie}\r\n"));
    let text = format!("{head} HTTP/1.1\r\nHost: x\r\n{cookie}Content-Length: {}\r\n\r\n{form}", form.len());
    Request::read(&mut text.as_bytes()).unwrap().unwrap()
}

fn site_of(fake: &mut Fake, questions: Questions) -> Site {
    Site::new(Door::new(SEED), Machine::of(fake).unwrap(), questions)
}

/// A browser in front of a site.
struct Browser {
    site: Site,
    fake: Fake,
    cookie: String,
    token: String,
    now: Instant,
}

impl Browser {
    /// One that has entered.
    fn entered(questions: Questions) -> Self {
        let mut fake = Fake::default();
        let mut site = site_of(&mut fake, questions);
        let now = Instant::now();
        let code = site.door.code();
        let (response, act) = site.answer(&request("POST /enter", None, &format!("code={code}")), now);
        assert_eq!((response.status, act), (Status::SeeOther, Act::NextCode));
        let pass = site.door.newest().unwrap().clone();
        assert_eq!(response.cookie.as_deref(), Some(pass.cookie.as_str()));
        Self { site, fake, cookie: pass.cookie, token: pass.token, now }
    }

    fn get(&mut self) -> String {
        let (response, act) = self.site.answer(&request("GET /", Some(&self.cookie), ""), self.now);
        assert_eq!((response.status, act), (Status::Ok, Act::Nothing));
        response.body
    }

    /// Sends a form of ours, does the work, and gives the page that comes then.
    fn send(&mut self, path: &str, form: &str) -> String {
        let form = format!("token={}&{form}", self.token);
        let request = request(&format!("POST {path}"), Some(&self.cookie), &form);
        let (response, act) = self.site.answer(&request, self.now);
        assert_eq!(response.status, Status::SeeOther);
        if let Act::Work(Work::Plan { device, document }) = act {
            assert!(self.get().contains("http-equiv=\"refresh\""));
            self.site.planned(self.fake.plan(&device, document));
        }
        self.get()
    }
}

fn same(words: &[&str], page: &str) {
    for word in words {
        assert!(page.contains(word), "`{word}` is not in:\n{page}");
    }
}

#[test]
fn nobody_without_the_code_sees_or_changes_anything() {
    let mut browser = Browser::entered(Questions::All);
    let other = browser.cookie.replace('0', "1");
    let form = format!("token={}&disk=/dev/sdb", browser.token);
    for (head, cookie) in [
        ("GET /", None),
        ("GET /", Some("")),
        ("GET /", Some(other.as_str())),
        ("GET /x", None),
        ("POST /plan", None),
        ("POST /install", Some("x")),
    ] {
        let (response, act) = browser.site.answer(&request(head, cookie, &form), browser.now);
        assert_eq!((act, response.cookie), (Act::Nothing, None));
        assert!(response.body.contains("The code is on the machine"), "{}", response.body);
        assert!(!response.body.contains("/dev/") && !response.body.contains(&browser.token));
    }
    assert_eq!(browser.site.stage, Stage::Asking);
}

#[test]
fn codes_can_not_be_guessed_for_long() {
    let mut fake = Fake::default();
    let (mut site, now) = (site_of(&mut fake, Questions::All), Instant::now());
    let right = format!("code={}", site.door.code());
    let mut enter = |form: &str, after: u64| {
        let request = request("POST /enter", None, form);
        site.answer(&request, now + Duration::from_secs(after)).0
    };
    for _ in 0..5 {
        assert_eq!(enter("code=aaaa-bbbb", 0).status, Status::Forbidden);
    }
    for after in [0, 30, 59] {
        let refused = enter(&right, after);
        assert_eq!((refused.status, refused.cookie), (Status::TooMany, None));
        assert!(refused.body.contains("Try again in"), "{}", refused.body);
    }
    assert_eq!(enter(&right, 61).status, Status::SeeOther);
}

#[test]
fn a_code_opens_once_and_for_one_browser() {
    let mut browser = Browser::entered(Questions::All);
    let first = Door::new(SEED).code();
    let (again, _) =
        browser.site.answer(&request("POST /enter", None, &format!("code={first}")), browser.now);
    assert_eq!(again.status, Status::Forbidden);
    let next = browser.site.door.code();
    assert_ne!(next, first);
    let (entered, _) =
        browser.site.answer(&request("POST /enter", None, &format!("code={next}")), browser.now);
    assert_eq!(entered.status, Status::SeeOther);
    assert!(browser.get().contains("The code is on the machine"));
}

#[test]
fn a_code_may_be_typed_carelessly_and_is_not_printed() {
    let (mut door, now) = (Door::new(SEED), Instant::now());
    let code = door.code();
    assert_eq!(door.enter("", now), Entry::Wrong);
    assert_eq!(door.enter(&code[..8], now), Entry::Wrong);
    assert_eq!(door.enter(&format!(" {} ", code.to_uppercase().replace('-', " ")), now), Entry::Open);
    assert_ne!(Door::new([6; 32]).code(), code);
    let pass = door.newest().unwrap().clone();
    let printed = format!("{door:?} {pass:?}");
    for secret in [code, pass.cookie, pass.token, door.code()] {
        assert!(!printed.contains(&secret));
    }
}

#[test]
fn another_sites_form_does_nothing() {
    let mut browser = Browser::entered(Questions::All);
    for token in ["", "token=", "token=0000", &format!("token={}x", browser.token)] {
        let form = format!("{token}&disk=/dev/sdb");
        let (response, act) =
            browser.site.answer(&request("POST /plan", Some(&browser.cookie), &form), browser.now);
        assert_eq!((response.status, act), (Status::Forbidden, Act::Nothing));
        assert_eq!(browser.site.stage, Stage::Asking);
    }
}

#[test]
fn what_is_wrong_is_said_at_its_field_and_nothing_is_planned() {
    let mut browser = Browser::entered(Questions::All);
    for (form, expected) in [
        ("hostname=edge", &["Disk: choose one"][..]),
        ("disk=%2Fdev%2Fsda", &["Disk: choose one"]),
        (
            "disk=/dev/sdb&hostname=-x&user=Ada",
            &["Name of the machine: `-x` is not", "Administrator: `Ada` is not", "value=\"-x\""],
        ),
        ("disk=/dev/sdb&key=x", &["SSH key: needs Administrator"]),
        ("disk=/dev/sdb&card=ens3&address=1.2.3", &["address: `1.2.3`"]),
    ] {
        let page = browser.send("/plan", form);
        same(expected, &page);
        assert_eq!((&browser.site.stage, browser.fake.documents.len()), (&Stage::Asking, 0));
    }
    let page = browser.send("/plan", "disk=/dev/sdb&hostname=-x");
    let input = page.split("<input").find(|input| input.contains("id=\"hostname\"")).unwrap();
    same(&["aria-invalid", "value=\"-x\"", "<p class=\"mistake\">`-x` is not"], input);
    assert_eq!(page.matches("aria-invalid=").count(), 1);
    // What was right before is not asked again.
    same(&["value=\"/dev/sdb\" checked"], &page);
}

#[test]
fn what_is_not_its_time_is_refused() {
    let mut browser = Browser::entered(Questions::All);
    for path in ["/reboot", "/install", "/back", "/x", "/"] {
        let form = format!("token={}&agreed=/dev/sdb", browser.token);
        let request = request(&format!("POST {path}"), Some(&browser.cookie), &form);
        let (response, act) = browser.site.answer(&request, browser.now);
        assert_eq!((response.status, act), (Status::BadRequest, Act::Nothing));
    }
    let (missing, _) = browser.site.answer(&request("GET /x", Some(&browser.cookie), ""), browser.now);
    assert_eq!(missing.status, Status::NotFound);
}

#[test]
fn a_refused_plan_and_a_failed_installation_are_said_and_can_be_tried_again() {
    let mut browser = Browser::entered(Questions::DiskOnly);
    assert!(!browser.get().contains("name=\"hostname\""));
    browser.site.stage = Stage::Planning;
    browser.site.planned(Err(crate::error::AgentError::new(Kind::Refused, io::Error::other("it is busy"))));
    same(&["error: it is busy", "value=\"/dev/sdb\""], &browser.get());
    browser.send("/plan", "disk=/dev/sdb");
    same(&["Installing on /dev/sdb"], &browser.send("/install", "agreed=/dev/sdb"));
    browser.site.ended(Err(crate::error::AgentError::new(Kind::Host, io::Error::other("the disk is gone"))));
    same(&["the disk is gone", "/dev/sdb starts nothing now"], &browser.get());
    same(&["Everything on it will be lost"], &browser.send("/back", ""));
}

#[test]
fn what_a_disk_calls_itself_is_text() {
    let mut browser = Browser::entered(Questions::All);
    browser.site.disks[1].0.model = Some("<script>\"&'".into());
    let page = browser.get();
    assert!(page.contains("&lt;script&gt;&quot;&amp;&#39;") && !page.contains("<script"));
    let bytes = String::from_utf8(Response::page(Status::Ok, page).to_bytes()).unwrap();
    same(&["Content-Security-Policy: default-src 'none'", "Cache-Control: no-store"], &bytes);
}

#[test]
fn what_is_no_request_is_not_answered() {
    let long = format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(9000));
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(100));
    for text in [
        "",
        "GET",
        "GET /\r\n\r\n",
        "PUT / HTTP/1.1\r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n",
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
        "GET / HTTP/1.1\r\nno header\r\n\r\n",
        &long,
        &many,
    ] {
        assert!(Request::read(&mut text.as_bytes()).unwrap().is_none(), "{text:.40}");
    }
    assert!(Request::read(&mut "POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\nx".as_bytes()).is_err());
    let request = request("POST /", None, "a=1+2%2B%zz%C3%A9%+f&b&c=");
    assert_eq!((request.field("a"), request.field("b"), request.field("c")), ("1 2+%zzé% f", "", ""));
}

/// Sends a request as a browser does, and gives the answer.
fn browse(address: SocketAddr, head: &str, cookie: &str, form: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    let rest = format!("Host: x\r\nCookie: basalt-install={cookie}\r\nContent-Length: {}", form.len());
    stream.write_all(format!("{head} HTTP/1.1\r\n{rest}\r\n\r\n{form}").as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> &'a str {
    text.split_once(before).unwrap().1.split_once(after).unwrap().0
}

/// Looks again and again, as the page has browsers do.
fn settled(address: SocketAddr, cookie: &str) -> String {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let page = browse(address, "GET /", cookie, "");
        if !page.contains("http-equiv=\"refresh\"") || Instant::now() > deadline {
            return page;
        }
    }
}

#[test]
fn a_browser_installs_over_a_real_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let mut fake = Fake::default();
    let mut site = site_of(&mut fake, Questions::All);
    let code = site.door.code();
    let served = thread::spawn(move || (serve(listener, &mut site, &mut fake), fake));
    // Browsers open connections that they don't use: nobody waits for them.
    let _idle = [TcpStream::connect(address).unwrap(), TcpStream::connect(address).unwrap()];
    assert!(browse(address, "BREW /", "", "").starts_with("HTTP/1.1 400"));
    let entered = browse(address, "POST /enter", "", &format!("code={code}"));
    same(&["HTTP/1.1 303", "HttpOnly; SameSite=Strict"], &entered);
    let cookie = between(&entered, "basalt-install=", ";");
    let questions = browse(address, "GET /", cookie, "");
    same(&["value=\"/dev/sdb\">", "value=\"/dev/sda\" disabled>", "ens3, ens4"], &questions);
    let token = between(&questions, "name=\"token\" value=\"", "\"");
    let send = |path: &str, form: &str| {
        browse(address, &format!("POST {path}"), cookie, &format!("token={token}&{form}"))
    };
    send("/plan", "disk=%2Fdev%2Fsdb&hostname=edge-7");
    let summary = settled(address, cookie);
    same(&["ALL of this is lost", "/dev/sdb: ntfs", "Name of the machine: edge-7"], &summary);
    send("/install", "agreed=/dev/sdc");
    same(&["type /dev/sdb to agree"], &browse(address, "GET /", cookie, ""));
    send("/install", "agreed=%2Fdev%2Fsdb");
    same(&["edge 1.0 is on /dev/sdb"], &settled(address, cookie));
    same(&["HTTP/1.1 200", "powers off now"], &send("/poweroff", ""));
    let (ended, fake) = served.join().unwrap();
    assert_eq!(ended.unwrap(), Ended::Installed(Some(After::PowerOff)));
    assert_eq!(fake.installed, ["/dev/sdb"]);
    same(&["hostname: \"edge-7\""], fake.documents[0].as_ref().unwrap());
}

/// Sees that a page fits on a telephone, a tablet and a desk; `BASALT_PICTURES` names a folder for pictures of it.
#[track_caller]
fn fits(browser: &mut basalt_testkit::Browser, name: &str) {
    for width in [360, 800, 1440] {
        browser.resize(width, 900);
        assert_eq!(browser.overflow(), 0, "{name} at {width}");
        if let Some(folder) = env::var_os("BASALT_PICTURES") {
            browser.picture(&PathBuf::from(folder).join(format!("{name}-{width}.png")));
        }
    }
}

/// What a person does in a browser without scripts.
fn in_chromium(address: SocketAddr, code: &str, go_on: &mpsc::Sender<()>) {
    let mut browser = basalt_testkit::Browser::start();
    browser.open(&format!("http://{address}/"), "The code is on the machine");
    browser.fill("#code", "abcd-efgh");
    browser.click("button");
    browser.wait_for(&["This is not the code"], Duration::from_secs(20));
    fits(&mut browser, "1-door");
    browser.fill("#code", code);
    browser.click("button");
    browser.wait_for(&["On which disk?"], Duration::from_secs(20));
    browser.click("input[value='/dev/sdb']");
    for (field, words) in [("hostname", "-edge"), ("user", "ada"), ("card", "ens3")] {
        browser.fill(&format!("#{field}"), words);
    }
    fits(&mut browser, "2-questions");
    browser.click("button");
    let page = browser.wait_for(&["`-edge` is not"], Duration::from_secs(20));
    assert!(page.contains("Name of the machine: `-edge`"), "{page}");
    fits(&mut browser, "3-mistake");
    browser.fill("#hostname", "edge-7");
    browser.click("button");
    browser.wait_for(&["ALL of this is lost"], Duration::from_secs(20));
    fits(&mut browser, "4-summary");
    browser.fill("#agreed", "/dev/sdb");
    browser.click("button.bad");
    browser.wait_for(&["25 %"], Duration::from_secs(20));
    fits(&mut browser, "5-installing");
    go_on.send(()).unwrap();
    browser.wait_for(&["edge 1.0 is on /dev/sdb."], Duration::from_secs(20));
    fits(&mut browser, "6-done");
    browser.click("#reboot");
    browser.wait_for(&["The machine restarts now"], Duration::from_secs(20));
}

#[test]
fn chromium_without_scripts_installs_on_every_width() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (go_on, held) = mpsc::channel();
    let mut fake = Fake { held: Some(held), ..Fake::default() };
    let mut site = site_of(&mut fake, Questions::All);
    let code = site.door.code();
    let served = thread::spawn(move || (serve(listener, &mut site, &mut fake), fake));
    in_chromium(address, &code, &go_on);
    let (ended, fake) = served.join().unwrap();
    assert_eq!(ended.unwrap(), Ended::Installed(Some(After::Reboot)));
    let document = fake.documents[0].as_ref().unwrap();
    same(&["hostname: \"edge-7\"", "name: \"ada\"", "dhcp: both"], document);
}
