use basalt_types::ByteSize;
use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    style::{Modifier, Style},
    text::{Line, Text},
    widgets::{Block, Gauge, Paragraph, Wrap},
};

use super::{
    super::{form::Field, installer::percent},
    model::{Model, Screen, Step},
};
use crate::execute::install::Progress;

const MARKED: Style = Style::new().add_modifier(Modifier::REVERSED);
const LOUD: Style = Style::new().add_modifier(Modifier::BOLD);

/// Draws the model. Colours are left to the terminal: serial consoles have few.
pub(super) fn draw(model: &Model, frame: &mut Frame<'_>) {
    let title = format!(" Install {} ", model.title);
    let outer = Block::bordered().title(title).title_bottom(format!(" {} ", keys(model)));
    let inside = outer.inner(frame.area());
    frame.render_widget(outer, frame.area());
    let lines = model.message.as_ref().map_or(0, |message| message.lines().count().min(8) + 1);
    let message = Constraint::Length(u16::try_from(lines).unwrap_or(0));
    let [body, foot] = Layout::vertical([Constraint::Min(1), message]).areas(inside);
    match model.screen {
        Screen::Disk => disks(model, frame, body),
        Screen::Form => form(model, frame, body),
        Screen::Summary => summary(model, frame, body),
        Screen::Writing => writing(model.step.as_ref(), frame, body),
        Screen::Done => {
            let text = format!("{} is on {}.\n\nTake the medium out.", model.title, model.device());
            frame.render_widget(Paragraph::new(text), body);
        }
        Screen::Failed => {
            let text = format!("{} starts nothing now. Nothing else was changed.", model.device());
            frame.render_widget(Paragraph::new(text), body);
        }
    }
    if let Some(message) = &model.message {
        frame.render_widget(Paragraph::new(message.as_str()).style(LOUD).wrap(Wrap { trim: false }), foot);
    }
}

fn keys(model: &Model) -> &'static str {
    match model.screen {
        Screen::Disk => "up, down: choose · enter: go on · esc: stop",
        Screen::Form => "up, down: choose · enter: go on · esc: back",
        Screen::Summary => "up, down: read on · enter: install · esc: back",
        Screen::Writing => "please wait",
        Screen::Done => "enter: restart · p: power off · q: leave",
        Screen::Failed => "any key: leave",
    }
}

fn disks(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    let mut text = Text::from("On which disk? Everything on it will be lost.\n\n");
    for (number, (disk, problem)) in model.disks.iter().enumerate() {
        let note = if problem.is_some() { "  — can't be taken, enter says why" } else { "" };
        let line = Line::from(format!(" {}{note}", disk.described()));
        text.push_line(if number == model.disk { line.style(MARKED) } else { line });
    }
    frame.render_widget(Paragraph::new(text), area);
}

fn form(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    let mut text = Text::from("What should the machine be? What is left empty is the image's to say.\n\n");
    let Some(form) = &model.form else { return };
    for (number, field) in Field::ALL.into_iter().enumerate() {
        let marked = number == model.field;
        let cursor = if marked { "_" } else { "" };
        let line = Line::from(format!(" {:<20} {}{cursor}", field.label(), form.get(field)));
        text.push_line(if marked { line.style(MARKED) } else { line });
    }
    let field = Field::ALL[model.field.min(Field::ALL.len() - 1)];
    text.push_line(Line::default());
    text.push_line(Line::from(format!(" {}", field.help())));
    if field == Field::Card {
        text.push_line(Line::from(format!(" this machine has: {}", model.cards.join(", "))));
    }
    frame.render_widget(Paragraph::new(text), area);
}

fn summary(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    let [plan, ask] = Layout::vertical([Constraint::Min(1), Constraint::Length(2)]).areas(area);
    let text = model.plan.as_ref().map(ToString::to_string).unwrap_or_default();
    // The end of the plan stays on the screen.
    let rest = text.lines().count().saturating_sub(usize::from(plan.height));
    let scroll = model.scroll.min(u16::try_from(rest).unwrap_or(u16::MAX));
    frame.render_widget(Paragraph::new(text).scroll((scroll, 0)), plan);
    let ask_text = format!("\nType {} to erase it and install: {}_", model.device(), model.typed);
    frame.render_widget(Paragraph::new(ask_text).style(LOUD), ask);
}

fn writing(step: Option<&Step>, frame: &mut Frame<'_>, area: Rect) {
    let Some(Step { number, of, text, progress }) = step else { return };
    let rows = [Constraint::Length(2), Constraint::Length(1), Constraint::Min(0)];
    let [head, bar, _] = Layout::vertical(rows).areas(area);
    frame.render_widget(Paragraph::new(format!("Step {number} of {of}: {text}")), head);
    if let Some(progress @ Progress { done, all }) = *progress {
        let human = |bytes| ByteSize::bytes(bytes).human();
        let gauge = Gauge::default().percent(percent(progress));
        frame.render_widget(gauge.label(format!("{} of {}", human(done), human(all))), bar);
    }
}
