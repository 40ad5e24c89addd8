//! The factory's server over HTTP: who comes in, what is whose, what a hostile request gets, and that nothing accepted is lost.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod serve_support;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    process::Command,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use serve_support::{Factory, PASSWORD, Person, Program, SMALL, encoded};

const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

#[test]
fn nobody_comes_in_but_by_the_link_and_the_password() {
    let factory = Factory::start(&[]);
    for path in ["/", "/new", "/builds", "/account", "/people", "/builds/x", "/r/x"] {
        let answer = factory.get(path, &[]);
        assert_eq!((answer.status, answer.header("location").starts_with("/login")), (303, true), "{path}");
    }
    let ada = factory.first_person();
    assert_eq!(factory.get(&factory.link(), &[]).status, 404, "the link works once");
    let home = ada.get("/");
    assert_eq!(home.status, 200);
    for (name, words) in [
        ("content-security-policy", "default-src 'none'; style-src 'self'; script-src 'self'"),
        ("x-content-type-options", "nosniff"),
        ("cache-control", "no-store"),
    ] {
        assert!(home.header(name).contains(words), "{name}: {}", home.header(name));
    }

    let login = factory.get("/login", &[]);
    let set = login.header("set-cookie");
    assert!(set.contains("HttpOnly") && set.contains("SameSite=Strict"), "{set}");
    let cookie = format!("basalt_form={}", login.cookie("basalt_form").unwrap());
    let attempt = |password: &str| {
        let body =
            encoded(&[("form", login.form()), ("name", "ada".to_owned()), ("password", password.to_owned())]);
        factory.send("POST", "/login", (&[("cookie", &cookie), FORM], Some(body.as_bytes())))
    };
    let answer = attempt(PASSWORD);
    assert_eq!(answer.status, 303);
    let set = answer.header("set-cookie");
    assert!(set.starts_with("basalt_session=") && set.contains("HttpOnly; SameSite=Strict"), "{set}");
    for _ in 0..5 {
        assert_eq!(attempt("wrong").status, 401);
    }
    let stopped = attempt(PASSWORD);
    assert_eq!(stopped.status, 429, "the right one waits, too");
    assert!(stopped.header("retry-after").parse::<u64>().unwrap() > 30);

    ada.post("/logout", &[]);
    assert_eq!(ada.get("/").status, 303, "the session has ended");
    for secret in [
        PASSWORD,
        "wrong",
        ada.cookie.trim_start_matches("basalt_session="),
        factory.link().trim_start_matches("/setup/"),
    ] {
        assert!(!factory.log().contains(secret), "a secret is in the log");
    }
}

#[test]
fn a_form_of_another_site_is_refused() {
    let factory = Factory::start(&[]);
    let ada = factory.first_person();
    let form = ada.get("/account").form();
    let body = |form: &str| encoded(&[("form", form.to_owned()), ("project", "own".to_owned())]);
    let without = ada.post_raw("/people/invite", &body("0000"));
    assert_eq!(without.status, 403);
    let from = |name: &str, value: &str| {
        let headers = [("cookie", ada.cookie.as_str()), FORM, (name, value)];
        factory.send("POST", "/people/invite", (&headers, Some(body(&form).as_bytes()))).status
    };
    assert_eq!(from("origin", "http://evil.example"), 403);
    assert_eq!(from("sec-fetch-site", "cross-site"), 403);
    assert_eq!(from("origin", &factory.address), 200);
    let stranger = factory.send("POST", "/login", (&[FORM], Some(b"name=ada&password=x&form=")));
    assert_eq!(stranger.status, 403);
}

