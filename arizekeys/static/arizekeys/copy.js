// copy.js: buttons that copy the text of another element, and the question before a secret is left behind uncopied.

const area = document.querySelector("[data-reveal]");
let kept = false;

function say(words) {
  const status = document.querySelector("[data-copy-status]");
  if (status) status.textContent = words;
}

function select(element) {
  const range = document.createRange();
  range.selectNodeContents(element);
  const selection = getSelection();
  selection.removeAllRanges();
  selection.addRange(range);
}

async function copy(button) {
  const source = document.getElementById(button.dataset.copy);
  try {
    await navigator.clipboard.writeText(source.textContent.trim());
  } catch {
    // Plain http away from localhost has no clipboard: select it, so one keystroke is left to do.
    select(source);
    if (!document.execCommand("copy")) {
      say("Selected. Press Ctrl+C or ⌘C to copy.");
      return;
    }
  }
  kept = true;
  const label = button.querySelector("[data-copy-label]");
  button.dataset.copied = "true";
  label.textContent = "Copied";
  say(`${button.dataset.copyName} copied.`);
  setTimeout(() => {
    delete button.dataset.copied;
    label.textContent = "Copy";
  }, 4000);
}

for (const button of document.querySelectorAll("[data-copy]")) {
  button.hidden = false;
  button.addEventListener("click", () => copy(button));
}

if (area) {
  for (const secret of area.querySelectorAll("[data-secret]")) {
    secret.addEventListener("focus", () => select(secret));
  }
  area.addEventListener("copy", () => { kept = true; });

  // The address of this page is a form's; a reload should show the list, not ask to send the form again.
  history.replaceState(null, "", area.dataset.reveal);

  addEventListener("beforeunload", (event) => {
    if (!kept) event.preventDefault();
  });
  // Should the browser keep the page to show it again, it keeps it without the secret.
  addEventListener("pagehide", () => area.remove());
  addEventListener("pageshow", (event) => {
    if (event.persisted) location.replace(location.href);
  });
}
