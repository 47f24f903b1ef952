// live.js: keeps the words and lists of a form in step with what is chosen.
// The server writes them, for this and for the form without scripts: here the form is sent for review in the
// background and the parts marked data-live are put in the place of the old ones.

const form = document.querySelector("[data-live-form]");
let turn = 0;

async function review(step) {
  const mine = ++turn;
  const body = new FormData(form);
  body.set("step", step);
  const answer = await fetch(form.action, { method: "POST", body, headers: { "X-Requested-With": "fetch" } });
  if (mine !== turn || !answer.ok || answer.redirected) return false;
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const part of form.querySelectorAll("[data-live]")) {
    const next = fresh.querySelector(`[data-live="${part.dataset.live}"]`);
    const focused = part.contains(document.activeElement) ? document.activeElement.id : "";
    if (next) part.replaceChildren(...next.childNodes);
    if (focused) document.getElementById(focused)?.focus();
  }
  return true;
}

if (form) {
  document.documentElement.classList.add("js");

  // What is marked data-quiet changes nothing that the server would say otherwise.
  form.addEventListener("change", (event) => {
    const tells = "select, input[type=radio], input[type=checkbox], input[type=date]";
    if (event.target === form || (event.target.matches(tells) && !event.target.matches("[data-quiet]"))) review("review");
  });

  form.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-live-button]");
    if (!button) return;
    event.preventDefault();
    if (!(await review(button.value))) return;
    const spaces = form.querySelectorAll("select[name=space]");
    spaces[spaces.length - 1].focus();
  });

  // A second press would answer with "already created" in place of the key the first one made.
  let sent = false;
  form.addEventListener("submit", (event) => {
    if (sent) event.preventDefault();
    sent = true;
  });
  addEventListener("pageshow", () => { sent = false; });
}