#[test]
fn what_is_another_projects_is_not_there() {
    let factory = Factory::start(&["--workers", "1"]);
    let ada = factory.first_person();
    let program = ada.token(&["read", "build", "manage"]);
    let build = program.build(SMALL).json();
    let (id, recipe) = (build["id"].as_str().unwrap(), build["recipe"].as_str().unwrap());
    let bob = ada.invite("bob");
    let his = bob.token(&["read", "build", "manage"]);

    // Every route of the API that names something, by its own description.
    let description = factory.get("/api/v1/openapi.json", &[]).json();
    let mut tried = 0;
    for (path, methods) in description["paths"].as_object().unwrap() {
        let fill = |part: &str| match part.strip_prefix('{').map(|part| part.trim_end_matches('}')) {
            Some("id") if path.contains("recipes") => recipe.to_owned(),
            Some("id") => id.to_owned(),
            Some(_name) => "small.tar.zst".to_owned(),
            None => part.to_owned(),
        };
        let parts = path.trim_start_matches("/api/v1").split('/').map(fill);
        let filled = parts.collect::<Vec<_>>().join("/");
        let filled = if path.ends_with("/compare") { format!("{filled}?from={id}&to={id}") } else { filled };
        for (method, operation) in methods.as_object().unwrap() {
            let scoped = operation["security"][0].is_object();
            let method = method.to_uppercase();
            if scoped {
                assert_eq!(
                    Program { factory: &factory, token: "basalt_0".to_owned() }
                        .send(&method, &filled, None)
                        .status,
                    401,
                    "{method} {path}"
                );
            }
            if path.contains('{') || path.ends_with("/compare") {
                let answer = his.send(&method, &filled, None);
                assert_eq!(answer.status, 404, "{method} {path}: {}", answer.text());
                tried += 1;
            }
        }
    }
    assert!(tried >= 14, "{tried}");
    for list in ["/builds", "/recipes"] {
        let found = his.get(list);
        assert!(found.as_object().unwrap().values().all(|value| value == &json!([])), "{found}");
    }
    for path in [
        format!("/builds/{id}"),
        format!("/builds/{id}/events"),
        format!("/builds/{id}/log"),
        format!("/builds/{id}/files/small.tar.zst"),
        format!("/r/{recipe}"),
        format!("/compare?from={id}&to={id}"),
        "/people".to_owned(),
    ] {
        assert_eq!(bob.get(&path).status, 404, "{path}");
    }
    for act in ["cancel", "pin", "unpin", "rebuild", "delete", "boot-link", "end-boot-link"] {
        assert_eq!(bob.post(&format!("/builds/{id}/{act}"), &[]).status, 404, "{act}");
    }
    assert_eq!(bob.post("/people/invite", &[("project", "mine")]).status, 404);
}

#[test]
fn a_token_does_what_it_was_made_for_and_no_more() {
    let factory = Factory::start(&[]);
    let reader = factory.first_person().token(&["read"]);
    assert_eq!(reader.build(SMALL).status, 403);
    assert_eq!(reader.send("DELETE", "/builds/x", None).status, 403);
    assert_eq!(reader.send("PUT", "/builds/x/pin", None).status, 403);
    assert_eq!(reader.send("GET", "/builds", None).status, 200);
}

#[test]
fn hostile_requests_reach_nothing() {
    let factory = Factory::start(&[]);
    let ada = factory.first_person();
    let program = ada.token(&["read", "build"]);
    let head = "apiVersion: basalt.dev/v1alpha1\nkind: Recipe\nname: evil\n";
    for rest in [
        "files: [{path: /etc/x, source: ../../../etc/shadow}]",
        "files: [{path: /etc/x, source: etc/shadow}]",
        "script: {source: /etc/shadow}",
        "script: {source: shadow}",
        "from: /etc/recipe.yaml",
        "packages: [./evil.deb]",
        "base: {debian: {keyring: key.gpg}}",
        "base: {debian: {mirror: 'file:///etc'}}",
        "base: {debian: {mirror: 'http://169.254.169.254/latest'}}",
        "base: {oci: 'oci:/var/lib'}",
        "base: {oci: 'registry.example.org/x'}",
        "name: ../../evil",
    ] {
        let text = if rest.starts_with("name:") {
            head.replace("name: evil", rest)
        } else {
            format!("{head}{rest}\n")
        };
        let answer = program.build(&text);
        assert_eq!(answer.status, 422, "{rest}: {}", answer.text());
        assert_eq!(answer.json()["findings"][0]["severity"], "refusal", "{rest}");
    }
    assert_eq!(program.get("/builds")["builds"], json!([]));
    let large = format!("{head}# {}\n", "x".repeat(300 * 1024));
    assert_eq!(program.build(&large).status, 400);
    assert_eq!(program.build(&"x".repeat(2 << 20)).status, 413);
    let deep = format!("{head}files: {}{}\n", "[".repeat(50_000), "]".repeat(50_000));
    assert_eq!(program.build(&deep).status, 422);
    assert_eq!(program.send("POST", "/builds", Some(&json!({"recipe": SMALL, "more": 1}))).status, 400);
    for path in
        ["/builds/../../state", "/builds/%2e%2e%2f%2e%2e/files/x", "/builds/x/files/..%2f..%2frecipe.yaml"]
    {
        assert_eq!(program.send("GET", path, None).status, 404, "{path}");
    }
    // A page shows what somebody wrote and runs none of it.
    let text = format!("{head}users: [{{name: '<script>alert(1)</script>'}}]\n");
    let form = ada.get("/account").form();
    let page = ada.post_raw(
        "/compose",
        &encoded(&[("form", form), ("yaml", text.clone()), ("base", text), ("view", "yaml".to_owned())]),
    );
    assert!(page.text().contains("&lt;script&gt;") && !page.text().contains("<script>alert"));
}

