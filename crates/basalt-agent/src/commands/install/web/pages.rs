//! The pages: HTML without scripts. Everything that is not ours is escaped.

use basalt_node::install::{BlockDisk, InstallPlan};
use basalt_spec::node::After;

use super::{
    super::{
        form::{Field, Form, Mistake},
        installer::percent,
    },
    site::Writing,
};

/// How everything looks.
const STYLE: &str = include_str!("page.css");
/// What a person goes through.
const STEPS: [&str; 4] = ["Questions", "What is lost", "Installing", "Done"];
/// The form in parts: what each is called, and what it asks.
const SECTIONS: [(&str, &[Field]); 3] = [
    ("Machine", &[Field::Hostname]),
    ("Account", &[Field::User, Field::SshKey]),
    ("Network", &[Field::Card, Field::Address, Field::Gateway, Field::Dns]),
];

/// What every page has.
pub(super) struct Frame<'a> {
    /// What is installed.
    pub(super) title: &'a str,
    /// What proves that a form is ours.
    pub(super) token: &'a str,
    /// What is wrong.
    pub(super) message: Option<&'a str>,
}

/// What is asked, and what was answered so far.
pub(super) struct Questions<'a> {
    pub(super) disks: &'a [(BlockDisk, Option<String>)],
    pub(super) disk: &'a str,
    pub(super) cards: &'a [String],
    pub(super) form: Option<&'a Form>,
    pub(super) mistakes: &'a [Mistake],
}

/// Characters that mean something in HTML, as what they are (HTML standard, section 13.1.4).
pub(super) fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            other => safe.push(other),
        }
    }
    safe
}

/// Asks for the code.
pub(super) fn door(title: &str, message: Option<&str>) -> String {
    let body = "<p>The code is on the machine's console. It opens this page once.</p>\
         <form method=\"post\" action=\"/enter\"><label for=\"code\">Code</label>\
         <input type=\"text\" id=\"code\" name=\"code\" autocomplete=\"off\" autocapitalize=\"none\" \
         spellcheck=\"false\" maxlength=\"20\" required autofocus>\
         <div class=\"row\"><button>Enter</button></div></form>";
    Frame { title, token: "", message }.page(None, body)
}

/// Asks for disk and machine.
pub(super) fn questions(frame: &Frame<'_>, questions: &Questions<'_>) -> String {
    let Questions { disks, disk: chosen, cards, form, mistakes } = questions;
    let mut fields =
        "<fieldset><legend>Disk</legend><p class=\"help\">On which disk? Everything on it will be lost.</p>"
            .to_owned();
    for (disk, problem) in *disks {
        fields += &radio(disk, problem.as_deref(), disk.device == *chosen);
    }
    fields += if disks.is_empty() { "<p>This machine has no disk.</p></fieldset>" } else { "</fieldset>" };
    for (name, asked) in SECTIONS.iter().filter(|_| form.is_some()) {
        fields += &format!("<fieldset><legend>{name}</legend>");
        for field in *asked {
            fields += &input(*field, form.map_or("", |form| form.get(*field)), mistakes);
            if *field == Field::Card {
                let names = cards.iter().map(|card| escaped(card)).collect::<Vec<_>>().join(", ");
                fields += &format!("<p class=\"help\">This machine has: {names}</p>");
            }
        }
        fields += "</fieldset>";
    }
    if form.is_some() {
        fields += "<p class=\"help\">What is left empty is the image's to say.</p>";
    }
    let body = frame.form("/plan", &(fields + "<div class=\"row\"><button>Go on</button></div>"));
    frame.page(Some(0), &body)
}

fn radio(disk: &BlockDisk, problem: Option<&str>, is_chosen: bool) -> String {
    let (device, described) = (escaped(&disk.device), escaped(&disk.described()));
    let checked = if is_chosen && problem.is_none() { " checked" } else { "" };
    let (class, disabled, why) = match problem {
        None => ("disk", "", String::new()),
        Some(problem) => ("disk out", " disabled", format!("<pre class=\"why\">{}</pre>", escaped(problem))),
    };
    format!(
        "<label class=\"{class}\"><input type=\"radio\" name=\"disk\" value=\"{device}\"{checked}{disabled}>\
         <span>{described}</span></label>{why}"
    )
}

fn input(field: Field, value: &str, mistakes: &[Mistake]) -> String {
    let (name, label, help) = (field.name(), field.label().trim(), escaped(field.help()));
    let label = format!("{}{}", label[..1].to_uppercase(), &label[1..]);
    let wrong: String = mistakes
        .iter()
        .filter(|mistake| mistake.field == Some(field))
        .map(|mistake| format!("<p class=\"mistake\">{}</p>", escaped(&mistake.message)))
        .collect();
    let invalid = if wrong.is_empty() { "" } else { " aria-invalid=\"true\"" };
    format!(
        "<label for=\"{name}\">{label}</label><input type=\"text\" id=\"{name}\" name=\"{name}\" value=\"{}\" \
         autocomplete=\"off\" autocapitalize=\"none\" spellcheck=\"false\" aria-describedby=\"{name}-help\"{invalid}>\
         {wrong}<p class=\"help\" id=\"{name}-help\">{help}</p>",
        escaped(value)
    )
}

/// A plan is being made.
pub(super) fn planning(frame: &Frame<'_>) -> String {
    frame.page_again(1, Some(1), "<p>Looking at the disk…</p>")
}

