//! `cargo xtask screens`: pictures of every page of the factory, at three widths, light and dark, and when each showed something.

use std::{env, fs};

use crate::{
    demo,
    error::{Done, TaskError},
    npm, paths,
    report::say,
    tool,
};

/// Runs the task: the test that walks through the pages, told to take pictures.
pub(crate) fn run() -> Done {
    let node = match env::var_os("BASALT_NODE_DIR") {
        Some(given) => given.into(),
        None => demo::dist_for_tests()?.join("lib/basalt"),
    };
    let screens = paths::target().join("screens");
    tool::remove_folder(&screens)?;
    tool::create_folder(&screens)?;
    let test = ["test", "--package", "basalt-factory", "--test", "serve_page", "--", "every_page"];
    let mut command = tool::cargo(test)?.env("BASALT_NODE_DIR", node).env("BASALT_PICTURES", &screens);
    command = command.env("BASALT_NPM_TREE", npm::tree()?);
    if env::var_os("BASALT_CACHE").is_none() {
        command = command.env("BASALT_CACHE", paths::target().join("test-cache"));
    }
    tool::watch(command)?;
    let paints = screens.join("first-paint.txt");
    let paints = fs::read_to_string(&paints).map_err(TaskError::io("read", &paints))?;
    say(format!("first contentful paint on loopback, and weight\n{paints}screens: {}", screens.display()));
    Ok(())
}
