use super::*;

fn inputs() -> Inputs {
    let named = |name: &str| Digest::of(name.as_bytes());
    Inputs {
        id: named("id"),
        program: named("program"),
        below: None,
        packages: Some(named("packages")),
        customisation: named("customisation"),
        script: Some(named("script")),
        init: named("init"),
        outputs: Outputs { list: named("outputs"), release: true, difference: false },
    }
}

/// The steps that run, as one word each.
fn running(inputs: &Inputs, observed: &Observed) -> String {
    let (plan, _) = plan(inputs, observed);
    let names: Vec<String> =
        plan.steps.iter().filter(|step| step.runs()).map(|step| step.name.to_string()).collect();
    names.join(" ")
}

/// What a cache holds after a build of `inputs`.
fn after(inputs: &Inputs) -> Observed {
    let (plan, _) = plan(inputs, &Observed::default());
    Observed {
        package_count: 2,
        results: plan.steps.iter().map(|step| step.key).collect(),
        standing_output: plan.step(StepName::Outputs).map(|step| step.key),
        ..Observed::default()
    }
}

#[test]
fn a_first_build_does_everything() {
    let observed =
        Observed { package_count: 2, missing_packages: (2, ByteSize::mib(3)), ..Observed::default() };
    assert_eq!(running(&inputs(), &observed), "fetch base script initramfs release outputs");
}

#[test]
fn a_build_of_the_same_inputs_does_nothing() {
    let observed = after(&inputs());
    assert!(plan(&inputs(), &observed).0.is_empty());
    let cleaned = Observed { missing_packages: (2, ByteSize::mib(3)), results: Vec::new(), ..observed };
    assert!(
        plan(&inputs(), &cleaned).0.is_empty(),
        "the output stands: an emptied cache is no reason to work"
    );
}

#[test]
fn an_edit_redoes_only_what_it_touches() {
    let changed = |edit: &dyn Fn(&mut Inputs)| {
        let mut edited = inputs();
        // Whatever is edited changes the id.
        edited.id = Digest::of(b"another id");
        edit(&mut edited);
        running(&edited, &after(&inputs()))
    };
    let other = Digest::of(b"other");
    assert_eq!(changed(&|inputs| inputs.program = other), "base script initramfs release outputs");
    assert_eq!(changed(&|inputs| inputs.id = other), "release outputs");
    assert_eq!(changed(&|inputs| inputs.init = other), "initramfs release outputs");
    assert_eq!(changed(&|inputs| inputs.customisation = other), "script release outputs");
    assert_eq!(changed(&|inputs| inputs.script = Some(other)), "script release outputs");
    assert_eq!(changed(&|inputs| inputs.script = None), "release outputs");
    assert_eq!(changed(&|inputs| inputs.packages = Some(other)), "base script initramfs release outputs");
}

#[test]
fn a_lost_output_is_written_again_from_the_cache() {
    let observed = Observed { standing_output: None, ..after(&inputs()) };
    assert_eq!(running(&inputs(), &observed), "outputs");
}

#[test]
fn another_output_is_made_from_the_release_that_is_there() {
    let mut edited = inputs();
    edited.outputs.list = Digest::of(b"other");
    assert_eq!(running(&edited, &after(&inputs())), "outputs");
}

/// Whatever subset of the results a sweep left, no step reads a result that is neither there nor made before.
#[test]
fn every_result_may_be_gone() {
    for script in [Some(Digest::of(b"script")), None] {
        let inputs = Inputs { script, ..inputs() };
        let keys = Keys::of(&inputs);
        let all = [Some(keys.base), keys.script, Some(keys.initramfs), Some(keys.release)];
        let all: Vec<Digest> = all.into_iter().flatten().collect();
        for left in 0..1_usize << all.len() {
            let results =
                all.iter().enumerate().filter(|(place, _)| left >> place & 1 == 1).map(|(_, key)| *key);
            let observed = Observed { standing_output: None, results: results.collect(), ..after(&inputs) };
            let (plan, _) = plan(&inputs, &observed);
            let mut there = observed.results.clone();
            let tree = keys.script.unwrap_or(keys.base);
            for step in plan.steps.iter().filter(|step| step.runs()) {
                let reads = match step.name {
                    StepName::Fetch | StepName::Base => vec![],
                    StepName::Script | StepName::Initramfs => vec![keys.base],
                    StepName::Release => vec![tree, keys.initramfs],
                    StepName::Outputs => vec![tree, keys.release],
                };
                assert!(reads.iter().all(|key| there.contains(key)), "{} of\n{plan}", step.name);
                there.push(step.key);
            }
        }
    }
}

#[test]
fn outputs_that_do_not_boot_need_neither_initramfs_nor_release() {
    let mut edited = inputs();
    edited.outputs = Outputs { list: Digest::of(b"tar"), release: false, difference: false };
    assert_eq!(running(&edited, &Observed::default()), "base script outputs");
}

#[test]
fn an_ignored_cache_keeps_the_downloads() {
    let observed = Observed { ignore_cache: true, ..after(&inputs()) };
    assert_eq!(running(&inputs(), &observed), "base script initramfs release outputs");
}

#[test]
fn the_plan_says_why() {
    let mut edited = inputs();
    edited.outputs.list = Digest::of(b"other");
    insta::assert_snapshot!(plan(&edited, &after(&inputs())).0, @r"
      fetch      skip   no step needs the packages
      base       skip   no step needs it
      script     reuse  an earlier build made it from the same inputs
      initramfs  skip   no step needs it
      release    reuse  an earlier build made it from the same inputs
      outputs    run    the output folder does not hold this build
    ");
}

fn above() -> Inputs {
    let below = Keys::of(&inputs());
    let added = Some(Digest::of(b"added"));
    let below = Some(Below { base: below.base, tree: below.tree });
    Inputs { below, packages: added, script: None, ..inputs() }
}

#[test]
fn a_build_on_another_one_wants_its_tree_only_to_add_packages() {
    let first = Observed { package_count: 1, missing_packages: (1, ByteSize::mib(1)), ..Observed::default() };
    let (plan, needs_below) = plan(&above(), &first);
    assert!(needs_below);
    assert_eq!(plan.steps.iter().filter(|step| step.runs()).count(), 5);
    let mut edited = above();
    edited.customisation = Digest::of(b"other");
    edited.id = Digest::of(b"another id");
    assert!(!super::plan(&edited, &after(&above())).1, "its own tree is in the cache");
    edited.packages = None;
    let (plan, needs_below) = super::plan(&edited, &after(&above()));
    assert!(needs_below, "without packages of its own it starts from the tree below");
    assert_eq!(plan.step(StepName::Base), None);
    let mut extension = above();
    extension.outputs = Outputs { list: Digest::of(b"sysext"), release: false, difference: true };
    assert!(super::plan(&extension, &after(&above())).1, "what differs is found by reading both");
    assert!(!super::plan(&extension, &after(&extension)).1, "it stands");
    let below = inputs();
    assert_eq!(Keys::of(&edited).initramfs, Keys::of(&below).initramfs, "the kernel is the one below");
}

#[test]
fn the_tree_alone_takes_no_initramfs() {
    let (plan, _) = plan_tree(&inputs(), &Observed::default());
    let names: Vec<String> = plan.steps.iter().map(|step| step.name.to_string()).collect();
    assert_eq!(names, ["fetch", "base", "script"]);
    assert!(plan_tree(&inputs(), &after(&inputs())).0.is_empty());
}
