use super::{Artifact, BuildState, Ended, Invitation, NewBuild, Scope, State, Submitted, Who};

fn state() -> (tempfile::TempDir, State) {
    let folder = tempfile::tempdir().unwrap();
    let state = State::open(&folder.path().join("state")).unwrap();
    (folder, state)
}

/// An account in a project of its own.
fn account(state: &State, name: &str, admin: bool) -> Who {
    let link = state.new_link(Invitation { project: None, admin }).unwrap();
    let id = state.new_account(link.reveal(), (name, "correct horse")).unwrap().unwrap().unwrap();
    let session = state.new_session(id).unwrap();
    state.session(session.reveal()).unwrap().unwrap()
}

fn ask(state: &State, who: &Who, (id, recipe): (&str, &str), lock: Option<&str>) -> Submitted {
    let new = NewBuild {
        id,
        project: who.account.project,
        account: &who.account.name,
        recipe,
        name: "edge",
        version: "1",
        lock,
    };
    state.submit(new, (3, 2), || Ok(())).unwrap()
}

#[test]
fn a_link_works_once() {
    let (_folder, state) = state();
    assert!(state.is_new().unwrap());
    let link = state.new_link(Invitation { project: None, admin: true }).unwrap();
    let newer = state.new_link(Invitation { project: None, admin: true }).unwrap();
    assert_eq!(state.link(link.reveal()).unwrap(), None, "another start's link replaces it");
    let made = || state.new_account(newer.reveal(), ("ada", "correct horse")).unwrap();
    assert!(matches!(made(), Some(Ok(_))));
    assert!(made().is_none(), "it is used up");
    assert!(!state.is_new().unwrap());
    let other = state.new_link(Invitation { project: None, admin: false }).unwrap();
    assert!(matches!(state.new_account(other.reveal(), ("ada", "correct horse")).unwrap(), Some(Err(_))));
    assert!(state.link(other.reveal()).unwrap().is_some(), "a name that is taken uses no link up");
}

#[test]
fn a_boot_link_opens_one_build_until_it_ends() {
    let (_folder, state) = state();
    let who = account(&state, "ada", true);
    ask(&state, &who, ("one", "r1"), None);
    let old = state.open_boot("one").unwrap();
    assert_eq!(state.boot(old.reveal()).unwrap().as_deref(), Some("one"));
    let new = state.open_boot("one").unwrap();
    assert_eq!(state.boot(old.reveal()).unwrap(), None, "a new link takes the place of the one before");
    assert!(state.has_boot("one").unwrap());
    for file in ["edge.ipxe", "edge.initrd"] {
        state.machine_asked("one", "192.0.2.7", file).unwrap();
    }
    state.machine_asked("one", "192.0.2.8", "edge.ipxe").unwrap();
    let machines = state.machines("one").unwrap();
    let seen: Vec<_> = machines.iter().map(|one| (one.address.as_str(), one.file.as_str())).collect();
    assert_eq!(seen, [("192.0.2.8", "edge.ipxe"), ("192.0.2.7", "edge.initrd")]);
    assert!(state.end_boot("one").unwrap() && !state.end_boot("one").unwrap());
    assert_eq!(state.boot(new.reveal()).unwrap(), None);

    let last = state.open_boot("one").unwrap();
    state.end("one", &Ended::Failed, None).unwrap();
    assert!(state.forget(who.account.project, "one").unwrap());
    assert_eq!(state.boot(last.reveal()).unwrap(), None, "a build that is gone boots nothing");
}

#[test]
fn sessions_and_tokens_end() {
    let (_folder, state) = state();
    let who = account(&state, "ada", true);
    let id = state.sign_in("ada", "correct horse").unwrap().unwrap();
    assert_eq!(state.sign_in("ada", "wrong").unwrap(), None);
    assert_eq!(state.sign_in("eve", "correct horse").unwrap(), None);
    let session = state.new_session(id).unwrap();
    state.end_session(session.reveal()).unwrap();
    assert_eq!(state.session(session.reveal()).unwrap(), None);
    let session = state.new_session(id).unwrap();
    state.change_password(&who.account, "another horse").unwrap();
    assert_eq!(state.session(session.reveal()).unwrap(), None, "a new password ends all sessions");

    let token = state.new_token(&who.account, "ci", (&[Scope::Read], 1)).unwrap();
    assert_eq!(state.token(token.reveal()).unwrap().unwrap().scopes, [Scope::Read]);
    let spent = state.new_token(&who.account, "old", (&[Scope::Read], -1)).unwrap();
    assert_eq!(state.token(spent.reveal()).unwrap(), None, "it is too old");
    let other = account(&state, "bob", false);
    let row = state.tokens(who.account.id).unwrap()[0].id;
    assert!(!state.remove_token(&other.account, row).unwrap(), "it is not his");
    assert!(state.remove_token(&who.account, row).unwrap());
    assert_eq!(state.token(token.reveal()).unwrap(), None);
}

