//! The factory's pages in a browser: the whole way from the one-time link to a download, with scripts and without; every page for
//! those who can't see it, on a phone and in the dark.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod serve_support;

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use basalt_testkit::{Browser, Login, Shell};
use basalt_vm::{Disk, DiskFormat, Machine};
use serve_support::{Factory, PASSWORD, SMALL};

const SOON: Duration = Duration::from_secs(30);

/// Makes the first account by the page.
fn set_up(browser: &mut Browser, factory: &Factory) {
    browser.open(&format!("{}{}", factory.address, factory.link()), "Make your account");
    browser.fill("#name", "ada");
    browser.fill("#password", PASSWORD);
    browser.fill("#again", PASSWORD);
    browser.click("form .primary");
    browser.wait_for(&["The operating system you asked for"], SOON);
}

#[test]
fn from_the_link_to_a_download() {
    let factory = Factory::start(&[]);
    let mut browser = Browser::start();
    browser.allow_scripts(true);
    browser.resize(1440, 900);
    set_up(&mut browser, &factory);
    browser.click("#template-plain");
    browser.wait_for(&["This can be built."], SOON);

    let text = three_changes(&mut browser);

    // What can't be together is refused while one types, with the reason, and the other view is in step.
    browser.fill("#kernel", "none");
    browser.wait_for(&["This can't be built: 1 problem."], SOON);
    browser.wait_for(&["the output `disk` boots, which takes a kernel"], SOON);
    assert_eq!(browser.evaluate("document.getElementById('review').disabled"), true);
    let edited = text
        .replace("outputs: [disk]", "outputs: [qcow2-compressed, netboot]")
        .replace("version: 0.1.0", "version: 0.2.0");
    assert_ne!(edited, text);
    browser.fill("#yaml", &edited);
    browser.wait_for(&["This can be built."], SOON);
    until(&mut browser, "document.getElementById('kernel').value === ''");
    until(&mut browser, "document.getElementById('version').value === '0.2.0'");
    until(
        &mut browser,
        "document.getElementById('output-qcow2-compressed').checked && !document.getElementById('output-disk').checked",
    );

    browser.click("#review");
    let review = browser.wait_for(&["Nothing is built yet"], Duration::from_secs(120));
    for words in ["kitchen", "0.2.0", "nano", "the recipe names it", "was not built before"] {
        assert!(review.contains(words), "`{words}` is not on:\n{review}");
    }
    browser.click("#build");
    browser.wait_for(&["Steps"], SOON);
    let done = browser.wait_for(&["Downloads"], Duration::from_secs(240));
    for words in ["succeeded", "kitchen.compressed.qcow2", "SHA256SUMS", "resolve", "checksums"] {
        assert!(done.contains(words), "`{words}` is not on:\n{done}");
    }
    let session = format!("basalt_session={}", browser.cookie("basalt_session").unwrap());
    let address = browser.address();
    let build = address.trim_start_matches(&factory.address);
    let disk = factory.get(&format!("{build}/files/kitchen.compressed.qcow2"), &[("cookie", &session)]);
    assert_eq!(disk.status, 200);
    let sum = basalt_types::Digest::of(&disk.bytes).hex();
    assert!(done.contains(&sum), "the page has another checksum than the file");
    let path = factory.folder.path().join("kitchen.qcow2");
    fs::write(&path, &disk.bytes).unwrap();
    boots_others(&mut browser, &factory);
    drop((browser, disk));
    boots(&path);
}

/// Makes the link from which machines boot the build, sees it, and ends it.
fn boots_others(browser: &mut Browser, factory: &Factory) {
    browser.click("#boot-link");
    browser.wait_for(&["It is shown only now."], SOON);
    let link = browser.evaluate("document.getElementById('boot-address').textContent");
    let place = link.as_str().unwrap().trim_start_matches(&factory.address).to_owned();
    assert!(factory.get(&place, &[]).text().contains("initrd kitchen.initrd"), "{place}");
    browser.wait_for(&["End the link"], SOON);
    let mut look = Look::new();
    look.at(browser, "build-boots");
    assert_eq!(look.wrong, Vec::<String>::new(), "{}", look.wrong.join("\n\n"));
    browser.click("#end-boot-link");
    let page = browser.wait_for(&["By a link, machines with iPXE"], SOON);
    assert!(
        page.contains("127.0.0.1") && page.contains("kitchen.ipxe"),
        "who came by the link is on:\n{page}"
    );
    assert_eq!(factory.get(&place, &[]).status, 404);
}

