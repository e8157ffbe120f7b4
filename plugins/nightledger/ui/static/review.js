// The queue by keyboard: everything here presses what can be pressed by hand.
const rows = [...document.querySelectorAll("tr[data-item]")];
const boxes = [...document.querySelectorAll('input[name="item"][type="checkbox"]')];
const deciding = document.getElementById("decide");
let at = -1;
let meant = ""; // what Enter in the comment does: a key has said it before
let sent = false;

function tell() {
  const words = document.querySelector(".chosen");
  const count = boxes.filter((box) => box.checked).length;
  if (words) words.textContent = count ? `${count} chosen` : "none chosen";
}

function goTo(place) {
  if (!rows.length) return;
  at = Math.max(0, Math.min(rows.length - 1, place));
  for (const row of rows) row.classList.toggle("at", row === rows[at]);
  rows[at].querySelector("a").focus();
  rows[at].scrollIntoView({ block: "nearest" });
}

function press(action) {
  const button = deciding && deciding.querySelector(`button[value="${action}"]`);
  if (!button) return;
  if (boxes.length && !boxes.some((box) => box.checked) && at >= 0) boxes[at].checked = true; // the row one is at
  const comment = deciding.querySelector('input[name="comment"]');
  if (action === "reject" && comment && !comment.value.trim()) {
    meant = action;
    return comment.focus(); // a rejection says why
  }
  button.click();
}

const follow = (relation) => document.querySelector(`nav.more a[rel="${relation}"]`)?.click();
const KEYS = {
  j: () => (rows.length ? goTo(at + 1) : follow("next")),
  k: () => (rows.length ? goTo(at - 1) : follow("prev")),
  x: () => at >= 0 && boxes[at] && boxes[at].click(),
  X: () => document.querySelector('[data-all="item"]')?.click(),
  a: () => press("approve"),
  r: () => press("reject"),
  u: () => press("undo"),
  c: () => deciding?.querySelector('input[name="comment"]')?.focus(),
  e: () => deciding?.querySelector("select, input:not([type=hidden]), textarea")?.focus(),
  n: () => document.querySelector('[aria-keyshortcuts="n"]')?.click(),
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const typing = event.target.matches("input:not([type=checkbox]), select, textarea");
  if (event.key === "Escape" && typing) {
    meant = "";
    return event.target.blur();
  }
  if (event.key === "Enter" && meant && event.target.name === "comment" && event.target.form === deciding) {
    event.preventDefault();
    return press(meant);
  }
  const act = typing ? null : KEYS[event.key];
  if (!act) return;
  event.preventDefault();
  act();
});

document.addEventListener("change", tell);

// Nothing is decided when nothing is chosen, and a rejection without a word is asked for one.
deciding?.addEventListener("submit", (event) => {
  const comment = deciding.querySelector('input[name="comment"]');
  if (sent) return event.preventDefault(); // pressed twice
  const missing = boxes.length && !boxes.some((box) => box.checked);
  const wordless = event.submitter?.value === "reject" && comment && !comment.value.trim();
  sent = !missing && !wordless;
  if (sent) return;
  event.preventDefault();
  if (missing) document.querySelector(".chosen").textContent = "choose rows first";
  else comment.focus();
});