/// Shows what will be lost, and asks for a last word.
pub(super) fn summary(frame: &Frame<'_>, plan: &InstallPlan, form: Option<&Form>) -> String {
    let (device, described) = (escaped(&plan.target.device), escaped(&plan.target.described));
    let lost = escaped(plan.target.to_string().trim_end());
    let steps: String =
        plan.steps.iter().map(|step| format!("<li><pre>{}</pre></li>", escaped(&step.to_string()))).collect();
    let said: String = Field::ALL
        .into_iter()
        .filter_map(|field| Some((field, form?.get(field))).filter(|(_, text)| !text.is_empty()))
        .map(|(field, text)| format!("{}: {}\n", field.label().trim(), escaped(text)))
        .collect();
    let said = match said.as_str() {
        "" => String::new(),
        said => format!("<div class=\"said\"><h2>The machine</h2><pre>{said}</pre></div>"),
    };
    let ask = format!(
        "<label for=\"agreed\">Type {device} to erase it and install</label>\
         <input type=\"text\" id=\"agreed\" name=\"agreed\" autocomplete=\"off\" autocapitalize=\"none\" \
         spellcheck=\"false\" required><div class=\"row\"><button class=\"bad\">Erase and install</button></div>"
    );
    let body = format!(
        "<div class=\"box\"><h2>{described}</h2><pre>{lost}</pre></div>{said}\
         <details><summary>What will be done, in this order</summary><ol>{steps}</ol></details>\
         {}<div class=\"row\">{}</div>",
        frame.form("/install", &ask),
        frame.button("/back", "Back", "quiet")
    );
    frame.page(Some(1), &body)
}

/// How far it is; looks again by itself.
pub(super) fn writing(frame: &Frame<'_>, writing: &Writing) -> String {
    let Writing { device, step, progress } = writing;
    let bar = match progress {
        Some(progress) => {
            let percent = percent(*progress);
            format!("<progress max=\"100\" value=\"{percent}\">{percent} %</progress><p>{percent} %</p>")
        }
        None => "<progress></progress>".to_owned(),
    };
    let body = format!(
        "<p>Installing on {}. Leave the machine on: until the last step the disk starts nothing.</p>\
         <p><b>{}</b></p>{bar}",
        escaped(device),
        escaped(step)
    );
    frame.page_again(2, Some(2), &body)
}

/// It is done.
pub(super) fn done(frame: &Frame<'_>, device: &str) -> String {
    let body = format!(
        "<p>{} is on {}. Take the medium out.</p><div class=\"row\">{}{}</div>",
        escaped(frame.title),
        escaped(device),
        frame.button("/reboot", "Restart", ""),
        frame.button("/poweroff", "Power off", "quiet")
    );
    frame.page(Some(3), &body)
}

/// Nobody answers from now on.
pub(super) fn left(frame: &Frame<'_>, after: After) -> String {
    let what = match after {
        After::Reboot => "The machine restarts now, and then this page is gone.",
        After::PowerOff => "The machine powers off now.",
        After::Halt => "The machine halts now.",
    };
    frame.page(Some(3), &format!("<p>{what}</p>"))
}

/// It failed.
pub(super) fn failed(frame: &Frame<'_>, device: &str) -> String {
    let body = format!(
        "<p>{} starts nothing now. Nothing else was changed.</p><div class=\"row\">{}</div>",
        escaped(device),
        frame.button("/back", "Try again", "")
    );
    frame.page(Some(2), &body)
}

/// What was asked for is not there or not now.
pub(super) fn nothing(frame: &Frame<'_>) -> String {
    frame.page(None, "<p><a href=\"/\">To the installer</a></p>")
}

impl Frame<'_> {
    fn page(&self, step: Option<usize>, body: &str) -> String {
        self.whole("", step, body)
    }

    /// A page that a browser asks for again after so many seconds.
    fn page_again(&self, seconds: u32, step: Option<usize>, body: &str) -> String {
        self.whole(&format!("<meta http-equiv=\"refresh\" content=\"{seconds};url=/\">"), step, body)
    }

    fn whole(&self, head: &str, step: Option<usize>, body: &str) -> String {
        let Self { title, token: _, message } = self;
        let title = escaped(title);
        let steps: String = STEPS
            .iter()
            .enumerate()
            .map(|(number, name)| match step == Some(number) {
                true => format!("<li class=\"now\" aria-current=\"step\">{name}</li>"),
                false => format!("<li>{name}</li>"),
            })
            .collect();
        let steps = step.map_or(String::new(), |_| format!("<ol class=\"steps\">{steps}</ol>"));
        let message = message.map_or(String::new(), |message| {
            format!("<div class=\"box\" role=\"alert\"><pre>{}</pre></div>", escaped(message))
        });
        format!(
            "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">{head}<title>Install {title}</title>\
             <style>{STYLE}</style></head><body><main>{steps}<h1>Install {title}</h1>{message}{body}</main></body></html>\n"
        )
    }

    fn form(&self, action: &str, inside: &str) -> String {
        let token = escaped(self.token);
        format!(
            "<form method=\"post\" action=\"{action}\"><input type=\"hidden\" name=\"token\" value=\"{token}\">\
             {inside}</form>"
        )
    }

    /// A form that is one button; the path is its id.
    fn button(&self, action: &str, name: &str, class: &str) -> String {
        self.form(action, &format!("<button id=\"{}\" class=\"{class}\">{name}</button>", &action[1..]))
    }
}