#[test]
fn no_secret_is_in_the_database() {
    let (folder, state) = state();
    let who = account(&state, "ada", true);
    let token = state.new_token(&who.account, "ci", (&Scope::ALL, 1)).unwrap();
    let session = state.new_session(who.account.id).unwrap();
    let link = state.new_link(Invitation { project: None, admin: false }).unwrap();
    drop(state);
    for entry in std::fs::read_dir(folder.path().join("state")).unwrap() {
        let path = entry.unwrap().path();
        let Ok(bytes) = std::fs::read(&path) else { continue };
        for secret in [token.reveal(), session.reveal(), link.reveal(), "correct horse"] {
            let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!found, "{} holds a secret", path.display());
        }
    }
}

#[test]
fn the_same_request_joins_one_build() {
    let (_folder, state) = state();
    let who = account(&state, "ada", true);
    assert_eq!(ask(&state, &who, ("1", "r"), None), Submitted::New("1".to_owned()));
    assert_eq!(ask(&state, &who, ("2", "r"), None), Submitted::Joined("1".to_owned()));
    assert!(state.begin("1").unwrap());
    assert_eq!(ask(&state, &who, ("3", "r"), None), Submitted::Joined("1".to_owned()));
    let files = vec![Artifact { name: "edge.raw".to_owned(), size: 1 << 40, sha256: "0".repeat(64) }];
    let ended = Ended::Succeeded { image: "i".to_owned(), artifacts: files.clone() };
    state.end("1", &ended, Some("l")).unwrap();
    assert_eq!(state.artifacts("1").unwrap(), files);
    assert_eq!(ask(&state, &who, ("4", "r"), Some("l")), Submitted::Joined("1".to_owned()), "it is there");
    assert_eq!(ask(&state, &who, ("5", "r"), Some("m")), Submitted::New("5".to_owned()), "other packages");
    assert!(state.stop(who.account.project, "5", "ada").unwrap() == Some(BuildState::Cancelled));
    assert_eq!(
        ask(&state, &who, ("6", "r"), Some("m")),
        Submitted::New("6".to_owned()),
        "one that was cancelled is none"
    );
    let other = account(&state, "bob", false);
    assert_eq!(ask(&state, &other, ("7", "r"), Some("l")), Submitted::New("7".to_owned()), "another project");
}

#[test]
fn the_queue_is_bounded_for_one_and_for_all() {
    let (_folder, state) = state();
    let (ada, bob) = (account(&state, "ada", true), account(&state, "bob", false));
    for id in ["1", "2"] {
        assert_eq!(ask(&state, &ada, (id, id), None), Submitted::New(id.to_owned()));
    }
    assert_eq!(ask(&state, &ada, ("3", "3"), None), Submitted::Full { own: true });
    assert_eq!(ask(&state, &bob, ("4", "4"), None), Submitted::New("4".to_owned()));
    assert_eq!(ask(&state, &bob, ("5", "5"), None), Submitted::Full { own: false });
}

#[test]
fn what_ran_is_put_back_and_what_ended_is_not() {
    let (folder, state) = state();
    let who = account(&state, "ada", true);
    ask(&state, &who, ("1", "1"), None);
    ask(&state, &who, ("2", "2"), None);
    state.begin("1").unwrap();
    state.begin("2").unwrap();
    state.end("2", &Ended::Failed, None).unwrap();
    let place = folder.path().join("state");
    assert!(State::open(&place).is_err(), "one server at a time");
    drop(state);
    let state = State::open(&place).unwrap();
    assert_eq!(state.resume().unwrap(), ["1"]);
    assert_eq!(state.build(who.account.project, "1").unwrap().unwrap().state, BuildState::Queued);
    assert_eq!(state.waiting().unwrap().len(), 1);
    assert!(!state.forget(who.account.project, "1").unwrap(), "it has not ended");
    assert!(state.forget(who.account.project, "2").unwrap());
}

#[test]
fn another_projects_things_are_not_there() {
    let (_folder, state) = state();
    let (ada, bob) = (account(&state, "ada", true), account(&state, "bob", false));
    ask(&state, &ada, ("1", "r"), None);
    state.save_recipe(ada.account.project, ("r", "edge"), "text").unwrap();
    let project = bob.account.project;
    assert_eq!(state.build(project, "1").unwrap(), None);
    assert_eq!(state.builds(project, 9).unwrap(), []);
    assert_eq!(state.recipe(project, "r").unwrap(), None);
    assert_eq!(state.recipes(project, 9).unwrap(), []);
    assert_eq!(state.stop(project, "1", "bob").unwrap(), None);
    assert!(!state.pin(project, "1", true).unwrap());
    assert!(!state.forget(project, "1").unwrap());
    assert_eq!(state.last_good(project, "edge").unwrap(), None);
}