/// Changes the name, the password and the packages by the form; gives the text, which has each at once.
fn three_changes(browser: &mut Browser) -> String {
    let yaml = "document.getElementById('yaml').value";
    browser.fill("#name", "kitchen");
    until(browser, &format!("{yaml}.includes('name: kitchen')"));
    browser.fill("#user-0-password", "hunter42hunter42");
    browser.click("#user-0-gecos");
    until(browser, &format!("{yaml}.includes('passwordHash: $6$')"));
    until(browser, "document.getElementById('user-0-password').value === ''");
    browser.fill("#packages", "openssh-server\nsystemd-resolved\nless\nnano");
    until(browser, &format!("{yaml}.includes('- nano')"));
    let text = browser.evaluate(yaml).as_str().unwrap().to_owned();
    assert!(text.contains("# Nobody can log in before you say who"), "comments stay: {text}");
    assert!(
        !text.contains("hunter42")
            && !browser.evaluate("document.body.innerHTML").as_str().unwrap().contains("hunter42")
    );
    text
}

/// The disk that was asked for starts, and lets in whom the form named.
fn boots(disk: &Path) {
    let disk = Disk { format: DiskFormat::Qcow2, ..Disk::raw(disk) };
    let mut machine = basalt_vm::boot(&Machine { disks: vec![disk], ..Machine::uefi("") }).unwrap();
    let login = Login { user: "admin".to_owned(), password: "hunter42hunter42".to_owned() };
    let mut shell = Shell::login(&mut machine, &login).unwrap();
    assert_eq!(shell.check("hostname").unwrap().trim(), "kitchen");
    assert_eq!(shell.check("findmnt -no FSTYPE /").unwrap().trim(), "erofs");
    assert!(shell.check("dpkg-query -W nano").unwrap().contains("nano"));
}

