// What pages do with scripts that they can't do without: both views of a recipe in step while one types, a build's steps as they
// happen, times in the reader's own zone. Everything else is the server's.
"use strict";
document.documentElement.classList.add("script");

for (const time of document.querySelectorAll("time[datetime]")) {
  const date = new Date(time.dateTime);
  if (!Number.isNaN(date.getTime())) {
    time.title = time.textContent;
    time.textContent = date.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
  }
}

const builder = document.getElementById("builder");
if (builder) {
  const yaml = document.getElementById("yaml");
  const base = document.getElementById("base");
  const fields = document.getElementById("form");
  const findings = document.getElementById("findings");
  const acts = ["review", "share"].map((id) => document.getElementById(id));
  let latest = 0;
  let wait = 0;
  let asked = null;

  // Asks the server for the other view. `redraw` is a selector of the parts of the form to draw anew.
  const compose = async (view, redraw) => {
    const number = ++latest;
    if (asked) asked.abort();
    asked = new AbortController();
    const body = new URLSearchParams(new FormData(builder));
    body.set("view", view);
    builder.classList.add("busy");
    try {
      const headers = { Accept: "application/json" };
      const answer = await fetch("/compose", { method: "POST", body, headers, signal: asked.signal });
      if (number !== latest) return;
      if (!answer.ok) throw new Error(answer.status === 401 ? "you were signed out" : `the factory says ${answer.status}`);
      show(await answer.json(), view, redraw);
    } catch (error) {
      if (error.name === "AbortError") return;
      findings.replaceChildren(Object.assign(document.createElement("p"), { className: "wrong", textContent: `Not checked: ${error.message}` }));
    } finally {
      if (number === latest) builder.classList.remove("busy");
    }
  };

  const show = (answer, view, redraw) => {
    if (view === "form" && yaml.value !== answer.yaml) yaml.value = answer.yaml;
    if (redraw && answer.form) draw(answer, redraw);
    if (view === "yaml" && !answer.form) fields.inert = true;
    if (answer.form) fields.inert = false;
    findings.innerHTML = answer.findings;
    places();
    mistakes();
    for (const act of acts) act.disabled = !answer.id;
  };

  // What is refused is said at its field, too.
  const mistakes = () => {
    for (const old of fields.querySelectorAll(".mistake")) old.remove();
    for (const old of fields.querySelectorAll("[aria-invalid]")) old.removeAttribute("aria-invalid");
    for (const refusal of findings.querySelectorAll(".refusal[data-key]")) {
      const field = fields.querySelector(`.field[data-key="${CSS.escape(refusal.dataset.key)}"]`);
      const input = field && field.querySelector("input, textarea, select");
      if (!input || input.getAttribute("aria-invalid")) continue;
      input.setAttribute("aria-invalid", "true");
      const said = refusal.querySelector("p").cloneNode(true);
      for (const part of said.querySelectorAll("strong, code:first-of-type, .place")) part.remove();
      field.append(Object.assign(document.createElement("p"), { className: "mistake", textContent: said.textContent.trim() }));
    }
  };

  // Draws the form anew and leaves open what is open, and the cursor where it is.
  const draw = (answer, redraw) => {
    const open = new Set([...fields.querySelectorAll("details.section[open]")].map((one) => one.id));
    const active = document.activeElement;
    const focus = fields.contains(active) ? active.id : "";
    const at = focus && active.selectionStart !== undefined ? [active.selectionStart, active.selectionEnd] : null;
    fields.innerHTML = answer.form;
    base.value = answer.yaml;
    for (const one of fields.querySelectorAll("details.section")) one.open = open.has(one.id) || one.open;
    const again = focus && document.getElementById(focus);
    if (!again) return;
    for (let up = again.closest("details"); up; up = up.parentElement.closest("details")) up.open = true;
    again.focus({ preventScroll: true });
    if (at && at[0] !== null && again.setSelectionRange) try { again.setSelectionRange(...at); } catch { /* not a text */ }
  };

  // A place in the text becomes a button that goes there.
  const places = () => {
    for (const place of findings.querySelectorAll("span.place[data-start]")) {
      const button = Object.assign(document.createElement("button"), { type: "button", className: "place", textContent: place.textContent });
      button.addEventListener("click", () => {
        yaml.focus();
        yaml.setSelectionRange(Number(place.dataset.start), Number(place.dataset.end));
      });
      place.replaceWith(button);
    }
  };

  const later = (view, redraw) => {
    clearTimeout(wait);
    wait = setTimeout(() => compose(view, redraw), 250);
  };
  yaml.addEventListener("input", () => later("yaml", true));
  fields.addEventListener("input", () => later("form", false));
  fields.addEventListener("change", (event) => {
    // A new account or file gets its own fields, and a password leaves the page as soon as it is typed.
    const lists = event.target.closest("#section-users, #section-files");
    later("form", Boolean(lists));
  });
  builder.addEventListener("submit", () => {
    clearTimeout(wait);
    // What was typed last may not be in the text yet: the server takes the form if the text is what it was drawn from.
    if (document.activeElement !== yaml && !fields.inert && yaml.dataset.typed !== "yes") yaml.value = base.value;
  });
  yaml.addEventListener("input", () => { yaml.dataset.typed = "yes"; });
  fields.addEventListener("input", () => { yaml.dataset.typed = "no"; });
  yaml.dataset.typed = "no";
  places();
  mistakes();
}