#[test]
fn who_says_slowly_what_it_wants_is_cut_off_and_nobody_else_waits() {
    let factory = Factory::start(&[]);
    let (began, mut slow) = (Instant::now(), Vec::new());
    for _ in 0..100 {
        let mut stream = TcpStream::connect(factory.address.trim_start_matches("http://")).unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nHost: slow").unwrap();
        slow.push(stream);
    }
    assert_eq!(factory.get("/login", &[]).status, 200);
    for mut stream in slow {
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        // Nothing, or that it took too long: then the end.
        let mut said = String::new();
        stream.read_to_string(&mut said).unwrap();
        assert!(said.is_empty() || said.starts_with("HTTP/1.1 408"), "{said}");
    }
    let took = began.elapsed();
    assert!((Duration::from_secs(5)..Duration::from_secs(40)).contains(&took), "{took:?}");
}

#[test]
fn the_same_request_two_hundred_times_is_one_build_and_its_files_are_whole() {
    let factory = Factory::start(&[]);
    let program = factory.first_person().token(&["read", "build", "manage"]);
    let answers: Vec<(u16, String)> = std::thread::scope(|scope| {
        let ask = || {
            let answer = program.build(SMALL);
            (answer.status, answer.json()["id"].as_str().unwrap_or_default().to_owned())
        };
        let asked: Vec<_> = (0..200).map(|_| scope.spawn(ask)).collect();
        asked.into_iter().map(|one| one.join().unwrap()).collect()
    });
    let ids: BTreeSet<&String> = answers.iter().map(|(_, id)| id).collect();
    assert_eq!(ids.len(), 1, "{answers:?}");
    assert_eq!(answers.iter().filter(|(status, _)| *status == 202).count(), 1);
    assert_eq!(answers.iter().filter(|(status, _)| *status == 200).count(), 199);
    let id = answers[0].1.clone();
    assert_eq!(program.send("DELETE", &format!("/builds/{id}"), None).status, 409, "it has not ended");
    program.wait(&id, "succeeded");
    let again = program.build(SMALL);
    assert_eq!(
        (again.status, again.json()["id"].as_str()),
        (200, Some(id.as_str())),
        "a finished one answers"
    );
    check_downloads(&program, &id);
    check_events(&program, &id);
    assert_eq!(program.send("PUT", &format!("/builds/{id}/pin"), None).json()["pinned"], true);
    assert_eq!(program.send("DELETE", &format!("/builds/{id}"), None).status, 409, "it is pinned");
    assert_eq!(program.send("DELETE", &format!("/builds/{id}/pin"), None).json()["pinned"], false);
    assert_eq!(program.send("DELETE", &format!("/builds/{id}"), None).status, 204);
    assert!(!factory.state().join("builds").join(&id).exists());
    let anew = program.build(SMALL);
    assert_eq!(anew.status, 202, "what was deleted answers nothing");
}

