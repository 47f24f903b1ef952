// roles.js: searching permissions while typing, and ticking all that is shown of a category.
// Without it both are buttons of the form, and the server does the same.

const form = document.querySelector("[data-role-form]");
const filter = form?.querySelector("[data-filter]");

function shown(row) {
  return !row.hidden;
}

function search() {
  const words = filter.value.toLowerCase().replaceAll("_", " ").split(/\s+/).filter(Boolean);
  let found = 0;
  for (const category of form.querySelectorAll("[data-category]")) {
    const rows = [...category.querySelectorAll("[data-words]")];
    for (const row of rows) row.hidden = !words.every((word) => row.dataset.words.includes(word));
    category.hidden = !rows.some(shown);
    found += rows.filter(shown).length;
  }
  form.querySelector("[data-filter-empty]").hidden = found > 0;
  const said = found === 1 ? "1 kind of thing is shown." : `${found} kinds of things are shown.`;
  form.querySelector("[data-filter-status]").textContent = said;
}

function tick(button) {
  const category = button.closest("[data-category]");
  for (const row of [...category.querySelectorAll("[data-words]")].filter(shown)) {
    for (const box of row.querySelectorAll("input[type=checkbox]")) box.checked = button.dataset.tick === "all";
  }
  form.dispatchEvent(new Event("change"));
}

if (filter) {
  filter.addEventListener("input", search);
  // What is hidden is found again by emptying the search; sending the form from here would only reload it.
  filter.addEventListener("keydown", (event) => {
    if (event.key === "Enter") event.preventDefault();
  });
  form.addEventListener("click", (event) => {
    const button = event.target.closest("[data-tick]");
    if (!button) return;
    event.preventDefault();
    tick(button);
  });
}