const steps = document.getElementById("steps");
if (steps && steps.dataset.live) {
  const source = new EventSource(steps.dataset.live);
  const step = (name) => {
    let item = steps.querySelector(`[data-step="${CSS.escape(name)}"]`);
    if (item) return item;
    item = document.createElement("li");
    item.dataset.step = name;
    item.className = "running";
    const head = Object.assign(document.createElement("div"), { className: "head" });
    head.append(Object.assign(document.createElement("strong"), { textContent: name }), Object.assign(document.createElement("span"), { className: "time" }));
    item.append(head, Object.assign(document.createElement("p"), { className: "said" }));
    steps.append(item);
    return item;
  };
  const bar = (item) => item.querySelector("progress");
  const on = (name, act) => source.addEventListener(name, (event) => act(JSON.parse(event.data)));
  const badge = (word) => {
    const one = document.querySelector("#state .badge");
    if (!one || one.classList.contains(word)) return;
    one.className = `badge ${word}`;
    one.lastChild.textContent = word;
    for (const next of [...document.querySelectorAll("#state > :not(.badge)")]) next.remove();
    while (one.nextSibling) one.nextSibling.remove();
  };
  on("queued", () => steps.replaceChildren());
  on("started", (event) => { badge("running"); step(event.step).className = "running"; });
  on("kept", (event) => {
    const item = step(event.step);
    item.className = "kept";
    item.querySelector(".said").textContent = event.because;
  });
  on("progress", (event) => {
    const item = step(event.step);
    const one = bar(item) || item.appendChild(document.createElement("progress"));
    one.setAttribute("aria-label", `How far ${event.step} is`);
    one.max = event.total;
    one.value = event.done;
  });
  on("note", (event) => {
    const item = step(event.step);
    const pre = item.querySelector("pre") || item.appendChild(Object.assign(document.createElement("pre"), { tabIndex: 0 }));
    pre.setAttribute("aria-label", `What ${event.step} said`);
    pre.append(`${event.text}\n`);
    pre.scrollTop = pre.scrollHeight;
  });
  on("finished", (event) => {
    const item = step(event.step);
    item.className = "done";
    item.querySelector(".said").textContent = event.result;
    item.querySelector(".time").textContent = `${(event.milliseconds / 1000).toFixed(1)} s`;
    if (bar(item)) bar(item).remove();
  });
  // The end is a page of its own: downloads, or why it failed. The row may follow the event by a moment.
  source.onerror = () => { source.close(); setTimeout(() => location.reload(), 1500); };
  const end = () => { source.close(); setTimeout(() => location.reload(), 700); };
  for (const name of ["succeeded", "failed", "cancelled"]) on(name, end);
}