#[test]
fn fifty_builds_of_two_people_go_by_turns() {
    let factory = Factory::start(&["--workers", "1"]);
    let ada = factory.first_person();
    let (hers, his) = (ada.token(&["read", "build"]), ada.invite("bob").token(&["read", "build"]));
    let ask = |program: &Program<'_>, count: u32| -> Vec<String> {
        let one = |number| program.build(&SMALL.replace("name: small", &format!("name: small-{number}")));
        (0..count).map(|number| one(number).json()["id"].as_str().unwrap().to_owned()).collect()
    };
    let (many, few) = (ask(&hers, 40), ask(&his, 10));
    assert_eq!(many.iter().chain(&few).collect::<BTreeSet<_>>().len(), 50, "each is a build of its own");
    for id in &few[..3] {
        his.wait(id, "succeeded");
    }
    let listed = hers.get("/builds");
    let ended =
        listed["builds"].as_array().unwrap().iter().filter(|build| build["state"] == "succeeded").count();
    // Hers that were built while he asked, one of hers for each of his, and one that may end as this is asked.
    assert!((3..=7).contains(&ended), "{ended} of hers have ended with 3 of his");
    for (program, ids) in [(&hers, &many), (&his, &few)] {
        for id in ids {
            program.send("POST", &format!("/builds/{id}/cancel"), None);
        }
    }
}

fn check_downloads(program: &Program<'_>, id: &str) {
    let files = program.get(&format!("/builds/{id}/files"));
    let tar = files["files"].as_array().unwrap().iter().find(|file| file["name"] == "small.tar.zst").unwrap();
    let path = format!("/builds/{id}/files/small.tar.zst");
    let whole = program.send("GET", &path, None);
    assert_eq!(whole.bytes.len() as u64, tar["size"].as_u64().unwrap());
    let sum = basalt_types::Digest::of(&whole.bytes).hex();
    assert_eq!(tar["sha256"], sum);
    let tag = format!("\"{sum}\"");
    assert_eq!(whole.header("etag"), tag);
    assert_eq!(program.get_with(&path, ("if-none-match", &tag)).status, 304);
    let part = program.get_with(&path, ("range", "bytes=10-19"));
    assert_eq!((part.status, part.bytes.as_slice()), (206, &whole.bytes[10..20]));
    assert_eq!(part.header("content-range"), format!("bytes 10-19/{}", whole.bytes.len()));
    assert_eq!(program.get_with(&path, ("range", "bytes=-5")).bytes, whole.bytes[whole.bytes.len() - 5..]);
    assert_eq!(program.get_with(&path, ("range", "bytes=999999999999-")).status, 416);
    let head = program.send("HEAD", &path, None);
    assert_eq!(
        (head.status, head.bytes.len(), head.header("content-length")),
        (200, 0, whole.header("content-length"))
    );
    let sums = program.send("GET", &format!("/builds/{id}/files/SHA256SUMS"), None).text();
    assert!(sums.contains(&format!("{sum}  small.tar.zst\n")), "{sums}");
}

fn check_events(program: &Program<'_>, id: &str) {
    let all = program.send("GET", &format!("/builds/{id}/events"), None);
    assert_eq!(all.header("content-type"), "text/event-stream");
    let text = all.text();
    let steps = ["event: queued", "event: started", "event: finished", "event: succeeded"];
    assert!(steps.iter().all(|word| text.contains(word)), "{text}");
    let count = text.matches("id: ").count();
    let rest =
        program.get_with(&format!("/builds/{id}/events"), ("last-event-id", &(count - 1).to_string())).text();
    assert!(rest.starts_with(&format!("id: {count}\nevent: succeeded\n")), "{rest}");
    assert_eq!(
        program.get_with(&format!("/builds/{id}/events"), ("last-event-id", &count.to_string())).text(),
        ""
    );
    assert_eq!(program.get_with(&format!("/builds/{id}/events"), ("last-event-id", "x")).status, 400);
}

