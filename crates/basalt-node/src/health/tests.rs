use super::*;

fn health(yaml: &str) -> Health {
    let text =
        format!("apiVersion: basalt.dev/v1alpha1\nkind: NodeConfig\nspec:\n  upgrade:\n    health: {yaml}\n");
    basalt_spec::node::NodeConfig::parse("node.yaml", &text).unwrap().spec.upgrade.health
}

fn system(state: &str, failed: &[&str], starting: &[&str]) -> Answer {
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let state = SystemState { state: state.to_owned(), failed: owned(failed), starting: owned(starting) };
    state.answer(&["known-to-fail.service".to_owned()])
}

fn on_trial() -> Trial {
    Trial::OnTrial { entry: "edge_2.0+2-1.efi".parse().unwrap() }
}

fn reports(answers: &[Answer]) -> Vec<GateReport> {
    let report =
        |answer: &Answer| GateReport { name: "web".into(), asks: String::new(), answer: answer.clone() };
    answers.iter().map(report).collect()
}

#[test]
fn the_system_is_good_when_only_others_wait_for_the_one_that_asks() {
    let yet = |why: &str| Answer::NotYet(why.to_owned());
    let bad = |why: &str| Answer::Bad(why.to_owned());
    for (answer, expected) in [
        (system("initializing", &[], &[]), yet("the system is still starting")),
        (system("starting", &[], &["a.service"]), yet("a.service is still starting")),
        (
            system("starting", &["b.service"], &["a.service", "c.mount"]),
            yet("a.service, c.mount are still starting"),
        ),
        (system("starting", &[], &["a", "b", "c", "d"]), yet("a, b, c and 1 more are still starting")),
        (system("starting", &[], &[]), Answer::Good),
        (system("running", &[], &[]), Answer::Good),
        (system("degraded", &["known-to-fail.service"], &[]), Answer::Good),
        (system("degraded", &["b.service", "known-to-fail.service"], &[]), bad("failed: b.service")),
        (
            system("maintenance", &["var.mount"], &["x.service"]),
            bad("the system is in emergency or rescue mode, var.mount failed"),
        ),
        (system("stopping", &[], &[]), yet("the system is stopping")),
    ] {
        assert_eq!(answer, expected);
    }
}

#[test]
fn gates_are_the_system_and_what_the_configuration_asks() {
    let health = health(
        "{deadline: 2h, mayFail: [flaky.service], checks: [{name: web, http: 'http://127.0.0.1/'}, \
         {name: own, command: [/usr/bin/true, -x], timeout: 30s}]}",
    );
    let told: Vec<String> =
        gates(&health).iter().map(|gate| format!("{} {:?} {}", gate.name, gate.timeout, gate.ask)).collect();
    assert_eq!(
        told,
        [
            "system 10s everything has started, and nothing failed but flaky.service",
            "web 5s http://127.0.0.1/ answers with 2xx",
            "own 30s `/usr/bin/true -x` ends with code 0",
        ]
    );
    assert_eq!(deadline(&health), LONGEST_DEADLINE);
    assert_eq!(deadline(&Health::default()), DEADLINE);
}

#[test]
fn a_boot_waits_until_the_deadline_and_not_longer() {
    let (yet, bad) = (Answer::NotYet("no answer".into()), Answer::Bad("failed: x.service".into()));
    let second = Duration::from_secs(1);
    let verdict =
        |trial: &Trial, answers: &[Answer], elapsed| judge(trial, &reports(answers), elapsed, second * 60);
    let not_good = |reasons: &[&str], restart| Verdict::NotGood {
        reasons: reasons.iter().map(|reason| (*reason).to_owned()).collect(),
        restart,
    };
    assert_eq!(verdict(&on_trial(), &[Answer::Good, Answer::Good], second * 90), Verdict::Good);
    assert_eq!(verdict(&on_trial(), &[Answer::Good, yet.clone()], second * 59), Verdict::Wait);
    assert_eq!(
        verdict(&on_trial(), &[Answer::Good, yet.clone()], second * 60),
        not_good(&["web: no answer, 60 s after the start"], true)
    );
    // Waiting for the others would change nothing.
    assert_eq!(
        verdict(&on_trial(), &[bad.clone(), yet], second),
        not_good(&["web: failed: x.service"], true)
    );
    let last = Trial::LastResort { entry: "edge_2.0+0-3.efi".parse().unwrap() };
    for trial in [last, Trial::None] {
        assert_eq!(
            verdict(&trial, std::slice::from_ref(&bad), second),
            not_good(&["web: failed: x.service"], false)
        );
    }
}

#[test]
fn reports_are_read_by_people_and_programs() {
    let report = &reports(&[Answer::NotYet("no answer".into())])[0];
    assert_eq!(report.to_string(), "not yet  web: no answer (asked: )");
    assert_eq!(
        serde_json::to_string(report).unwrap(),
        r#"{"name":"web","asks":"","answer":"notYet","why":"no answer"}"#
    );
    assert_eq!(
        serde_json::to_string(&on_trial()).unwrap(),
        r#"{"trial":"onTrial","entry":"edge_2.0+2-1.efi"}"#
    );
}