/// Waits until a condition holds on the page.
#[track_caller]
fn until(browser: &mut Browser, condition: &str) {
    let deadline = std::time::Instant::now() + SOON;
    while browser.evaluate(condition) != true {
        let now = browser.evaluate("document.getElementById('yaml')?.value ?? document.body.innerText");
        assert!(std::time::Instant::now() < deadline, "never {condition}:\n{now}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn without_scripts_the_same_goes_by_buttons() {
    let factory = Factory::start(&[]);
    let mut browser = Browser::start();
    browser.resize(360, 780);
    set_up(&mut browser, &factory);
    browser.click("#template-empty");
    browser.wait_for(&["recipe.yaml"], SOON);
    browser.fill("#yaml", &SMALL.replace("tar", "disk"));
    browser.click("#review");
    browser.wait_for(&["the output `disk` boots, which takes a kernel"], SOON);
    browser.click("#output-disk");
    browser.click("#output-tar");
    browser.fill("#name", "by-buttons");
    browser.click("#review");
    browser.wait_for(&["Nothing is built yet"], Duration::from_secs(120));
    browser.click("#build");
    let done = browser.wait_for(&["Downloads"], Duration::from_secs(240));
    assert!(done.contains("by-buttons.tar.zst"), "{done}");
    assert_eq!(browser.overflow(), 0, "the page is wider than a phone");
}

#[test]
fn every_page_is_for_everybody() {
    let factory = Factory::start(&[]);
    let mut browser = Browser::start();
    browser.allow_scripts(true);
    browser.resize(1440, 900);
    let mut look = Look::new();
    browser.open(&format!("{}{}", factory.address, factory.link()), "Make your account");
    look.at(&mut browser, "setup");
    set_up(&mut browser, &factory);
    let session = format!("basalt_session={}", browser.cookie("basalt_session").unwrap());
    let person = serve_support::Person { factory: &factory, cookie: session.clone() };
    let program = person.token(&["read", "build", "manage"]);
    let [good, newer, bad, slow] = builds(&program);
    let recipe = program.get(&format!("/builds/{good}"))["recipe"].as_str().unwrap().to_owned();
    let page = |path: &str| format!("{}{path}", factory.address);
    for (path, words, name) in [
        ("/".to_owned(), "Last builds", "start"),
        ("/new?template=edge".to_owned(), "This can be built.", "builder"),
        (format!("/r/{recipe}"), "recipe.yaml", "recipe"),
        ("/builds".to_owned(), "Compare two", "builds"),
        (format!("/builds/{good}"), "Downloads", "build-succeeded"),
        (format!("/builds/{bad}"), "It failed", "build-failed"),
        (format!("/builds/{slow}"), "running", "build-running"),
        (format!("/compare?from={good}&to={newer}"), "differ", "compare"),
        ("/account".to_owned(), "Tokens for programs", "account"),
        ("/people".to_owned(), "What was done", "people"),
        ("/nowhere".to_owned(), "There is nothing here", "not-here"),
    ] {
        browser.open(&page(&path), words);
        look.at(&mut browser, name);
    }
    browser.open(&page("/new?template=edge"), "This can be built.");
    browser.fill("#kernel", "none");
    browser.wait_for(&["can't be built"], SOON);
    look.at(&mut browser, "builder-refused");
    browser.open(&page(&format!("/r/{recipe}")), "recipe.yaml");
    browser.click("#review");
    browser.wait_for(&["Nothing is built yet"], Duration::from_secs(120));
    look.at(&mut browser, "review");
    program.send("POST", &format!("/builds/{slow}/cancel"), None);
    program.wait(&slow, "cancelled");
    browser.open(&page("/account"), "Leave");
    browser.click("#logout");
    browser.wait_for(&["Sign in"], SOON);
    look.at(&mut browser, "login");
    if let Some(folder) = &look.pictures {
        fs::write(folder.join("first-paint.txt"), &look.paints).unwrap();
    }
    assert_eq!(look.wrong, Vec::<String>::new(), "{}", look.wrong.join("\n\n"));
}

/// Builds that ended well, well again, badly, and one that runs.
fn builds(program: &serve_support::Program<'_>) -> [String; 4] {
    let id = |answer: serve_support::Answer| answer.json()["id"].as_str().unwrap().to_owned();
    let good = id(program.build(SMALL));
    let newer =
        id(program
            .build(&(SMALL.replace("name: small", "name: small\nversion: 0.2.0") + "packages: [less]\n")));
    let bad =
        id(program.build(&(SMALL.replace("small", "broken") + "script: |\n  echo it begins\n  exit 3\n")));
    let slow =
        id(program.build(&(SMALL.replace("small", "slow") + "script: |\n  echo it begins\n  sleep 600\n")));
    for (id, end) in [(&good, "succeeded"), (&newer, "succeeded"), (&bad, "failed")] {
        program.wait(id, end);
    }
    program.wait_for_log(&slow, "script     starts");
    [good, newer, bad, slow]
}

/// First contentful paint of the page in milliseconds (W3C Paint Timing).
#[track_caller]
fn first_paint(browser: &mut Browser) -> f64 {
    let entry = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime";
    until(browser, &format!("{entry} !== undefined"));
    browser.evaluate(entry).as_f64().unwrap()
}

/// Looks at a page as different people do.
struct Look {
    axe: String,
    pictures: Option<PathBuf>,
    /// What is wrong with the pages so far.
    wrong: Vec<String>,
    /// A line for each page: when there was something to see, from the beginning of the navigation on.
    paints: String,
}

impl Look {
    fn new() -> Self {
        let npm = std::env::var_os("BASALT_NPM_TREE").expect("run this test through `cargo xtask test`");
        let axe = Path::new(&npm).join("node_modules/axe-core/axe.min.js");
        let axe = fs::read_to_string(&axe).unwrap_or_else(|error| panic!("{}: {error}", axe.display()));
        let pictures = std::env::var_os("BASALT_PICTURES").map(PathBuf::from);
        Self { axe, pictures, wrong: Vec::new(), paints: String::new() }
    }

    #[track_caller]
    fn at(&mut self, browser: &mut Browser, name: &str) {
        let weight = "(async () => { let sum = new Blob([document.documentElement.outerHTML]).size; \
                      for (const one of performance.getEntriesByType('resource')) if (!one.name.includes('/events')) sum += one.decodedBodySize; return sum })()";
        let bytes = browser.evaluate(weight).as_u64().unwrap();
        if bytes > 150 * 1024 {
            self.wrong.push(format!("{name} weighs {bytes} bytes"));
        }
        let paint = first_paint(browser);
        self.paints += &format!("{name:<20}{paint:>6.0} ms {bytes:>8} bytes\n");
        // Beside other tests it is their time that would be judged.
        if self.pictures.is_some() && paint > 300.0 {
            self.wrong.push(format!("{name} showed nothing for {paint:.0} ms"));
        }
        for (scheme, width, height) in [
            ("light", 1440, 900),
            ("dark", 1440, 900),
            ("light", 800, 1100),
            ("light", 360, 780),
            ("dark", 360, 780),
        ] {
            browser.prefer(scheme);
            browser.resize(width, height);
            browser.evaluate("scrollTo(0, 0)");
            if browser.overflow() != 0 {
                self.wrong.push(format!("{name} at {width} px is wider than what is seen"));
            }
            if let Some(folder) = &self.pictures {
                browser.picture(&folder.join(format!("{name}-{width}-{scheme}.png")));
            }
            if width != 800 {
                self.judge(browser, &format!("{name} at {width} px, {scheme}"));
            }
        }
        browser.prefer("light");
        browser.resize(1440, 900);
    }

    /// Asks axe-core for what is serious by WCAG 2.2 AA.
    #[track_caller]
    fn judge(&mut self, browser: &mut Browser, what: &str) {
        if browser.evaluate("typeof window.axe") != "object" {
            browser.evaluate(&format!("{}; 0", self.axe));
        }
        let asked = "axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']}).then(found => \
                     found.violations.filter(one => one.impact === 'serious' || one.impact === 'critical').map(one => \
                     one.id + ': ' + one.help + '\\n' + one.nodes.slice(0, 4).map(node => node.html + ' ' + node.failureSummary).join('\\n')).join('\\n'))";
        let found = browser.evaluate(asked);
        if found != "" {
            self.wrong.push(format!("{what}: {}", found.as_str().unwrap_or_default()));
        }
    }
}