#[test]
fn a_crash_loses_no_accepted_build_and_a_cancelled_one_stops() {
    let mut factory = Factory::start(&[]);
    let person = factory.first_person();
    let (token, cookie) = (person.token(&["read", "build"]).token, person.cookie.clone());
    let names = ["one", "two", "three"];
    let mut ids = BTreeMap::new();
    {
        let program = Program { factory: &factory, token: token.clone() };
        for name in names {
            let recipe = SMALL.replace("small", name) + &format!("packages: [less]\nhostname: {name}-host\n");
            let answer = program.build(&recipe);
            assert_eq!(answer.status, 202, "{}", answer.text());
            ids.insert(name, answer.json()["id"].as_str().unwrap().to_owned());
        }
        program.wait_for_log(&ids["one"], "resolve    starts");
    }
    factory.crash_and_restart();
    assert_eq!(jobs_of(&factory), 0, "a job outlived its server, or was begun twice");
    let program = Program { factory: &factory, token };
    assert_eq!(Person { factory: &factory, cookie }.get("/").status, 200, "the session holds");
    let cancelled = program.send("POST", &format!("/builds/{}/cancel", ids["two"]), None);
    assert_eq!(cancelled.status, 200, "{}", cancelled.text());
    program.wait(&ids["two"], "cancelled");
    for name in ["one", "three"] {
        program.wait(&ids[name], "succeeded");
    }
    let log = program.send("GET", &format!("/builds/{}/log", ids["one"]), None).text();
    assert!(log.contains("queued again: the factory was restarted"), "{log}");

    // One that runs stops with everything below it.
    let answer = program.build(&(SMALL.replace("small", "four") + "script: sleep 300\n"));
    let id = answer.json()["id"].as_str().unwrap().to_owned();
    program.wait_for_log(&id, "script     starts");
    assert_eq!(program.send("POST", &format!("/builds/{id}/cancel"), None).status, 200);
    program.wait(&id, "cancelled");
    let deadline = Instant::now() + Duration::from_secs(10);
    while jobs_of(&factory) > 0 {
        assert!(Instant::now() < deadline, "the job still runs");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(program.send("GET", &format!("/builds/{id}/log"), None).text().contains("cancelled by ada"));
}

/// How many processes work for builds of this factory: a job's argument is its folder.
fn jobs_of(factory: &Factory) -> usize {
    let wanted = factory.state().join("builds");
    let wanted = wanted.to_str().unwrap();
    let mut found = 0;
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Ok(line) = fs::read_to_string(entry.path().join("cmdline")) else { continue };
        found += usize::from(line.contains("serve-job") && line.contains(wanted));
    }
    found
}

#[test]
fn a_build_that_takes_too_much_is_stopped_and_says_so() {
    let factory = Factory::start(&["--build-memory", "300M"]);
    let program = factory.first_person().token(&["read", "build"]);
    let greedy = SMALL.replace("small", "greedy") + "script: |\n  head -c 900M /dev/zero | tail\n";
    let id = program.build(&greedy).json()["id"].as_str().unwrap().to_owned();
    program.wait(&id, "failed");
    let log = program.send("GET", &format!("/builds/{id}/log"), None).text();
    assert!(log.contains("of memory, and a build may take 300"), "{log}");
    let hoarder =
        SMALL.replace("small", "hoarder") + "script: |\n  head -c 900M /dev/zero > /var/hoard\n  sleep 60\n";
    let id = program.build(&hoarder).json()["id"].as_str().unwrap().to_owned();
    program.wait(&id, "failed");
    let log = program.send("GET", &format!("/builds/{id}/log"), None).text();
    assert!(log.contains("of memory, and a build may take 300"), "what it keeps in files counts, too: {log}");
    let broken = SMALL.replace("small", "broken") + "script: |\n  echo before\n  exit 3\n";
    let id = program.build(&broken).json()["id"].as_str().unwrap().to_owned();
    program.wait(&id, "failed");
    let events = program.send("GET", &format!("/builds/{id}/events"), None).text();
    let last = events.lines().rfind(|line| line.starts_with("data: ")).unwrap();
    let last: Value = serde_json::from_str(&last[6..]).unwrap();
    assert_eq!(
        (&last["event"], &last["step"], &last["whose"]),
        (&json!("failed"), &json!("script"), &json!("recipe")),
        "{last}"
    );
    let impossible = SMALL.replace("small", "no") + "packages: [no-such-package-at-all]\n";
    let answer = program.send("POST", "/resolve", Some(&json!({"recipe": impossible})));
    assert_eq!(answer.status, 422);
    assert!(
        answer.json()["message"].as_str().unwrap().contains("no-such-package-at-all"),
        "{}",
        answer.text()
    );
}

