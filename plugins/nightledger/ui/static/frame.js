// What Airflow's UI keeps in the browser: its theme as a word, the time zone as JSON. A browser may refuse its storage.
const inside = window.parent !== window;
function kept(key) {
  try {
    return localStorage.getItem(key);
  } catch {
    return null;
  }
}

// Inside Airflow the pages have its theme, before anything is painted and whenever it changes; alone, the system's.
function takeTheme() {
  document.documentElement.dataset.theme = (inside && kept("theme")) || "system";
}

// Moments are in UTC; beside them stands the time in the zone chosen in Airflow, which is the browser's until one is.
function chosenZone() {
  try {
    const zone = JSON.parse(kept("timezone")) || (inside ? Intl.DateTimeFormat().resolvedOptions().timeZone : "UTC");
    return { zone, clock: Intl.DateTimeFormat("sv-SE", { timeZone: zone, dateStyle: "short", timeStyle: "short" }) };
  } catch {
    return { zone: "UTC" }; // what is kept is not a zone
  }
}

function addZone() {
  for (const old of document.querySelectorAll(".zone")) old.remove();
  const { zone, clock } = chosenZone();
  if (["UTC", "Etc/UTC"].includes(zone)) return;
  for (const place of document.querySelectorAll(".utc, time:not(.utc time)")) {
    const times = place.matches("time") ? [place] : [...place.querySelectorAll("time")];
    const words = times.map((time) => {
      const local = clock.format(new Date(time.dateTime));
      return local.slice(0, 10) === time.dateTime.slice(0, 10) ? local.slice(11) : local;
    });
    const added = document.createElement("span");
    added.className = "zone";
    added.textContent = ` (${words.join(" to ")} ${zone})`;
    place.matches("time") ? place.after(added) : place.append(added);
  }
}

takeTheme();
window.addEventListener("storage", () => {
  takeTheme();
  addZone();
});

// Inside Airflow's UI the pages live in a frame that may not navigate its parent: links to Airflow ask its router.
document.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-airflow]");
  if (!link || window.parent === window || event.ctrlKey || event.metaKey || event.button) return;
  event.preventDefault();
  window.parent.history.pushState(null, "", link.href);
  window.parent.dispatchEvent(new window.parent.PopStateEvent("popstate", { state: null }));
});

// A box in a table's head chooses all boxes of that name which may be chosen.
document.addEventListener("change", (event) => {
  const name = event.target.dataset.all;
  if (!name) return;
  for (const box of event.target.form.querySelectorAll(`input[name="${name}"]:not(:disabled)`)) box.checked = event.target.checked;
});

document.addEventListener("DOMContentLoaded", () => {
  addZone();
  // A page about what goes on asks again by itself, but never while somebody fills in a form on it or it is out of sight.
  const seconds = Number(document.body.dataset.again);
  if (!seconds) return;
  setInterval(() => {
    if (!document.hidden && !document.activeElement.matches("input, select, textarea")) location.reload();
  }, seconds * 1000);
});
