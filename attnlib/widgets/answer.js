// A field for the number that an exercise asks for: right, a slip that is known, or not yet.
import { OWN_KEYS, html } from "./shared.js";

const NUMBER = /^[-+]?(\d+([.,]\d*)?|[.,]\d+)(e[-+]?\d+)?$/i;

/** The number that was typed, or in words why there is none: a decimal number, or one over another. */
function read(text) {
  if (!text) return "Type a number first.";
  const parts = text.replaceAll("−", "-").replace("½", "1/2").split("/");
  if (parts.length > 2 || !parts.every((part) => NUMBER.test(part.trim())))
    return `“${text}” is not a number here. Write digits: 0.25, 1/4 or 1e-3.`;
  const [over, under = 1] = parts.map((part) => Number(part.trim().replace(",", ".")));
  if (under === 0) return "Nothing can be divided by 0.";
  return Number.isFinite(over / under) ? over / under : "That is too large a number.";
}

export function render({ model, el }) {
  const field = html("input", {
    type: "text",
    maxlength: 40,
    autocomplete: "off",
    autocapitalize: "off",
    spellcheck: "false",
    enterkeyhint: "done",
    ...OWN_KEYS,
  });
  const said = html("p", { role: "status" });
  const check = html("button", { type: "submit", ...OWN_KEYS }, "Check");
  const label = html("label", {}, html("span", {}, model.get("ask")), field);
  const form = html("form", { class: "attention-answer" }, label, check, said);
  const say = (kind, words) => {
    form.dataset.said = kind;
    said.textContent = words;
  };
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const number = read(field.value.trim());
    const near = (other) => Math.abs(number - other) <= model.get("tolerance");
    const slip = model.get("slips").find(([, value]) => near(value));
    if (typeof number === "string") say("unread", number);
    else if (near(model.get("value"))) say("right", "Right.");
    else if (slip) say("slip", slip[0]);
    else say("wrong", `Not yet: it is not ${field.value.trim()}.`);
    field.focus();
  });
  field.addEventListener("input", () => say("", ""));
  // A key that is typed is not its host's as well: slides would turn.
  form.addEventListener("keydown", (event) => event.stopPropagation());
  el.replaceChildren(form);
}