#[test]
fn skopeo_pulls_what_was_built() {
    let factory = Factory::start(&[]);
    let ada = factory.first_person();
    let program = ada.token(&["read", "build"]);
    let id = program.build(&SMALL.replace("[tar]", "[container]")).json()["id"].as_str().unwrap().to_owned();
    program.wait(&id, "succeeded");
    let host = factory.address.trim_start_matches("http://");
    let pull = |token: &str, reference: &str| {
        let target = format!("oci:{}:small", factory.folder.path().join("pulled").display());
        let source = format!("docker://{host}/{reference}");
        let creds = format!("ada:{token}");
        let arguments =
            ["--insecure-policy", "copy", "--src-tls-verify=false", "--src-creds", &creds, &source, &target];
        let done = basalt_testkit::run_tool("skopeo", "skopeo", &arguments);
        (done.exit == basalt_exec::command::Exit::Code(0), done.stderr_tail)
    };
    let manager = ada.token(&["manage"]);
    let link = manager.send("PUT", &format!("/builds/{id}/boot-link"), None);
    assert!(link.status == 409 && link.text().contains("has made no `netboot`"), "{}", link.text());
    for reference in ["container/small:0.1.0", "container/small:latest", &format!("container/{id}:0.1.0")] {
        let (pulled, said) = pull(&program.token, reference);
        assert!(pulled, "{reference}: {said}");
    }
    assert!(factory.folder.path().join("pulled/index.json").exists());
    let his = ada.invite("bob").token(&["read"]);
    for (token, reference) in [
        (his.token.as_str(), "container/small:0.1.0"),
        ("basalt_0", "container/small:0.1.0"),
        (program.token.as_str(), "container/small:9.9.9"),
        (program.token.as_str(), "factory/small:0.1.0"),
    ] {
        assert!(!pull(token, reference).0, "{reference} was given away");
    }
    let tags = program
        .factory
        .get("/v2/container/small/tags/list", &[("authorization", &format!("Bearer {}", program.token))]);
    assert_eq!(tags.json(), json!({"name": "container/small", "tags": ["0.1.0"]}));
    assert_eq!(factory.get("/v2/", &[]).header("www-authenticate"), "Basic realm=\"Basalt factory\"");
}

#[test]
fn every_template_can_be_built() {
    let factory = Factory::start(&[]);
    let program = factory.first_person().token(&["read"]);
    let templates = program.get("/templates");
    for template in templates["templates"].as_array().unwrap() {
        let answer = program.send("POST", "/resolve", Some(&json!({"recipe": template["recipe"]})));
        assert_eq!(answer.status, 200, "{}: {}", template["name"], answer.text());
        let preview = answer.json();
        assert!(preview["packages"].as_array().unwrap().len() > 100, "{}", template["name"]);
        assert!(preview["root"].as_u64() > preview["download"].as_u64(), "{}", template["name"]);
    }
}

#[test]
fn schemathesis_finds_nothing() {
    let python = std::env::var_os("BASALT_PYTHON_TREE").expect("run this test through `cargo xtask test`");
    let program = std::path::Path::new(&python).join("bin/schemathesis");
    let factory = Factory::start(&["--queue", "1000", "--queue-of-one", "1000"]);
    let token = factory.first_person().token(&["read", "build", "manage"]).token;
    let output = Command::new(&program)
        .args(["run", "--no-color", "--checks", "all", "--max-examples", "6", "--seed", "1"])
        // What a recipe may be is the engine's to say and no pattern's: to the schema any text is one.
        .args(["--exclude-checks", "positive_data_acceptance", "--request-timeout", "60", "--header"])
        .arg(format!("Authorization: Bearer {token}"))
        .arg(format!("{}/api/v1/openapi.json", factory.address))
        .current_dir(factory.folder.path())
        .output()
        .unwrap_or_else(|error| panic!("{}: {error}; `cargo xtask test` makes the tree", program.display()));
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{text}\n{}\n{}",
        String::from_utf8_lossy(&output.stderr),
        factory.log()
    );
}
