// dialog.js: Escape leaves a dialog page by its Close link; open menus close when one looks elsewhere; where the
// navigation is a row too long for the window, it starts at the current page.

const close = document.querySelector("[data-close]");

document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape" || event.defaultPrevented) return;
  const open = document.querySelector("[data-menu][open]");
  if (open) {
    open.open = false;
    open.querySelector("summary").focus();
  } else if (close) {
    close.click();
  }
});

document.addEventListener("click", (event) => {
  for (const menu of document.querySelectorAll("[data-menu][open]")) {
    if (!menu.contains(event.target)) menu.open = false;
  }
});

const here = document.querySelector(".sidenav [aria-current]");
const row = here?.closest("ul");

if (row && row.scrollWidth > row.clientWidth) {
  const [place, window] = [here.getBoundingClientRect(), row.getBoundingClientRect()];
  row.scrollLeft += place.left - window.left - (window.width - place.width) / 2;
}
