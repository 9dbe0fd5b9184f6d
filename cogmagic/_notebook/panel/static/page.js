// What ipywidgets has no traits for: tooltips of all fields, the button that unfolds the options,
// invalid fields, the line that describes Generate, announcements, and Ctrl+Enter.

function setAttribute(node, name, value) {
  if (node && node.getAttribute(name) !== value) node.setAttribute(name, value);
}

function idOf(node) {
  node.id ||= `cogmagic-${Math.random().toString(36).slice(2)}`; // a page may have several panels
  return node.id;
}

function complete(panel, tooltips) {
  for (const [name, tooltip] of Object.entries(tooltips)) {
    const row = panel.querySelector(`.cogmagic-at-${name.replaceAll("_", "-")}`);
    if (!row || !tooltip) continue;
    setAttribute(row, "title", tooltip);
    for (const node of row.querySelectorAll("label, input, select, textarea")) setAttribute(node, "title", tooltip);
  }
  for (const row of panel.querySelectorAll(".cogmagic-field")) {
    const error = row.querySelector(".cogmagic-error");
    for (const control of row.querySelectorAll(".widget-inline-hbox :is(input, select, textarea)")) {
      setAttribute(control, "aria-invalid", String(Boolean(error)));
    }
  }
  const [unfold, folded] = [".cogmagic-unfold", ".cogmagic-folded"].map((c) => panel.querySelector(c));
  if (unfold && folded) {
    setAttribute(unfold, "aria-controls", idOf(folded));
    setAttribute(unfold, "aria-expanded", String(getComputedStyle(folded).display !== "none"));
  }
  const hint = panel.querySelector(".cogmagic-hint");
  if (hint) setAttribute(panel.querySelector(".cogmagic-generate"), "aria-describedby", idOf(hint));
}

// Of keys without modifiers JupyterLab makes commands wherever nobody types: arrows choose a cell, x cuts
// it. On a button, a list or a video they are the control's own.
const CONTROLS = "button, select, video, [tabindex], input:is([type='radio'], [type='checkbox'])";
function isOfControl({ target, key, ctrlKey, metaKey, altKey }) {
  return !ctrlKey && !metaKey && !altKey && key !== "Tab" && target.matches?.(CONTROLS);
}

// Shown while it has the focus: by keyboard, the fields of the request lie between prompt and results.
function skipLink(panel) {
  const skip = document.createElement("button");
  skip.type = "button";
  skip.className = "jupyter-button cogmagic-skip";
  skip.textContent = "Skip to the results";
  skip.title = "past the fields of the request";
  skip.addEventListener("click", () => {
    const controls = panel()?.querySelectorAll(".cogmagic-results :is(button, input):enabled") ?? [];
    [...controls].find((control) => control.checkVisibility())?.focus();
  });
  return skip;
}

function render({ model, el }) {
  let panel = null;
  let due = false;
  const live = document.createElement("div");
  live.className = "cogmagic-live";
  live.setAttribute("role", "status");
  el.append(live, skipLink(() => panel));
  const announce = () => (live.textContent = model.get("announcement"));
  const update = () => {
    if (due) return;
    due = true;
    requestAnimationFrame(() => {
      due = false;
      panel ??= el.closest(".cogmagic-panel");
      if (!panel) return;
      complete(panel, model.get("tooltips"));
    });
  };
  const observer = new MutationObserver(update);
  const start = setInterval(() => {
    const found = el.closest(".cogmagic-panel");
    if (!found) return; // not yet in the page
    clearInterval(start);
    observer.observe(found, { subtree: true, childList: true, attributes: true, attributeFilter: ["class", "style"] });
    update();
  }, 50);
  // At the window, before the front end takes the keys for itself.
  const press = (event) => {
    if (isOfControl(event) && panel?.contains(event.target)) event.stopImmediatePropagation();
    const pressed = event.key === "Enter" && (event.ctrlKey || event.metaKey) && !event.shiftKey && !event.altKey;
    if (!pressed || !panel?.contains(event.target)) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    const focused = document.activeElement;
    if (focused?.matches("input")) {
      focused.blur(); // which enters its value
      focused.focus();
    }
    const prompt = panel.querySelector(".cogmagic-at-prompt textarea");
    model.send({ generate: prompt?.value ?? "" });
  };
  window.addEventListener("keydown", press, true);
  model.on("change:tooltips", update);
  model.on("change:announcement", announce);
  return () => {
    clearInterval(start);
    observer.disconnect();
    window.removeEventListener("keydown", press, true);
    model.off("change:tooltips", update);
    model.off("change:announcement", announce);
  };
}

export default { render };
