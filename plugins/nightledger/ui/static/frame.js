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

// A page about what goes on asks again by itself, but never while somebody fills in a form on it or it is out of sight.
const seconds = Number(document.body.dataset.again);
if (seconds) {
  setInterval(() => {
    if (!document.hidden && !document.activeElement.matches("input, select, textarea")) location.reload();
  }, seconds * 1000);
}
