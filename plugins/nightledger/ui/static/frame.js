// Inside Airflow's UI the pages live in a frame that may not navigate its parent: links to Airflow ask its router.
document.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-airflow]");
  if (!link || window.parent === window || event.ctrlKey || event.metaKey || event.button) return;
  event.preventDefault();
  window.parent.history.pushState(null, "", link.href);
  window.parent.dispatchEvent(new window.parent.PopStateEvent("popstate", { state: null }));
});
